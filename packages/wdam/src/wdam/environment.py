"""``env_report``: what this machine has of what the kernels need, which backend would run, and why."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
from dataclasses import dataclass, fields
from typing import Literal

import torch

from wdam.kernels.cache import default_directory
from wdam.kernels.device import obstacle

__all__ = ["EnvReport", "env_report"]


@dataclass(frozen=True, slots=True)
class EnvReport:
    """What ``env_report`` found; ``str()`` makes a table of it.

    Attributes:
        wdam: Version of this package.
        python: Version and implementation.
        system: Operating system and processor architecture.
        torch: Version of PyTorch.
        cuda_build: The CUDA (or ROCm) version PyTorch was built for, or None.
        device: Name of PyTorch's current CUDA device, or None.
        compute_capability: Of that device, such as ``"9.0"``, or None.
        cuda_core: Version of the installed ``cuda-core``, or None; what keeps it from working is in ``reason``.
        nvrtc: Version of the run-time compiler, or None.
        kernel_cache: Folder of compiled kernels, or None if they are not kept.
        backend: What ``backend="auto"`` takes for a tensor on a GPU here; a tensor elsewhere is always ``"torch"``.
        reason: Why.
    """

    wdam: str
    python: str
    system: str
    torch: str
    cuda_build: str | None
    device: str | None
    compute_capability: str | None
    cuda_core: str | None
    nvrtc: str | None
    kernel_cache: str | None
    backend: Literal["cuda", "torch"]
    reason: str

    def __str__(self) -> str:
        rows = [(field.name.replace("_", " "), getattr(self, field.name)) for field in fields(self)]
        width = max(len(name) for name, _ in rows)
        return "\n".join(f"{name:<{width}}  {'none' if value is None else value}" for name, value in rows)


def env_report() -> EnvReport:
    """Return which backend would run on this machine, and what that depends on.

    Never raises, compiles nothing and writes nothing. Where there is a GPU, CUDA is initialised. ``python -m wdam``
    prints the result.

    Examples:
        >>> env_report().backend in ("cuda", "torch")
        True
    """
    why_not = _obstacle()
    device, capability = _device()
    directory = default_directory(os.environ)
    return EnvReport(
        wdam=_distribution_version("wdam") or "not installed",
        python=f"{platform.python_version()} ({platform.python_implementation()})",
        system=f"{platform.system()} {platform.machine()}",
        torch=torch.__version__,
        cuda_build=f"ROCm {torch.version.hip}" if torch.version.hip else torch.version.cuda,
        device=device,
        compute_capability=capability,
        cuda_core=_distribution_version("cuda-core"),
        nvrtc=_nvrtc_version(),
        kernel_cache=None if directory is None else str(directory),
        backend="cuda" if why_not is None else "torch",
        reason="a CUDA device, cuda-core and NVRTC are there" if why_not is None else why_not,
    )


def _obstacle() -> str | None:
    try:
        return obstacle()
    except Exception as error:  # noqa: BLE001 (a broken driver may raise anything; a report reports it)
        return _described(error)


def _device() -> tuple[str | None, str | None]:
    """Return name and compute capability of the current CUDA device; what is wrong with it, if it cannot be asked."""
    try:
        if not torch.cuda.is_available():
            return None, None
        major, minor = torch.cuda.get_device_capability()
        return torch.cuda.get_device_name(), f"{major}.{minor}"
    except Exception as error:  # noqa: BLE001 (as above)
        return _described(error), None


def _nvrtc_version() -> str | None:
    """Return NVRTC's version, or None where it, or the library of its name, cannot be loaded."""
    try:
        status, major, minor = importlib.import_module("cuda.bindings.nvrtc").nvrtcVersion()
    except Exception:  # noqa: BLE001 (a missing library is an ImportError, a RuntimeError or an OSError, or none of these)
        return None
    return f"{major}.{minor}" if int(status) == 0 else None


def _distribution_version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _described(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else 'no message'}"
