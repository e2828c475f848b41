from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points

import numpy as np
import pluggy
import pytest

from fmas import hookspecs
from fmas.builtin import plugin
from fmas.protocols import LLM, Inpainter, Segmenter, Selector
from fmas.specs import ComponentSpec, LLMSpec
from fmas.types import PlanRequest

HEAVY = ("numpy", "cv2", "pydantic", "torch", "scipy", "skimage", "PIL", "yaml")


def _specs() -> dict[str, ComponentSpec[object]]:  # type: ignore[type-var]
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    manager.register(plugin)
    manager.check_pending()
    hooks = (
        manager.hook.fmas_register_llms,
        manager.hook.fmas_register_segmenters,
        manager.hook.fmas_register_inpainters,
        manager.hook.fmas_register_selectors,
        manager.hook.fmas_register_detectors,
    )
    found = [spec for hook in hooks for specs in hook() for spec in specs]
    assert len({spec.kind for spec in found}) == len(found)
    return {spec.kind: spec for spec in found}


def test_importing_the_plugin_and_asking_its_hooks_stays_light() -> None:
    program = (
        "import sys; from fmas.builtin import plugin\n"
        "for name in plugin.__all__: assert getattr(plugin, name)()\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_one_component_of_each_kind_but_the_detector_is_registered_as_builtin() -> None:
    specs = _specs()
    assert set(specs) == {"llm", "segmenter", "inpainter", "selector"}
    for spec in specs.values():
        assert spec.name == "builtin"
        assert spec.requires == ()
        assert spec.install == ""
        assert 20 <= len(spec.summary) <= 100


def test_the_catalogue_is_not_live() -> None:
    spec = _specs()["llm"]
    assert isinstance(spec, LLMSpec)
    assert spec.live is False


@pytest.mark.parametrize(
    ("kind", "protocol"), [("llm", LLM), ("segmenter", Segmenter), ("inpainter", Inpainter), ("selector", Selector)]
)
def test_what_a_spec_creates_fulfils_its_protocol(kind: str, protocol: type) -> None:
    component = _specs()[kind].create({})
    assert isinstance(component, protocol)
    fingerprint = component.fingerprint()
    assert fingerprint.name == "builtin"
    assert len(fingerprint.digest()) == 64  # only JSON values inside


def test_the_created_components_work() -> None:
    specs = _specs()
    image = np.full((40, 40, 3), 90, np.uint8)
    assert specs["llm"].create({"family": "wood"}).plan(PlanRequest(object="x")).defects  # type: ignore[attr-defined]
    assert specs["segmenter"].create({"mode": "texture"}).segment(image).mask.all()  # type: ignore[attr-defined]
    mask = np.ones((40, 40), bool)
    assert specs["selector"].create({"scales": 1}).score(image, image, mask) == 0.0  # type: ignore[attr-defined]


def test_the_installed_entry_point_leads_here() -> None:
    (entry,) = (entry for entry in entry_points(group="fmas.plugins") if entry.name == "builtin")
    assert entry.load() is plugin
