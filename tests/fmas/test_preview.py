"""A dry run refuses what the run would refuse, counts what it would do, and writes nothing."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from PIL import Image

from fmas.errors import OutputError, PlanError, UsageError
from fmas.preview import preview_run


@pytest.fixture
def preview(fakes, make_registry, make_config):
    return lambda **settings: preview_run(make_config(**settings), registry=make_registry(fakes))


def test_what_is_left_to_do_is_counted(run, preview):
    run(limit=2, per_image=2)
    left = preview(per_image=2)
    assert (left["photographs"], left["photographs_to_do"]) == (6, 4)
    assert (left["pairs_to_make"], left["candidates_to_paint"], left["finished_before"]) == (8, 16, 4)
    assert left["llm_calls"] == 0


def test_nobody_is_asked_and_nothing_is_written(preview, fakes, tmp_path):
    before = preview()
    assert (before["llm_calls"], before["pairs_to_make"]) == (1, 6)
    assert fakes["llm"].asked == []
    assert fakes["inpainter"].batches == []
    assert not (tmp_path / "out").exists()


def test_photographs_without_a_mask_are_told_before_the_run(preview, tmp_path, photographs, fmas):
    folder = tmp_path / "masks"
    folder.mkdir()
    Image.fromarray(np.full((48, 64), 255, dtype=np.uint8)).save(folder / "part_0.png")
    said = f"region.mask {folder} has no mask for 5 of 6 photographs, which will fail"
    assert preview(region={"mask": folder})["notes"] == [said]
    assert preview()["notes"] == []
    result = fmas("run", photographs, "--out", tmp_path / "out", "--region-mask", folder, "--dry-run")
    assert result.stderr.splitlines() == [f"note: {said}"]
    assert "note" not in result.stdout


@pytest.mark.parametrize(
    ("damage", "settings", "error"),
    [
        (lambda out, photographs: None, {"seed": 1}, OutputError),
        (lambda out, photographs: None, {"object": "other"}, PlanError),
        (lambda out, photographs: None, {"inpainter": {"name": "fakke"}}, UsageError),
        (lambda out, photographs: (out / "plan.json").unlink(), {}, PlanError),
        (lambda out, photographs: shutil.rmtree(out / "manifest"), {}, OutputError),
        (lambda out, photographs: (photographs / "part_0.png").write_bytes(b"other"), {}, OutputError),
        (lambda out, photographs: shutil.copy(photographs / "part_0.png", photographs / "new.png"), {}, OutputError),
    ],
    ids=["seed", "object", "component", "lost-plan", "lost-manifest", "changed", "added"],
)
def test_a_dry_run_refuses_with_the_words_of_the_run(run, preview, photographs, tmp_path, damage, settings, error):
    run()
    damage(tmp_path / "out", photographs)
    with pytest.raises(error) as dry:
        preview(**settings)
    with pytest.raises(error) as real:
        run(**settings)
    assert str(dry.value) == str(real.value)
