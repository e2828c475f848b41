from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed; run `nox -s vision`")
pytest.importorskip("safetensors", reason="safetensors is not installed; run `nox -s vision`")

from safetensors.torch import load_file, save_file

from wdam import WDAM
from wdam.hub import WDAMHub


def test_saved_and_loaded_again(tmp_path: Path) -> None:
    module = WDAMHub(6, reduction=3, residual=False, backend="torch")
    x = torch.randn(2, 6, 5, 7)
    module.save_pretrained(tmp_path)
    again = WDAMHub.from_pretrained(tmp_path)
    assert isinstance(again, WDAM)
    with torch.no_grad():
        assert torch.equal(again(x), module(x))
    config = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    assert config == {
        "channels": 6, "reduction": 3, "wavelet": "haar", "residual": False, "scale": False, "backend": "torch"
    }  # fmt: skip
    assert set(load_file(tmp_path / "model.safetensors")) == set(module.state_dict())
    card = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "library_name: wdam" in card
    assert "2603.02964" in card


def test_options_survive(tmp_path: Path) -> None:
    WDAMHub(4, wavelet="db2", scale=True).save_pretrained(tmp_path)
    again = WDAMHub.from_pretrained(tmp_path)
    assert repr(again) == repr(WDAMHub(4, wavelet="db2", scale=True).eval())


def test_missing_weights_are_an_error(tmp_path: Path) -> None:
    WDAMHub(4).save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    save_file(dict(list(weights.items())[:1]), tmp_path / "model.safetensors")
    with pytest.raises(RuntimeError, match="Missing key"):
        WDAMHub.from_pretrained(tmp_path)
