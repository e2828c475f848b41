"""SAM, SAM 2 and SAM 3 by their real classes: tiny networks with random weights, loaded from a folder."""

from __future__ import annotations

import importlib
import json

import numpy as np
import pytest

from fmas.errors import ComponentError, ConfigError
from fmas.testing import check_segmenter

pytest.importorskip("transformers", reason="needs transformers: pip install 'fmas-providers[sam-hf]'")


def save_sam(folder):
    import torch
    from transformers import SamConfig, SamImageProcessor, SamModel, SamProcessor
    from transformers.models.sam.configuration_sam import SamMaskDecoderConfig, SamPromptEncoderConfig, SamVisionConfig

    torch.manual_seed(0)
    config = SamConfig(
        vision_config=SamVisionConfig(
            hidden_size=16,
            output_channels=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            image_size=64,
            patch_size=16,
            mlp_dim=16,
            window_size=2,
            global_attn_indexes=[0],
            num_pos_feats=8,
        ).to_dict(),
        prompt_encoder_config=SamPromptEncoderConfig(
            hidden_size=16, image_size=64, patch_size=16, mask_input_channels=4
        ).to_dict(),
        mask_decoder_config=SamMaskDecoderConfig(
            hidden_size=16,
            mlp_dim=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            iou_head_hidden_dim=16,
            iou_head_depth=2,
        ).to_dict(),
    )
    SamModel(config).save_pretrained(folder)
    processor = SamImageProcessor(
        size={"longest_edge": 64}, pad_size={"height": 64, "width": 64}, mask_size={"longest_edge": 16}
    )
    SamProcessor(processor).save_pretrained(folder)


def save_sam2(folder):
    import torch
    from transformers import Sam2Config, Sam2Model, Sam2Processor
    from transformers.models.sam2.configuration_sam2 import (
        Sam2HieraDetConfig,
        Sam2MaskDecoderConfig,
        Sam2PromptEncoderConfig,
        Sam2VisionConfig,
    )

    try:
        from transformers import Sam2ImageProcessor
    except ImportError:
        from transformers import Sam2ImageProcessorFast as Sam2ImageProcessor

    torch.manual_seed(0)
    backbone = Sam2HieraDetConfig(
        hidden_size=8,
        num_attention_heads=1,
        image_size=[64, 64],
        patch_stride=[4, 4],
        blocks_per_stage=[1, 1, 2, 1],
        embed_dim_per_stage=[8, 16, 32, 64],
        num_attention_heads_per_stage=[1, 1, 2, 2],
        window_size_per_stage=[8, 4, 8, 4],
        global_attention_blocks=[3],
        window_positional_embedding_background_size=[2, 2],
    )
    vision = Sam2VisionConfig(
        backbone_config=backbone.to_dict() | {"model_type": "sam2_hiera_det_model"},
        backbone_channel_list=[64, 32, 16, 8],
        backbone_feature_sizes=[[16, 16], [8, 8], [4, 4]],
        fpn_hidden_size=16,
    )
    config = Sam2Config(
        vision_config=vision.to_dict(),
        prompt_encoder_config=Sam2PromptEncoderConfig(
            hidden_size=16, image_size=64, patch_size=16, mask_input_channels=4
        ).to_dict(),
        mask_decoder_config=Sam2MaskDecoderConfig(
            hidden_size=16,
            mlp_dim=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            iou_head_hidden_dim=16,
            iou_head_depth=2,
        ).to_dict(),
    )
    Sam2Model(config).save_pretrained(folder)
    Sam2Processor(
        Sam2ImageProcessor(size={"height": 64, "width": 64}, mask_size={"height": 16, "width": 16})
    ).save_pretrained(folder)


SAVE = {"sam": save_sam, "sam2": save_sam2}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sams")
    for name, save in SAVE.items():
        save(folder / name)
    return folder


def segmenter(model, **options):
    module = importlib.import_module("fmas_providers.transformers_sam.segmenter")
    return module.create({"model": str(model), "device": "cpu", "local_files_only": True} | options)


def photograph(height=50, width=70):
    image = np.full((height, width, 3), 210, np.uint8)
    image[10:40, 15:55] = (60, 70, 90)
    return image


