from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from fmas.errors import ComponentError, UnknownComponentError
from fmas.types import BoolMask, Fingerprint, Foreground, RGBImage
from fmas_providers.detectors.scoring.gate import LEAST_CONFIDENCE, Gate, GateReference, apply_gate


class Named:
    """A segmenter that says what a function of the picture says."""

    def __init__(self, say: Callable[[RGBImage], Foreground]) -> None:
        self.say = say
        self.sizes: list[tuple[int, ...]] = []

    def segment(self, image: RGBImage) -> Foreground:
        self.sizes.append(image.shape[:2])
        return self.say(image)

    def fingerprint(self) -> Fingerprint:
        return Fingerprint("named", "1")


def centre(image: RGBImage, share: float = 0.5) -> BoolMask:
    height, width = image.shape[:2]
    mask = np.zeros((height, width), dtype=bool)
    top, left = round(height * (1 - share) / 2), round(width * (1 - share) / 2)
    mask[top : height - top, left : width - left] = True
    return mask


def an_object(image: RGBImage) -> Foreground:
    return Foreground(centre(image), "object", 0.9)


def gate(say: Callable[[RGBImage], Foreground] = an_object, **more: object) -> Gate:
    return Gate(Named(say), **{"margin": 0.02, **more})


def photo(height: int = 200, width: int = 200) -> RGBImage:
    return np.zeros((height, width, 3), np.uint8)


def test_the_product_and_its_margin_count_and_the_surroundings_do_not() -> None:
    weights = gate(margin=0.05).find(photo())
    assert weights is not None
    assert weights.dtype == np.float32
    assert weights.shape == (200, 200)
    row = weights[100]
    assert (row[50:150] == 1).all()  # the product
    assert (row[40:160] == 1).all()  # 10 pixels are the margin
    assert not row[:34].any()
    assert not row[166:].any()


def test_its_edge_is_soft_and_falls_outwards() -> None:
    weights = gate(margin=0.1).find(photo())
    assert weights is not None
    edge = weights[100, 20:31]
    assert (np.diff(edge) >= 0).all()
    assert np.abs(np.diff(edge)).max() < 0.2
    assert 0 < edge[5] < 1


def test_the_margin_grows_with_the_picture() -> None:
    small, large = gate(margin=0.05).find(photo()), gate(margin=0.05).find(photo(400, 400))
    assert small is not None
    assert large is not None
    assert abs(large.mean() - small.mean()) < 0.01


def test_large_photographs_are_segmented_small() -> None:
    segmenter = Named(an_object)
    weights = Gate(segmenter, margin=0.02).find(photo(3000, 4000))
    assert segmenter.sizes == [(768, 1024)]
    assert weights is not None
    assert weights.shape == (3000, 4000)
    assert (weights[750:2250, 1000:3000] == 1).all()
    assert not weights[:, :800].any()


def test_everything_counts_on_a_texture() -> None:
    assert gate(lambda image: Foreground(np.ones(image.shape[:2], dtype=bool), "texture", 0.9)).find(photo()) is None
    assert gate(lambda image: Foreground(centre(image), "texture", 0.9)).find(photo()) is None


def test_everything_counts_when_the_segmenter_is_unsure() -> None:
    assert gate(lambda image: Foreground(centre(image), "object", LEAST_CONFIDENCE - 0.01)).find(photo()) is None
    assert gate(lambda image: Foreground(centre(image), "object", LEAST_CONFIDENCE)).find(photo()) is not None


def test_everything_counts_when_the_product_fills_the_picture() -> None:
    assert gate(lambda image: Foreground(np.ones(image.shape[:2], dtype=bool), "object", 1.0)).find(photo()) is None
    assert gate(lambda image: Foreground(centre(image, 0.98), "object", 1.0)).find(photo()) is None


def test_without_a_margin_the_product_alone_counts() -> None:
    weights = gate(margin=0.0).find(photo())
    assert weights is not None
    assert (weights == centre(photo())).all()


def test_half_of_the_usual_part_is_not_believed() -> None:
    usual = GateReference(objects=1.0, area=0.25)
    assert gate(reference=usual).find(photo()) is not None
    assert gate(lambda image: Foreground(centre(image, 0.35), "object", 0.9), reference=usual).find(photo()) is None


def test_on_what_is_usually_a_texture_no_object_is_even_sought() -> None:
    segmenter = Named(an_object)
    assert Gate(segmenter, margin=0.02, reference=GateReference(objects=0.1, area=0.25)).find(photo()) is None
    assert segmenter.sizes == []


def test_what_good_parts_are_like_is_learnt() -> None:
    shares = iter([0.5, 0.4, 0.6, 0.0])

    def say(image: RGBImage) -> Foreground:
        share = next(shares)
        return Foreground(centre(image, share or 0.1), "object", 0.9 if share else 0.2)

    assert gate(say).learn([photo()] * 4) == GateReference(objects=0.75, area=0.25)
    assert gate().learn([]) == GateReference(0.0, 0.0)


def test_a_reference_survives_json() -> None:
    reference = GateReference(0.75, 0.25)
    assert GateReference.from_json(reference.to_json()) == reference


@pytest.mark.parametrize("values", [{}, {"objects": 0.5}, {"objects": 2, "area": 0.1}, {"objects": True, "area": "a"}])
def test_a_damaged_reference_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"expected a number in \[0, 1\]"):
        GateReference.from_json(values)


def test_a_segmenter_that_breaks_its_contract_is_named() -> None:
    broken = gate(lambda image: Foreground(np.ones((3, 3), dtype=bool), "object", 0.9))
    with pytest.raises(ComponentError, match="from the segmenter"):
        broken.find(photo())


def test_segmenters_are_found_by_name() -> None:
    found = Gate.named("builtin", margin=0.02)
    assert found.fingerprint().name == "builtin"
    picture = np.full((160, 200, 3), 200, np.uint8)
    picture[50:110, 60:140] = (40, 60, 50)
    weights = found.find(picture)
    assert weights is not None
    assert (weights[55:105, 65:135] == 1).all()
    assert not weights[:30].any()
    with pytest.raises(UnknownComponentError, match="builtin"):
        Gate.named("builtim", margin=0.02)


def test_threads_never_share_a_segmenter() -> None:
    def say(image: RGBImage) -> Foreground:
        with lock:
            busy.append(len(busy))
            together.append(len(busy))
        time.sleep(0.005)
        with lock:
            busy.pop()
        return an_object(image)

    busy: list[int] = []
    together: list[int] = []
    lock = threading.Lock()
    shared = Gate(Named(say), Named(say), margin=0.02)
    assert shared.threads == 2
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(shared.find, [photo()] * 24))
    assert max(together) == 2
    assert all(np.array_equal(one, found[0]) for one in found)


def test_a_light_segmenter_is_there_for_several_threads() -> None:
    assert Gate.named("builtin", margin=0.02).threads == min(os.cpu_count() or 1, 4)


def test_closing_the_gate_is_a_product_and_no_gate_changes_nothing() -> None:
    values = np.full((4, 4), 0.5, np.float32)
    apply_gate(values, None)
    assert (values == 0.5).all()
    weights = np.zeros((4, 4), np.float32)
    weights[1:3] = 1
    apply_gate(values, weights)
    assert np.array_equal(values, weights / 2)
