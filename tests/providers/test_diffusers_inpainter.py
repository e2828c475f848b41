"""The painter by real diffusers classes: a tiny random Stable Diffusion, loaded from disk as a real one is."""

from __future__ import annotations

import importlib
import inspect
import json
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from fmas.errors import ComponentError, ConfigError
from fmas.testing import check_inpainter
from fmas.types import Defect, DefectKind, InpaintJob

pytest.importorskip("diffusers", reason="needs diffusers: pip install 'fmas-providers[diffusers]'")
pytest.importorskip("transformers", reason="needs transformers: pip install 'fmas-providers[diffusers]'")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    sys.path.insert(0, str(Path(__file__).parent))
    try:
        return importlib.import_module("tiny_stable_diffusion").save_tiny_pipeline(folder / "tiny-sd")
    finally:
        sys.path.pop(0)


def painter(model, **options):
    from fmas_providers.diffusers.inpainter import create

    defaults = {"model": str(model), "steps": 2, "size": 64, "device": "cpu", "local_files_only": True}
    return create(defaults | options)


def job(seed=1, side=64, prompt="a dark scratch"):
    image = np.random.default_rng(7).integers(90, 160, (side, side, 3), dtype=np.uint8)
    region = np.zeros((side, side), bool)
    region[14:50, 14:50] = True
    return InpaintJob(image, region, np.ones_like(region), Defect(name="scratch", prompt=prompt), seed)


def test_conformance(tiny):
    check_inpainter(painter(tiny, size=None), kinds=(DefectKind.SCRATCH, DefectKind.STAIN), tolerance=1)


def test_a_batch_gives_what_each_job_gives_alone(tiny):
    one, many = painter(tiny, batch_size=1), painter(tiny, batch_size=4)
    jobs = [job(seed) for seed in range(5)] + [job(9, side=128)]
    alone = [one.inpaint([single])[0] for single in jobs]
    for together, single in zip(many.inpaint(jobs), alone, strict=True):
        assert np.abs(together.astype(int) - single.astype(int)).max() <= 1


def test_seeds_and_prompts_matter(tiny):
    first, other_seed, other_prompt = painter(tiny).inpaint([job(1), job(2), job(1, prompt="rust")])
    assert (first != other_seed).any()
    assert (first != other_prompt).any()


def test_nothing_is_loaded_before_it_is_needed(tiny, monkeypatch):
    module = importlib.import_module("fmas_providers.diffusers.inpainter")
    monkeypatch.setattr(module, "load_pipeline", lambda *_: pytest.fail("loaded"))
    component = painter(tiny)
    assert (component.multiple, component.working_size) == (8, 64)
    assert component.fingerprint().config["pipeline"] == "StableDiffusionInpaintPipeline"


def test_the_fingerprint_follows_weights_and_options_but_not_speed(tiny, tmp_path):
    print_ = painter(tiny).fingerprint().digest()
    assert painter(tiny, batch_size=2, attention_slicing=True).fingerprint().digest() == print_
    assert painter(tiny, steps=3).fingerprint().digest() != print_
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(tiny, copy)
    weights = next(copy.rglob("*.safetensors"))
    weights.write_bytes(weights.read_bytes() + b"\0")
    other = dict(painter(copy).fingerprint().config)
    assert other["weights"] != painter(tiny).fingerprint().config["weights"]


@pytest.mark.parametrize("option", ["attention_slicing", "cpu_offload"])
def test_options_that_save_memory_work_on_a_cpu(tiny, option):
    plain, saving = painter(tiny), painter(tiny, **{option: True})
    difference = saving.inpaint([job()])[0].astype(int) - plain.inpaint([job()])[0].astype(int)
    assert np.abs(difference).max() <= 1


def test_a_prompt_that_is_too_long_is_said_once(tiny):
    component = painter(tiny)
    long = job(prompt="a scratch " * 40)
    with pytest.warns(UserWarning, match="tokens, this model reads 77: its end has no effect"):
        component.inpaint([long])
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        component.inpaint([long])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "./nowhere"}, "expected a folder or the id of a repository"),
        (
            {"model": "nobody/nothing-at-all"},
            r"fetch it once where there is a network: hf download nobody/nothing-at-all",
        ),
        ({"model": "not an id"}, "expected a folder or a repository's id such as owner/name"),
        ({"steps": 0}, "inpainter.steps"),
        ({"size": 100}, "inpainter.size"),
        ({"step": 3}, "unknown key 'inpainter.step': did you mean 'steps'"),
    ],
)
def test_wrong_options(tiny, options, message, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ConfigError, match=message):
        painter(**({"model": tiny} | options))