@pytest.mark.parametrize("name", SAVE)
def test_conformance(models, name):
    check_segmenter(segmenter(models / name))


@pytest.mark.parametrize("name", SAVE)
def test_the_picture_is_embedded_once_for_both_questions(models, name):
    component = segmenter(models / name)
    component.segment(photograph())
    calls = []
    component._loaded[0].vision_encoder.register_forward_hook(lambda *_: calls.append(1))
    component.segment(photograph())
    assert calls == [1]


@pytest.mark.parametrize("name", SAVE)
def test_proposals_have_the_pictures_size_and_three_masks_a_question(models, name, monkeypatch):
    module = importlib.import_module("fmas_providers.transformers_sam.segmenter")
    seen = []
    monkeypatch.setattr(
        module, "choose_foreground", lambda proposals, shape, options: seen.append((proposals, shape)) or "chosen"
    )
    assert segmenter(models / name).segment(photograph(51, 77)) == "chosen"
    ((proposals, shape),) = seen
    assert shape == (51, 77)
    assert len(proposals) == 6
    assert {proposal.mask.shape for proposal in proposals} == {(51, 77)}


def proposals_of(component, images, monkeypatch):
    """Return what the network proposes for each picture, and how many pictures went through its encoder each time."""
    module = importlib.import_module("fmas_providers.transformers_sam.segmenter")
    component.segment(images[0])  # loads the network
    seen, encoded = [], []
    with monkeypatch.context() as patch:
        patch.setattr(module, "choose_foreground", lambda proposals, *_: seen.append(proposals))
        hook = component._loaded[0].vision_encoder.register_forward_hook(
            lambda _, given, named, __: encoded.append(len(given[0] if given else named["pixel_values"])),
            with_kwargs=True,
        )
        component.segment_many(images)
        hook.remove()
    return seen, encoded


@pytest.mark.parametrize("name", SAVE)
def test_pictures_of_any_sizes_are_embedded_together_and_get_what_they_would_alone(models, name, monkeypatch):
    images = [photograph(), photograph(61, 47), photograph(90, 120), photograph()[:, ::-1], photograph(64, 64)]
    alone, one_by_one = proposals_of(segmenter(models / name, batch_size=1), images, monkeypatch)
    together, in_batches = proposals_of(segmenter(models / name, batch_size=3), images, monkeypatch)
    assert (one_by_one, in_batches) == ([1] * 5, [3, 2])
    for some, others in zip(alone, together, strict=True):
        assert len(some) == len(others) == 6
        for proposal, other in zip(some, others, strict=True):
            assert np.array_equal(proposal.mask, other.mask)
            assert proposal.predicted_iou == pytest.approx(other.predicted_iou, abs=1e-6)
    assert len({proposal.mask.tobytes() for some in alone for proposal in some}) > 5  # no trivial masks


@pytest.mark.parametrize("name", SAVE)
def test_conformance_in_batches(models, name):
    loose = {"least_score": 0.0, "min_area": 0.001, "max_area": 1.0}
    component = segmenter(models / name, batch_size=4, ranking=loose)
    assert component.batch_size == 4
    check_segmenter(component)


def test_how_many_at_once_by_default(models):
    import torch

    from fmas_providers.devices import batch_size_for

    assert segmenter(models / "sam").batch_size == 1
    assert batch_size_for(None, torch.device("cuda")) == 4
    assert batch_size_for(7, torch.device("cpu")) == 7
    assert segmenter(models / "sam", batch_size=8).fingerprint() == segmenter(models / "sam").fingerprint()


class FakeSam3:
    """What SAM 3's model and processor answer, for the question alone: a tiny one with random weights takes minutes."""

    device, dtype = "cpu", None

    def __init__(self):
        self.asked = []

    def __call__(self, **inputs):
        self.asked.append(inputs)
        return "output"


