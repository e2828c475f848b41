"""The paper's detector with a small backbone of random weights: enough for everything but the numbers."""

from __future__ import annotations

import importlib
import json

import numpy as np
import pytest
import torch

from fmas.detectors import ExplainingDetector, TrainableDetector
from fmas.errors import ComponentError, ConfigError, ImageError, ModelError, UsageError
from fmas.testing import check_detector
from fmas.testing.pictures import disc_mask, disc_photo, texture_photo
from fmas.types import NormalSyntheticMask

pytest.importorskip("timm", reason="needs timm: pip install 'fmas-providers[cutpaste]'")
pytest.importorskip("safetensors", reason="needs safetensors: pip install 'fmas-providers[cutpaste]'")

SMALL = {
    "backbone": "test_resnet",
    "pretrained": False,
    "side": 64,
    "steps": 3,
    "batch_size": 6,
    "checks": 1,
    "device": "cpu",
    "threads": 1,
}


def module(name):
    return importlib.import_module(f"fmas_providers.detectors.cutpaste.{name}")


def detector(**options):
    return module("detector").create(SMALL | options)


def pair(index, side=72, *, defect=True):
    normal = np.roll(disc_photo(side, side), 3 * index, axis=1)
    mask = np.roll(disc_mask(side, side, scale=0.12), (index, -2 * index), axis=(0, 1)) & defect
    synthetic = normal.copy()
    synthetic[mask] = (20, 25 + index, 30)
    return NormalSyntheticMask(normal, synthetic, mask)


PAIRS = [pair(index) for index in range(6)]


@pytest.fixture(scope="module")
def trained():
    one = detector()
    one.fit(PAIRS)
    return one


@pytest.mark.parametrize("options", [{}, {"wdam": False, "fmas": False, "foreground": False, "gate": False}])
def test_conformance(tmp_path, options):
    options = {"backbone": "resnet18", "steps": 2} | options
    check_detector(detector(**options), tmp_path, fresh=lambda: detector(**options), side=40)


def test_it_is_all_that_a_detector_may_be():
    one = detector()
    assert isinstance(one, TrainableDetector)
    assert isinstance(one, ExplainingDetector)


def test_wdam_sits_where_the_figure_has_it():
    """relu(z + WDAM(z)) behind the shortcut addition of every block of layer1, 0.19 M parameters for the default."""
    options = importlib.import_module("fmas_providers.detectors.options").CutPasteOptions(pretrained=False)
    network = module("backbone").build_classifier(options, pretrained=False)
    found = importlib.import_module("wdam.insertion").insertions(network.backbone)
    assert [one.name for one in found] == ["layer1.0", "layer1.1", "layer1.2"]
    assert {one.placement for one in found} == {"before_activation"}
    assert {one.block for one in found} == {"Bottleneck"}
    assert sum(one.parameters for one in found) == 3 * 65_792
    assert network.backbone.fc.out_features == 3


def test_a_block_computes_the_papers_formula():
    network = module("backbone").build_classifier(detector(backbone="resnet18")._options, pretrained=False).eval()
    block = network.backbone.layer1[0]
    x = torch.randn(2, 64, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        z = block.bn2(block.conv2(block.act1(block.bn1(block.conv1(x))))) + x
        wdam = importlib.import_module("wdam")
        weights = block.wdam.subband_weights(z)
        low, details = wdam.dwt2(z, "haar", mode="symmetric")
        low, *details = (part * weights[:, k, None, None, None] for k, part in enumerate((low, *details)))
        back = wdam.idwt2((low, tuple(details)), "haar")
        torch.testing.assert_close(block(x), torch.relu(z + back), rtol=1e-4, atol=1e-5)


def test_the_backbone_sees_what_its_pretrained_weights_expect():
    network = module("backbone").build_classifier(detector(backbone="resnet18")._options, pretrained=False)
    normalise = importlib.import_module("fmas_providers.detectors.scoring.normalise").normalise
    picture = texture_photo(8, 8)
    seen = torch.from_numpy(normalise(picture)) * network.gain + network.shift
    expected = (picture / 255 - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])
    np.testing.assert_allclose(seen.permute(1, 2, 0).numpy(), expected, atol=1e-5)


def test_same_options_same_first_weights():
    build = module("backbone").build_classifier
    first, second = (build(detector()._options, pretrained=False).state_dict() for _ in range(2))
    other = build(detector(seed=1)._options, pretrained=False).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["backbone.fc.weight"], other["backbone.fc.weight"])
    before = torch.random.get_rng_state()
    build(detector()._options, pretrained=False)
    assert torch.equal(before, torch.random.get_rng_state())


