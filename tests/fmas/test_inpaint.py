"""Painting, refining and painting again, with inpainters that break every promise they can."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fmas.inpaint import InpaintStage
from fmas.pipeline import synthesize


def manifest(config):
    lines = (config.out / "manifest/shard-1-of-1.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


@pytest.fixture
def run(fakes, make_registry, make_config):
    """Run with an inpainter that paints in a given way; return (configuration, summary, manifest lines)."""

    def go(paint=None, **settings):
        for name in ("multiple", "working_size"):
            if name in settings:
                setattr(fakes["inpainter"], name, settings.pop(name))
        if "spread" in settings:
            settings["paint"] = {"severity_spread": settings.pop("spread")}
        fakes["inpainter"].paint = paint
        config = make_config(**settings)
        summary = synthesize(config, registry=make_registry(fakes))
        return config, summary, manifest(config)

    return go


def spot(job, amount=40):
    image = job.image.astype(np.int16)
    image[job.region] += -amount if image[job.region].mean() > 120 else amount
    return np.clip(image, 0, 255).astype(np.uint8)


def test_changes_outside_the_mask_are_undone(run):
    def leaks(job):
        noise = np.random.default_rng(job.seed).integers(-3, 4, job.image.shape)
        return np.clip(spot(job).astype(int) + noise, 0, 255).astype(np.uint8)

    config, summary, lines = run(leaks)
    assert summary.made == 6
    from PIL import Image

    for line in lines:
        row = line["row"]
        root = config.out / "dataset/test_part"
        normal, synthetic = (np.asarray(Image.open(root / row[key])) for key in ("normal_file_name", "file_name"))
        mask = np.asarray(Image.open(root / row["mask_file_name"])) > 0
        assert (normal[~mask] == synthetic[~mask]).all()
        assert (normal[mask] != synthetic[mask]).any(axis=1).mean() >= 0.9


def test_candidates_are_painted_with_severities_around_the_planned_one(run):
    painted = {}

    def note(job):
        painted[job.seed] = job.defect.severity
        return spot(job)

    _, _, lines = run(note, candidates=4, spread=0.5)
    for line in lines:
        row = line["row"]
        wanted = [row["planned_severity"] * factor for factor in (0.5, 5 / 6, 7 / 6, 1.5)]
        assert [item["severity"] for item in row["candidates"]] == pytest.approx(wanted, abs=1e-6)
        assert [painted[item["seed"]] for item in row["candidates"]] == [item["severity"] for item in row["candidates"]]
        assert row["severity"] == row["candidates"][row["candidate"]]["severity"]


@pytest.mark.parametrize(
    ("paint", "reason"),
    [(lambda job: np.zeros_like(job.image), "black"), (lambda job: job.image.copy(), "unchanged")],
    ids=["black", "unchanged"],
)
def test_useless_outputs_are_counted_and_the_pair_fails(run, paint, reason):
    config, summary, lines = run(paint, refine={"attempts": 3}, region={"placements": 2})
    assert summary.exit_code == 1
    assert (summary.made, summary.failed) == (0, 6)
    assert summary.counts.rejects == {reason: 6 * 2 * 3 * 2}
    assert summary.counts.failures == {"rejected": 6}
    assert all(line["status"] == "failed" and line["files"] == {} for line in lines)
    assert not list(config.out.glob("dataset/**/*.png"))
    assert f"rejected ones ({reason})" in lines[0]["failure"]["message"]


def test_rejected_candidates_are_painted_again_with_the_next_seed(run, fakes):
    black_seeds = set()

    def sometimes_black(job):
        if job.seed % 3 == 0:
            black_seeds.add(job.seed)
            return np.zeros_like(job.image)
        return spot(job)

    _, summary, lines = run(sometimes_black, candidates=4)
    assert summary.failed == 0
    rejected = [rejection for line in lines for rejection in line["rejections"]]
    assert {rejection["seed"] for rejection in rejected} == black_seeds
    assert len(rejected) == len(black_seeds) > 0
    for line in lines:
        painted = {(c["candidate"], c["attempt"]) for c in line["row"]["candidates"]}
        again = {(r["candidate"], r["attempt"] + 1) for r in line["rejections"]}
        assert again <= painted | {(r["candidate"], r["attempt"]) for r in line["rejections"]} | {
            (c, 4) for c in range(4)
        }


def test_next_placement_is_tried_when_nothing_is_accepted_in_the_first(run):
    regions = {}

    def only_in_the_second(job):
        region = job.region.tobytes()
        regions.setdefault(job.defect.name, []).append(region)
        return spot(job) if len(set(regions[job.defect.name])) > 1 else job.image.copy()

    _, summary, lines = run(only_in_the_second, refine={"attempts": 2}, limit=1, crop={"min_side": 200})
    assert summary.failed == 0
    row = lines[0]["row"]
    assert [candidate["attempt"] for candidate in row["candidates"]] == [2, 2]
    assert [(item["candidate"], item["attempt"]) for item in row["rejections"]] == [(0, 0), (1, 0), (0, 1), (1, 1)]


def test_region_blanked_by_a_safety_checker_is_rejected_at_any_size(run):
    """Resizing blends a black region's rim, so that the composite alone would not show it."""

    def blanked(job):
        image = job.image.copy()
        image[job.region] = 0
        return image

    _, summary, _ = run(blanked, working_size=200, multiple=8, refine={"attempts": 1}, region={"placements": 1})
    assert summary.made == 0
    assert summary.counts.rejects == {"black": 12}


