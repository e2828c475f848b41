"""``fmas benchmark`` reports what ``fmas_evaluate`` says about the same maps."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fmas_evaluate
from fmas.benchmark.ruler import MEASURES, ScoredImage
from fmas.benchmark.statistics import differences, figures, mean_of
from fmas.cli import benchmark as command

pytestmark = pytest.mark.integration


def scene(seed: int, skill: float) -> list[ScoredImage]:
    """Twelve images of different sizes, every other one with a defect."""
    rng, sizes = np.random.default_rng([seed, int(100 * skill)]), np.random.default_rng(seed)
    images = []
    for number in range(12):
        height, width = (int(side) for side in sizes.integers(12, 24, 2))
        mask = np.zeros((height, width), dtype=np.bool_)
        mask[2:7, 3:9] = True
        values = rng.normal(size=(height, width)) + skill * mask * (number % 2)
        images.append(ScoredImage(values.astype(np.float32), mask if number % 2 else None, float(values.max())))
    return images


def arguments(images: list[ScoredImage]) -> tuple[list[object], list[object]]:
    return [image.map for image in images], [image.mask for image in images]


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.2, 3.0))
def test_values_and_intervals_are_the_rulers(seed: int, skill: float) -> None:
    images = scene(seed, skill)
    found = figures([command._ruler().sample(images, seed=7)])
    maps, masks = arguments(images)
    scores = [image.score for image in images]
    exact = fmas_evaluate.evaluate(maps, masks, image_scores=scores, max_fpr=0.3)
    drawn = fmas_evaluate.bootstrap(maps, masks, image_scores=scores, max_fpr=0.3, seed=7)

    assert set(found) == set(MEASURES)
    for name, figure in found.items():
        assert figure.mean == pytest.approx(float(exact[name]), abs=1e-12)
        assert (figure.lower, figure.upper) == pytest.approx((drawn[name].lower, drawn[name].upper))


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.2, 3.0), st.floats(0.2, 3.0))
def test_p_values_are_those_of_compare(seed: int, ours: float, theirs: float) -> None:
    one, two = scene(seed, ours), scene(seed, theirs)
    ruler = command._ruler()
    found = differences(ruler.sample(one, seed=3), ruler.sample(two, seed=3))
    compared = fmas_evaluate.compare(
        arguments(one)[0],
        arguments(two)[0],
        arguments(one)[1],
        first_image_scores=[image.score for image in one],
        second_image_scores=[image.score for image in two],
        max_fpr=0.3,
        seed=3,
    )
    for name, difference in found.items():
        expected = compared[name]
        assert difference.difference == pytest.approx(expected.difference, abs=1e-12)
        assert (difference.lower, difference.upper) == pytest.approx((expected.lower, expected.upper))
        assert difference.p_value == expected.p_value


def test_seeds_share_their_draws() -> None:
    """The interval of a mean of equal runs is that of one run: every seed saw the same draws of images."""
    ruler = command._ruler()
    one, again = (ruler.sample(scene(1, 1.0), seed=5) for _ in range(2))
    single, both = figures([one])["aupro"], figures([one, again])["aupro"]
    assert (both.lower, both.upper) == (single.lower, single.upper)
    assert mean_of([one, again]).values == pytest.approx(one.values)


def test_nothing_but_the_commands_body_knows_the_ruler() -> None:
    folder = Path(sys.modules["fmas"].__path__[0])
    knows = [path for path in folder.rglob("*.py") if "import fmas_evaluate" in path.read_text(encoding="utf-8")]
    assert [path.relative_to(folder).as_posix() for path in knows] == ["cli/benchmark.py"]
