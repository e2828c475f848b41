"""Checks a detector."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from fmas.protocols import Detector
from fmas.testing.conformance import require, require_image, require_number, require_protocol, require_untouched
from fmas.testing.fingerprint import check_fingerprint, require_same_fingerprint
from fmas.testing.pictures import disc_mask, disc_photo, texture_photo
from fmas.types import FloatMap, NormalSyntheticMask, RGBImage

__all__ = ["check_detector"]


def check_detector(
    component: Detector,
    tmp_path: Path,
    *,
    fresh: Callable[[], Detector] | None = None,
    side: int = 64,
    tolerance: float = 1e-5,
) -> None:
    """Check that a detector fits, scores in order, and scores the same after saving and loading.

    Args:
        component: What to check, not fitted yet.
        tmp_path: An empty folder to save into.
        fresh: Creates another unfitted detector of the same options, to load into; a deep copy of ``component``
            without it.
        side: Height of the pictures to learn from, in pixels; what is scored has other sizes, too.
        tolerance: The largest allowed difference between two scorings of one picture, as a part of the largest score.

    Raises:
        ConformanceError: At the first breach.
    """
    require_protocol(component, Detector)
    before = check_fingerprint(component)
    restored = copy.deepcopy(component) if fresh is None else fresh()
    pairs = [_pair(side, index) for index in range(4)]
    copies = [(one.normal.copy(), one.synthetic.copy(), one.mask.copy()) for one in pairs]
    component.fit(iter(pairs))
    for pair, (normal, synthetic, mask) in zip(pairs, copies, strict=True):
        require_untouched(pair.normal, normal, what="a normal picture")
        require_untouched(pair.synthetic, synthetic, what="a synthetic picture")
        require_untouched(pair.mask, mask, what="a mask")

    pictures = [pairs[0].normal, disc_photo(side, side + 29), texture_photo(side + 13, side), pairs[1].synthetic]
    first = _score(component, pictures)
    _require_same(first, _score(component, pictures), "the same scores at every call", tolerance)
    _require_same(first, _score(component, pictures[::-1])[::-1], "scores that do not depend on the order", tolerance)
    directory = tmp_path / "model"
    directory.mkdir()
    component.save(directory)
    require(
        any(directory.iterdir()), expected="files in the folder given to save()", got="none", fix="write there, only"
    )
    restored.load(directory)
    _require_same(first, _score(restored, pictures), "the same scores after save() and load()", tolerance)
    require_same_fingerprint(component, before, after="fitting")
    require_same_fingerprint(restored, before, after="loading")


def _pair(side: int, index: int) -> NormalSyntheticMask:
    normal = np.roll(disc_photo(side, side), 2 * index, axis=1)
    mask = np.roll(disc_mask(side, side, scale=0.1), (index, -2 * index), axis=(0, 1))
    synthetic = normal.copy()
    synthetic[mask] = (15, 20 + index, 25)
    return NormalSyntheticMask(normal, synthetic, mask)


def _score(component: Detector, pictures: Sequence[RGBImage]) -> list[tuple[FloatMap, float]]:
    given = [picture.copy() for picture in pictures]
    scores = component.score(iter(given))
    require(
        isinstance(scores, Iterator),
        expected="an iterator from score()",
        got=f"a {type(scores).__name__}",
        fix="yield one result after the other, so that a folder of any size fits into memory",
    )
    results = [(np.array(anomaly_map), score) for anomaly_map, score in scores]
    require(
        len(results) == len(pictures),
        expected=f"one result per picture, {len(pictures)}",
        got=len(results),
        fix="yield one for each, the last batch included",
    )
    for (anomaly_map, score), image, picture in zip(results, given, pictures, strict=True):
        require_untouched(image, picture, what="a picture to score")
        require_image(
            anomaly_map, picture.shape[:2], np.float32, what="the anomaly map, in the picture's size and order,"
        )
        require_number(score, what="the image score", fix="convert it by float(), and look for a division by zero")
        require(
            np.isfinite(anomaly_map).all(),
            expected="finite anomaly maps",
            got=f"one from {anomaly_map.min()} to {anomaly_map.max()}",
            fix="look for a division by zero",
        )
    return results


def _require_same(
    first: list[tuple[FloatMap, float]], second: list[tuple[FloatMap, float]], expected: str, tolerance: float
) -> None:
    largest = max(max(float(np.abs(one).max()), abs(score)) for one, score in first)
    difference = max(
        max(float(np.abs(one - other).max()), abs(score - other_score))
        for (one, score), (other, other_score) in zip(first, second, strict=True)
    )
    require(
        difference <= tolerance * largest,
        expected=expected,
        got=f"a difference of {difference} where the largest score is {largest}",
        fix="switch the model to evaluation, and save all that fit() learnt",
    )