def test_jobs_come_in_bounded_numbers(run, fakes):
    _, summary, _ = run(spot, per_image=10, candidates=5, limit=1)
    assert summary.failed == 0
    sizes = [len(batch) for batch in fakes["inpainter"].batches]
    assert sum(sizes) == 50
    assert max(sizes) <= 16


@pytest.mark.parametrize(
    ("trait", "value"), [("multiple", 0), ("multiple", 8.0), ("working_size", 0), ("working_size", 100.5)]
)
def test_traits_of_an_inpainter_are_checked(run, trait, value):
    _, summary, lines = run(spot, **{trait: value})
    assert summary.made == 0
    assert f"expected an inpainter's {trait} as a whole number" in lines[0]["failure"]["message"]


def test_wrong_size_is_a_listed_failure(run):
    _, summary, lines = run(lambda job: job.image[:-1])
    assert (summary.made, summary.failed, summary.exit_code) == (0, 6, 1)
    assert lines[0]["failure"]["reason"] == "ComponentError"
    assert "from the inpainter, got uint8" in lines[0]["failure"]["message"]


def test_one_raising_image_fails_alone(run):
    def raises(job):
        if job.image.shape[0] == 64 and job.image.shape[1] == 96:  # the first photograph's crop, seen whole
            raise RuntimeError("CUDA out of memory\nTried to allocate")
        return spot(job)

    _, summary, lines = run(raises, crop={"min_side": 200})
    assert (summary.made, summary.failed, summary.exit_code) == (5, 1, 3)
    failed = [line for line in lines if line["status"] == "failed"]
    assert [(line["stem"], line["failure"]["stage"]) for line in failed] == [(0, "inpaint")]
    assert failed[0]["failure"]["message"] == "CUDA out of memory Tried to allocate"


def test_too_few_outputs_are_refused(run, fakes, monkeypatch):
    monkeypatch.setattr(type(fakes["inpainter"]), "inpaint", lambda self, jobs: [])
    _, summary, lines = run()
    assert summary.made == 0
    assert "expected 2 crops from the inpainter, got 0" in lines[0]["failure"]["message"]


def test_inpainter_sees_its_multiple_and_size(run, fakes):
    _, summary, _ = run(spot, multiple=16, working_size=128)
    assert summary.failed == 0
    jobs = [job for batch in fakes["inpainter"].batches for job in batch]
    assert all(side % 16 == 0 for job in jobs for side in job.image.shape[:2])
    assert all(128 <= max(job.image.shape[:2]) <= 143 for job in jobs)


def test_result_does_not_depend_on_the_batch(run, fakes, make_registry, make_config, tmp_path):
    digests = []
    for batch_size in (1, 3, 6):
        InpaintStage.batch_size, before = batch_size, InpaintStage.batch_size
        try:
            fakes["inpainter"].paint = None
            out = tmp_path / f"out{batch_size}"
            synthesize(make_config(out=out), registry=make_registry(fakes))
        finally:
            InpaintStage.batch_size = before
        digests.append((out / "dataset/test_part/metadata.jsonl").read_bytes())
    assert digests[0] == digests[1] == digests[2]


def test_component_that_writes_into_its_input_fails_instead_of_corrupting(run):
    def vandal(job):
        job.image[...] = 0
        return job.image

    _, summary, _ = run(vandal, limit=1)
    assert summary.counts.failures == {"ValueError": 1}


def test_an_inpainter_is_never_asked_for_nothing(run, fakes):
    run()
    assert all(fakes["inpainter"].batches)