def test_training_can_be_killed(tmp_path):
    """Stopped in the middle and started again, it ends with the same scores."""

    class KilledError(Exception):
        pass

    def kill(step, *_):
        if step == 2:
            raise KilledError

    options = {"steps": 4, "checks": 2, "checkpoint_seconds": 0, "ema": 0.9}
    whole, interrupted, again = detector(**options), detector(**options), detector(**options)
    said = whole.train(PAIRS, PAIRS[:2], workspace=tmp_path / "a")
    with pytest.raises(KilledError):
        interrupted.train(PAIRS, PAIRS[:2], workspace=tmp_path / "b", progress=kill)
    steps = []
    resumed = again.train(PAIRS, PAIRS[:2], workspace=tmp_path / "b", progress=lambda step, *_: steps.append(step))
    assert steps[0] > 1
    assert said["validation"] == resumed["validation"]
    assert json.loads(json.dumps(said, allow_nan=False))["steps"] == 4
    for one, other in zip(whole.score([PAIRS[0].synthetic]), again.score([PAIRS[0].synthetic]), strict=True):
        np.testing.assert_array_equal(one[0], other[0])
        assert one[1] == other[1]
    assert {"validation_loss", "accuracy", "auroc", "score"} <= set(said["validation"])
    with pytest.raises(ModelError, match="other options, data or seed"):
        detector(**options).train(PAIRS[1:], PAIRS[:2], workspace=tmp_path / "b")


def test_it_learns(tmp_path):
    """After a few steps held-out pictures are told apart, and a defect is farther from good parts than they are."""
    one = detector(steps=40, batch_size=12, checks=2, learning_rate=3e-3, ema=0.8)
    pairs = [pair(index) for index in range(12)]
    said = one.train(pairs[:9], pairs[9:], workspace=tmp_path)
    assert said["validation"]["auroc"] > 0.8
    good = [score for _, score in one.score(item.normal for item in pairs[9:])]
    bad = [score for _, score in one.score(item.synthetic for item in pairs[9:])]
    assert np.mean(bad) > np.mean(good)


def test_scores_do_not_depend_on_the_company(trained):
    pictures = [item.synthetic for item in PAIRS] + [disc_photo(50, 90)]
    together = list(trained.score(pictures))
    for picture, (anomaly_map, score) in zip(pictures, together, strict=True):
        [(alone, alone_score)] = trained.score([picture])
        np.testing.assert_allclose(alone, anomaly_map, rtol=1e-5)
        assert alone_score == pytest.approx(score, rel=1e-5)


def test_pictures_are_read_as_they_are_needed(trained):
    read = []

    def pictures():
        for index in range(100):
            read.append(index)
            yield disc_photo(40, 40)

    scores = trained.score(pictures())
    next(scores)
    assert len(read) <= 8
    scores.close()


def test_saving_needs_no_pretrained_weights(tmp_path, trained, monkeypatch):
    trained.save(tmp_path)
    about = json.loads((tmp_path / "detector.json").read_text())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["detector.json", "weights.safetensors"]
    assert about["options"]["backbone"] == "test_resnet"
    timm = importlib.import_module("timm")
    create = timm.create_model
    asked = []
    monkeypatch.setattr(timm, "create_model", lambda *a, **k: asked.append(k["pretrained"]) or create(*a, **k))
    other = detector(pretrained=True, gate=False)
    other.load(tmp_path)
    assert asked == [False]
    np.testing.assert_allclose(
        [score for _, score in other.score([PAIRS[0].normal])], [score for _, score in trained.score([PAIRS[0].normal])]
    )


@pytest.mark.parametrize(
    "changed",
    [{"backbone": "resnet18"}, {"wdam": False}, {"fmas": False}, {"side": 96}, {"wdam_layers": "layer2.*"}],
)
def test_a_model_of_other_options(tmp_path, trained, changed):
    trained.save(tmp_path)
    with pytest.raises(ModelError, match=next(iter(changed))):
        detector(**changed).load(tmp_path)


def test_a_damaged_model(tmp_path, trained):
    trained.save(tmp_path)
    weights = tmp_path / "weights.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[: len(content) // 2])
    with pytest.raises(ModelError, match="damaged"):
        detector().load(tmp_path)
    weights.write_bytes(content)
    about = tmp_path / "detector.json"
    about.write_text(about.read_text().replace('"area":', '"aria":'))
    with pytest.raises(ModelError, match="area of the gate"):
        detector().load(tmp_path)
    load_file = importlib.import_module("safetensors.torch").load_file
    save_file = importlib.import_module("safetensors.torch").save_file
    trained.save(tmp_path)
    tensors = load_file(weights)
    del tensors["density.places.mean"]
    save_file(tensors, weights)
    with pytest.raises(ModelError, match="none of mean"):
        detector().load(tmp_path)


