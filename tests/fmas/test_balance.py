"""Defects come out in the proportions asked for, after any number of pairs, whoever makes them."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fmas.balance import Balance, Quota, Share, balance_of
from fmas.errors import ConfigError, OutputError, UsageError
from fmas.plan import StoredPlan
from fmas.preview import preview_run
from fmas.proportions import canonical_proportions
from fmas.seeds import SampleSeeds
from fmas.sources import Source
from fmas.types import Defect, DefectKind, Fingerprint
from fmas.work import wanted_samples

CRACK = Defect(name="hairline crack", prompt="p", kind=DefectKind.CRACK)
STAIN = Defect(name="oil stain", prompt="p", kind=DefectKind.STAIN)
FRAY = Defect(name="frayed edge", prompt="p", kind=DefectKind.FRAY)
DEEP = Defect(name="deep crack", prompt="p", kind=DefectKind.CRACK)
PLAN = StoredPlan("part", Fingerprint("fake", "1"), (CRACK, STAIN, DEEP, FRAY))


def balance(text, plan=PLAN):
    return balance_of(canonical_proportions(text), plan)


def first(one, count, seed=0, category="part"):
    return list(itertools.islice(one.order(seed, category), count))


weights = st.lists(st.integers(1, 50), min_size=1, max_size=9)


def of_weights(values):
    return Balance(tuple(Quota(f"q{number}", value, (number,)) for number, value in enumerate(values)))


@settings(max_examples=60)
@given(weights, st.integers(0, 2**32))
def test_every_prefix_is_within_one_of_every_proportion(values, seed):
    order = np.array(first(of_weights(values), 800, seed))  # over three of the swapped chunks
    counts = np.cumsum(order[:, None] == np.arange(len(values)), axis=0)
    asked = np.arange(1, len(order) + 1)[:, None] * np.array(values) / sum(values)
    assert np.abs(counts - asked).max() < 1


@settings(max_examples=20)
@given(weights, st.integers(0, 2**32), st.integers(1, 700))
def test_a_longer_run_begins_like_a_shorter_one(values, seed, count):
    one = of_weights(values)
    assert first(one, count + 300, seed)[:count] == first(one, count, seed)


@settings(max_examples=20)
@given(st.integers(0, 2**32))
def test_defects_of_one_kind_share_its_part_evenly(seed):
    order = first(balance("crack=3,fray=1", StoredPlan("p", PLAN.llm, (DEEP, FRAY, DEEP, DEEP))), 400, seed)
    for end in range(1, 401):
        counts = Counter(order[:end])
        cracks = [counts[0], counts[2], counts[3]]
        assert max(cracks) - min(cracks) <= 1


def test_no_quota_keeps_step_with_the_file_order():
    """Cameras that take turns, four in a row, must not each get a defect of their own."""
    order = first(balance("hairline crack=3,oil stain=1"), 4000)
    rare = Counter(place % 4 for place, defect in enumerate(order) if defect == 1)
    assert sum(rare.values()) == 1000
    assert all(180 < rare[place] < 320 for place in range(4))


def test_the_order_follows_from_seed_and_category():
    one = balance("even")
    assert first(one, 60) == first(one, 60)
    assert first(one, 60) != first(one, 60, seed=1)
    assert first(one, 60) != first(one, 60, category="other")


# Names


@pytest.mark.parametrize(
    ("text", "quotas"),
    [
        ("even", [(name, 1, (index,)) for index, name in enumerate(PLAN.slugs)]),
        ("even-kinds", [("crack", 1, (0, 2)), ("fray", 1, (3,)), ("stain", 1, (1,))]),
        ("crack=3,fray=1", [("crack", 3000, (0, 2)), ("fray", 1000, (3,))]),
        ("deep_crack=1,oil stain=2", [("deep_crack", 1000, (2,)), ("oil stain", 2000, (1,))]),
        ("deep crack=1,crack=2", [("crack", 2000, (0,)), ("deep crack", 1000, (2,))]),
        ("Crack=1,stain=0", [("Crack", 1000, (0, 2))]),
        ("kind:crack=1,stain=0.5", [("kind:crack", 1000, (0, 2)), ("stain", 500, (1,))]),
    ],
)  # fmt: skip
def test_names_are_defects_or_kinds(text, quotas):
    assert [(one.name, one.weight, one.defects) for one in balance(text).quotas] == quotas


def test_a_defects_name_wins_over_a_kinds():
    plan = StoredPlan("p", PLAN.llm, (Defect(name="crack", prompt="p", kind="crack"), DEEP))
    assert balance("crack=1", plan).quotas[0].defects == (0,)
    assert balance("kind:crack=1", plan).quotas[0].defects == (0, 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "scrach=1",
            "did you mean 'crack'? known: crack, deep_crack, fray, frayed_edge, hairline_crack, oil_stain, stain",
        ),
        ("stian=1", "did you mean 'stain'"),
        ("dent=1", "got 'dent'"),  # a kind, but none of the plan's
        ("kind:oil_stain=1", "known: crack, fray, stain"),
        ("oil_stain=1,stain=2", "got a kind whose defects are all named themselves"),
        ("oil_stain=1,oil stain=2", "'oil_stain' under two names"),
    ],
)
def test_unknown_and_double_names_are_refused(text, message):
    with pytest.raises(ConfigError, match="in balance") as error:
        balance(text)
    assert message in str(error.value)


def test_none_is_none():
    assert balance_of(None, PLAN) is None


def test_shares_tell_asked_from_made():
    made = {"hairline_crack": 5, "deep_crack": 4, "frayed_edge": 2}
    assert balance("crack=3,fray=1").shares(PLAN.slugs, made) == (Share("crack", 0.75, 9), Share("fray", 0.25, 2))


# In a run


def sources(count):
    return [Source(number, Path(f"{number}.png"), f"{number:04d}.png") for number in range(count)]


def assigned(config, found, text="hairline_crack=3,oil_stain=1"):
    samples = wanted_samples(config, found, PLAN, balance(text))
    return {pair.stem: pair.defect_slug for sample in samples for pair in sample.pairs}


def test_shards_and_limits_change_nothing(make_config):
    found = sources(60)
    settings = {"per_image": 3, "holdout_good": 0.2}
    whole = assigned(make_config(**settings), found)
    united = {}
    for shard in ("1/3", "2/3", "3/3"):
        part = assigned(make_config(**settings, shard=shard), found)
        assert not united.keys() & part.keys()
        united |= part
    assert united == whole
    limited = assigned(make_config(**settings, limit=20), found)
    assert limited == {stem: slug for stem, slug in whole.items() if stem < 60}
    assert assigned(make_config(**settings, workers=4, candidates=9), found) == whole


def test_held_out_photographs_do_not_count(make_config):
    """The proportions are those of the pairs, not of the photographs."""
    samples = wanted_samples(make_config(holdout_good=0.5), sources(80), PLAN, balance("even"))
    order = [pair.defect_slug for sample in samples if not sample.held_out for pair in sample.pairs]
    assert all(pair.defect is None for sample in samples if sample.held_out for pair in sample.pairs)
    for end in range(1, len(order) + 1):
        assert max(abs(order[:end].count(slug) - end / 4) for slug in PLAN.slugs) < 1


def test_a_run_keeps_the_proportions(run, rows):
    out, summary = run(per_image=4, balance="hairline_crack=3,oil_stain=1")
    assert Counter(row["defect"] for row in rows(out)) == {"hairline_crack": 18, "oil_stain": 6}
    assert summary.balance == (Share("hairline_crack", 0.75, 18), Share("oil_stain", 0.25, 6))
    assert summary.to_json()["balance"][0] == {"name": "hairline_crack", "asked": 0.75, "made": 18}


def test_shards_with_workers_make_the_same_bytes(run, tmp_path, tree):
    whole, _ = run(per_image=2, balance="even")
    for shard in ("2/2", "1/2"):
        sharded, _ = run(out=tmp_path / "sharded", per_image=2, balance="even", shard=shard)
    assert tree(whole) == tree(sharded)


def test_an_edge_asked_for_is_made_on_a_texture_too(run, fakes, rows):
    fakes["llm"].defects = [CRACK, FRAY]
    out, summary = run(per_image=2, balance="even")
    assert summary.failed == 0
    assert Counter(row["defect"] for row in rows(out)) == {"hairline_crack": 6, "frayed_edge": 6}


def test_a_pair_that_fails_leaves_a_gap(run, fakes, photographs, rows):
    (photographs / "part_2.png").write_bytes(b"broken")
    out, summary = run(per_image=2, balance="even")
    assert summary.failed == 2
    made = {row["stem"]: row["defect"] for row in rows(out)}
    assert made.keys() == {0, 1, 2, 3, 6, 7, 8, 9, 10, 11}


def test_another_balance_is_another_run(run):
    run(balance="even")
    with pytest.raises(OutputError, match="balance was even, now oil_stain=1"):
        run(balance={"oil_stain": 1})


def test_without_balance_chance_decides_as_before(run, tmp_path, rows):
    """What a pair gets without `balance` does not depend on there being one."""
    out, summary = run()
    expected = [
        ["hairline_crack", "oil_stain"][
            int(SampleSeeds(0, "test_part", f"part_{number}.png", 0).generator("defect").integers(2))
        ]
        for number in range(6)
    ]
    assert [row["defect"] for row in rows(out)] == expected
    assert summary.balance == ()


def test_an_unknown_name_ends_the_run_before_anything_is_painted(run, fakes, tmp_path):
    with pytest.raises(UsageError, match="got 'dent'"):
        run(balance="dent=1")
    assert fakes["inpainter"].batches == []
    assert not (tmp_path / "out/dataset").exists()
    _, summary = run(balance="oil_stain=1")  # the plan that was asked for is used
    assert summary.made == 6
    assert len(fakes["llm"].asked) == 1


@pytest.fixture
def preview(fakes, make_registry, make_config):
    return lambda live=False, **settings: preview_run(make_config(**settings), registry=make_registry(fakes, live=live))


def test_a_dry_run_counts_the_defects(run, preview, tmp_path):
    planned = preview(per_image=4, balance="hairline_crack=3,oil_stain=1")
    assert planned["defects_to_make"] == {"hairline_crack": 18, "oil_stain": 6}
    assert planned["llm_calls"] == 1
    assert not (tmp_path / "out").exists()
    assert "defects_to_make" not in preview()
    run(per_image=4, balance="hairline_crack=3,oil_stain=1", limit=2)
    left = preview(per_image=4, balance="hairline_crack=3,oil_stain=1")["defects_to_make"]
    assert sum(left.values()) == 16
    assert json.dumps(left)


def test_a_dry_run_does_not_ask_a_live_llm(preview, fakes):
    assert "defects_to_make" not in preview(live=True, balance="even")
    assert fakes["llm"].asked == []


def test_a_dry_run_refuses_an_unknown_name(preview):
    with pytest.raises(UsageError, match="got 'dent'"):
        preview(balance="dent=1")
