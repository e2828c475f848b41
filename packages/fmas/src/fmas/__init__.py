"""Give it a folder of good parts; get back truthful, pixel-masked synthetic defects (arXiv 2603.02964, FMAS)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fmas.config import RunConfig
    from fmas.hookspecs import hookimpl
    from fmas.pairs import PairDataset
    from fmas.pipeline import synthesize

__all__ = ["PairDataset", "RunConfig", "__version__", "hookimpl", "synthesize"]

__version__ = "0.1.0.dev0"

# Resolved on first use: `fmas --help` and plugin discovery must not pay for numpy and pydantic.
_HOMES = {
    "PairDataset": "fmas.pairs",
    "RunConfig": "fmas.config",
    "hookimpl": "fmas.hookspecs",
    "synthesize": "fmas.pipeline",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'fmas' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
