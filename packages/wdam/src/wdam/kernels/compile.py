"""Name a kernel, gather its source, and have NVRTC turn it into a cubin."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from importlib import import_module, resources
from typing import Protocol

from wdam.errors import BackendError
from wdam.kernels.cache import Binary, KernelCache

__all__ = ["Compiler", "Kernel", "Nvrtc", "build", "cache_key", "source_text"]

COMMON = "wdam_common.cuh"
STANDARD = "c++17"
UNUSED_CONSTANT = 177  # every source includes the common header and uses a part of it


@dataclass(frozen=True, slots=True)
class Kernel:
    """One instance of a kernel template.

    Attributes:
        source: File below ``wdam/csrc``.
        expression: C++ name with template arguments, such as ``"wdam::pool_finish<float>"``.
    """

    source: str
    expression: str


class Compiler(Protocol):
    """What turns source into machine code."""

    @property
    def version(self) -> str:
        """Say which compiler this is; machine code of another one is not used."""
        ...

    def compile(self, source: str, kernel: Kernel, architecture: str) -> Binary:
        """Compile one instance for one architecture, such as ``"sm_90"``."""
        ...


@cache
def source_text(name: str) -> str:
    """Return a source with its one include pasted in, so that NVRTC needs no file system.

    Args:
        name: File below ``wdam/csrc``.
    """
    folder = resources.files("wdam") / "csrc"
    text = (folder / name).read_text(encoding="utf-8")
    return text.replace(f'#include "{COMMON}"', (folder / COMMON).read_text(encoding="utf-8"))


def cache_key(source: str, kernel: Kernel, architecture: str, version: str) -> str:
    """Return a SHA-256 over everything that machine code depends on."""
    parts = [source, kernel.source, kernel.expression, architecture, version, STANDARD]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def build(kernel: Kernel, architecture: str, compiler: Compiler, cache: KernelCache) -> Binary:
    """Return a kernel's machine code, from the cache when it is there.

    Args:
        kernel: Which one.
        architecture: For example ``"sm_90"``.
        compiler: Asked only on a miss.
        cache: Looked into first and filled afterwards; it never raises.
    """
    source = source_text(kernel.source)
    key = cache_key(source, kernel, architecture, compiler.version)
    stored = cache.load(key)
    if stored is not None:
        return stored
    binary = compiler.compile(source, kernel, architecture)
    cache.store(key, binary)
    return binary


class Nvrtc:
    """NVIDIA's run-time compiler through ``cuda.core``; needs neither the CUDA toolkit nor its headers.

    Raises:
        BackendError: On creation, when ``cuda.core`` or NVRTC is missing.
    """

    def __init__(self) -> None:
        try:
            core = import_module("cuda.core")
            nvrtc = import_module("cuda.bindings.nvrtc")
            status, major, minor = nvrtc.nvrtcVersion()
            _, architectures = nvrtc.nvrtcGetSupportedArchs()
        except (ImportError, RuntimeError, OSError) as error:
            raise BackendError(
                f"expected cuda-core with NVRTC to compile the kernels, got {type(error).__name__}: {error}; "
                f"install a CUDA build of PyTorch, or pip install 'cuda-core[cu12]' or 'cuda-core[cu13]' "
                f"(the number of torch.version.cuda)"
            ) from error
        if int(status) != 0:
            raise BackendError(f"expected NVRTC to tell its version, got {status}; reinstall nvidia-cuda-nvrtc")
        self._architectures = tuple(int(number) for number in architectures)
        self._version = f"nvrtc {major}.{minor}, cuda-core {core.__version__}"

    @property
    def version(self) -> str:
        """Return versions of NVRTC and cuda-core."""
        return self._version

    def architecture(self, major: int, minor: int) -> str:
        """Return what to compile for, such as ``"sm_90"``: the newest known that a GPU runs.

        Args:
            major: Of the GPU's compute capability; code of another one does not run.
            minor: Code of a lower one runs.

        Raises:
            BackendError: If this NVRTC knows none.
        """
        known = [number for number in self._architectures if number // 10 == major and number % 10 <= minor]
        if not known:
            raise BackendError(
                f"expected a GPU that {self._version} knows (sm_{', sm_'.join(map(str, self._architectures))}), "
                f"got compute capability {major}.{minor}; install a PyTorch for this GPU, or use backend='torch'"
            )
        return f"sm_{max(known)}"

    def compile(self, source: str, kernel: Kernel, architecture: str) -> Binary:
        """Compile; see :class:`Compiler`.

        Raises:
            BackendError: If NVRTC refuses.
        """
        core = import_module("cuda.core")
        options = core.ProgramOptions(
            name=kernel.source, arch=architecture, std=STANDARD, diag_suppress=UNUSED_CONSTANT
        )
        try:
            program = core.Program(source, "c++", options)
            code = program.compile("cubin", name_expressions=(kernel.expression,))
        except Exception as error:  # cuda.core documents no common base of its errors
            raise BackendError(
                f"expected {self._version} to compile {kernel.expression} for {architecture}, got {error}; "
                f"report it as an error of wdam, and use backend='torch' until then"
            ) from error
        symbol = code.symbol_mapping[kernel.expression]
        return Binary(symbol.decode() if isinstance(symbol, bytes) else symbol, bytes(code.code))
