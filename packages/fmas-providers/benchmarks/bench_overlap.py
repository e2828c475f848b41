"""Does ``fmas run`` keep a GPU busy? Its time against a loop by hand over the same calls, and who worked when.

    python packages/fmas-providers/benchmarks/bench_overlap.py [--photographs 48] [--seconds 0.35] [--side 512]

The pipeline is the tiny Stable Diffusion of the tests, and each call of it also sleeps as long as a full-size model's
denoising would take per picture at 512 pixels (``--seconds``; 0.35 s is some 30 steps of Stable Diffusion 1.5 on a
data-centre GPU). The processor is free while it sleeps, as it is while a GPU computes.

By hand: decode, segment, crop, ``pipe(...)`` for the same jobs, and nothing else: no mask, no selection, not a byte
written. What ``fmas run`` takes beyond that is what everything of its own costs. Then a trace of the second half of the
run: one line per thread, ``#`` where it worked. The painter's line must have no gap while another thread encodes.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fmas import RunConfig, synthesize
from fmas.images import read_image
from fmas.plugins import load_plugins
from fmas.types import InpaintJob
from fmas_providers.diffusers.inpainter import DiffusersInpainter

TINY = Path(__file__).parents[3] / "tests" / "providers"
WIDTH = 100


@dataclass
class Trace:
    """Who worked from when to when."""

    spans: list[tuple[str, str, float, float]] = field(default_factory=list)

    def wrap(self, owner: Any, name: str, label: str) -> Callable[[], None]:  # noqa: ANN401 (any class)
        """Note every call of a method; return what undoes that."""
        original = getattr(owner, name)

        def noted(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401 (the method's own)
            begun = time.perf_counter()
            try:
                return original(*arguments, **options)
            finally:
                self.spans.append((label, threading.current_thread().name, begun, time.perf_counter()))

        setattr(owner, name, noted)
        return lambda: setattr(owner, name, original)

    def busy(self, label: str) -> float:
        """Return the seconds that all calls of a label took."""
        return sum(end - begun for name, _, begun, end in self.spans if name == label)

    def lines(self) -> list[str]:
        """Return the trace's middle as text."""
        first, last = min(begun for *_, begun, _ in self.spans), max(end for *_, end in self.spans)
        begin, step = first + (last - first) / 4, (last - first) / 2 / WIDTH
        drawn = []
        for label, thread in sorted({(label, thread) for label, thread, *_ in self.spans}):
            row = [" "] * WIDTH
            for name, where, begun, end in self.spans:
                if (name, where) == (label, thread):
                    for column in range(int((begun - begin) / step), int((end - begin) / step) + 1):
                        if 0 <= column < WIDTH:
                            row[column] = "#"
            drawn.append(f"{label:>8} | {''.join(row)} | {thread}")
        return [*drawn, f"{'':>8} | {'one column is':>{WIDTH - 10}} {step * 1000:5.0f} ms |"]

    def edges(self, label: str) -> tuple[float, float]:
        """Return when the first call of a label began and when the last one ended."""
        return (
            min(begun for name, _, begun, _ in self.spans if name == label),
            max(end for name, *_, end in self.spans if name == label),
        )

    def gaps(self, label: str) -> float:
        """Return the seconds between the first and the last call of a label in which none of its calls ran."""
        calls = sorted((begun, end) for name, _, begun, end in self.spans if name == label)
        return sum(max(later[0] - earlier[1], 0.0) for earlier, later in pairwise(calls))


def write_photographs(folder: Path, number: int, side: int) -> None:
    """Write middle grey textures that a PNG encoder has to work on."""
    folder.mkdir(parents=True)
    generator = np.random.default_rng(2)
    for index in range(number):
        grain = generator.normal(127, 2, (side, side, 3))
        Image.fromarray(np.clip(grain, 0, 255).astype(np.uint8)).save(folder / f"{index:04d}.png")


def slow(inpainter_class: type[DiffusersInpainter], seconds: float, seen: list[list[InpaintJob]]) -> None:
    """Let every picture take as long as a full-size model would, and remember what was asked."""
    original = inpainter_class.inpaint

    def inpaint(self: DiffusersInpainter, jobs: Sequence[InpaintJob]) -> list[Any]:
        seen.append(list(jobs))
        painted = original(self, jobs)
        time.sleep(seconds * len(jobs))
        return list(painted)

    inpainter_class.inpaint = inpaint  # type: ignore[method-assign]


def by_hand(config: RunConfig, calls: Sequence[Sequence[InpaintJob]]) -> float:
    """Return the seconds that reading, segmenting and the same calls of the pipeline take, one after the other."""
    registry = load_plugins()
    segmenter = registry.create("segmenter", "builtin", {})
    inpainter = registry.create("inpainter", "diffusers", config.inpainter.options)
    inpainter.inpaint(calls[0][:1])  # its weights are loaded
    begun = time.perf_counter()
    for path in sorted(config.images.iterdir()):
        segmenter.segment(read_image(path, max_pixels=config.max_pixels)[0])
    for jobs in calls:
        inpainter.inpaint(jobs)
    return time.perf_counter() - begun


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photographs", type=int, default=48)
    parser.add_argument("--seconds", type=float, default=0.35, help="per picture")
    parser.add_argument("--side", type=int, default=512)
    options = parser.parse_args()
    import fmas.write as writing

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_photographs(folder / "photographs", options.photographs, options.side)
        sys.path.insert(0, str(TINY))
        from tiny_stable_diffusion import save_tiny_pipeline

        model = save_tiny_pipeline(folder / "models" / "tiny-sd", grey_outside=True)
        tiny = {"name": "diffusers", "model": str(model), "steps": 2, "size": 64, "device": "cpu"}
        base = {"images": folder / "photographs", "object": "tile", "candidates": 2, "inpainter": tiny}
        synthesize(RunConfig.model_validate({**base, "out": folder / "warm", "limit": 1}))
        calls: list[list[InpaintJob]] = []
        slow(DiffusersInpainter, options.seconds, calls)
        config = RunConfig.model_validate({**base, "out": folder / "out"})
        trace = Trace()
        undo = [
            trace.wrap(DiffusersInpainter, "inpaint", "paint"),
            trace.wrap(writing.WriteStage, "process", "write"),
        ]
        from fmas.read import ReadStage
        from fmas.segment import SegmentStage

        undo += [trace.wrap(ReadStage, "process", "read"), trace.wrap(SegmentStage, "process", "segment")]
        begun = time.perf_counter()
        summary = synthesize(config)
        seconds = time.perf_counter() - begun
        for one in undo:
            one()
        asked = list(calls)
        hand = by_hand(config, asked)
    pictures = sum(len(jobs) for jobs in asked)
    out = sys.stdout.write
    out(f"pairs {summary.counts.pairs}, pictures painted {pictures}, {options.side} px, {options.seconds} s each\n")
    out(f"by hand {hand:.2f} s, fmas run {seconds:.2f} s: {seconds / hand - 1:+.1%}\n")
    first, last = trace.edges("paint")
    out(f"before the first painting {first - begun:.2f} s, after the last {begun + seconds - last:.2f} s\n")
    out(f"painting {trace.busy('paint'):.2f} s, gaps between paintings {trace.gaps('paint'):.2f} s, ")
    out(f"writing {trace.busy('write'):.2f} s, reading {trace.busy('read'):.2f} s\n")
    out("\n".join(trace.lines()) + "\n")


if __name__ == "__main__":
    main()
