"""Time ``fmas run`` on 1024 x 1024 photographs against the least it could cost, and watch its memory and its workers.

    python packages/fmas/benchmarks/bench_run.py [speed] [memory] [workers] [--images 32] [--rounds 3] [--out FILE]

* ``speed``: per core, a whole run (four candidates; every file that it writes) as a multiple of decoding its input and
  encoding every PNG that it wrote, with the same encoder at the same level. Both are pinned to one core and timed one
  after the other, several times; the interpreter's start and imports are timed apart and reported, and counted.
* ``memory``: the peak resident size of a run of ten times as many photographs over that of a run of ``--few``.
* ``workers``: how much faster two worker processes are than one; needs two idle cores.

The photographs are made here: rendered parts and skimage's textures with sensor noise, so that PNG has real work.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import PIL
import skimage.data
from numpy.typing import NDArray
from PIL import Image

from fmas import __version__
from fmas.images import encode_png

SIDE = 1024
DISTINCT = 8
LEVEL = 4  # WriteConfig.compress_level
JOBS = ("speed", "memory", "workers")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for and print it as a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("jobs", nargs="*", help=f"some of {', '.join(JOBS)}; all by default")
    parser.add_argument("--images", type=int, default=32, help="photographs per timed run")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--few", type=int, default=100, help="photographs of the smaller run of `memory`")
    parser.add_argument("--out", type=Path, help="also write the numbers here, as JSON")
    parser.add_argument("--floor-of", nargs=2, type=Path, metavar=("IMAGES", "OUT"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.floor_of:
        print(json.dumps(floor(*options.floor_of)))
        return 0
    unknown = sorted(set(options.jobs) - set(JOBS))
    if unknown:
        parser.error(f"expected some of {', '.join(JOBS)}, got {', '.join(unknown)}")
    jobs = options.jobs or JOBS
    numbers: dict[str, object] = {"environment": environment()}
    with tempfile.TemporaryDirectory(prefix="fmas-bench-") as folder:
        work = Path(folder)
        if "speed" in jobs:
            numbers["speed"] = speed(work, options.images, options.rounds)
        if "workers" in jobs:
            numbers["workers"] = workers(work, options.images, options.rounds)
        if "memory" in jobs:
            numbers["memory"] = memory(work, options.few)
    print(json.dumps(numbers, indent=2))
    if options.out is not None:
        options.out.write_text(json.dumps(numbers, indent=2) + "\n")
    return 0


def environment() -> dict[str, object]:
    """Return what the numbers depend on."""
    return {
        "fmas": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "opencv": cv2.__version__,
        "pillow": PIL.__version__,
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
    }


def photographs(folder: Path, count: int) -> Path:
    """Write ``count`` photographs, of which a few differ; the others are links to them."""
    folder.mkdir(parents=True)
    for number in range(count):
        path = folder / f"{number:05d}.png"
        if number < DISTINCT:
            path.write_bytes(encode_png(picture(number), compress_level=LEVEL))
        else:
            os.link(folder / f"{number % DISTINCT:05d}.png", path)
    return folder


def picture(number: int) -> NDArray[np.uint8]:
    """Return a photograph, ``(1024, 1024, 3)`` uint8: by turns a rendered part and a photographed texture."""
    rng = np.random.default_rng(number)
    if number % 2:
        texture = (skimage.data.brick, skimage.data.grass, skimage.data.gravel)[number // 2 % 3]()
        surface = cv2.resize(texture, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC).astype(np.float32)
        field = surface[..., None] * np.array([1.0, 0.94, 0.88], np.float32)
    else:
        y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32)
        field = np.repeat((190 + 25 * x / SIDE)[..., None], 3, axis=2)
        centre = (int(rng.integers(400, 620)), int(rng.integers(400, 620)))
        part = np.zeros((SIDE, SIDE), np.uint8)
        cv2.ellipse(part, (centre, (int(rng.integers(420, 700)), int(rng.integers(300, 600))), 30.0), 1, cv2.FILLED)
        cv2.circle(part, centre, 70, 0, cv2.FILLED)
        colour = np.array([120, 95, 80], np.float32) * (0.8 + 0.4 * y / SIDE)[..., None]
        field = np.where(cv2.GaussianBlur(part, (0, 0), 1.2)[..., None] > 0, colour, field)
    return np.clip(field + rng.normal(0, 2.5, field.shape), 0, 255).astype(np.uint8)


def floor(images: Path, out: Path) -> dict[str, float]:
    """Return the seconds that decoding every photograph and encoding every PNG in ``out`` take, by themselves."""
    began = time.perf_counter()
    for path in sorted(images.iterdir()):
        with Image.open(path) as image:
            np.asarray(image.convert("RGB"))
    decoding = time.perf_counter() - began
    encoding, written = 0.0, 0
    for path in sorted(out.rglob("*.png")):
        with Image.open(path) as image:
            pixels = np.asarray(image)
        began = time.perf_counter()
        encode(pixels)
        encoding += time.perf_counter() - began
        written += 1
    return {"decoding": decoding, "encoding": encoding, "written": written}


def encode(pixels: NDArray[np.uint8]) -> bytes:
    """Encode as the run does; stored candidates have a fourth channel."""
    if pixels.ndim == 3 and pixels.shape[2] == 4:
        import io

        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG", compress_level=LEVEL, optimize=False)
        return buffer.getvalue()
    return encode_png(pixels, compress_level=LEVEL)


def run(images: Path, out: Path, *options: str, core: int | None = None) -> float:
    """Run ``fmas run`` and return its seconds."""
    command = [sys.executable, "-m", "fmas", "run", str(images), "--out", str(out), *options]
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, preexec_fn=pinned(core))
    return time.perf_counter() - began


def pinned(core: int | None) -> Callable[[], None] | None:
    """Return what ties a child process to one core, where the system can."""
    if core is None or not hasattr(os, "sched_setaffinity"):
        return None
    return lambda: os.sched_setaffinity(0, {core})


def speed(work: Path, count: int, rounds: int) -> dict[str, object]:
    """Time runs and floors by turns on one core; the ratio of each turn, and their median."""
    images = photographs(work / "speed", count)
    core = max(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    turns = []
    for number in range(rounds):
        out = work / f"speed-out-{number}"
        seconds = run(images, out, core=core)
        script = [sys.executable, __file__, "--floor-of", str(images), str(out)]
        answer = subprocess.run(script, check=True, capture_output=True, text=True, preexec_fn=pinned(core))
        least = json.loads(answer.stdout)
        began = time.perf_counter()
        start = [sys.executable, "-c", "import fmas.cli.run, fmas.pipeline, fmas.report, cv2, skimage, scipy.ndimage"]
        subprocess.run(start, check=True, preexec_fn=pinned(core))
        turns.append(
            {
                "run": seconds,
                **least,
                "start": time.perf_counter() - began,
                "ratio": seconds / (least["decoding"] + least["encoding"]),
            }
        )
    per_image = {
        key: round(1000 * statistics.median(turn[key] for turn in turns) / count, 1)
        for key in ("run", "decoding", "encoding")
    }
    return {
        "images": count,
        "rounds": rounds,
        "ms_per_image": per_image,
        "start_s": round(statistics.median(turn["start"] for turn in turns), 2),
        "png_per_image": turns[0]["written"] / count,
        "ratio": round(statistics.median(turn["ratio"] for turn in turns), 2),
        "ratios": [round(turn["ratio"], 2) for turn in turns],
    }


def workers(work: Path, count: int, rounds: int) -> dict[str, object]:
    """Time one worker and two by turns, on many photographs so that starting them does not decide."""
    images = photographs(work / "workers", 4 * count)
    ratios = []
    for number in range(rounds):
        one = run(images, work / f"one-{number}", "--workers", "1")
        two = run(images, work / f"two-{number}", "--workers", "2")
        ratios.append(one / two)
    return {
        "images": 4 * count,
        "speedup": round(statistics.median(ratios), 2),
        "speedups": [round(r, 2) for r in ratios],
    }


def memory(work: Path, few: int) -> dict[str, object]:
    """Compare the peak memory of a run of ``few`` photographs with one of ten times as many."""
    peaks = []
    for count in (few, 10 * few):
        images = photographs(work / f"memory-{count}", count)
        script = (
            "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, capture_output=True);"
            "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
        )
        out = work / f"memory-out-{count}"
        command = [sys.executable, "-c", script, sys.executable, "-m", "fmas", "run", str(images), "--out", str(out)]
        peaks.append(int(subprocess.run(command, check=True, capture_output=True, text=True).stdout) / 1024)
    return {
        "images": [few, 10 * few],
        "peak_mib": [round(peak) for peak in peaks],
        "ratio": round(peaks[1] / peaks[0], 3),
    }


if __name__ == "__main__":
    raise SystemExit(main())
