"""Time WDAM on this CPU beside the naive composition, eager and compiled, in one run.

    OMP_NUM_THREADS=2 python packages/wdam/benchmarks/bench_cpu.py

*Naive* is what one writes down first: the transform as a strided grouped convolution, concatenation, two poolings, the
perceptron, and a transposed convolution back. Every implementation takes its turn in every round, so that a busy moment
of the machine hits all alike; medians are compared. Prints the versions it measured, and a Markdown table with ratios.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from wdam.functional import wdam

Module: TypeAlias = Callable[[Tensor, Tensor, Tensor], Tensor]
SHAPES = ((8, 256, 56, 56), (2, 64, 224, 224))
WARM_UP = 2
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


def naive(x: Tensor, w1: Tensor, w2: Tensor) -> Tensor:
    """Compute WDAM by convolutions; even sizes only."""
    samples, channels, height, width = x.shape
    signs = [
        [[1.0, 1.0], [1.0, 1.0]],
        [[1.0, 1.0], [-1.0, -1.0]],
        [[1.0, -1.0], [1.0, -1.0]],
        [[1.0, -1.0], [-1.0, 1.0]],
    ]
    kernel = (torch.tensor(signs, dtype=x.dtype)[:, None] / 2).repeat(channels, 1, 1, 1)
    subbands = F.conv2d(x, kernel, stride=2, groups=channels).unflatten(1, (channels, 4)).transpose(1, 2)
    joined = subbands.reshape(samples, 4 * channels, height // 2, width // 2)

    def perceptron(pooled: Tensor) -> Tensor:
        return F.linear(F.relu(F.linear(pooled.flatten(1), w1)), w2)

    w = torch.sigmoid(perceptron(F.adaptive_avg_pool2d(joined, 1)) + perceptron(F.adaptive_max_pool2d(joined, 1)))
    weighted = (joined.unflatten(1, (4, channels)) * w[:, :, None, None, None]).transpose(1, 2).flatten(1, 2)
    return x + F.conv_transpose2d(weighted, kernel, stride=2, groups=channels)


def times(
    works: dict[str, Callable[[], object]], rounds: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, float]:
    """Return the median milliseconds of each work; all take turns in every round."""
    for work in works.values():
        for _ in range(WARM_UP):
            work()
    taken: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            start = clock()
            work()
            taken[name].append(1000 * (clock() - start))
    return {name: statistics.median(values) for name, values in taken.items()}


def measure(
    shape: tuple[int, ...], layout: torch.memory_format, rounds: int, clock: Callable[[], float], *, compiled: bool
) -> list[tuple[str, float, float]]:
    """Return name, forward and forward + backward in milliseconds; the first row is a copy of the tensor."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(shape, generator=generator).contiguous(memory_format=layout)
    channels = shape[1]
    w1 = (0.05 * torch.randn(channels // 4, 4 * channels, generator=generator)).requires_grad_()
    w2 = (0.05 * torch.randn(4, channels // 4, generator=generator)).requires_grad_()
    dy, buffer, leaf = torch.randn_like(x), torch.empty_like(x), x.clone().requires_grad_()
    modules: dict[str, Module] = {"naive": naive, "wdam": wdam}
    if compiled:
        torch.compiler.reset()
        modules["naive, compiled"] = torch.compile(naive, fullgraph=True)
        modules["wdam, compiled"] = torch.compile(wdam, fullgraph=True)

    def forward(module: Module) -> Tensor:
        with torch.no_grad():
            return module(x, w1, w2)

    def both(module: Module) -> tuple[Tensor, ...]:
        return torch.autograd.grad(module(leaf, w1, w2), (leaf, w1, w2), dy)

    expected = forward(naive)
    works: dict[str, Callable[[], object]] = {"copy": lambda: buffer.copy_(x)}
    for name, module in modules.items():
        torch.testing.assert_close(forward(module), expected, rtol=1e-4, atol=1e-4)
        works[f"{name} forward"] = lambda module=module: forward(module)  # type: ignore[misc]
        works[f"{name} both"] = lambda module=module: both(module)  # type: ignore[misc]
    taken = times(works, rounds, clock)
    rows = [(name, taken[f"{name} forward"], taken[f"{name} both"]) for name in modules]
    return [("copy", taken["copy"], taken["copy"]), *rows]


def main(arguments: list[str]) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2, help="of PyTorch (default 2)")
    parser.add_argument("--rounds", type=int, default=11, help="timings of each; the median counts (default 11)")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out, which needs a compiler")
    parser.add_argument(
        "--clock", choices=sorted(CLOCKS), default="wall", help="'cpu' is steadier on a busy machine, with one thread"
    )
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    print(f"Python {platform.python_version()}, torch {torch.__version__}, wdam {version('wdam')}; ", end="")
    print(f"{platform.processor() or platform.machine()}, {torch.backends.cpu.get_cpu_capability()}, ", end="")
    print(f"{options.threads} threads, {options.rounds} rounds, {options.clock} clock\n")
    print("| shape | layout | implementation | forward ms | forward+backward ms | faster than naive | with backward |")
    print("|---|---|---|---|---|---|---|")
    for shape in SHAPES:
        for name, layout in (("contiguous", torch.contiguous_format), ("channels-last", torch.channels_last)):
            compiled = not options.no_compile and layout == torch.contiguous_format
            rows = measure(shape, layout, options.rounds, CLOCKS[options.clock], compiled=compiled)
            _, naive_forward, naive_both = rows[1]
            for row, forward, both in rows:
                ratios = f"{naive_forward / forward:.2f}x | {naive_both / both:.2f}x" if row != "copy" else " | "
                print(f"| {shape} | {name} | {row} | {forward:.1f} | {both:.1f} | {ratios} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
