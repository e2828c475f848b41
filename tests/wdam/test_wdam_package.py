from __future__ import annotations

from importlib.metadata import version
from types import ModuleType

import wdam


def test_all_is_sorted_and_complete() -> None:
    # Submodules become attributes once imported; they are reached by full path and are not part of the surface.
    public = {
        name for name, value in vars(wdam).items() if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    assert sorted(public | {"__version__"}) == wdam.__all__


def test_version_is_the_installed_one() -> None:
    assert wdam.__version__ == version("wdam")
