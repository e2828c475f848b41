"""Negative controls by the real Stable Diffusion pipeline, tiny and with random weights."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fmas import RunConfig, synthesize
from fmas.validate import validate_output

pytest.importorskip("diffusers")


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore:the prompt:UserWarning")
def test_only_the_shape_of_a_defect_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    model = importlib.import_module("tiny_stable_diffusion").save_tiny_pipeline(tmp_path / "sd", grey_outside=True)
    folder = tmp_path / "photographs"
    folder.mkdir()
    generator = np.random.default_rng(3)
    for number in range(3):
        grey = generator.normal(127, 2, (96, 128, 3))  # see grey_outside
        Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8)).save(folder / f"{number}.png")
    inpainter = {"name": "diffusers", "model": str(model), "steps": 2, "size": 64, "device": "cpu"}
    config = RunConfig.model_validate(
        {"images": folder, "out": tmp_path / "out", "object": "tile", "candidates": 1, "controls": 1.0}
        | {"inpainter": inpainter}
    )
    summary = synthesize(config)
    counts = (summary.counts.pairs, summary.counts.controls, summary.counts.failed)
    assert counts == (3, 3, 0), (config.out / "failures.jsonl").read_text()
    assert validate_output(config.out).problems == ()
    dataset = summary.dataset
    rows = [json.loads(line) for line in (dataset / "metadata.jsonl").read_text().splitlines()]
    for pair, control in zip(rows[:3], rows[3:], strict=True):
        assert control["control"] is True
        twin, mask, intact = (
            np.asarray(Image.open(dataset / name))
            for name in (pair["normal_file_name"], pair["mask_file_name"], control["file_name"])
        )
        changed = (twin != intact).any(axis=2)
        assert not changed[mask == 0].any()  # one candidate: its mask is the control's shape
        assert changed[mask > 0].mean() > 0.9  # a model leaves no pixel that it paints as it was
        assert (control["prompt"], control["negative_prompt"]) == ("flawless tile surface", pair["prompt"])
