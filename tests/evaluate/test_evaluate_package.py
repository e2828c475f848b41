from __future__ import annotations

from importlib.metadata import version
from types import ModuleType

import fmas_evaluate


def test_all_is_sorted_and_complete() -> None:
    # Submodules become attributes once imported; they are reached by full path and are not part of the surface.
    public = {
        name
        for name, value in vars(fmas_evaluate).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    assert sorted(public | {"__version__"}) == fmas_evaluate.__all__


def test_version_is_the_installed_one() -> None:
    assert fmas_evaluate.__version__ == version("fmas-evaluate")
