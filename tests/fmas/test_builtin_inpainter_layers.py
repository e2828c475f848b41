"""The inpainter's layers, lay, noise and shapes: what kinds of a surface's own look are built from."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fmas.builtin.inpainter.lay import along_lay, foreign_grain, lay_of, relief_of
from fmas.builtin.inpainter.layers import absorb, lightens, scatter, share_of_light
from fmas.builtin.inpainter.noise import fractal, streaks
from fmas.builtin.inpainter.patches import continued
from fmas.builtin.inpainter.shapes import blob, margin, scattered
from fmas.builtin.inpainter.strands import brush
from fmas.builtin.inpainter.surface import measure
from fmas.types import Defect, DefectKind, InpaintJob

SIDE = 120


def surface_of(image, region=None):
    if region is None:
        region = np.zeros(image.shape[:2], bool)
        region[20:100, 20:100] = True
    defect = Defect(name="x", prompt="x", kind=DefectKind.STAIN)
    surface, _ = measure(InpaintJob(image, region, np.ones(image.shape[:2], bool), defect, 0))
    return surface


def plain(level, *, noise=2.0, seed=0):
    picture = np.random.default_rng(seed).normal(level, noise, (SIDE, SIDE, 1))
    return np.clip(picture, 0, 255).astype(np.uint8).repeat(3, axis=2)


def lined(angle, *, contrast=20):
    y, x = np.mgrid[:SIDE, :SIDE]
    across = y * np.cos(angle) - x * np.sin(angle)
    picture = 120 + contrast * np.sin(across * 1.3) + np.random.default_rng(0).normal(0, 2, (SIDE, SIDE))
    return np.clip(picture, 0, 255).astype(np.uint8)[..., None].repeat(3, axis=2)


# --- lay


@given(st.floats(-1.5, 1.5))
@settings(max_examples=25, deadline=None)
def test_the_lay_is_the_direction_of_the_lines(angle):
    lay = lay_of(surface_of(lined(angle)))
    assert abs(np.sin(lay.angle - angle)) < 0.08
    assert lay.strength > 0.5


def test_a_texture_alike_in_every_direction_has_no_lay():
    assert lay_of(surface_of(plain(120, noise=15))).strength < 0.15
    assert lay_of(surface_of(plain(120, noise=0))).strength == 0


def test_averaging_along_the_lay_keeps_its_lines_and_loses_the_grain():
    surface = surface_of(lined(0.5))
    lay = lay_of(surface)
    texture = surface.base - surface.base.mean()
    assert along_lay(texture, lay, 15).std() > 0.75 * texture.std()
    noise = np.random.default_rng(1).normal(0, 10, surface.base.shape).astype(np.float32)
    assert along_lay(noise, lay, 15).std() < 0.45 * noise.std()


def test_relief_is_low_in_a_dark_joint():
    image = plain(140)
    image[:, 58:62] = 60
    relief = relief_of(surface_of(image), 10.0)
    middle = relief.shape[1] // 2
    assert relief[:, middle - 1 : middle + 1].mean() < -0.4
    assert np.abs(relief).max() <= 1


def test_foreign_grain_is_the_cameras_and_not_the_gravels():
    coarse = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 1), dtype=np.uint8).repeat(3, axis=2)
    assert foreign_grain(surface_of(coarse), np.random.default_rng(0)).std() <= 4.01
    quiet = foreign_grain(surface_of(plain(120)), np.random.default_rng(0))
    assert quiet.std() == pytest.approx(2.0, rel=0.4)


# --- layers


@given(st.floats(0, 3), st.floats(0, 3))
def test_the_share_of_light_rises_and_stays_below_its_limit(one, other):
    low, high = sorted((one, other))
    assert 0 <= share_of_light(low) <= share_of_light(high) < 0.85
    assert share_of_light(0.2) == pytest.approx(0.2, rel=0.01)


def test_absorbing_multiplies_and_keeps_the_grain():
    surface = surface_of(lined(0.3))
    density = np.ones(surface.shape, np.float32)
    painted = absorb(surface, density, 0.5, (1.0, 1.0, 1.0))
    assert painted.mean() == pytest.approx(0.5 * surface.base.mean(), rel=0.02)
    assert np.corrcoef(painted.ravel(), surface.base.ravel())[0, 1] > 0.95
    # Grain of the camera falls with the root of the light: more is left than half of it.
    quiet = surface_of(plain(150))
    left = absorb(quiet, np.ones(quiet.shape, np.float32), 0.5, (1.0, 1.0, 1.0))
    assert 0.55 < left.std() / quiet.base.std() < 0.85


def test_nothing_absorbed_is_the_photograph_itself():
    surface = surface_of(lined(1.0))
    nothing = np.zeros(surface.shape, np.float32)
    np.testing.assert_allclose(absorb(surface, nothing, 0.7, (1.0, 1.0, 1.0)), surface.base, atol=1e-4)
    np.testing.assert_allclose(scatter(surface, nothing, 0.7, (1.0, 1.0, 1.0)), surface.base, atol=1e-4)


def test_rust_takes_blue_more_than_red_of_a_coloured_photograph():
    image = np.full((SIDE, SIDE, 3), (180, 150, 130), np.uint8)
    surface = surface_of(image)
    passed = absorb(surface, np.ones(surface.shape, np.float32), 0.5, (0.45, 1.0, 1.55)) / surface.base
    red, green, blue = passed.mean(axis=(0, 1))
    assert red > green > blue


@pytest.mark.parametrize("level", [5, 60, 140])
def test_a_pale_veil_makes_brighter_and_flatter(level):
    image = lined(0.4, contrast=3)
    surface = surface_of((image.astype(int) * level // 120).astype(np.uint8))
    veiled = scatter(surface, np.ones(surface.shape, np.float32), 0.5, (1.0, 1.0, 1.0))
    assert veiled.mean() > surface.base.mean() + 8
    assert veiled.max() <= 255


def test_what_is_black_is_lightened_and_what_is_white_never():
    rng = np.random.default_rng(0)
    assert all(lightens(surface_of(plain(12)), rng, 0.0) for _ in range(20))
    assert not any(lightens(surface_of(plain(240)), rng, 1.0) for _ in range(20))
    assert 0 < sum(lightens(surface_of(plain(140)), rng, 0.5) for _ in range(40)) < 40


# --- noise


def test_noise_has_no_preferred_direction_and_the_asked_stretch():
    def likeness(field, axis):
        moved = np.roll(field, 6, axis=axis)
        return np.corrcoef(field.ravel(), moved.ravel())[0, 1]

    fields = [fractal((200, 200), np.random.default_rng(seed), cell=24, octaves=1) for seed in range(6)]
    down, right = (np.mean([likeness(field, axis) for field in fields]) for axis in (0, 1))
    assert down == pytest.approx(right, abs=0.06)
    diagonal = np.mean([np.corrcoef(f.ravel(), np.roll(f, (4, 4), axis=(0, 1)).ravel())[0, 1] for f in fields])
    assert diagonal == pytest.approx(down, abs=0.08)
    drawn = fractal((200, 200), np.random.default_rng(0), cell=8, octaves=1, stretch=6)
    assert likeness(drawn, 1) > likeness(drawn, 0) + 0.4


@pytest.mark.parametrize("angle", [0.0, 0.6, -1.1])
def test_streaks_run_along_their_angle(angle):
    field = streaks((150, 130), np.random.default_rng(0), angle=angle, width=6, length=80)
    assert field.shape == (150, 130)
    dy, dx = np.gradient(field)
    along = np.abs(dx * np.cos(angle) + dy * np.sin(angle)).mean()
    across = np.abs(dy * np.cos(angle) - dx * np.sin(angle)).mean()
    assert across > 2.5 * along


# --- shapes


def test_a_blob_shrinks_into_its_region_instead_of_being_cut():
    surface = surface_of(plain(120))
    straight = 0
    for seed in range(30):
        field = blob(surface, np.random.default_rng(seed), fill=(0.7, 1.0), roughness=0.3)
        inside = field > 0
        assert inside.any()
        assert not (inside & (surface.room <= margin(surface) / 2)).any()
        # How much of the region's long sides the blob runs along at a constant small distance.
        near = inside & (surface.room < margin(surface) + 2)
        straight += near.sum() / (4 * surface.reach * 2)
    assert straight / 30 < 0.12


def test_scattered_crumbs_are_mostly_small_and_inside():
    surface = surface_of(plain(120))
    middle = (surface.frame.x, surface.frame.y)
    field = scattered(surface, np.random.default_rng(0), count=80, centre=middle, spread=15, radius=(1.0, 6.0))
    assert 20 < (field > 0).sum() < 0.5 * field.size
    assert not ((field > 0) & ~surface.region).any()


def test_hairs_thin_out_towards_their_ends():
    course = np.stack([np.linspace(5, 95, 20), np.full(20, 30.0)], axis=1)
    cover, tone = brush((60, 100), [course], [0.5], radius=0.5)
    assert cover[28:33, 8:12].sum() > 1.5 * cover[28:33, 88:92].sum() > 0
    assert tone[30, 50] == pytest.approx(0.5, abs=0.01)
    assert cover[:20].max() == 0


# --- more of the same


def test_a_hidden_thing_is_replaced_by_its_surroundings():
    image = lined(0.0)
    image[50:66, 52:70] = 250
    surface = surface_of(image)
    hidden = surface.base[..., 0] > 200
    grown = np.zeros_like(hidden)
    rows, columns = np.nonzero(hidden)
    grown[rows.min() - 2 : rows.max() + 3, columns.min() - 2 : columns.max() + 3] = True
    filled = continued(surface, grown, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(filled[~grown], surface.base[~grown])
    assert filled[grown].max() < 190
    assert filled[grown].mean() == pytest.approx(120, abs=12)


def test_nothing_hidden_changes_nothing():
    surface = surface_of(lined(0.0))
    nothing = np.zeros(surface.shape, bool)
    np.testing.assert_array_equal(continued(surface, nothing, rng=np.random.default_rng(0)), surface.base)


def test_where_there_is_no_room_for_a_donor_the_photograph_stays():
    surface = surface_of(lined(0.0))
    everything = np.ones(surface.shape, bool)
    filled = continued(surface, everything, rng=np.random.default_rng(0))
    np.testing.assert_allclose(filled, surface.base, atol=1e-3)
