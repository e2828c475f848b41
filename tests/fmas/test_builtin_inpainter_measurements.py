"""What the built-in inpainter measures of a photograph, against pictures whose answer is known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmas.builtin.inpainter.filters import blur
from fmas.builtin.inpainter.grain import borrow_grain, estimate_softness
from fmas.builtin.inpainter.light import light_direction, slope_towards
from fmas.builtin.inpainter.noise import along, fractal
from fmas.builtin.inpainter.strokes import band_around, jagged, resample
from fmas.builtin.inpainter.surface import measure
from fmas.builtin.inpainter.words import mentioned
from fmas.types import Defect, DefectKind, InpaintJob


def ramp(angle, *, side=48, contrast=60):
    y, x = np.mgrid[:side, :side] / side - 0.5
    return (120 + contrast * (x * np.cos(angle) + y * np.sin(angle))).astype(np.float32)


@given(st.floats(-3.1, 3.1))
def test_light_comes_from_the_brighter_side(angle):
    x, y = light_direction(ramp(angle), np.ones((48, 48), bool))
    assert x * np.cos(angle) + y * np.sin(angle) > 0.999


def test_light_is_judged_on_the_product_alone():
    picture = ramp(0.0)
    picture[:, 24:] = 0  # a dark background on the right does not mean that the light is on the left
    foreground = np.zeros((48, 48), bool)
    foreground[:, :24] = True
    assert light_direction(picture, foreground)[0] > 0.99


@pytest.mark.parametrize(
    ("picture", "foreground"),
    [
        (np.full((20, 20), 90, np.float32), np.ones((20, 20), bool)),
        (ramp(0.0), np.zeros((48, 48), bool)),
        (ramp(0.0), np.eye(48, dtype=bool)),
    ],
)
def test_without_evidence_light_comes_from_the_upper_left(picture, foreground):
    x, y = light_direction(picture, foreground)
    assert x < 0
    assert y < 0


def test_a_pit_is_lit_on_the_side_away_from_the_light():
    y, x = np.mgrid[:41, :41] - 20
    pit = -np.exp(-(x**2 + y**2) / 50).astype(np.float32)
    lit = slope_towards(pit, (-1.0, 0.0))
    assert lit[20, 26] > 0 > lit[20, 14]
    assert lit[20, 20] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("sigma", [0.8, 1.2, 1.8])
def test_softness_is_the_sigma_of_a_blurred_step(sigma):
    step = np.zeros((64, 64), np.float32)
    step[:, 32:] = 200
    assert estimate_softness(blur(step, sigma)) == pytest.approx(sigma, rel=0.25)


def test_a_sharp_noisy_picture_is_not_softened():
    noise = np.random.default_rng(0).normal(120, 20, (64, 64)).astype(np.float32)
    assert estimate_softness(noise) < 0.5
    assert estimate_softness(np.full((64, 64), 7, np.float32)) == 0.0
    assert estimate_softness(np.zeros((3, 3), np.float32)) == 0.0


def test_borrowed_grain_has_the_strength_of_the_photographs_own_but_not_its_edges():
    rng = np.random.default_rng(0)
    base = rng.normal(100, 5, (80, 80, 1)).astype(np.float32)
    base[:, 40:] += 120
    grain = borrow_grain(base, np.random.default_rng(1))
    own = base - blur(base, 1.0)
    assert grain.std() == pytest.approx(np.std(own[:, :30]), rel=0.2)
    assert np.abs(grain).max() < 20 < np.abs(own).max()


@given(st.integers(1, 70), st.integers(1, 70), st.floats(0.5, 90), st.integers(0, 99))
def test_noise_of_any_size_is_bounded_and_centred(height, width, cell, seed):
    field = fractal((height, width), np.random.default_rng(seed), cell=cell)
    assert field.shape == (height, width)
    assert field.dtype == np.float32
    assert np.abs(field).max() < 3


def test_noise_along_a_line_is_continuous():
    values = along(np.linspace(0, 1, 500, dtype=np.float32), np.random.default_rng(0), knots=6)
    assert values.min() >= 0
    assert values.max() <= 1
    assert np.abs(np.diff(values)).max() < 0.05


@given(st.floats(-3, 3), st.floats(5, 25), st.floats(5, 25))
def test_distances_to_a_line_are_exact_and_signed(angle, x, y):
    towards = np.array([np.cos(angle), np.sin(angle)])
    line = np.array([x, y]) + np.array([-100.0, 100.0])[:, None] * towards
    band = band_around(line, (32, 32), 4.0)
    true = -towards[1] * (band.columns - x) + towards[0] * (band.rows - y)
    np.testing.assert_allclose(band.offset, true, atol=0.05)
    # Every pixel within the radius is there.
    rows, columns = np.mgrid[:32, :32]
    near = np.abs(-towards[1] * (columns - x) + towards[0] * (rows - y)) < 3.9
    assert set(zip(rows[near], columns[near], strict=True)) <= set(zip(band.rows, band.columns, strict=True))


def test_a_line_outside_the_picture_has_an_empty_band():
    assert band_around(np.array([[-90.0, -90.0], [-80.0, -90.0]]), (20, 20), 3.0).rows.size == 0


def test_a_jagged_line_keeps_its_ends_and_gets_longer():
    line = np.array([[0.0, 0.0], [100.0, 0.0]])
    torn = jagged(line, np.random.default_rng(0), roughness=0.25, finest=3.0)
    np.testing.assert_array_equal(torn[[0, -1]], line)
    assert np.hypot(*np.diff(torn, axis=0).T).sum() > 103
    assert np.hypot(*np.diff(resample(torn), axis=0).T).max() < 0.55


@pytest.mark.parametrize(("angle", "long", "short"), [(0, 30, 10), (90, 30, 10), (30, 30, 10), (120, 24, 8)])
def test_the_frame_of_a_region_lies_along_it(angle, long, short):
    y, x = np.mgrid[:100, :100] - 50
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    region = (np.abs(x * c + y * s) <= long) & (np.abs(y * c - x * s) <= short)
    image = np.full((100, 100, 3), 100, np.uint8)
    defect = Defect(name="x", prompt="x", kind=DefectKind.DENT)
    surface, window = measure(InpaintJob(image, region, np.ones_like(region), defect, 0))
    frame = surface.frame
    assert (frame.long, frame.short) == pytest.approx((long, short), abs=1.5)
    assert abs(frame.ux * c + frame.uy * s) > 0.99
    assert (frame.x + window[1].start, frame.y + window[0].start) == pytest.approx((50, 50), abs=1)
    assert surface.base.shape[2] == 1
    assert surface.level == 100


def test_a_grey_box_in_a_colour_photograph_may_be_tinted():
    image = np.full((100, 100, 3), 100, np.uint8)
    image[:, 60:] = (200, 90, 20)
    region = np.zeros((100, 100), bool)
    region[30:50, 10:30] = True
    defect = Defect(name="x", prompt="x", kind=DefectKind.STAIN)
    surface, _ = measure(InpaintJob(image, region, np.ones_like(region), defect, 0))
    assert surface.base.shape[2] == 3
    assert surface.colour == 1


def test_words_are_looked_for_in_the_name_first_and_at_their_beginning():
    vocabulary = {"oil": 1, "dust": 2}
    assert mentioned(Defect(name="dusty", prompt="an oil spill"), vocabulary) == 2
    assert mentioned(Defect(name="spot", prompt="an oil spill"), vocabulary) == 1
    assert mentioned(Defect(name="foil", prompt="industry"), vocabulary) is None