def test_a_folder_that_is_no_pipeline(tmp_path):
    with pytest.raises(ConfigError, match=r"expected a folder with model_index\.json"):
        painter(tmp_path)
    (tmp_path / "model_index.json").write_text("{}")
    with pytest.raises(ConfigError, match="expected the class of a pipeline"):
        painter(tmp_path)
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": "StableAudioPipeline"}))
    with pytest.raises(ConfigError, match="expected a pipeline that can inpaint, got 'StableAudioPipeline'"):
        painter(tmp_path)
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": "StableDiffusionInpaintPipeline"}))
    with pytest.raises(ComponentError, match=r"expected to load .* as StableDiffusionInpaintPipeline, got"):
        painter(tmp_path).inpaint([job()])


@pytest.mark.parametrize("device", ["cuda:99", "tpu", "mps"])
def test_a_device_that_is_not_there(tiny, device):
    with pytest.raises(ConfigError, match="device"):
        painter(tiny, device=device).inpaint([job()])


class Replaced:
    """A pipeline that returns what a test says."""

    tokenizer = None

    def __init__(self, images=None, error=None):
        self.images, self.error, self.asked = images, error, []

    def __call__(self, **arguments):
        self.asked.append(arguments)
        if self.error is not None:
            raise self.error
        return self


def test_nan_is_an_error_that_names_the_fix(tiny):
    component = painter(tiny)
    component._pipeline = Replaced(np.full((1, 64, 64, 3), np.nan))
    with pytest.raises(ComponentError, match=r"got NaN; half precision overflows .* inpainter\.dtype=float32"):
        component.inpaint([job()])


def test_out_of_memory_names_the_fix(tiny):
    import torch

    component = painter(tiny)
    component._pipeline = Replaced(error=torch.OutOfMemoryError("full"))
    with pytest.raises(ComponentError, match=r"lower inpainter\.batch_size"):
        component.inpaint([job()])


def test_pictures_of_another_size_are_refused(tiny):
    component = painter(tiny)
    component._pipeline = Replaced(np.zeros((1, 32, 32, 3)))
    with pytest.raises(ComponentError, match="got \\(1, 32, 32, 3\\)"):
        component.inpaint([job()])


def test_every_family_takes_what_it_is_sent():
    import diffusers

    from fmas_providers.diffusers.adapters import ADAPTERS

    families = {adapter.family: adapter for adapter in ADAPTERS.values()}
    assert len(families) == 12
    for adapter in families.values():
        parameters = inspect.signature(getattr(diffusers, adapter.pipeline).__call__).parameters
        sent = {"prompt", "image", "mask_image", "height", "width", "num_inference_steps", "generator", "output_type"}
        sent |= {"negative_prompt"} if adapter.negative_prompt else set()
        sent |= {"strength"} if adapter.strength else set()
        sent |= {adapter.guidance}
        assert sent <= set(parameters), adapter
        # A family that takes negative prompts or a strength is not kept from them by the table.
        assert adapter.negative_prompt == ("negative_prompt" in parameters), adapter
        assert adapter.strength == ("strength" in parameters), adapter


def test_the_options_reach_the_pipeline_under_the_familys_names(tiny, monkeypatch):
    from fmas_providers.diffusers.adapters import ADAPTERS

    component = painter(tiny, guidance=3.0, strength=0.7)
    for class_name, guidance, negative in (
        ("StableDiffusionInpaintPipeline", "guidance_scale", True),
        ("QwenImageInpaintPipeline", "true_cfg_scale", True),
        ("FluxFillPipeline", "guidance_scale", False),
    ):
        component._found = type(component._found)(class_name, ADAPTERS[class_name], "x")
        component._pipeline = Replaced(np.zeros((1, 64, 64, 3)))
        component.inpaint([job()])
        (sent,) = component._pipeline.asked
        assert (sent[guidance], sent["strength"], "negative_prompt" in sent) == (3.0, 0.7, negative)
        mask = np.array(sent["mask_image"][0]) > 0
        assert mask.any()
        assert not (mask & ~job().region).any()


def test_the_models_mask_is_made_of_whole_cells_inside_the_region():
    from fmas_providers.diffusers.inpainter import _latent_mask

    region = np.zeros((32, 48), bool)
    region[5:30, 3:41] = True
    expected = np.zeros_like(region)
    expected[8:24, 8:40] = True
    assert ((_latent_mask(region, 8) > 0) == expected).all()
    thin = np.zeros((32, 48), bool)
    thin[10, 4:20] = True
    assert ((_latent_mask(thin, 8) > 0) | ~thin).all()


def test_an_unknown_family_goes_through_the_automatic_pipeline():
    from fmas_providers.diffusers.adapters import adapter_for

    assert adapter_for("IFPipeline").pipeline is None
