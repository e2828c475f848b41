from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import distribution, version
from pathlib import Path
from types import ModuleType

import pytest

import fmas_providers
from fmas.detectors import ExplainingDetector, ExportableDetector, TrainableDetector
from fmas.plugins import MissingRequirementError, load_plugins
from fmas.specs import COMPONENT_KINDS, ComponentKind


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
        "detector": ["cutpaste", "onnx", "unet"],
    }


def test_every_extra_that_a_provider_names_exists() -> None:
    (entry_point,) = distribution("fmas-providers").entry_points
    specs = [spec for kind in COMPONENT_KINDS for spec in load_plugins([entry_point]).specs(kind)]
    extras = set(distribution("fmas-providers").metadata.get_all("Provides-Extra") or ())
    named = {spec.install.partition("[")[2].partition("]")[0] for spec in specs}
    assert named == extras - {"all", "export"}  # `fmas export` asks for that one
    assert all(spec.requires for spec in specs)


@pytest.mark.parametrize(
    ("kind", "name", "extra"),
    [
        ("llm", "openai", "openai"),
        ("llm", "anthropic", "anthropic"),
        ("segmenter", "sam", "sam"),
        ("segmenter", "sam-hf", "sam-hf"),
        ("inpainter", "diffusers", "diffusers"),
        ("inpainter", "openai-images", "openai"),
        ("selector", "lpips", "lpips"),
        ("detector", "cutpaste", "cutpaste"),
    ],
)
def test_a_missing_extra_is_answered_with_the_command_that_installs_it(
    kind: ComponentKind, name: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = load_plugins()
    spec = registry.spec(kind, name)
    for module in list(sys.modules):
        if module.startswith("fmas_providers.") and not module.endswith(".plugin"):
            monkeypatch.delitem(sys.modules, module)
    for module in spec.requires:
        monkeypatch.setitem(sys.modules, module, None)  # importing it fails as if it were not installed
    with pytest.raises(MissingRequirementError) as caught:
        registry.create(kind, name, {})
    modules = "|".join(spec.requires)
    command = re.escape(f"pip install 'fmas-providers[{extra}]'")
    assert re.search(rf"expected the module '({modules})', got none installed; run: {command}$", str(caught.value))


@pytest.mark.parametrize("command", [["plugins", "list"], ["doctor"], ["--help"]])
def test_commands_import_no_sdk(command: list[str], tmp_path: Path) -> None:
    asked = [sys.executable, "-X", "importtime", "-m", "fmas", *command]
    done = subprocess.run(asked, capture_output=True, text=True, cwd=tmp_path, timeout=120, check=False)
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert {"fmas", "typer"} <= imported, done.stderr
    assert not imported & {"torch", "torchvision", "openai", "anthropic", "diffusers", "transformers", "lpips", "timm"}
    assert "openai" in done.stdout or command == ["--help"]


def test_discovery_imports_no_sdk() -> None:
    code = (
        "import sys; from fmas.plugins import load_plugins; registry = load_plugins(); assert not registry.failures;"
        "heavy = {'torch', 'torchvision', 'openai', 'anthropic', 'diffusers', 'transformers', 'lpips', 'timm', 'wdam',"
        "'safetensors', 'onnxruntime'};"
        "assert registry.spec('inpainter', 'diffusers'); assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_all_brings_whatever_any_extra_brings() -> None:
    requirements = distribution("fmas-providers").requires or []
    by_extra: dict[str, set[str]] = {}
    for requirement in requirements:
        needed, _, marker = requirement.partition(";")
        if marker:
            by_extra.setdefault(marker.partition("==")[2].strip(" '\""), set()).add(needed.strip())
    everything = by_extra.pop("all")
    assert set().union(*by_extra.values()) == everything
    assert {"detector", "cutpaste", "onnx", "export"} <= by_extra.keys()


def test_a_detector_can_do_what_the_core_asks_for() -> None:
    pytest.importorskip("torch")
    pytest.importorskip("safetensors")
    pytest.importorskip("wdam")
    detector = load_plugins().create("detector", "unet", {"device": "cpu"})
    assert isinstance(detector, TrainableDetector)
    assert isinstance(detector, ExplainingDetector)
    assert isinstance(detector, ExportableDetector)
