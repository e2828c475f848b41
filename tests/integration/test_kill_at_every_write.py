"""Kill it anywhere, without luck: once at every single operation on a file of the output folder."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fmas.config import RunConfig
from fmas.pipeline import synthesize

pytestmark = [
    pytest.mark.integration,
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork to die at an exact moment"),
    # Forking beside threads is what the warning fears; the child only runs our single-threaded pipeline and dies.
    pytest.mark.filterwarnings("ignore:This process:DeprecationWarning"),
]

EVENTS = {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "shutil.rmtree"}
KILLED = 9


def tree(out: Path) -> dict[str, bytes]:
    root = out / "dataset"
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def run_and_die(config: RunConfig, moment: int) -> tuple[int, int]:
    """Run in a child that dies at the given operation; return its exit code and how many operations it saw."""
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
                os._exit(KILLED)

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


def test_a_kill_at_any_operation_loses_nothing(tmp_path):
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    generator = np.random.default_rng(0)
    for number in range(3):
        image = np.clip(generator.normal(120, 9, (48, 56, 1)).repeat(3, axis=2), 0, 255).astype(np.uint8)
        Image.fromarray(image).save(photographs / f"{number}.png")
    (photographs / "1.png").write_bytes(b"broken")

    def config(name: str) -> RunConfig:
        return RunConfig(images=photographs, out=tmp_path / name, object="tile", candidates=1, holdout_good=0.2)

    undisturbed = config("undisturbed")
    assert synthesize(undisturbed).exit_code == 3
    code, operations = run_and_die(config("counted"), moment=0)
    assert code == 0
    assert operations > 40
    for moment in range(1, operations + 1):
        out = tmp_path / "killed"
        shutil.rmtree(out, ignore_errors=True)
        assert run_and_die(config("killed"), moment)[0] == KILLED
        assert synthesize(config("killed")).exit_code == 3, moment
        assert tree(out) == tree(undisturbed.out), moment
        leftovers = [path for path in (out / ".tmp").rglob("*") if path.is_file() and path.suffix != ".lock"]
        assert leftovers == [], moment
