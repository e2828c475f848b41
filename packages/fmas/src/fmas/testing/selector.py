"""Checks a selector."""

from __future__ import annotations

import numpy as np

from fmas.protocols import Selector
from fmas.testing.conformance import require, require_number, require_protocol, require_untouched
from fmas.testing.fingerprint import check_fingerprint, require_same_fingerprint
from fmas.testing.pictures import disc_mask, disc_photo
from fmas.types import BoolMask, RGBImage

__all__ = ["check_selector"]


def check_selector(component: Selector, *, zero: float = 1e-6) -> None:
    """Check that a selector's score is a distance: 0 for the same picture, and larger for a stronger change.

    Args:
        component: What to check.
        zero: The largest score of two equal pictures that still counts as 0, for rounding.

    Raises:
        ConformanceError: At the first breach.
    """
    require_protocol(component, Selector)
    before = check_fingerprint(component)
    original = disc_photo(75, 93)
    pixel, corner = np.zeros((2, 75, 93), dtype=np.bool_)
    pixel[40, 45] = True
    corner[:2, :2] = True
    masks = {"a disc": disc_mask(75, 93, scale=0.2), "one pixel": pixel, "a corner of 2x2 pixels": corner}
    for what, mask in masks.items():
        _check_distance(component, original, mask, what, zero)
    _check_box(component, zero)
    require_same_fingerprint(component, before, after="scoring")


def _check_distance(component: Selector, original: RGBImage, mask: BoolMask, what: str, zero: float) -> None:
    same = _score(component, original, original.copy(), mask, what)
    require(
        same <= zero,
        expected=f"0 for two equal pictures inside {what}",
        got=repr(same),
        fix="return a distance, not a similarity",
    )
    weak = _score(component, original, _darkened(original, mask, 0.85), mask, what)
    strong = _score(component, original, _darkened(original, mask, 0.25), mask, what)
    require(
        zero < weak < strong,
        expected=f"a larger score for a stronger change inside {what}",
        got=f"{weak!r} for a weak and {strong!r} for a strong one",
        fix="measure inside the mask's box, and do not saturate",
    )


def _check_box(component: Selector, zero: float) -> None:
    original = disc_photo(161, 161)
    candidate = original.copy()
    candidate[:4, :4] = 0
    outside = _score(component, original, candidate, disc_mask(161, 161, scale=0.1), "a small disc")
    require(
        outside <= zero,
        expected="0 for a change that is 60 pixels away from the mask's box",
        got=repr(outside),
        fix="crop both pictures to the mask's box, with a margin if your model needs one",
    )


def _darkened(original: RGBImage, mask: BoolMask, factor: float) -> RGBImage:
    candidate = original.copy()
    candidate[mask] = (candidate[mask] * factor).astype(np.uint8)
    return candidate


def _score(component: Selector, original: RGBImage, candidate: RGBImage, mask: BoolMask, what: str) -> float:
    given = original.copy(), candidate.copy(), mask.copy()
    score = component.score(*given)
    for array, before, name in zip(given, (original, candidate, mask), ("original", "candidate", "mask"), strict=True):
        require_untouched(array, before, what=f"the {name}")
    require_number(
        score,
        lowest=0.0,
        what=f"the score for {what}",
        fix="convert it by float(), and give small masks a box that is large enough for your model",
    )
    again = component.score(original.copy(), candidate.copy(), mask.copy())
    require(
        again == score,
        expected="the same score at every call",
        got=f"{score!r}, then {again!r}",
        fix="seed whatever is random, and keep no state between calls",
    )
    return score
