"""Which versions of what a result was made with, for provenance and bug reports."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

__all__ = ["library_versions"]

_LIBRARIES = (
    "fmas",
    "fmas-providers",
    "fmas-evaluate",
    "wdam",
    "numpy",
    "scipy",
    "scikit-image",
    "pillow",
    "opencv-python-headless",
    "pydantic",
)


def library_versions() -> dict[str, str]:
    """Return distribution -> version of everything installed that pixels may depend on, and of Python itself."""
    found = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
