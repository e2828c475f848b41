"""The model card: its numbers are those of the model, and no text of a user's can break it."""

from __future__ import annotations

import dataclasses
import re

import pytest

from fmas.calibration import Calibration
from fmas.model_card import model_card
from fmas.model_folder import ModelAbout

ABOUT = ModelAbout(
    detector="unet",
    detector_version="3",
    options={"steps": 120, "wdam": True, "levels": [1, 2]},
    category="tile",
    object_name="magnetic tile",
    data={
        "digest": "0" * 64,
        "pairs": 41,
        "photographs": 37,
        "controls": 0,
        "validation_pairs": 13,
        "validation_photographs": 11,
        "defects": {"crack": 29, "oil_stain": 25},
        "components": {"inpainter": {"name": "builtin", "version": "4", "digest": "ab"}},
        "holdout_compared": 0,
    },
    training={
        "steps": 120,
        "seconds": 61.26789123,
        "stopped_early": False,
        "best": None,
        "validation": {"image_auroc": 0.93123456},
        "found": {"crack": [5, 7], "oil_stain": [6, 6]},
    },
    versions={"fmas": "0.9", "torch": "2.6"},
)
CALIBRATION = Calibration.from_scores([0.25, 0.5, 1.75])


def test_it_says_what_the_model_is_and_learnt_from():
    card = model_card(ABOUT, CALIBRATION)
    for text in (
        "# Defect detector: tile",
        "one product (magnetic tile)",
        "Detector `unet`, version 3; fmas 0.9",
        "41 pairs of 37 photographs of good parts; for validation 13 pairs of\n11 further photographs",
        "| `crack` | 29 |",
        "- inpainter: `builtin` 4",
        "| `seconds` | 61.2679 |",
        "| `stopped_early` | False |",
        "| `best` | none |",
        "| `image_auroc` | 0.931235 |",
        "| `levels` | 1, 2 |",
        "| `crack` | 5 of 7 |",
        "| `torch` | 2.6 |",
        "No folder of test pictures was named",
    ):
        assert text in card, text
    resolved = dataclasses.replace(ABOUT, request={"detector": {"config": {"steps": 120, "patience": 7}}})
    assert "| `patience` | 7 |" in model_card(resolved, CALIBRATION)
    assert "negative controls" not in card and "Exported" not in card
    assert not re.search(r"[{}]", card)


def test_it_says_how_many_photographs_calibrate_and_what_that_means():
    few = model_card(ABOUT, CALIBRATION)
    assert "Threshold 1.75" in few and "from 3 good photographs" in few
    assert "That is **too few** for the requested rate, which takes 19" in few and "up to 0.25 of good parts" in few
    enough = model_card(ABOUT, Calibration.from_scores(range(39)))
    assert "at most 0.05 of them score above it" in enough and "too few" not in enough
    for card in (few, enough):
        assert "The same photographs decided when the training stopped" in card


def test_controls_holdout_and_export_are_told():
    about = dataclasses.replace(
        ABOUT,
        data={**ABOUT.data, "controls": 4, "holdout_compared": 17},
        source={"format": "onnx", "detector": "unet", "digest": "f" * 64, "largest_difference": 1.5e-6},
    )
    card = model_card(about, CALIBRATION)
    assert "good parts and 4 negative controls (intact" in card
    assert "17 held-out pictures were compared" in card
    assert f"Exported as onnx from a model of the detector `unet` (digest `{'f' * 64}`)" in card
    assert "1.5e-06" in card
    source = {**about.source, "largest_difference": None}
    assert "to the largest value: not measured" in model_card(dataclasses.replace(about, source=source), CALIBRATION)


@pytest.mark.parametrize("text", ["a | b", "two\nlines", "`code`", "{pairs}"])
def test_texts_of_the_user_cannot_break_it(text):
    about = dataclasses.replace(ABOUT, object_name=text, options={text: text}, training={text: text})
    card = model_card(about, CALIBRATION)
    rows = [line for line in card.splitlines() if line.startswith("|") and ("a" in line or "two" in line)]
    assert all(len(re.findall(r"(?<!\\)\|", row)) == 3 for row in rows)
    assert card.count("\n## ") == model_card(ABOUT, CALIBRATION).count("\n## ")


def test_what_is_not_known_is_said_to_be_so():
    bare = ModelAbout(detector="x", detector_version="", options={}, category="c", object_name="")
    card = model_card(bare, CALIBRATION)
    for text in (
        "one product (c)",
        "version unknown; fmas unknown",
        "The detector has no options.",
        "The rows of the data set do not say.",
        "The detector says nothing about its training.",
        "Not measured.",
    ):
        assert text in card, text
