"""The detectors' options: read without torch, strict, and split into what decides a result and what does not."""

from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import BaseModel

from fmas.errors import ConfigError
from fmas.options import parse_options
from fmas_providers.detectors.options import CutPasteOptions, OnnxOptions, TrainingOptions, UNetOptions

ALL = (CutPasteOptions, OnnxOptions, UNetOptions)


def test_they_are_read_without_torch() -> None:
    code = (
        "import sys, fmas_providers.detectors.options;"
        "heavy = {'torch', 'timm', 'wdam', 'safetensors', 'onnxruntime', 'torchvision'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize("model", ALL)
def test_an_unknown_key_is_an_error(model: type[BaseModel]) -> None:
    with pytest.raises(ConfigError, match=r"unknown key 'detector\.gates': did you mean 'gate"):
        parse_options(model, {"gates": False} if model is not CutPasteOptions else {"gates": 1}, section="detector")


@pytest.mark.parametrize("model", ALL)
def test_they_cannot_be_changed(model: type[BaseModel]) -> None:
    with pytest.raises(ValueError, match="frozen"):
        model().score_batch = 3  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("seed", -1),
        ("steps", 0),
        ("epochs", 0),
        ("batch_size", 0),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("warmup", 1.5),
        ("weight_decay", -0.1),
        ("gradient_clip", float("inf")),
        ("ema", 1.0),
        ("checks", 0),
        ("patience", -1),
        ("checkpoint_seconds", -1.0),
        ("dtype", "int8"),
        ("threads", 0),
        ("anomalies", "none"),
        ("crop", 8),
        ("width", 0),
        ("wdam_levels", 0),
        ("encoder", ""),
        ("tile", 8),
    ],
)
def test_a_value_that_makes_no_sense_is_an_error(name: str, value: object) -> None:
    with pytest.raises(ConfigError, match=rf"detector\.{name}: "):
        parse_options(UNetOptions, {name: value}, section="detector")


@pytest.mark.parametrize("model", ALL)
def test_identity_leaves_out_what_does_not_change_a_result(model: type[UNetOptions]) -> None:
    identity = model().identity()
    assert set(model.model_fields) >= model.INCIDENTAL
    assert set(identity) == set(model.model_fields) - model.INCIDENTAL
    assert "score_batch" not in identity
    if issubclass(model, TrainingOptions):
        same = model(device="cpu", threads=3, checkpoint_seconds=1, score_batch=1)
        assert same.identity() == identity
        for changed in ({"seed": 1}, {"steps": 3}, {"learning_rate": 0.5}, {"dtype": "bfloat16"}, {"wdam": False}):
            assert model(**changed).identity() != identity


def test_steps_follow_from_epochs() -> None:
    assert TrainingOptions().planned_steps(100, default=7) == 7
    assert TrainingOptions(steps=5).planned_steps(100, default=7) == 5
    assert TrainingOptions(steps=5, epochs=3, batch_size=16).planned_steps(100, default=7) == 19
    assert TrainingOptions(epochs=1, batch_size=16).planned_steps(1, default=7) == 1
