from __future__ import annotations

import subprocess
import sys
from importlib.metadata import distribution, version
from types import ModuleType

import fmas_providers
from fmas.plugins import load_plugins
from fmas.specs import COMPONENT_KINDS


def test_all_is_sorted_and_complete() -> None:
    # Submodules become attributes once imported; they are reached by full path and are not part of the surface.
    public = {
        name
        for name, value in vars(fmas_providers).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    assert sorted(public | {"__version__"}) == fmas_providers.__all__


def test_version_is_the_installed_one() -> None:
    assert fmas_providers.__version__ == version("fmas-providers")


def test_one_plugin_registers_every_provider() -> None:
    (entry_point,) = distribution("fmas-providers").entry_points
    assert (entry_point.group, entry_point.value) == ("fmas.plugins", "fmas_providers.plugin")
    registry = load_plugins([entry_point])
    assert registry.failures == ()
    names = {kind: [spec.name for spec in registry.specs(kind)] for kind in COMPONENT_KINDS}
    assert names == {
        "llm": ["anthropic", "openai"],
        "segmenter": ["sam", "sam-hf"],
        "inpainter": ["diffusers", "openai-images"],
        "selector": ["lpips"],
        "detector": [],
    }


def test_every_extra_that_a_provider_names_exists() -> None:
    (entry_point,) = distribution("fmas-providers").entry_points
    specs = [spec for kind in COMPONENT_KINDS for spec in load_plugins([entry_point]).specs(kind)]
    extras = set(distribution("fmas-providers").metadata.get_all("Provides-Extra") or ())
    named = {spec.install.partition("[")[2].partition("]")[0] for spec in specs}
    assert named == extras - {"all"}
    assert all(spec.requires for spec in specs)


def test_discovery_imports_no_sdk() -> None:
    code = (
        "import sys; from fmas.plugins import load_plugins; registry = load_plugins(); assert not registry.failures;"
        "heavy = {'torch', 'torchvision', 'openai', 'anthropic', 'diffusers', 'transformers', 'lpips'};"
        "assert registry.spec('inpainter', 'diffusers'); assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
