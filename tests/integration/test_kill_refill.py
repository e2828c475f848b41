"""Kill a run that fills the places of dropped pictures, anywhere: the dropped ones stay away, the new ones arrive."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fmas.config import RunConfig
from fmas.decisions import Decision, DecisionLog
from fmas.layout import OutputLayout
from fmas.manifest import ManifestIndex
from fmas.pipeline import synthesize
from fmas.validate import validate_output

pytestmark = [
    pytest.mark.integration,
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork and SIGKILL to die at an exact moment"),
    # Forking beside threads is what the warning fears; the child only runs our single-threaded pipeline and dies.
    pytest.mark.filterwarnings("ignore:This process:DeprecationWarning"),
]

EVENTS = {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "shutil.rmtree"}


def tree(out: Path) -> dict[str, bytes]:
    root = out / "dataset"
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def lines(out: Path) -> dict[int, dict[str, object]]:
    entries = ManifestIndex(out / "manifest").entries()
    return {entry.stem: dict(entry.row) for entry in entries if entry.row is not None}


def drop(out: Path, *stems: int) -> list[str]:
    log, rows = DecisionLog(OutputLayout(out, "tile")), lines(out)
    return [log.append(Decision(stem, str(rows[stem]["image_sha256"]), "drop")).image_sha256 for stem in stems]


def photographs(folder: Path, number: int) -> Path:
    folder.mkdir()
    generator = np.random.default_rng(0)
    for name in range(number):
        image = np.clip(generator.normal(120, 9, (48, 56, 1)).repeat(3, axis=2), 0, 255).astype(np.uint8)
        Image.fromarray(image).save(folder / f"{name:03d}.png")
    return folder


def run_and_die(config: RunConfig, moment: int) -> tuple[int, int]:
    """Run in a child that is killed at the given operation; return its exit code and how many operations it saw."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        count = 0

        def hook(event: str, arguments: tuple[object, ...]) -> None:
            nonlocal count
            if event not in EVENTS or not any(str(config.out) in str(argument) for argument in arguments):
                return
            if event == "open" and isinstance(arguments[2], int) and not arguments[2] & (os.O_WRONLY | os.O_RDWR):
                return
            count += 1
            if count == moment:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        try:
            synthesize(config)
        except BaseException:  # noqa: BLE001 (the parent sees the exit code)
            os._exit(1)
        os.write(writer, str(count).encode())
        os._exit(0)
    os.close(writer)
    _, status = os.waitpid(child, 0)
    with os.fdopen(reader) as answer:
        seen = answer.read()
    return os.waitstatus_to_exitcode(status), int(seen or 0)


def no_picture_beside_a_strange_mask(out: Path, old: dict[int, dict[str, object]], stems: tuple[int, ...]) -> None:
    """A killed run may leave a dropped pair or a new one or half of one, but never one's mask beside the other."""
    root = out / "dataset/tile"
    for stem in stems:
        image, mask = (root / str(old[stem][key]) for key in ("file_name", "mask_file_name"))
        if image.exists() and mask.exists():
            from fmas.images import pixel_sha256

            pixels = pixel_sha256(np.asarray(Image.open(image)))
            drawn = pixel_sha256(np.asarray(Image.open(mask)) > 0)
            is_old = pixels == old[stem]["image_sha256"]
            assert is_old == (drawn == old[stem]["mask_sha256"]), stem


def test_a_kill_at_any_operation_ends_in_the_right_bytes(tmp_path):
    base = RunConfig(
        images=photographs(tmp_path / "in", 2), out=tmp_path / "base", object="tile", candidates=1, per_image=2
    )
    synthesize(base)
    dropped = (1, 2)
    old = lines(base.out)
    shas = drop(base.out, *dropped)

    def config(name: str) -> RunConfig:
        shutil.rmtree(tmp_path / name, ignore_errors=True)
        shutil.copytree(base.out, tmp_path / name)
        return base.model_copy(update={"out": tmp_path / name})

    undisturbed = config("undisturbed")
    assert synthesize(undisturbed).refilled == 2
    wanted = tree(undisturbed.out)
    code, operations = run_and_die(config("counted"), moment=0)
    assert code == 0
    assert operations > 30
    for moment in range(1, operations + 1):
        killed = config("killed")
        assert run_and_die(killed, moment)[0] == -signal.SIGKILL
        no_picture_beside_a_strange_mask(killed.out, old, dropped)
        synthesize(killed)
        assert tree(killed.out) == wanted, moment
        assert not {row["image_sha256"] for row in lines(killed.out).values()} & set(shas)
        assert validate_output(killed.out).ok, moment


def command(images: Path, out: Path, *options: str) -> list[str]:
    return [
        *(sys.executable, "-m", "fmas", "run", str(images), "--object", "tile", "--out", str(out)),
        *("--candidates", "2", *options),
    ]


def finish(*arguments: object) -> str:
    done = subprocess.run(command(*arguments), capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


NUMBER, FIRST, SECOND = 24, tuple(range(0, 24, 2)), (0, 10, 11)


@pytest.fixture(scope="module")
def calm(tmp_path_factory):
    """Return the photographs, a run of them before anything was dropped, and that run after two quiet refills."""
    folder = tmp_path_factory.mktemp("calm")
    images, before, after = photographs(folder / "in", NUMBER), folder / "before", folder / "after"
    finish(images, before)
    shutil.copytree(before, after)
    drop(after, *FIRST)
    assert f"refilled {len(FIRST)}" in finish(images, after)
    drop(after, *SECOND)
    assert f"refilled {len(SECOND)}" in finish(images, after)
    return images, before, after


@pytest.mark.parametrize("workers", ["1", "2"])
def test_killed_again_and_again_with_new_drops_in_between(calm, tmp_path, workers):
    images, before, after = calm
    generator = np.random.default_rng(int(workers))
    wild = tmp_path / "wild"
    shutil.copytree(before, wild)
    drop(wild, *FIRST)
    hits = 0
    for _ in range(4):
        process = subprocess.Popen(command(images, wild, "--workers", workers), stderr=subprocess.DEVNULL)
        made = sum(bool(row["generation"]) for row in lines(wild).values())
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            if sum(bool(row["generation"]) for row in lines(wild).values()) > made:
                break
            time.sleep(0.02)
        time.sleep(float(generator.uniform(0, 0.05)))
        process.kill()
        process.wait(timeout=60)
        hits += process.returncode == -signal.SIGKILL
    assert hits >= 2
    finish(images, wild, "--workers", workers)
    drop(wild, *SECOND)
    for shard in ("2/2", "1/2"):
        finish(images, wild, "--shard", shard)
    assert tree(wild) == tree(after)
    assert [lines(wild)[stem]["generation"] for stem in (0, 10, 11, 12, 13)] == [2, 2, 1, 1, 0]
