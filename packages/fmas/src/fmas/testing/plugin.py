"""Checks a plugin's module and its specs."""

from __future__ import annotations

import importlib.metadata
import inspect
import os
import re
import subprocess
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from fmas.plugins import ENTRY_POINT_GROUP, load_plugins
from fmas.protocols import Component
from fmas.specs import ComponentSpec, Options
from fmas.testing.conformance import ConformanceError, require

__all__ = ["check_plugin", "check_spec"]

_NAME = re.compile(r"[a-z0-9][a-z0-9-]*")

# Run in a fresh interpreter, because in this one a test has usually imported everything.
_LIST_IMPORTS = """
import importlib, sys
import fmas.plugins
before = set(sys.modules)
importlib.import_module(sys.argv[1])
own = {"fmas", sys.argv[1].partition(".")[0]} | set(sys.stdlib_module_names)
print("\\n".join(sorted({name.partition(".")[0] for name in set(sys.modules) - before} - own)))
print("\\n".join(sorted({"numpy", "pydantic", "typer"} & set(sys.modules))))
"""


def check_spec(spec: ComponentSpec[Component]) -> None:
    """Check a spec without creating the component.

    Raises:
        ConformanceError: At the first breach.
    """
    written: Any = spec  # its fields may hold anything, whatever their annotations say
    require(
        isinstance(written, ComponentSpec) and type(written) is not ComponentSpec,
        expected="a spec of one kind, e.g. fmas.specs.LLMSpec",
        got=f"a {type(spec).__name__}",
        fix="use the class of its kind",
    )
    require(
        isinstance(written.name, str) and _NAME.fullmatch(written.name),
        expected="a name of a-z, 0-9 and hyphens",
        got=repr(written.name),
        fix="rename the component",
    )
    require(
        isinstance(written.summary, str) and written.summary.strip() and "\n" not in written.summary,
        expected=f"a summary of one line for {written.name!r}",
        got=repr(written.summary),
        fix="say in one line what it does",
    )
    require(
        isinstance(written.requires, tuple) and all(_is_import_name(one) for one in written.requires),
        expected=f"a tuple of import names as requires of {written.name!r}",
        got=repr(written.requires),
        fix="write ('module',), with the name that is imported and not the one that is installed",
    )
    require(
        isinstance(written.install, str) and bool(written.install.strip()) == bool(written.requires),
        expected=f"an install command for {written.name!r} if it requires anything, and none otherwise",
        got=f"requires={written.requires!r} and install={written.install!r}",
        fix="write the exact command, e.g. pip install 'fmas-provider-xyz[openai]'",
    )
    require(
        callable(written.create) and _takes_one_argument(spec.create),
        expected=f"a create of {written.name!r} that can be called with the options alone",
        got=repr(written.create),
        fix="write def create(options: Options)",
    )


def check_plugin(module: ModuleType) -> None:
    """Check a plugin's module as ``fmas`` itself would load it, and that its import is light.

    Light means: besides the standard library and its own package it imports ``fmas`` alone, and of that nothing that
    brings numpy, pydantic or Typer. This is looked at in a fresh interpreter.

    Raises:
        ConformanceError: At the first breach.
    """
    import typer

    entry_point = importlib.metadata.EntryPoint("checked", module.__name__, ENTRY_POINT_GROUP)
    registry = load_plugins([entry_point])
    failures = registry.failures or registry.register_commands(typer.Typer())
    if failures:
        raise ConformanceError(
            f"expected every hook of {module.__name__} to keep the contract, got {failures[0].reason}; "
            "see fmas.hookspecs"
        ) from failures[0].error
    for component in registry.components():
        check_spec(component.spec)
    heavy = _foreign_imports(module.__name__)
    require(
        not heavy,
        expected=f"{module.__name__} to import the standard library and fmas only",
        got=f"{', '.join(heavy)} as well",
        fix="import it inside create(), and under TYPE_CHECKING for annotations",
    )


def _is_import_name(name: object) -> bool:
    return isinstance(name, str) and all(part.isidentifier() for part in name.split("."))


def _takes_one_argument(create: Callable[[Options], Component]) -> bool:
    try:
        inspect.signature(create).bind({})
    except TypeError:
        return False
    except ValueError:  # something in C that does not tell
        return True
    return True


def _foreign_imports(name: str) -> list[str]:
    search = os.pathsep.join(part for part in sys.path if part)  # a test may have put the module on the path
    finished = subprocess.run(  # noqa: S603 (this interpreter, our own text)
        [sys.executable, "-c", _LIST_IMPORTS, name],
        env={**os.environ, "PYTHONPATH": search},
        capture_output=True,
        text=True,
        check=False,
    )
    require(
        finished.returncode == 0,
        expected=f"{name} to import in a fresh interpreter",
        got=(finished.stderr.strip().splitlines() or ["no message"])[-1],
        fix="do not rely on what a test has imported before",
    )
    return sorted(set(finished.stdout.split()))
