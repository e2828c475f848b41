from __future__ import annotations

import gc
import threading
import tracemalloc
from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fmas.errors import ComponentError, ImageError
from fmas.types import Fingerprint, FloatMap, Foreground, RGBImage
from fmas_providers.detectors.scoring.gate import Gate
from fmas_providers.detectors.scoring.options import ScoringOptions
from fmas_providers.detectors.scoring.scorer import MapScorer

OPEN = ScoringOptions(gate=False, tile=64, overlap=16, score_batch=3)


def redness(pictures: np.ndarray) -> FloatMap:
    """Stand in for a network: looks at each pixel alone."""
    return np.clip((pictures[:, 0] - pictures[:, 1]) / 4, 0, 1)


def contrast(pictures: np.ndarray) -> FloatMap:
    """Stand in for a network that sees only what is small: the difference to a 33-pixel blur."""
    maps = [np.abs(one[1] - cv2.blur(one[1], (33, 33))) / 4 for one in pictures]
    return np.clip(np.stack(maps), 0, 1).astype(np.float32)


def noise(height: int, width: int, seed: int = 0) -> RGBImage:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


class Half:
    """A segmenter that takes the left half for the product."""

    def __init__(self) -> None:
        self.threads: set[int] = set()

    def segment(self, image: RGBImage) -> Foreground:
        self.threads.add(threading.get_ident())
        mask = np.zeros(image.shape[:2], dtype=bool)
        mask[:, : image.shape[1] // 2] = True
        return Foreground(mask, "object", 1.0)

    def fingerprint(self) -> Fingerprint:
        return Fingerprint("half", "1")


SIZES = st.lists(st.tuples(st.integers(1, 150), st.integers(1, 150)), max_size=6)


@settings(deadline=None, max_examples=60)
@given(SIZES, st.integers(1, 9))
def test_every_picture_comes_back_in_order_and_size(sizes: list[tuple[int, int]], batch: int) -> None:
    images = [noise(*size, seed) for seed, size in enumerate(sizes)]
    scorer = MapScorer(redness, OPEN.model_copy(update={"score_batch": batch}), multiple=16)
    results = list(scorer.score(iter(images)))
    assert len(results) == len(images)
    for image, (values, score) in zip(images, results, strict=True):
        expected = np.clip((image[..., 0].astype(np.float32) - image[..., 1]) / 256, 0, 1)
        assert values.dtype == np.float32
        np.testing.assert_allclose(values, expected, atol=1e-6)
        assert 0 <= score <= values.max() + 1e-6


def test_a_result_does_not_depend_on_what_is_scored_beside_it() -> None:
    images = [noise(*size, 7) for size in ((40, 50), (150, 90), (64, 64), (40, 50), (10, 200))]
    scorer = MapScorer(contrast, OPEN, multiple=16)
    together = list(scorer.score(images))
    backwards = list(scorer.score(images[::-1]))[::-1]
    alone = [next(scorer.score([image])) for image in images]
    for one, other, third in zip(together, backwards, alone, strict=True):
        assert np.array_equal(one[0], other[0])
        assert np.array_equal(one[0], third[0])
        assert one[1] == other[1] == third[1]


def test_tiles_of_several_pictures_go_through_the_network_together() -> None:
    shapes = []

    def forward(pictures: np.ndarray) -> FloatMap:
        shapes.append(pictures.shape)
        return redness(pictures)

    list(MapScorer(forward, OPEN, multiple=16).score([noise(40, 40)] * 3 + [noise(40, 60)] + [noise(40, 40)] * 3))
    assert sorted(shapes) == [(1, 3, 48, 64), (3, 3, 48, 48), (3, 3, 48, 48)]


def test_pictures_are_yielded_as_soon_as_they_are_complete() -> None:
    read = 0

    def images() -> Iterator[RGBImage]:
        nonlocal read
        for _ in range(20):
            read += 1
            yield noise(30, 30)

    scores = MapScorer(redness, OPEN, multiple=16).score(images())
    assert read == 0
    next(scores)
    assert read == 3  # a batch


def test_a_defect_of_twelve_pixels_is_found_on_a_photograph_of_twelve_megapixels() -> None:
    rng = np.random.default_rng(11)
    blotches = cv2.resize(rng.normal(128, 4, (94, 125)).astype(np.float32), (4000, 3000))
    good = (blotches + rng.normal(0, 6, (3000, 4000)).astype(np.float32)).astype(np.uint8)[..., np.newaxis].repeat(3, 2)
    defective = good.copy()
    cv2.circle(defective, (2711, 1234), 6, (60, 60, 60), -1)
    options = ScoringOptions(gate=False)

    tiled = [score for _, score in MapScorer(contrast, options, multiple=16).score([good, defective])]
    shrunk = [cv2.resize(one, (256, 192), interpolation=cv2.INTER_AREA) for one in (good, defective)]
    whole = [score for _, score in MapScorer(contrast, options, multiple=16).score(shrunk)]
    assert tiled[1] > 3 * tiled[0]
    assert whole[1] < 1.2 * whole[0]

    values = next(MapScorer(contrast, options, multiple=16).score([defective]))[0]
    row, column = np.unravel_index(values.argmax(), values.shape)
    assert abs(row - 1234) <= 6
    assert abs(column - 2711) <= 6


def test_memory_holds_one_large_photograph() -> None:
    megapixels = 3
    image = np.full((1500, 2000, 3), 90, np.uint8)

    def images(count: int) -> Iterator[RGBImage]:
        for _ in range(count):
            yield image.copy()

    def peak(count: int) -> float:
        gc.collect()
        tracemalloc.start()
        try:
            for _ in MapScorer(redness, ScoringOptions(gate=False, tile=256, overlap=32), multiple=16).score(
                images(count)
            ):
                pass
            return tracemalloc.get_traced_memory()[1] / 1e6
        finally:
            tracemalloc.stop()

    one, many = peak(1), peak(8)
    # A map, its smoothed copy and the row of tiles are 4 bytes a pixel each, the photograph 3.
    assert one < 20 * megapixels
    assert many < one + 9 * 8.4  # pictures that wait for company: 8 megapixels, 3 + 4 bytes each


def test_what_lies_outside_the_product_scores_nothing() -> None:
    image = np.zeros((60, 100, 3), np.uint8)
    image[20:30, 80:90] = (255, 0, 0)
    segmenter = Half()
    options = OPEN.model_copy(update={"gate": True})
    gated = MapScorer(redness, options, multiple=16, gate=Gate(segmenter, margin=0.02))
    values, score = next(gated.score([image]))
    assert not values.any()
    assert score == 0
    assert threading.get_ident() not in segmenter.threads
    on_the_product = np.ascontiguousarray(image[:, ::-1])
    assert next(gated.score([on_the_product]))[1] > 0.9
    assert next(MapScorer(redness, OPEN, multiple=16).score([image]))[1] > 0.9


def test_the_gate_is_the_named_segmenters() -> None:
    image = np.full((120, 160, 3), 200, np.uint8)
    image[40:80, 50:110] = (40, 60, 50)
    image[5:15, 5:15] = (255, 0, 0)
    options = ScoringOptions(tile=64, overlap=16)
    assert next(MapScorer(redness, options, multiple=16).score([image]))[1] == 0
    assert next(MapScorer(redness, options.model_copy(update={"gate": False}), multiple=16).score([image]))[1] > 0.5


def test_stopping_early_leaves_no_thread() -> None:
    before = threading.active_count()
    scores = MapScorer(
        redness, OPEN.model_copy(update={"gate": True}), multiple=16, gate=Gate(Half(), margin=0.0)
    ).score([noise(30, 30)] * 9)
    next(scores)
    scores.close()
    assert threading.active_count() == before


def test_an_error_of_the_segmenter_arrives() -> None:
    class Failing(Half):
        def segment(self, image: RGBImage) -> Foreground:
            raise ComponentError("no product here")

    options = OPEN.model_copy(update={"gate": True})
    scorer = MapScorer(redness, options, multiple=16, gate=Gate(Failing(), margin=0.0))
    with pytest.raises(ComponentError, match="no product"):
        list(scorer.score([noise(30, 30)]))


@pytest.mark.parametrize(
    "image",
    [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)],
)
def test_only_rgb_pictures_are_taken(image: np.ndarray) -> None:
    with pytest.raises(ImageError, match="convert it to 8-bit RGB"):
        list(MapScorer(redness, OPEN, multiple=16).score([image]))


def test_a_network_of_another_size_is_refused() -> None:
    with pytest.raises(ComponentError, match="height and width"):
        list(MapScorer(lambda pictures: pictures[:, 0, ::2], OPEN, multiple=16).score([noise(20, 20)]))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_network_that_is_not_finite_is_refused(bad: float) -> None:
    def forward(pictures: np.ndarray) -> FloatMap:
        maps = redness(pictures)
        maps[0, 3, 3] = bad
        return maps

    with pytest.raises(ComponentError, match="finite"):
        list(MapScorer(forward, OPEN, multiple=16).score([noise(20, 20)]))


@pytest.mark.parametrize("wrong", [{"overlap": 300}, {"tile": 8}, {"top_fraction": 0}, {"gate_margin": -1}, {"no": 1}])
def test_options_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ScoringOptions.model_validate(wrong)