class FakeSam3Processor:
    def __init__(self, masks, scores):
        self.found = {"masks": masks, "scores": scores}
        self.asked = []

    def __call__(self, *, images, text, return_tensors):
        self.asked.append(([image.shape for image in images], text, return_tensors))
        processor = self

        class Inputs(dict):
            def to(self, _):
                return self

        assert processor is self
        return Inputs()

    def post_process_instance_segmentation(self, output, *, threshold, mask_threshold, target_sizes):
        import torch

        assert (output, mask_threshold, threshold) == ("output", 0.5, 0.4)
        return [
            {
                "masks": torch.nn.functional.interpolate(self.found["masks"][None].float(), size)[0] > 0.5,
                "scores": self.found["scores"],
            }
            for size in target_sizes
        ]


def test_sam3_is_asked_for_the_product_by_name(tmp_path):
    import torch

    (tmp_path / "config.json").write_text(json.dumps({"model_type": "sam3"}))
    component = segmenter(tmp_path, object="metal screw", threshold=0.4, batch_size=2)
    part = torch.zeros(2, 50, 70, dtype=torch.bool)
    part[0, 10:40, 5:30] = True
    part[1, 10:40, 40:65] = True
    processor = FakeSam3Processor(part, torch.tensor([0.9, 0.85]))
    component._loaded = (FakeSam3(), processor)
    found = component.segment(photograph())
    assert processor.asked == [([(50, 70, 3)], ["metal screw"], "pt")]
    assert (found.mask == part.any(dim=0).numpy()).all()
    several = component.segment_many([photograph(), photograph(100, 140), photograph()])
    assert [one.mask.shape for one in several] == [(50, 70), (100, 140), (50, 70)]
    assert processor.asked[1][0] == [(50, 70, 3), (100, 140, 3)]  # two at once, as batch_size says
    assert processor.asked[1][1] == ["metal screw"] * 2
    assert (several[2].mask == found.mask).all()
    assert component.fingerprint().config["object"] == "metal screw"


def test_sam3_takes_these_arguments():
    import inspect

    from transformers import Sam3Model, Sam3Processor

    assert {"images", "text"} <= set(inspect.signature(Sam3Processor.__call__).parameters)
    wanted = {"threshold", "mask_threshold", "target_sizes"}
    assert wanted <= set(inspect.signature(Sam3Processor.post_process_instance_segmentation).parameters)
    assert "pixel_values" in inspect.signature(Sam3Model.forward).parameters


def test_sam3_must_know_what_to_look_for(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "sam3"}))
    with pytest.raises(ConfigError, match=r"give --object, or --set segmenter\.object="):
        segmenter(tmp_path)


def test_the_products_name_does_not_count_where_it_is_not_used(models):
    print_ = segmenter(models / "sam").fingerprint().digest()
    assert segmenter(models / "sam", object="cup").fingerprint().digest() == print_
    assert segmenter(models / "sam", dtype="bfloat16").fingerprint().digest() != print_


def test_another_model_is_refused(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(ConfigError, match="got a model of type 'bert'"):
        segmenter(tmp_path)


def test_missing_models(tmp_path, models, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ConfigError, match="hf download nobody/nothing"):
        segmenter("nobody/nothing")
    with pytest.raises(ConfigError, match="expected a folder or the id"):
        segmenter("/nowhere/at/all")
    (tmp_path / "config.json").write_bytes((models / "sam" / "config.json").read_bytes())
    with pytest.raises(ComponentError, match=r"expected to load .* as SamModel"):
        segmenter(tmp_path).segment(photograph())


def test_diagnose_tells_device_and_weights_and_loads_nothing(models, monkeypatch):
    import transformers

    module = importlib.import_module("fmas_providers.transformers_sam.segmenter")
    monkeypatch.setattr(transformers.SamModel, "from_pretrained", lambda *_, **__: pytest.fail("loaded"))
    found = module.diagnose({"model": str(models / "sam"), "device": "cpu"})
    assert found["device"].startswith("cpu (")
    assert found["weights"].endswith(f"GB in {models / 'sam'}")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ConfigError, match="hf download nobody/nothing"):
        module.diagnose({"model": "nobody/nothing", "device": "cpu"})
    with pytest.raises(ConfigError, match="expected device auto, cpu"):
        module.diagnose({"model": str(models / "sam"), "device": "gpu"})


def test_wrong_options(models):
    with pytest.raises(ConfigError, match=r"segmenter\.threshold"):
        segmenter(models / "sam", threshold=2)
