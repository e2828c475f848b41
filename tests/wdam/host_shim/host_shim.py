"""Build the CUDA sources with g++ and run their kernels on CPU tensors, in place of `wdam.kernels.device.run`."""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import os
import re
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import torch

import wdam
from wdam.kernels.compile import Kernel

HERE = Path(__file__).parent
CSRC = Path(wdam.__file__).parent / "csrc"
FLAGS = (
    "-std=c++20", "-O1", "-fPIC", "-shared", "-fno-strict-aliasing", "-ffp-contract=off",
    "-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas", "-Wno-unused-parameter",
)  # fmt: skip
VECTORS = {"wdam::Half": (8, 4, 2, 1), "wdam::BFloat16": (8, 4, 2, 1), "float": (4, 2, 1), "double": (2, 1)}
ACCUMULATORS = {"float": (4, 1), "double": (2, 1)}  # and the vectors of the perceptron
COMPILER = shutil.which("g++")


def instances() -> Iterator[Kernel]:
    """Yield every instance that `wdam.kernels` can ask for."""
    for type_, widths in VECTORS.items():
        acc = "double" if type_ == "double" else "float"
        for width in widths:
            yield Kernel("wdam_pool.cu", f"wdam::pool_contiguous<{type_}, {width}>")
            if width <= 4:
                yield Kernel("wdam_pool.cu", f"wdam::pool_channels_last<{type_}, {width}>")
            for last in ("false", "true"):
                yield Kernel("wdam_reweight.cu", f"wdam::reweight<{type_}, {width}, {last}>")
                for uniform in ("false", "true"):
                    for name in ("subband_dot", "input_gradient"):
                        expression = f"wdam::{name}<{type_}, {width}, {last}, {uniform}>"
                        yield Kernel("wdam_backward.cu", expression)
            for name in ("analysis", "synthesis"):
                yield Kernel("haar.cu", f"wdam::haar_{name}<{type_}, {width}>")
        for source, result in sorted({(type_, acc), (acc, type_)}):
            for name in ("analysis", "synthesis"):
                yield Kernel("filterbank.cu", f"wdam::filterbank_{name}<{source}, {result}>")
    for acc, widths in ACCUMULATORS.items():
        yield Kernel("wdam_pool.cu", f"wdam::pool_finish<{acc}>")
        yield Kernel("wdam_backward.cu", f"wdam::subband_dot_finish<{acc}>")
        for name in ("gate", "gate_hidden"):
            yield from (Kernel("wdam_mlp.cu", f"wdam::{name}<{acc}, {width}>") for width in widths)
        for name in ("gate_weights", "gate_backward"):
            yield Kernel("wdam_mlp.cu", f"wdam::{name}<{acc}>")


class HostShim:
    """Stands in for `wdam.kernels.device`.

    Args:
        backwards: Whether blocks and threads run from the last to the first.
        multiprocessors: Of the GPU to be imitated; it decides how finely work is cut.
    """

    def __init__(self, *, backwards: bool = False, multiprocessors: int = 2) -> None:
        self.backwards = backwards
        self.sms = multiprocessors
        self.launched: list[str] = []

    def multiprocessors(self, device: torch.device) -> int:
        return self.sms

    def run(
        self, kernel: Kernel, grid: int, block: int, arguments: Sequence[int | float], device: torch.device
    ) -> None:
        assert device.type == "cpu" and 0 <= grid < 2**31 and block % 32 == 0
        if grid == 0:
            return
        self.launched.append(kernel.expression)
        entry = _library(kernel.source)[_symbol(kernel.expression)]
        words = [struct.unpack("<Q", struct.pack("<d" if isinstance(a, float) else "<q", a))[0] for a in arguments]
        entry(grid, block, int(self.backwards), (ctypes.c_uint64 * len(words))(*words), len(words))


def _symbol(expression: str) -> str:
    return "run_" + re.sub(r"\W+", "_", expression)


@cache
def _library(source: str) -> ctypes.CDLL:
    """Return all instances of one source, built unless the same text was built before."""
    lines = [f'#include "host_shim.h"\n#include "{source}"']
    for kernel in instances():
        if kernel.source == source:
            lines.append(
                f'extern "C" void {_symbol(kernel.expression)}(unsigned grid, unsigned threads, int backwards, '
                f"const std::uint64_t* arguments, unsigned count) {{ "
                f"shim::launch(&{kernel.expression}, grid, threads, backwards, arguments, count); }}"
            )
    text = "\n".join(lines) + "\n"
    parts = (text, (HERE / "host_shim.h").read_text(), (CSRC / "wdam_common.cuh").read_text(),
             (CSRC / source).read_text(), " ".join(FLAGS), str(COMPILER))  # fmt: skip
    name = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
    folder = Path(tempfile.gettempdir()) / f"wdam-host-shim-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    built = folder / f"{name}.so"
    with (folder / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # a second test process waits instead of building the same
        if not built.exists():
            unit, part = folder / f"{name}.cpp", folder / f"{name}.part"
            unit.write_text(text)
            command = [COMPILER, *FLAGS, f"-I{HERE}", f"-I{CSRC}", str(unit), "-o", str(part)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            part.replace(built)
    return ctypes.CDLL(str(built))
