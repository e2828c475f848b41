"""Every setting that can change a byte is part of what makes a run itself; nothing else is."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from fmas.components import RunComponents
from fmas.config import RunConfig
from fmas.errors import OutputError
from fmas.identity import differences, identity_digest, run_identity
from fmas.plan import StoredPlan
from fmas.settings import flattened
from fmas.sources import Source
from fmas.types import Defect, Fingerprint

PLAN = StoredPlan("test part", Fingerprint("fake", "1"), (Defect(name="crack", prompt="p"),))


SOURCES = (Source(0, Path("a.png"), "a.png"),)


# Who does what and when, and where it lies: the llm counts through its plan, a mask through its pixels.
NOT_IN_IT = {
    "images": "elsewhere", "out": "other", "limit": 3, "workers": 2, "shard": (1, 2),
    "region.mask": Path("mask.png"), "region.avoid": Path("avoid.png"), "write.keep_candidates": False,
}  # fmt: skip


IN_IT = {
    "region.spread_area": (0.1, 0.2),
    "balance": "even", "region.placement": "edge", "region.inside_margin": 0.5, "region.max_pixels": 999,
    "object": "other part", "category": "other", "per_image": 2, "candidates": 5, "seed": 1, "holdout_good": 0.5,
    "controls": 0.5,
    "max_pixels": 100, "segmenter.name": None, "inpainter.name": None, "selector.name": None,
    "region.shape": "blob", "region.area": (0.1, 0.2), "region.aspect": (1.0, 1.0), "region.min_pixels": 9,
    "region.min_overlap": 0.1, "region.min_overlap_at_border": 0.1, "region.edge_margin": 0.1, "region.redraws": 1,
    "region.placements": 1, "crop.context": 1.0, "crop.min_side": 9, "refine.min_noise_floor": 9,
    "refine.min_peak": 99, "refine.min_changed": 0.95, "refine.min_area": 9, "refine.attempts": 9,
    "paint.severity_spread": 0.1, "select.band": (0.2, 0.3), "write.compress_level": 9,
}  # fmt: skip


def changed(config: RunConfig, dotted: str, value: object) -> RunConfig:
    key, _, inner = dotted.partition(".")
    if inner:
        value = getattr(config, key).model_copy(update={inner: value})
    return config.model_copy(update={key: value})


@pytest.fixture
def identity(fakes, make_registry, make_config):
    def make(dotted="", value=None, *, plan=PLAN, sources=SOURCES):
        config = make_config(category="test_part")  # else it would follow from `object`
        components = RunComponents.from_config(config, make_registry(fakes))
        return run_identity(changed(config, dotted, value) if dotted else config, components, plan, sources)

    return make


def test_every_setting_is_decided_upon(make_config):
    settings = {key for key, _ in flattened(make_config())} - {"llm.name"}
    assert settings == IN_IT.keys() | NOT_IN_IT.keys()


@pytest.mark.parametrize("key", [key for key, value in IN_IT.items() if value is not None])
def test_a_setting_that_can_change_a_byte_makes_another_run(identity, key):
    before, after = identity(), identity(key, IN_IT[key])
    assert len(differences(before, after)) == 1
    assert identity_digest(before) != identity_digest(after)


@pytest.mark.parametrize("key", NOT_IN_IT)
def test_a_setting_that_cannot_does_not(identity, key):
    assert identity(key, NOT_IN_IT[key]) == identity()


@pytest.mark.parametrize("kind", ["segmenter", "inpainter", "selector"])
@pytest.mark.parametrize("other", [Fingerprint("fake", "2"), Fingerprint("fake", "1", {"mode": "x"})])
def test_a_component_counts_with_version_and_options(identity, fakes, monkeypatch, kind, other):
    before = identity()
    monkeypatch.setattr(type(fakes[kind]), "fingerprint", lambda self: other)
    assert [line.partition(".")[0] for line in differences(before, identity())] == [kind]


def test_plan_photographs_and_version_count(identity, monkeypatch):
    before = identity()
    plan = StoredPlan("test part", Fingerprint("fake", "1"), (*PLAN.defects, *PLAN.defects))
    assert differences(before, identity(plan=plan)) == ["the plan has changed"]
    assert differences(before, identity(sources=SOURCES * 2)) == ["the list of photographs has changed"]
    monkeypatch.setattr("fmas.identity.__version__", "9")
    assert differences(before, identity()) == [f"fmas_version was {before['fmas_version']}, now 9"]


def test_changed_list_of_photographs_is_refused(run, photographs):
    run()
    shutil.copy(photographs / "part_0.png", photographs / "new.png")
    with pytest.raises(OutputError, match="the list of photographs has changed"):
        run()


def test_workers_shard_and_limit_are_no_part_of_the_identity(run):
    run(limit=1)
    run(shard="1/2")
    _, summary = run()
    assert summary.made + summary.kept == 6
