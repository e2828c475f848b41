"""Negative controls: the inpainter's traces without a defect, in ``train/good``."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest
import yaml
from PIL import Image

from fmas.config import RunConfig
from fmas.controls import intact_surface
from fmas.errors import UsageError
from fmas.identity import identity_digest
from fmas.images import encode_png, read_image
from fmas.pipeline import synthesize
from fmas.plugins import load_plugins
from fmas.preview import preview_run
from fmas.reselect import reselect
from fmas.types import Defect, DefectKind
from fmas.validate import validate_output

INTACT = "flawless test part surface"


def paint_or_polish(job):
    """Paint a spot; for the prompt of an intact surface only grain, one grey level, as a decoder leaves it."""
    image = job.image.astype(np.int16)
    if job.defect.prompt == INTACT:
        image += 1 - 2 * (np.indices(image.shape[:2]).sum(axis=0) % 2)[..., None]
    else:
        rows = np.flatnonzero(job.region.any(axis=1))
        inner = job.region.copy()
        inner[rows[0] : rows[0] + 3] = False  # so that the mask is not the region
        image[inner] += 20 + job.seed % 60 if image[inner].mean() < 120 else -(20 + job.seed % 60)
    return np.clip(image, 0, 255).astype(np.uint8)


@pytest.fixture
def polisher(fakes):
    fakes["inpainter"].paint = paint_or_polish
    return fakes["inpainter"]


def controls_of(rows, out):
    return [row for row in rows(out) if row.get("control")]


def pixels(path):
    return np.asarray(Image.open(path)).astype(int)


def test_controls_have_the_traces_of_a_defect_in_its_shape(run, polisher, rows):
    out, summary = run(controls=1.0, candidates=3)
    dataset = out / "dataset/test_part"
    found = controls_of(rows, out)
    assert [row["file_name"] for row in found] == [f"train/good/{1_000_000 + index}.png" for index in range(6)]
    assert (summary.counts.controls, summary.counts.pairs, summary.counts.held_out) == (6, 6, 0)
    jobs = [job for batch in polisher.batches for job in batch]
    for index, row in enumerate(found):
        twin, control = pixels(dataset / row["normal_file_name"]), pixels(dataset / row["file_name"])
        changed = (twin != control).any(axis=2)
        assert row["normal_file_name"] == f"train/good/{index:06d}.png"
        assert changed.sum() == row["mask_area"]
        assert np.abs(twin - control).max() == 1
        pair = next(other for other in rows(out) if other["stem"] == index)
        assert row["region_box"] == pair["region_box"]
        shape = next(item for item in pair["candidates"] if item["candidate"] == row["candidate"])
        left, top, right, bottom = shape["box"]
        assert changed[top:bottom, left:right].sum() == shape["mask_area"] == row["mask_area"]
        if shape["candidate"] == pair["candidate"]:
            assert (changed == (pixels(dataset / pair["mask_file_name"]) > 0)).all()
        same_seed = [job for job in jobs if job.seed == row["seed"]]
        assert {job.defect.prompt for job in same_seed} == {INTACT, pair["prompt"]}
        assert (row["prompt"], row["negative_prompt"]) == (INTACT, pair["prompt"])
        assert np.isfinite(row["score"])
    assert len({row["candidate"] for row in found}) > 1
    assert validate_output(out).problems == ()


def test_the_rest_of_the_data_set_is_as_without_controls(run, polisher, tree, tmp_path):
    without = tree(run(out=tmp_path / "without", holdout_good=0.3)[0])
    with_controls = tree(run(out=tmp_path / "with", holdout_good=0.3, controls=1.0)[0])
    derived = {"test_part/README.md", "test_part/metadata.jsonl"}
    added = with_controls.keys() - without.keys()
    held_out = [name for name in without if name.startswith("test_part/test/good/")]
    assert held_out
    assert len(added) == 6 - len(held_out)
    assert all(re.fullmatch(r"test_part/train/good/100000\d\.png", name) for name in added)
    assert all(with_controls[name] == content for name, content in without.items() if name not in derived)


def test_share_is_chosen_by_the_seed_alone(run, polisher, rows, tmp_path):
    def chosen(out, **settings):
        folder, _ = run(out=tmp_path / out, **settings)
        assert validate_output(folder).problems == ()
        return {row["source"] for row in controls_of(rows, folder)}

    half = chosen("half", controls=0.5)
    assert 0 < len(half) < 6
    assert half < chosen("more", controls=0.95)
    assert chosen("per_image", controls=0.5, per_image=3) == half
    assert chosen("balanced", controls=0.5, balance="even") == half
    assert chosen("seeded", controls=0.5, seed=3) != half


def test_any_order_shard_kill_and_resume_gives_the_same_bytes(run, polisher, tree, tmp_path):
    wanted = tree(run(out=tmp_path / "whole", controls=0.7)[0])
    out, _ = run(out=tmp_path / "parts", controls=0.7, shard="2/2")
    run(out=out, controls=0.7, shard="1/2", limit=3)
    (out / "dataset/test_part/train/good/1000009.png").write_bytes(b"left by a killed run")
    run(out=out, controls=0.7, shard="1/2")
    run(out=out, controls=0.7, limit=1)
    assert tree(out) == wanted
    (control, *_) = sorted((out / "dataset/test_part/train/good").glob("1*.png"))
    control.unlink()
    batches = len(polisher.batches)
    _, summary = run(out=out, controls=0.7)
    assert (summary.made, summary.failed) == (1, 0)
    assert sum(len(batch) for batch in polisher.batches[batches:]) == 2
    assert tree(out) == wanted


def test_selecting_again_leaves_controls_alone(run, polisher, make_config, make_registry, fakes, tree, tmp_path):
    config = make_config(controls=1.0, candidates=4, select={"band": (0.0, 0.05)})
    synthesize(config, registry=make_registry(fakes))
    wanted = tree(run(out=tmp_path / "other", controls=1.0, candidates=4, select={"band": (0.3, 0.5)})[0])
    reselect(config.out, (0.3, 0.5))
    assert tree(config.out) == wanted


def test_dry_run_summary_and_card_count_them(run, polisher, make_config, make_registry, fakes):
    preview = preview_run(make_config(controls=1.0), registry=make_registry(fakes))
    assert (preview["controls_to_make"], preview["pairs_to_make"], preview["candidates_to_paint"]) == (6, 6, 12)
    assert "controls_to_make" not in preview_run(make_config(), registry=make_registry(fakes))
    out, summary = run(controls=1.0)
    assert summary.made == 12
    assert json.loads((out / "run.json").read_text())["counts"]["controls"] == 6
    card = (out / "dataset/test_part/README.md").read_text()
    assert "6 negative controls" in card
    features = yaml.safe_load(card.split("---\n", 2)[1])["configs"][0]["features"]
    rows = [json.loads(line) for line in (out / "dataset/test_part/metadata.jsonl").read_text().splitlines()]
    names = {"file_name": "image", "mask_file_name": "mask", "normal_file_name": "normal"}
    assert {item["name"] for item in features} == {names.get(key, key) for row in rows for key in row}


def test_unchanged_or_black_controls_are_painted_again_and_then_fail_alone(run, polisher):
    def useless(job):
        if job.defect.prompt != INTACT:
            return paint_or_polish(job)
        return job.image.copy() if job.seed % 2 else np.zeros_like(job.image)

    polisher.paint = useless
    out, summary = run(controls=1.0)
    assert (summary.counts.pairs, summary.counts.controls, summary.failed) == (6, 0, 6)
    reasons = summary.counts.rejects
    assert reasons["unchanged"] + reasons["black"] == 6 * 4
    assert validate_output(out).problems == ()
    polisher.paint = paint_or_polish
    _, summary = run(controls=1.0)
    assert (summary.made, summary.counts.controls, summary.counts.failed) == (6, 6, 0)


def test_control_of_a_place_where_no_defect_holds_fails(run, polisher):
    polisher.paint = lambda job: job.image.copy()
    _, summary = run(controls=1.0)
    assert (summary.counts.failed, summary.counts.controls) == (12, 0)


def test_inpainter_without_traces_is_refused(photographs, tmp_path):
    config = RunConfig(images=photographs, out=tmp_path / "out", controls=0.2)
    for start in (synthesize, preview_run):
        with pytest.raises(UsageError, match="leaves traces for --controls, got 'builtin'"):
            start(config, registry=load_plugins())
    assert not config.out.exists()


def test_surface_names_the_object_and_forbids_the_defect():
    defect = Defect(name="x", prompt="a deep scratch", negative_prompt="clean", kind=DefectKind.SCRATCH, severity=0.9)
    surface = intact_surface(defect, "metal screw")
    assert (surface.prompt, surface.negative_prompt) == ("flawless metal screw surface", "a deep scratch")
    assert (surface.kind, surface.severity) == (DefectKind.OTHER, 0.0)


class TestValidation:
    """Every way in which a control can be wrong is told."""

    @pytest.fixture
    def out(self, run, polisher):
        return run(controls=0.7)[0]

    def broken(self, out):
        return {problem.rule for problem in validate_output(out).problems}

    def repaint(self, out, change):
        (path, *_) = sorted((out / "dataset/test_part/train/good").glob("1*.png"))
        image = read_image(path, max_pixels=10**6)[0].copy()
        change(image, path)
        path.write_bytes(encode_png(image))

    def test_pixels_outside_the_region(self, out):
        def spill(image, path):
            image[0, 0] ^= 255
            image[-1, -1] ^= 255

        self.repaint(out, spill)
        assert {"control", "file-sha256", "pixel-sha256"} <= self.broken(out)

    def test_copy_of_the_twin(self, out):
        (path, *_) = sorted((out / "dataset/test_part/train/good").glob("1*.png"))
        shutil.copy(path.with_name(f"{int(path.stem) - 1_000_000:06d}.png"), path)
        assert "control" in self.broken(out)

    def test_another_size(self, out):
        (path, *_) = sorted((out / "dataset/test_part/train/good").glob("1*.png"))
        path.write_bytes(encode_png(np.zeros((5, 5, 3), np.uint8)))
        assert "size" in self.broken(out)

    @pytest.mark.parametrize(
        ("change", "rule"),
        [
            ({"seed": 1}, "seed"),
            ({"defect": "scratch"}, "row-fields"),
            ({"control": False}, "row-fields"),
            ({"score": None}, "row-fields"),
            ({"normal_file_name": "train/good/000099.png"}, "file-names"),
            ({"components": {}}, "provenance"),
            ({"rejections": [{"candidate": 0, "attempt": 0, "seed": 1, "reason": "black"}]}, "row-fields"),
        ],
    )
    def test_row(self, out, change, rule):
        self.edit(out, lambda row: row.update(change))
        assert rule in self.broken(out)

    def test_photograph_that_was_not_chosen(self, out):
        content = json.loads((out / "run.json").read_text())
        content["identity"]["controls"] = 0.0
        content["digest"] = identity_digest(content["identity"])
        (out / "run.json").write_text(json.dumps(content))
        assert self.broken(out) == {"control", "config"}
        config = out / "config.resolved.yaml"
        config.write_text(yaml.safe_dump(yaml.safe_load(config.read_text()) | {"controls": 0.0}))
        assert self.broken(out) == {"control"}

    def test_lost_file_and_count(self, out):
        (path, *_) = sorted((out / "dataset/test_part/train/good").glob("1*.png"))
        path.unlink()
        content = json.loads((out / "run.json").read_text())
        content["counts"]["controls"] += 1
        (out / "run.json").write_text(json.dumps(content))
        assert {"missing-file", "counts"} <= self.broken(out)

    def edit(self, out, change):
        path = out / "manifest/shard-1-of-1.jsonl"
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        change(next(line["row"] for line in lines if line["stem"] >= 1_000_000))
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.mark.parametrize("stated", [{"llm": {"calls": 7}}, None])
def test_usage_that_is_not_the_sum_is_told(run, fakes, stated):
    out, _ = run()
    (out / "usage.jsonl").write_text('{"kind": "llm", "usage": {"calls": 2}}\n')
    content = json.loads((out / "run.json").read_text())
    content["usage"] = stated
    (out / "run.json").write_text(json.dumps(content))
    assert [problem.rule for problem in validate_output(out).problems] == ["usage"]
