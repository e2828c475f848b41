"""Time a round trip, `idwt2(dwt2(x))`, on this CPU beside pytorch_wavelets and ptwt, in one run.

    pip install ptwt pytorch_wavelets "setuptools<81"     # pytorch_wavelets 1.3 needs pkg_resources
    OMP_NUM_THREADS=2 python packages/wdam/benchmarks/bench_transforms.py

Both are optional: what is not installed is not measured. Every implementation takes its turn in every round; medians
are compared, and every result is checked against the input first. Prints the versions measured, and a Markdown table.
"""

from __future__ import annotations

import argparse
import platform
import sys
import warnings
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import TypeAlias

import pywt
import torch
from bench_cpu import times
from torch import Tensor

from wdam import dwt2, idwt2

RoundTrip: TypeAlias = Callable[[Tensor], Tensor]
SHAPES = ((8, 256, 56, 56), (2, 64, 224, 224), (8, 3, 1024, 1024))
WAVELETS = ("haar", "db2", "bior4.4", "db8")
MODE = "symmetric"  # what the peers have in common with the default of ours
COPY = "copy"


def ours(wavelet: str) -> RoundTrip:
    """Return the round trip of this package."""
    return lambda x: idwt2(dwt2(x, wavelet, MODE), wavelet, MODE)


def ptwt_round_trip(wavelet: str) -> RoundTrip:
    """Return the round trip of ptwt."""
    import ptwt

    bank = pywt.Wavelet(wavelet)
    return lambda x: ptwt.waverec2(ptwt.wavedec2(x, bank, mode=MODE, level=1), bank)


def pytorch_wavelets_round_trip(wavelet: str) -> RoundTrip:
    """Return the round trip of pytorch_wavelets."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pkg_resources announces its end
        import pytorch_wavelets

    there = pytorch_wavelets.DWTForward(J=1, wave=wavelet, mode=MODE)
    back = pytorch_wavelets.DWTInverse(wave=wavelet, mode=MODE)
    return lambda x: back(there(x))


def round_trips(wavelet: str, *, compiled: bool) -> dict[str, RoundTrip]:
    """Return every implementation that can be imported here."""
    trips = {"wdam": ours(wavelet)}
    if compiled:
        torch.compiler.reset()
        trips["wdam, compiled"] = torch.compile(ours(wavelet), fullgraph=True)
    for name, make in (("ptwt", ptwt_round_trip), ("pytorch_wavelets", pytorch_wavelets_round_trip)):
        try:
            trips[name] = make(wavelet)
        except ImportError as error:
            print(f"{name} is left out: {error}", file=sys.stderr)
    return trips


def measure(shape: tuple[int, ...], wavelet: str, rounds: int, *, compiled: bool) -> dict[str, float]:
    """Return the median milliseconds of a copy and of each implementation."""
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    buffer = torch.empty_like(x)
    trips = round_trips(wavelet, compiled=compiled)
    works: dict[str, Callable[[], object]] = {COPY: lambda: buffer.copy_(x)}
    for name, trip in trips.items():
        torch.testing.assert_close(trip(x), x, rtol=1e-4, atol=1e-4)
        works[name] = lambda trip=trip: trip(x)  # type: ignore[misc]
    with torch.no_grad():
        return times(works, rounds)


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "not installed"


def main(arguments: list[str]) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2, help="of PyTorch (default 2)")
    parser.add_argument("--rounds", type=int, default=7, help="timings of each; the median counts (default 7)")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out, which needs a compiler")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    names = ("torch", "wdam", "ptwt", "pytorch_wavelets")
    print(", ".join(f"{name} {_version(name)}" for name in names), end="; ")
    print(f"Python {platform.python_version()}, {torch.backends.cpu.get_cpu_capability()}, ", end="")
    print(f"{options.threads} threads, {options.rounds} rounds\n")
    print("| shape | wavelet | implementation | round trip ms | in copies | times as long as wdam |")
    print("|---|---|---|---|---|---|")
    for shape in SHAPES:
        for wavelet in WAVELETS:
            taken = measure(shape, wavelet, options.rounds, compiled=not options.no_compile)
            for name, milliseconds in taken.items():
                row = f"| {shape} | {wavelet} | {name} | {milliseconds:.1f} | {milliseconds / taken[COPY]:.1f} |"
                print(f"{row} {milliseconds / taken['wdam']:.2f} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