def test_explain(trained):
    explained = list(trained.explain(iter([PAIRS[0].normal, disc_photo(30, 50), texture_photo(64, 64)] * 4)))
    assert len(explained) == 12
    assert list(explained[0]) == ["layer1.0"]
    weights = np.array([[row[name] for name in row] for row in explained])
    assert weights.shape == (12, 1, 4)
    assert weights.min() > 0
    assert weights.max() < 1
    np.testing.assert_allclose(weights[:3], weights[3:6], rtol=1e-4)
    plain = detector(wdam=False)
    plain.fit(PAIRS)
    assert list(plain.explain([PAIRS[0].normal])) == [{}]


def test_a_map_lies_where_the_network_looks():
    """The gradient of a position's features is centred on the pixel that the map says it is."""
    network = module("backbone").build_classifier(detector(wdam=False, backbone="resnet18")._options, pretrained=False)
    network.eval()
    assert (network.stride, network.offset) == (32, 0.0)
    pictures = torch.zeros(1, 3, 256, 256).requires_grad_()
    for module_ in network.modules():
        if isinstance(module_, torch.nn.Conv2d):
            torch.nn.init.constant_(module_.weight, 1 / module_.weight[0].numel())
        elif isinstance(module_, torch.nn.MaxPool2d):
            # Whole windows instead of one of the equal pixels.
            module_.forward = lambda x: torch.nn.functional.avg_pool2d(x, 3, 2, 1)
    network.embed(pictures + 3)[1][0, :, 4, 3].sum().backward()
    strength = pictures.grad.abs().sum(dim=(0, 1)).numpy()
    place = np.arange(256)
    assert np.average(place, weights=strength.sum(axis=1)) == pytest.approx(128, abs=2)
    assert np.average(place, weights=strength.sum(axis=0)) == pytest.approx(96, abs=2)


def test_maps():
    lay_out = module("maps").lay_out
    flat = lay_out(np.full((4, 4), 7.5), (50, 91), side=128, stride=32, offset=0.0)
    assert flat.shape == (50, 91)
    assert flat.dtype == np.float32
    np.testing.assert_allclose(flat, 7.5, rtol=1e-6)
    peak = np.zeros((8, 8))
    peak[5, 2] = 1.0
    enlarged = lay_out(peak, (512, 768), side=256, stride=32, offset=0.0)
    # Position 5 is pixel 160 of 256, which is 320 of 512; position 2 is pixel 64, which is 192 of 768.
    highest = np.unravel_index(enlarged.argmax(), enlarged.shape)
    assert np.abs(np.array(highest) - [320.5, 193]).max() <= 1
    assert enlarged.max() > 0.6
    assert enlarged.min() >= 0
    slope = lay_out(np.arange(8.0)[:, None] * np.ones(8), (256, 256), side=256, stride=32, offset=15.5)
    assert (np.diff(slope[:, 0]) >= 0).all()
    assert slope[128, 0] == pytest.approx(3.5, abs=0.1)
    tiny = lay_out(np.eye(2), (1, 3), side=64, stride=32, offset=0.0)
    assert np.isfinite(tiny).all()


def test_batches_hold_every_class_once_a_round():
    sampling = module("sampling")
    options = detector(batch_size=5)._options
    sampler = sampling.ClassSampler(sampling.Squares(PAIRS, side=64, find_foreground=None), options)
    assert sampler.pictures == 18
    labels = torch.cat([sampler(step).labels for step in range(18)])
    for around in range(5):
        assert torch.bincount(labels[18 * around : 18 * (around + 1)]).tolist() == [6, 6, 6]
    batch, again, next_one = sampler(3), sampler(3), sampler(4)
    assert torch.equal(batch.pictures, again.pictures)
    assert batch.pictures.shape == (5, 3, 64, 64)
    assert not torch.equal(batch.pictures, next_one.pictures)
    two = sampling.ClassSampler(
        sampling.Squares(PAIRS, side=64, find_foreground=None), detector(fmas=False, batch_size=12)._options
    )
    assert torch.bincount(two(0).labels).tolist() == [6, 6]
    fixed = sampler.fixed([5, 0])
    assert fixed.labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert torch.equal(fixed.pictures[3:], sampler.fixed([0]).pictures)


def test_a_negative_control_is_normal():
    sampling = module("sampling")
    squares = sampling.Squares([pair(0), pair(1, defect=False)], side=64, find_foreground=None)
    sampler = sampling.ClassSampler(squares, detector()._options)
    assert sampler.fixed([0, 1]).labels.tolist() == [0, 1, 2, 0, 1, 0]


