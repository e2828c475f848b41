"""The detector ``unet`` around a timm network; random weights, nothing is fetched."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("timm")
pytest.importorskip("safetensors")

from fmas.errors import ComponentError, ConfigError, UsageError
from fmas.testing import check_detector
from fmas.testing.pictures import disc_photo
from fmas_providers.detectors.options import UNetOptions
from fmas_providers.detectors.scoring.normalise import normalise
from fmas_providers.detectors.unet.detector import create
from fmas_providers.detectors.unet.encoder import EncoderUNet

TINY: dict[str, object] = {
    "encoder": "resnet18",
    "pretrained": False,
    "steps": 3,
    "width": 4,
    "crop": 64,
    "batch_size": 2,
    "checks": 1,
    "device": "cpu",
    "threads": 1,
    "gate": False,
}


@pytest.mark.parametrize("wdam", [True, False])
def test_it_meets_the_contract(tmp_path: Path, wdam: bool) -> None:
    check_detector(create(TINY | {"wdam": wdam}), tmp_path, fresh=lambda: create(TINY | {"wdam": wdam}), side=64)


def test_any_multiple_of_its_stride_is_read_at_full_size() -> None:
    network = EncoderUNet(UNetOptions(encoder="resnet18", width=4, wdam_levels=2), pretrained=False).eval()
    assert network.multiple == 32
    with torch.inference_mode():
        logits = network(torch.zeros(2, 3, 64, 96))
    assert logits.shape == (2, 64, 96)
    assert float(torch.sigmoid(logits).mean()) < 0.1  # defects are rare, and it starts out knowing that


def test_pictures_reach_the_encoder_as_imagenet_has_them() -> None:
    network = EncoderUNet(UNetOptions(encoder="resnet18", width=4), pretrained=False)
    photograph = disc_photo(32, 32)
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    expected = ((photograph / 255.0 - mean) / std).transpose(2, 0, 1)
    given = torch.from_numpy(normalise(photograph)) * network.gain + network.shift
    assert np.allclose(given.numpy(), expected, atol=1e-5)


def test_wdam_sits_on_the_finest_features(tmp_path: Path) -> None:
    detector = create(TINY | {"wdam_levels": 3})
    detector.fit(_pairs())
    (told,) = detector.explain([disc_photo(64, 64)])
    assert list(told) == ["lenses.0", "lenses.1", "lenses.2"]


def test_it_exports(tmp_path: Path) -> None:
    for module in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(module)
    detector = create(TINY)
    detector.fit(_pairs())
    exported = detector.export_onnx(tmp_path, parity=[disc_photo(64, 96)])
    assert exported.largest_difference is not None
    assert exported.largest_difference < 1e-3


def test_an_unknown_network_is_told() -> None:
    with pytest.raises(ConfigError, match=r"timm model as detector\.encoder, got 'resnet19'; did you mean 'resnet1"):
        EncoderUNet(UNetOptions(encoder="resnet19"), pretrained=False)
    with pytest.raises(ConfigError, match=r"got '§§'; choose one of timm\.list_models\(\)"):
        EncoderUNet(UNetOptions(encoder="§§"), pretrained=False)


def test_one_without_a_pyramid_is_told() -> None:
    with pytest.raises(ConfigError, match=r"features at several resolutions, got 'vit_tiny_patch16_224' \(strides"):
        EncoderUNet(UNetOptions(encoder="vit_tiny_patch16_224"), pretrained=False)


def test_weights_that_are_not_here_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    import timm

    def offline(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(ComponentError, match=r"timm's weights of resnet18 .* got no network; fetch them once"):
        EncoderUNet(UNetOptions(encoder="resnet18"), pretrained=True)


def test_without_timm_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(
        UsageError, match=r"expected timm .* pip install 'fmas-providers\[cutpaste\]', or leave encoder"
    ):
        EncoderUNet(UNetOptions(encoder="resnet18"), pretrained=False)


def _pairs() -> list[object]:
    from fmas.types import NormalSyntheticMask

    rng = np.random.default_rng(0)
    found: list[object] = []
    for _ in range(3):
        normal = rng.integers(90, 150, (64, 64, 3), dtype=np.uint8)
        mask = np.zeros((64, 64), np.bool_)
        mask[20:30, 30:40] = True
        synthetic = normal.copy()
        synthetic[mask] = 10
        found.append(NormalSyntheticMask(normal, synthetic, mask))
    return found
