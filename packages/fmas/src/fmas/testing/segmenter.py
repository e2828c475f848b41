"""Checks a segmenter."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from fmas.protocols import BatchSegmenter, Segmenter
from fmas.testing.conformance import require, require_image, require_number, require_protocol, require_untouched
from fmas.testing.fingerprint import check_fingerprint, require_same_fingerprint
from fmas.testing.pictures import disc_photo, flat_photo, grey, texture_photo
from fmas.types import Foreground, RGBImage

__all__ = ["check_segmenter"]


def check_segmenter(component: Segmenter, *, tolerance: float = 0.0) -> None:
    """Check a segmenter on a disc, a texture, a flat and a grey picture of odd sizes.

    It may call any of them an object or a texture, but must return a mask of the picture's size that is not empty, all
    ``True`` for a texture, the same at every call, with a confidence in ``[0, 1]``. One that takes several at once must
    find the same in each as in the picture alone.

    Args:
        component: What to check.
        tolerance: The share of a mask's pixels that may differ between a picture in a batch and the same picture alone;
            0 unless the arithmetic of a GPU depends on the batch size.

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
    found = {what: _check_foreground(component, picture, what) for what, picture in pictures.items()}
    if isinstance(component, BatchSegmenter):
        _check_batch(component, pictures, found, tolerance)
    require_same_fingerprint(component, before, after="segmenting")


def _check_foreground(component: Segmenter, picture: RGBImage, what: str) -> Foreground:
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
    return Foreground(again.mask.copy(), again.kind, again.confidence)  # it may use its buffer again


def _check_batch(
    component: BatchSegmenter, pictures: Mapping[str, RGBImage], alone: Mapping[str, Foreground], tolerance: float
) -> None:
    size = component.batch_size
    require(
        type(size) is int and size >= 1,
        expected="an int of at least 1 as batch_size",
        got=repr(size),
        fix="return 1 if it is no faster with more",
    )
    given = [picture.copy() for picture in pictures.values()]
    together = list(component.segment_many(given))
    require(
        len(together) == len(given),
        expected=f"one foreground per picture, {len(given)}, from segment_many()",
        got=len(together),
        fix="return them in the order of the pictures, and raise if one cannot be segmented",
    )
    for (what, picture), handed, found in zip(pictures.items(), given, together, strict=True):
        require_untouched(handed, picture, what=f"the picture ({what})")
        require_image(found.mask, picture.shape[:2], np.bool_, what=f"the mask of {what} in a batch")
        different = float((found.mask != alone[what].mask).mean())
        require(
            found.kind == alone[what].kind and different <= tolerance,
            expected=f"the same foreground of {what} in a batch as alone",
            got=f"{found.kind} instead of {alone[what].kind}, {different:.1%} of the mask's pixels differ",
            fix="let no picture of a batch change what is found in another",
        )
