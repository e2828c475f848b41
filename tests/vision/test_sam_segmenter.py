"""The original SAM by its real package: a tiny network with random weights, saved and loaded as a checkpoint is."""

from __future__ import annotations

import importlib
from functools import partial

import numpy as np
import pytest

from fmas.errors import ComponentError, ConfigError
from fmas.testing import check_segmenter

pytest.importorskip("segment_anything", reason="needs segment-anything: pip install 'fmas-providers[sam]'")


def tiny_sam(checkpoint=None):
    import torch
    from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer

    network = Sam(
        image_encoder=ImageEncoderViT(
            depth=1,
            embed_dim=16,
            img_size=1024,
            mlp_ratio=1,
            norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
            num_heads=2,
            patch_size=16,
            qkv_bias=True,
            use_rel_pos=True,
            global_attn_indexes=[],
            window_size=14,
            out_chans=16,
        ),
        prompt_encoder=PromptEncoder(
            embed_dim=16, image_embedding_size=(64, 64), input_image_size=(1024, 1024), mask_in_chans=4
        ),
        mask_decoder=MaskDecoder(
            num_multimask_outputs=3,
            transformer=TwoWayTransformer(depth=1, embedding_dim=16, mlp_dim=16, num_heads=2),
            transformer_dim=16,
            iou_head_depth=2,
            iou_head_hidden_dim=16,
        ),
        pixel_mean=[123.675, 116.28, 103.53],
        pixel_std=[58.395, 57.12, 57.375],
    )
    if checkpoint is not None:
        network.load_state_dict(torch.load(checkpoint))
    return network


@pytest.fixture
def boxes(monkeypatch):
    """Give ``everything`` the non-maximum suppression that torchvision's extension lacks beside CPU torch."""
    import torch
    import torchvision

    def keep_the_best(boxes, scores, threshold):
        kept = []
        for index in torch.argsort(scores, descending=True).tolist():
            overlaps = torchvision.ops.box_iou(boxes[index][None], boxes[kept]) if kept else torch.zeros(1)
            if (overlaps <= threshold).all():
                kept.append(index)
        return torch.tensor(kept, dtype=torch.int64)

    monkeypatch.setattr(torchvision.ops.boxes, "nms", keep_the_best)


@pytest.fixture
def checkpoint(tmp_path, monkeypatch):
    import segment_anything
    import torch

    monkeypatch.setitem(segment_anything.sam_model_registry, "vit_tiny", tiny_sam)
    torch.manual_seed(0)
    path = tmp_path / "sam_vit_tiny_0.pth"
    torch.save(tiny_sam().state_dict(), path)
    return path


def segmenter(checkpoint, **options):
    module = importlib.import_module("fmas_providers.segment_anything.segmenter")
    return module.create({"checkpoint": str(checkpoint), "device": "cpu"} | options)


def photograph(height=90, width=120):
    image = np.full((height, width, 3), 210, np.uint8)
    image[20:70, 30:90] = (60, 70, 90)
    return image


LOOSE = {"pred_iou_thresh": -9.0, "stability_score_thresh": 0.0, "points_per_side": 2}


@pytest.mark.parametrize("options", [{}, {"mode": "everything", **LOOSE}])
@pytest.mark.usefixtures("boxes")
def test_conformance(checkpoint, options):
    check_segmenter(segmenter(checkpoint, **options))


def test_the_picture_is_embedded_once_for_both_questions(checkpoint):
    component = segmenter(checkpoint)
    component.segment(photograph())
    calls = []
    component._network.image_encoder.register_forward_hook(lambda *_: calls.append(1))
    component.segment(photograph())
    assert calls == [1]


def test_pictures_of_any_sizes_are_embedded_together_as_set_image_would_alone(checkpoint):
    import segment_anything
    import torch

    from fmas_providers.segment_anything.embedding import embedded

    component = segmenter(checkpoint)
    component.segment(photograph())
    network, encoded = component._network, []
    images = [photograph(), photograph(61, 47), np.ascontiguousarray(photograph(120, 90)[::-1])]
    points, labels = np.array([[20.0, 30.0]]), np.array([1])
    alone = segment_anything.SamPredictor(network)
    with torch.inference_mode():
        network.image_encoder.register_forward_hook(lambda _, given, __: encoded.append(len(given[0])))
        for number, predictor in enumerate(embedded(network, images, batch_size=2)):
            alone.set_image(images[number])
            assert predictor.original_size == alone.original_size
            assert tuple(predictor.input_size) == tuple(alone.input_size)
            assert torch.equal(predictor.features, alone.features)
            masks, ratings, _ = predictor.predict(point_coords=points, point_labels=labels)
            others, other_ratings, _ = alone.predict(point_coords=points, point_labels=labels)
            assert np.array_equal(masks, others)
            assert np.array_equal(ratings, other_ratings)
    assert encoded == [2, 1, 1, 1, 1]  # two at once; each alone; the third


