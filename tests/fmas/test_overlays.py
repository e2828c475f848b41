"""Overlays: heat where the map is high, an outline above the threshold, one scale for all."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fmas.calibration import Calibration
from fmas.overlays import MapScale, draw_overlay

SCALE = MapScale(0.2, 0.3, 0.8)
GREY = np.full((400, 500, 3), 100, dtype=np.uint8)


def drawn(image, values, *, score=0.5, verdict="anomalous", scale=SCALE) -> np.ndarray:
    content = draw_overlay(image, values.astype(np.float32), scale, score=score, verdict=verdict)
    with Image.open(io.BytesIO(content)) as picture:
        assert picture.format == "PNG" and picture.mode == "RGB"
        return np.asarray(picture)


def flat(value: float, size: tuple[int, int] = (400, 500)) -> np.ndarray:
    return np.full(size, value, dtype=np.float32)


@given(
    scores=st.lists(st.floats(0, 1e6, allow_subnormal=False), min_size=1, max_size=30),
    own=st.one_of(st.none(), st.floats(-1e6, 1e6, allow_subnormal=False)),
)
def test_scale_is_always_in_order(scores, own):
    calibration = Calibration.from_scores(scores)
    scale = MapScale.from_calibration(calibration, calibration.threshold if own is None else own)
    assert scale.start < scale.threshold < scale.end
    position = scale.position(np.array([scale.start, scale.end], dtype=np.float32))
    assert position[0] <= 0.05 and position[1] >= 0.95


def test_scale_follows_what_is_usual():
    scale = MapScale.from_calibration(Calibration.from_scores([0.1] * 30 + [0.3] * 2), 0.3)
    assert (scale.start, scale.threshold, scale.end) == pytest.approx((0.2, 0.3, 0.5))


def test_below_the_start_the_photograph_is_untouched():
    picture = drawn(GREY, flat(0.2))
    assert (picture[:400] == 100).all()
    assert picture.shape[0] > 400 and picture.shape[1] == 500


def test_heat_and_outline_lie_where_the_map_is_high():
    values = flat(0.0)
    values[100:150, 200:260] = 0.9
    picture = drawn(GREY, values)[:400]
    changed = (picture != 100).any(axis=2)
    rows, columns = np.nonzero(changed)
    assert (rows.min(), rows.max()) == pytest.approx((99, 150), abs=2)
    assert (columns.min(), columns.max()) == pytest.approx((199, 260), abs=2)
    assert changed[100:150, 200:260].all()
    assert (picture[100:150, 200:260].reshape(-1, 3) == 255).all(axis=1).any(), "no outline"
    middle = picture[125, 230].astype(int)
    assert middle[0] > 180 and middle[2] < 100, "the hottest colour is yellow"


def test_no_outline_below_the_threshold():
    values = flat(0.0)
    values[100:150, 200:260] = 0.29
    picture = drawn(GREY, values)[:400]
    assert (picture[125, 230] != 100).any()
    assert not (picture == 255).all(axis=2).any()


def test_a_colour_means_the_same_in_every_overlay():
    other = flat(0.0)
    other[:200] = 0.8
    one = flat(0.0)
    one[100:150, 200:260] = 0.5
    other[300:350, 200:260] = 0.5
    assert (drawn(GREY, one)[125, 230] == drawn(GREY, other)[325, 230]).all()


def test_hotter_is_lighter():
    light = [int(drawn(GREY, flat(value))[200, 250].astype(int).sum()) for value in (0.35, 0.5, 0.65, 0.8)]
    assert light == sorted(light) and len(set(light)) == 4


@pytest.mark.parametrize(("row", "column"), [(1501, 2003), (0, 0), (1500, 3999), (2999, 2000)])
def test_a_speck_survives_shrinking(row, column):
    image = np.full((3000, 4000, 3), 100, dtype=np.uint8)
    values = flat(0.0, (3000, 4000))
    values[row, column] = 0.9
    picture = drawn(image, values)
    assert picture.shape[1] == 1280
    rows, columns = np.nonzero((picture[:960] != 100).any(axis=2))
    assert rows.size and abs(rows.mean() - row * 0.32) < 6 and abs(columns.mean() - column * 0.32) < 6


def test_small_and_narrow_photographs_stay_legible():
    for size in ((16, 16), (300, 40), (8, 900), (2000, 8), (1, 1)):
        picture = drawn(np.full((*size, 3), 100, dtype=np.uint8), flat(0.0, size))
        assert picture.shape[1] >= 480
        strip = picture[-40:]
        assert (strip.max(axis=2) > 200).sum() > 60, "the caption cannot be read"


def test_small_photographs_are_enlarged_pixel_by_pixel():
    image = np.random.default_rng(0).integers(0, 255, (70, 66, 3), dtype=np.uint8)
    picture = drawn(image, flat(0.0, (70, 66)))
    left = (480 - 264) // 2
    assert (picture[:280, left : left + 264] == image.repeat(4, axis=0).repeat(4, axis=1)).all()


def test_caption_shows_the_verdict():
    good, bad = (drawn(GREY, flat(0.0), verdict=verdict)[400:].astype(int) for verdict in ("good", "anomalous"))
    assert ((good[..., 1] - good[..., 0]) > 60).any() and not ((bad[..., 1] - bad[..., 0]) > 60).any()
    assert ((bad[:, :240, 0] - bad[:, :240, 1]) > 60).any() and not ((good[:, :240, 0] - good[:, :240, 1]) > 60).any()


def test_nothing_given_is_written_to_and_bytes_repeat():
    image, values = GREY.copy(), flat(0.5)
    image.flags.writeable = values.flags.writeable = False
    first = draw_overlay(image, values, SCALE, score=0.5, verdict="anomalous")
    assert first == draw_overlay(image, values, SCALE, score=0.5, verdict="anomalous")
    assert (image == 100).all() and (values == 0.5).all()
