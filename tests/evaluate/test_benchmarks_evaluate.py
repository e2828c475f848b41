"""The benchmarks run, small, and what they compare with is itself right."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "packages/evaluate/benchmarks"
SMALL = {
    "bench_agreement.py": ("--cases", "20"),
    "bench_alternatives.py": ("--maps", "2", "--size", "64", "--rounds", "1"),
    "bench_bootstrap.py": ("--maps", "9", "--size", "32", "--replicates", "20", "--rounds", "1"),
    "bench_certified.py": ("--trials", "200", "--partitions", "20"),
    "bench_speed.py": ("--maps", "2", "--size", "64", "--rounds", "1", "--no-anchors"),
    "bench_stream.py": ("--pixels", "1000000", "--widths", "12", "--two-pass"),
}


@pytest.fixture
def anchors(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(BENCHMARKS)
    import anchors

    return anchors


def test_every_benchmark_is_tried() -> None:
    assert sorted(path.name for path in BENCHMARKS.glob("bench_*.py")) == sorted(SMALL)


@pytest.mark.integration
@pytest.mark.parametrize("name", SMALL)
def test_a_benchmark_runs(name: str, tmp_path: Path) -> None:
    target = tmp_path / "numbers.json"
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / name), *SMALL[name], "--json", str(target)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "| --- |" in done.stdout
    facts = json.loads(target.read_text(encoding="utf-8"))
    assert facts["benchmark"] in name
    assert len(facts) > 3, "a benchmark writes numbers, too"


def test_brute_force_on_a_case_worked_by_hand(anchors: ModuleType) -> None:
    # Two regions, of two pixels (5, 2) and of one (4); six normal pixels 5, 3, 2, 1, 0, 0.
    scores = np.array([[5.0, 5.0, 0.0], [2.0, 3.0, 0.0], [1.0, 2.0, 4.0]])
    mask = np.array([[1, 0, 0], [1, 0, 0], [0, 0, 1]], dtype=bool)
    found = anchors.brute_force([scores], [mask], (1.0, 0.25))
    # Of the 18 pairs, 5 wins 5 and ties 1, 4 wins 5, 2 wins 3 and ties 1.
    assert found["pixel_auroc"] == 14 / 18
    # At 5: 1 of 2 right; at 4: 2 of 3; at 2: 3 of 6.
    assert found["average_precision"] == pytest.approx((1 / 2 + 2 / 3 + 3 / 6) / 3, abs=1e-15)
    assert (found["f1_max"], found["threshold"]) == (2 / 3, 4.0)
    # Overlap 1/4 at a rate of 1/6, 3/4 there and at 2/6, 1 at 3/6.
    corners = [(0, 0), (1 / 6, 1 / 4), (1 / 6, 3 / 4), (2 / 6, 3 / 4), (3 / 6, 1), (1, 1)]
    whole = sum((right - left) * (low + high) / 2 for (left, low), (right, high) in itertools.pairwise(corners))
    assert found["aupro@1"] == pytest.approx(whole, abs=1e-15)
    assert found["aupro@0.25"] == pytest.approx((1 / 48 + 1 / 12 * 3 / 4) / 0.25, abs=1e-15)


def test_flood_fill_joins_corners(anchors: ModuleType) -> None:
    assert [len(region) for region in anchors.flood_fill(np.eye(5, dtype=bool))] == [5]
    assert sorted(len(region) for region in anchors.flood_fill(np.array([[1, 0, 1], [1, 0, 0]], dtype=bool))) == [1, 2]


def test_the_official_method_agrees_with_brute_force(anchors: ModuleType) -> None:
    from synthetic_maps import random_case

    random = np.random.default_rng(1)
    for _ in range(20):
        maps, masks = random_case(random)
        truth = anchors.brute_force(maps, masks, (0.3,))["aupro@0.3"]
        assert anchors.official_pro(maps, masks, 0.3) == pytest.approx(truth, abs=1e-12)
