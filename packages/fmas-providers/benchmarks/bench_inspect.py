"""How much longer inspecting takes than the network alone on the very same tiles.

    python packages/fmas-providers/benchmarks/bench_inspect.py

One pass records every batch that goes into the network. Then two things are timed in turn, in one process: those
batches going through the network again and nothing else, and everything: cutting, normalising, the network, blending,
the gate with the built-in segmenter, and the image score. Each is the median over ``--runs``.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from fmas.types import FloatMap, RGBImage
from fmas_providers.detectors.options import UNetOptions
from fmas_providers.detectors.scoring.scorer import Forward, MapScorer
from fmas_providers.detectors.unet.network import build_network

SIZES = {"330 px": (330, 330, 12), "1 MP": (1000, 1000, 4), "12 MP": (3000, 4000, 1)}


def main() -> None:
    """Print one line per size of picture, with and without the gate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=None, help="of torch; its own choice when not given")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=["330 px", "1 MP"])
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {arguments.device}, {arguments.runs} runs")
    for size in arguments.sizes:
        for gate in (False, True):
            alone, everything = measure(size, gate=gate, runs=arguments.runs, device=torch.device(arguments.device))
            print(
                f"{size:>6}, gate {'on ' if gate else 'off'}: network {alone * 1e3:8.1f} ms a picture, inspecting "
                f"{everything * 1e3:8.1f} ms, ratio {everything / alone:.3f}",
                flush=True,
            )


def measure(size: str, *, gate: bool, runs: int, device: torch.device) -> tuple[float, float]:
    """Return the seconds a picture takes in the network alone and in all of inspecting."""
    options = UNetOptions(gate=gate)
    torch.manual_seed(0)
    network = build_network(options, pretrained=False).to(device).eval()
    forward = network_in_numpy(network, device)
    height, width, count = SIZES[size]
    pictures = [part_on_a_table(height, width, seed) for seed in range(count)]
    batches: list[NDArray[np.float32]] = []

    def recording(batch: NDArray[np.float32]) -> FloatMap:
        batches.append(batch)
        return forward(batch)

    multiple = cast("int", network.multiple)
    list(MapScorer(recording, options, multiple=multiple).score(pictures))
    scorer = MapScorer(forward, options, multiple=multiple)
    alone, everything = [], []
    for _ in range(runs):
        alone.append(seconds(lambda: [forward(batch) for batch in batches]))
        everything.append(seconds(lambda: list(scorer.score(pictures))))
    return statistics.median(alone) / count, statistics.median(everything) / count


def network_in_numpy(network: torch.nn.Module, device: torch.device) -> Forward:
    """Return the network as the detector calls it."""

    def forward(pictures: NDArray[np.float32]) -> FloatMap:
        with torch.inference_mode():
            given = torch.from_numpy(pictures).to(device, memory_format=torch.channels_last)
            return np.asarray(torch.sigmoid(network(given).float()).cpu().numpy(), np.float32)

    return forward


def part_on_a_table(height: int, width: int, seed: int) -> RGBImage:
    """Return a dark part on a bright ground, both with noise, so that the gate has something to find."""
    rng = np.random.default_rng(seed)
    picture = np.full((height, width, 3), 200, np.uint8)
    picture[height // 4 : -height // 4, width // 4 : -width // 4] = (60, 80, 70)
    picture += rng.integers(0, 12, picture.shape, np.uint8)
    return picture


def seconds(work: Callable[[], object]) -> float:
    """Return how long ``work`` takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
