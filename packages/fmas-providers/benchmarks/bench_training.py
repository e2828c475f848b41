"""Where a training's time goes: how much of it in the network, and how long the network waits for batches.

    fmas run GOOD --out OUT
    python packages/fmas-providers/benchmarks/bench_training.py OUT [--detector unet] [--set steps=100] ...

Trains once and prints where the wall clock's time went, and the processor time of the training thread and of all
others, which prepare the batches: on a busy machine the latter are what can be compared.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from pathlib import Path

import torch

from fmas.pairs import PairDataset
from fmas.plugins import load_plugins

PARTS = ("in_model", "waiting", "validating", "saving")


def main() -> None:
    """Train once and print where the time went."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="what `fmas run` wrote")
    parser.add_argument("--detector", default="unet")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="an option of the detector")
    arguments = parser.parse_args()
    options = dict(setting.split("=", 1) for setting in arguments.set)
    detector = load_plugins().create("detector", arguments.detector, options)
    pairs, held_out = PairDataset(arguments.out).split(validation=0.15, seed=0)
    torch.optim.AdamW([torch.zeros(1)])  # the first optimiser of a process imports for seconds
    before = time.thread_time(), time.process_time()
    with tempfile.TemporaryDirectory() as workspace:
        said = detector.train(pairs, held_out, workspace=Path(workspace))  # type: ignore[attr-defined]
    thread, process = time.thread_time() - before[0], time.process_time() - before[1]
    print(f"{arguments.detector} {options}: {len(pairs)} pairs, {len(held_out)} held out")
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {os.cpu_count()} cores, {platform.machine()}")
    print(f"{said['steps']} steps in {said['seconds']:.1f} s, {1e3 * said['seconds'] / said['steps']:.1f} ms each")
    for part in PARTS:
        seconds = said[f"seconds_{part}"]
        print(f"{part:>12} {seconds:8.2f} s {100 * seconds / said['seconds']:6.1f} %")
    print(f"processor time: {thread:.2f} s in the training thread, {process - thread:.2f} s in all others")
    print("(validating includes the network's part of it, which is in in_model, too)")


if __name__ == "__main__":
    main()
