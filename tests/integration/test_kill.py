"""Kill it anywhere: SIGKILL at random moments, run again, and get the bytes of an undisturbed run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytestmark = [pytest.mark.integration, pytest.mark.slow]

PHOTOGRAPHS = 120
PAIRS = PHOTOGRAPHS * 2
KILLS = 20


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photographs")
    generator = np.random.default_rng(3)
    for number in range(PHOTOGRAPHS):
        image = np.clip(generator.normal(120, 9, (64, 72, 1)).repeat(3, axis=2), 0, 255).astype(np.uint8)
        Image.fromarray(image).save(folder / f"{number:03d}.png")
    return folder


def command(photographs: Path, out: Path, *options: str) -> list[str]:
    return [
        sys.executable, "-m", "fmas", "run", str(photographs), "--object", "tile", "--out", str(out),
        "--per-image", "2", "--candidates", "2", *options,
    ]  # fmt: skip


def finish(photographs: Path, out: Path, *options: str) -> None:
    done = subprocess.run(command(photographs, out, *options), capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr


def tree(out: Path) -> dict[str, bytes]:
    root = out / "dataset"
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def undisturbed(photographs, tmp_path_factory):
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    finish(photographs, out)
    return tree(out)


def finished_lines(out: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in (out / "manifest").glob("*.jsonl"))


def kill_at_a_random_moment(arguments: list[str], out: Path, generator: np.random.Generator) -> bool:
    """Start a run, kill it, and return whether it was really still at work."""
    before = finished_lines(out)
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wanted = before + int(generator.integers(0, 5))
        deadline = time.monotonic() + 60
        while finished_lines(out) < wanted and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.002)
        # During the start when no new line was waited for, else right after a line or within the next pairs.
        time.sleep(float(generator.uniform(0.0, 0.8 if wanted <= before else 0.05)))
        process.send_signal(signal.SIGKILL)
    finally:
        process.wait(timeout=60)
    return process.returncode == -signal.SIGKILL


@pytest.mark.parametrize("workers", [1, 2])
def test_killed_runs_end_in_the_same_bytes(photographs, undisturbed, tmp_path, workers):
    generator = np.random.default_rng(workers)
    out = tmp_path / "out"
    arguments = command(photographs, out, "--workers", str(workers))
    mid_run = 0
    for _ in range(2 * KILLS):  # about one in five lands before the first new line and does not count
        before = finished_lines(out)
        killed = kill_at_a_random_moment(arguments, out, generator)
        mid_run += killed and before < finished_lines(out) < PAIRS
        if mid_run == KILLS:
            break
        assert finished_lines(out) < PAIRS, "the run finished before it was killed often enough; make it longer"
    assert mid_run == KILLS, "too few of the kills landed after the run had begun to write"
    finish(photographs, out, "--workers", str(workers))
    assert tree(out) == undisturbed


def test_workers_of_a_killed_run_end_by_themselves(photographs, tmp_path):
    psutil = pytest.importorskip("psutil", reason="psutil, which finds child processes, is not installed")
    out = tmp_path / "out"
    process = subprocess.Popen(
        command(photographs, out, "--workers", "2"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 60
    while finished_lines(out) < 1 and time.monotonic() < deadline:
        time.sleep(0.01)
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) >= 2
    os.kill(process.pid, signal.SIGKILL)
    process.wait(timeout=60)
    _, alive = psutil.wait_procs(children, timeout=20)
    assert alive == []


@pytest.mark.parametrize("options", [["--workers", "2"], ["--shard", "2/3"]], ids=["workers", "shards"])
def test_workers_and_shards_give_the_same_bytes(photographs, undisturbed, tmp_path, options):
    out = tmp_path / "out"
    finish(photographs, out, *options)
    if "--shard" in options:
        for shard in ("3/3", "1/3"):
            finish(photographs, out, "--shard", shard)
    assert tree(out) == undisturbed


def test_shards_may_run_at_the_same_time(photographs, undisturbed, tmp_path):
    out = tmp_path / "out"
    running = [
        subprocess.Popen(command(photographs, out, "--shard", f"{number}/2"), stderr=subprocess.PIPE, text=True)
        for number in (1, 2)
    ]
    for process in running:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
    assert tree(out) == undisturbed


def test_ctrl_c_exits_130_and_leaves_a_valid_data_set(photographs, undisturbed, tmp_path):
    out = tmp_path / "out"
    process = subprocess.Popen(command(photographs, out), stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while finished_lines(out) < 3 and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "run the same command to go on" in errors
    assert "Traceback" not in errors
    checked = subprocess.run(
        [sys.executable, "-m", "fmas", "validate", str(out)], capture_output=True, text=True, timeout=120, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    finish(photographs, out)
    assert tree(out) == undisturbed