@pytest.mark.parametrize(
    ("options", "expected"), [({}, 1), ({"batch_size": 3}, 3), ({"batch_size": 3, "mode": "everything"}, 1)]
)
def test_how_many_pictures_at_once(checkpoint, options, expected):
    component = segmenter(checkpoint, **options)
    assert component.batch_size == expected
    assert component.fingerprint().config.get("batch_size") is None


@pytest.mark.parametrize("mode", ["prompt", "everything"])
@pytest.mark.usefixtures("boxes")
def test_half_precision_is_for_the_encoder_alone(checkpoint, mode):
    import torch

    options = {"mode": mode} | (LOOSE if mode == "everything" else {})
    component = segmenter(checkpoint, dtype="bfloat16", **options)
    component.segment(photograph())
    network, seen = component._network, []
    assert {one.dtype for one in network.image_encoder.parameters()} == {torch.bfloat16}
    assert {one.dtype for one in network.mask_decoder.parameters()} == {torch.float32}
    network.mask_decoder.register_forward_pre_hook(
        lambda _, __, named: seen.append(named["image_embeddings"].dtype), with_kwargs=True
    )
    component.segment(photograph())
    assert set(seen) == {torch.float32}
    assert component.fingerprint().digest() != segmenter(checkpoint, **options).fingerprint().digest()


def test_conformance_in_batches(checkpoint):
    loose = {"least_score": 0.0, "min_area": 0.001, "max_area": 1.0}
    check_segmenter(segmenter(checkpoint, batch_size=4, ranking=loose))


def test_diagnose_tells_device_and_weights_and_loads_nothing(checkpoint, monkeypatch):
    import torch

    module = importlib.import_module("fmas_providers.segment_anything.segmenter")
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("loaded"))
    found = module.diagnose({"checkpoint": str(checkpoint), "device": "cpu"})
    assert found["device"].startswith("cpu (")
    assert found["weights"] == f"0.00 GB in {checkpoint}"
    with pytest.raises(ConfigError, match=r"--set segmenter\.checkpoint=PATH"):
        module.diagnose({})
    with pytest.raises(ConfigError, match="expected device auto, cpu"):
        module.diagnose({"checkpoint": str(checkpoint), "device": "gpu"})


def test_what_sam_finds_becomes_the_foreground(checkpoint, monkeypatch):
    import segment_anything

    part = (photograph() == (60, 70, 90)).all(axis=2)

    def sure(self, *, point_coords, point_labels, multimask_output):
        assert multimask_output
        return np.stack([~part, part, np.ones_like(part)]), np.array([0.99, 0.9, 0.95]), None

    monkeypatch.setattr(segment_anything.SamPredictor, "predict", sure)
    found = segmenter(checkpoint).segment(photograph())
    assert found.kind == "object"
    assert (found.mask == part).all()


@pytest.mark.usefixtures("boxes")
def test_a_random_network_with_default_thresholds_finds_a_texture(checkpoint):
    found = segmenter(checkpoint, mode="everything", points_per_side=2).segment(photograph())
    assert found.kind == "texture"
    assert found.mask.all()


def test_no_checkpoint_says_where_to_get_one(tmp_path):
    module = importlib.import_module("fmas_providers.segment_anything.segmenter")
    with pytest.raises(ConfigError, match=r"--set segmenter\.checkpoint=PATH"):
        module.create({})
    with pytest.raises(ConfigError, match=r"got nothing at .*missing\.pth; fetch it from https://github\.com"):
        segmenter(tmp_path / "missing.pth")


def test_the_models_name_comes_from_the_file_or_the_option(checkpoint, tmp_path):
    unnamed = tmp_path / "weights.pth"
    unnamed.write_bytes(checkpoint.read_bytes())
    with pytest.raises(ConfigError, match=r"add --set segmenter\.model="):
        segmenter(unnamed)
    assert segmenter(unnamed, model="vit_tiny").fingerprint().config["model"] == "vit_tiny"
    with pytest.raises(ConfigError, match="as one of vit_h, vit_l, vit_b"):
        segmenter(unnamed, model="vit_x")


def test_a_checkpoint_of_another_model_or_damaged_is_said(checkpoint, tmp_path):
    with pytest.raises(ComponentError, match="expected the weights of vit_b in"):
        segmenter(checkpoint, model="vit_b").segment(photograph())
    broken = tmp_path / "sam_vit_tiny_broken.pth"
    broken.write_bytes(checkpoint.read_bytes()[:500])
    with pytest.raises(ComponentError, match="fetch the file again"):
        segmenter(broken).segment(photograph())


def test_the_fingerprint_follows_the_weights_not_the_device(checkpoint, tmp_path):
    import torch

    torch.manual_seed(1)
    other = tmp_path / "other" / "sam_vit_tiny_0.pth"
    other.parent.mkdir()
    torch.save(tiny_sam().state_dict(), other)
    assert segmenter(checkpoint).fingerprint().digest() == segmenter(checkpoint, device="auto").fingerprint().digest()
    assert segmenter(checkpoint).fingerprint().digest() != segmenter(other).fingerprint().digest()
