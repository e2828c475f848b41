"""LPIPS by the real package; its backbone has random weights here, which are enough for everything but the numbers."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

from fmas.errors import ComponentError, ConfigError, ImageError
from fmas.testing import check_selector

pytest.importorskip("lpips", reason="needs lpips: pip install 'fmas-providers[lpips]'")


@pytest.fixture(autouse=True)
def _seeded():
    import torch

    torch.manual_seed(0)


def judge(**options):
    module = importlib.import_module("fmas_providers.lpips.selector")
    return module.create({"backbone": "random", "device": "cpu"} | options)


def pictures(side=80):
    original = np.random.default_rng(0).integers(80, 170, (side, side, 3), dtype=np.uint8)
    mask = np.zeros((side, side), bool)
    mask[20:50, 30:60] = True
    return original, mask


@pytest.mark.parametrize("net", ["alex", "squeeze"])
def test_conformance(net):
    check_selector(judge(net=net))


def test_zero_for_the_same_and_more_for_more():
    selector = judge()
    original, mask = pictures()
    distances = []
    for change in (0, 20, 80):
        candidate = original.copy()
        candidate[30:40, 40:50] = np.clip(candidate[30:40, 40:50].astype(int) - change, 0, 255)
        distances.append(selector.score(original, candidate, mask))
    assert distances[0] == pytest.approx(0.0, abs=1e-6)
    assert distances == sorted(distances)
    assert distances[1] < distances[2]


def test_what_lies_outside_the_box_does_not_count():
    original, mask = pictures()
    candidate = original.copy()
    candidate[:10] = 0
    assert judge().score(original, candidate, mask) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (700, 20)])
def test_boxes_of_any_size(shape):
    original = np.random.default_rng(0).integers(0, 256, (800, 800, 3), dtype=np.uint8)
    mask = np.zeros((800, 800), bool)
    mask[5 : 5 + shape[0], 9 : 9 + shape[1]] = True
    candidate = original.copy()
    candidate[mask] = 255 - candidate[mask]
    assert judge(largest=128).score(original, candidate, mask) > 0


def test_wrong_input():
    original, mask = pictures()
    with pytest.raises(ImageError, match="of equal size"):
        judge().score(original, original[:10], mask)
    with pytest.raises(ImageError, match="with 0 pixels"):
        judge().score(original, original, np.zeros_like(mask))


def test_wrong_options():
    with pytest.raises(ConfigError, match=r"selector\.net"):
        judge(net="resnet")


def test_missing_weights_say_how_to_fetch_them_once(tmp_path, monkeypatch):
    import urllib.error

    import torch

    def refuse(*_, **__):
        raise urllib.error.URLError("no network")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    with pytest.raises(ComponentError, match=r"alexnet-owt-7be5be79\.pth, got .*no network.*; fetch them once where"):
        judge(backbone="imagenet")


def test_the_fingerprint_tells_networks_apart_but_not_devices():
    assert judge().fingerprint().digest() != judge(net="squeeze").fingerprint().digest()
    assert "device" not in judge().fingerprint().config


def test_diagnose_tells_device_network_and_weights(tmp_path, monkeypatch):
    import torch

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", lambda *_, **__: pytest.fail("fetched"))
    diagnose = importlib.import_module("fmas_providers.lpips.selector").diagnose
    found = diagnose({"device": "cpu", "backbone": "random", "net": "squeeze"})
    assert found["device"].startswith("cpu (")
    assert (found["network"], found["weights"].split(":")[0]) == ("squeeze", "random")
    with pytest.raises(ComponentError, match=r"expected the backbone's weights in .*vgg16-397923af\.pth, got none"):
        diagnose({"device": "cpu", "net": "vgg"})
    place = tmp_path / "hub" / "checkpoints" / "vgg16-397923af.pth"
    place.parent.mkdir(parents=True)
    place.write_bytes(bytes(30_000_000))
    assert diagnose({"device": "cpu", "net": "vgg"})["weights"] == f"0.03 GB in {place}"
    with pytest.raises(ConfigError, match="expected device auto, cpu"):
        diagnose({"device": "gpu", "backbone": "random"})
