from __future__ import annotations

import hashlib
import json

from hypothesis import given
from hypothesis import strategies as st

from fmas.seeds import SampleSeeds


def test_candidate_seed_is_the_documented_hash():
    digest = hashlib.sha256(b"7|tile|a/b.png|2|3|1").digest()
    assert SampleSeeds(7, "tile", "a/b.png", 2).candidate(3, 1) == int.from_bytes(digest[:8], "big") >> 11


@given(st.integers(0, 2**63 - 1), st.text(), st.integers(0, 50), st.integers(0, 50))
def test_seed_survives_json_and_javascript(run_seed, relative, candidate, attempt):
    seed = SampleSeeds(run_seed, "c", relative, 0).candidate(candidate, attempt)
    assert 0 <= seed < 2**53
    assert json.loads(json.dumps(float(seed))) == seed


def test_every_part_of_the_identity_changes_the_seed():
    base = SampleSeeds(0, "a", "x.png", 0).candidate(0, 0)
    others = [
        SampleSeeds(1, "a", "x.png", 0).candidate(0, 0),
        SampleSeeds(0, "b", "x.png", 0).candidate(0, 0),
        SampleSeeds(0, "a", "y.png", 0).candidate(0, 0),
        SampleSeeds(0, "a", "x.png", 1).candidate(0, 0),
        SampleSeeds(0, "a", "x.png", 0).candidate(1, 0),
        SampleSeeds(0, "a", "x.png", 0).candidate(0, 1),
    ]
    assert len({base, *others}) == 7


def test_decisions_have_generators_of_their_own():
    seeds = SampleSeeds(0, "a", "x.png", 0)
    first, second = seeds.generator("region").random(4), seeds.generator("defect").random(4)
    assert (first == seeds.generator("region").random(4)).all()
    assert (first != second).all()


def test_fraction_is_spread_evenly():
    fractions = [SampleSeeds(0, "a", f"{number}.png", 0).fraction("holdout") for number in range(2000)]
    assert all(0 <= fraction < 1 for fraction in fractions)
    assert 0.27 < sum(fraction < 0.3 for fraction in fractions) / 2000 < 0.33