@pytest.mark.parametrize("foreground", [True, False])
def test_scars_stay_on_the_product_with_fm(foreground):
    sampling = module("sampling")
    one = detector(foreground=foreground)
    squares = sampling.Squares(PAIRS, side=64, find_foreground=one._scars_inside())
    sampler = sampling.ClassSampler(squares, one._options)
    changed = np.zeros((64, 64), int)
    product = np.zeros((64, 64), bool)
    for index, item in enumerate(PAIRS):
        square = squares[index]
        product |= (
            sampling.resized(
                np.roll(disc_mask(72, 72, scale=0.38), 3 * index, axis=1)[..., None].repeat(3, 2) * np.uint8(255), 64
            )[..., 0]
            > 0
        )
        assert item.normal.shape != square.normal.shape
        for number in range(30):
            scarred, _ = sampler._picture(index, sampling.SCAR, np.random.default_rng(number))
            changed += (scarred != square.normal).any(axis=2)
    assert changed.any()
    assert (changed[~product] > 0).any() == (not foreground)


def test_pairs_are_read_once_and_a_gigabyte_at_most(monkeypatch):
    sampling = module("sampling")
    reads = []

    class Pairs(list):
        def __getitem__(self, index):
            reads.append(index)
            return super().__getitem__(index)

    monkeypatch.setattr(sampling, "_KEPT_BYTES", 3 * 2 * 64 * 64 * 3)
    squares = sampling.Squares(Pairs(PAIRS), side=64, find_foreground=None)
    for _ in range(2):
        for index in range(6):
            assert squares[index].normal.shape == (64, 64, 3)
    assert reads == [0, 1, 2, 3, 4, 5, 3, 4, 5]


def test_weights_that_are_not_here(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(importlib.import_module("huggingface_hub.constants"), "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(importlib.import_module("huggingface_hub.constants"), "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    one = detector(pretrained=True, backbone="resnet18")
    with pytest.raises(ComponentError, match=r"timm's weights of resnet18.*pretrained=false"):
        one.train(PAIRS, (), workspace=tmp_path)
    with pytest.raises(ComponentError, match=r"fetch them once"):
        module("detector").diagnose(SMALL | {"pretrained": True, "backbone": "test_resnet"})


def test_diagnose():
    said = module("detector").diagnose(SMALL)
    assert said == {"device": said["device"], "backbone": "test_resnet", "weights": "random"}
    assert said["device"].startswith("cpu")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"backbone": "resnet81"}, "did you mean"),
        ({"backbone": "qqqqqq"}, "such as wide_resnet50_2"),
        ({"backbone": "test_vit", "wdam": False}, "deepest features are maps"),
        ({"wdam_layers": "stage9.*"}, r"detector\.wdam_layers: .*stage9"),
    ],
)
def test_a_backbone_that_cannot_be_used(tmp_path, options, words):
    with pytest.raises(ConfigError, match=words):
        detector(**options).train(PAIRS, (), workspace=tmp_path)


def test_nothing_to_learn_from_or_nothing_learnt(tmp_path):
    one = detector()
    with pytest.raises(UsageError, match="got none"):
        one.fit([])
    for call in (lambda: next(one.score([PAIRS[0].normal])), lambda: one.save(tmp_path), lambda: next(one.explain([]))):
        with pytest.raises(ModelError, match="learnt nothing yet"):
            call()


@pytest.mark.parametrize("image", [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3)), np.zeros((0, 8, 3), np.uint8)])
def test_no_picture(trained, image):
    with pytest.raises(ImageError, match="8-bit RGB"):
        next(trained.score([image]))


def test_small_and_long_pictures(trained):
    for shape in ((1, 1), (3, 200), (200, 3), (300, 40)):
        [(anomaly_map, score)] = trained.score([texture_photo(*shape)])
        assert anomaly_map.shape == shape
        assert anomaly_map.min() >= 0
        assert np.isfinite(score)


def test_the_gate_closes_the_map_outside_the_product(trained):
    gated = next(trained.score([PAIRS[0].normal]))
    open_one = detector(gate=False)
    open_one.fit(PAIRS)
    ungated = next(open_one.score([PAIRS[0].normal]))
    assert gated[0][0, 0] == 0
    assert ungated[0][0, 0] > 0
    np.testing.assert_allclose(gated[0][36, 36], ungated[0][36, 36], rtol=1e-5)
    assert gated[1] == pytest.approx(ungated[1])


def test_fingerprints_differ_exactly_where_results_do():
    changes = ({}, {"seed": 1}, {"side": 96}, {"wdam": False}, {"foreground": False})
    digests = [detector(**options).fingerprint().digest() for options in changes]
    assert len(set(digests)) == len(digests)
    assert detector(threads=2, score_batch=3).fingerprint().digest() == digests[0]
