"""Checks a segmenter."""

from __future__ import annotations

import numpy as np

from fmas.protocols import Segmenter
from fmas.testing.conformance import require, require_image, require_number, require_protocol, require_untouched
from fmas.testing.fingerprint import check_fingerprint, require_same_fingerprint
from fmas.testing.pictures import disc_photo, flat_photo, grey, texture_photo
from fmas.types import Foreground, RGBImage

__all__ = ["check_segmenter"]


def check_segmenter(component: Segmenter) -> None:
    """Check a segmenter on a disc, a texture, a flat and a grey picture of odd sizes.

    It may call any of them an object or a texture, but must return a mask of the picture's size that is not empty, all
    ``True`` for a texture, the same at every call, with a confidence in ``[0, 1]``.

    Raises:
        ConformanceError: At the first breach.
    """
    require_protocol(component, Segmenter)
    before = check_fingerprint(component)
    pictures = {
        "a disc": disc_photo(61, 47),
        "a wide disc": disc_photo(40, 97),
        "a grey disc": grey(disc_photo(64, 64)),
        "a texture": texture_photo(53, 67),
        "a grey texture": grey(texture_photo(48, 33)),
        "a flat picture": flat_photo(35, 49),
    }
    for what, picture in pictures.items():
        _check_foreground(component, picture, what)
    require_same_fingerprint(component, before, after="segmenting")


def _check_foreground(component: Segmenter, picture: RGBImage, what: str) -> None:
    given = picture.copy()
    found = component.segment(given)
    require_untouched(given, picture, what=f"the picture ({what})")
    require(
        isinstance(found, Foreground),
        expected="segment() to return a fmas.types.Foreground",
        got=f"a {type(found).__name__}",
        fix="return Foreground(mask, kind, confidence)",
    )
    require_image(found.mask, picture.shape[:2], np.bool_, what=f"the mask of {what}")
    require(
        found.mask.any(),
        expected=f"a mask with at least one pixel for {what}",
        got="an empty one",
        fix="fall back to the whole picture as a texture, with a low confidence",
    )
    require(
        found.kind in ("object", "texture"),
        expected="object or texture as kind",
        got=repr(found.kind),
        fix="choose one of the two",
    )
    require(
        found.kind == "object" or found.mask.all(),
        expected=f"a mask that is True everywhere for a texture ({what})",
        got=f"{int((~found.mask).sum())} pixels that are False",
        fix="return numpy.ones((H, W), bool) with kind texture",
    )
    require_number(
        found.confidence, lowest=0.0, highest=1.0, what="confidence", fix="scale it, and convert it by float()"
    )
    again = component.segment(picture.copy())
    require(
        again.kind == found.kind and again.confidence == found.confidence and np.array_equal(again.mask, found.mask),
        expected=f"the same foreground at every call ({what})",
        got="another one at the second call",
        fix="seed whatever is random, and keep no state between calls",
    )
