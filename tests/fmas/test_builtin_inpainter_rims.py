"""What surrounds a damage: open borders, crumbled outlines, crazing that grew."""

import numpy as np

from fmas.builtin.inpainter.crazing import net
from fmas.builtin.inpainter.rims import crumbled, weathered
from fmas.builtin.inpainter.surface import measure
from fmas.types import Defect, DefectKind, InpaintJob

SIDE = 120


def surface_of(region, foreground=None):
    image = np.random.default_rng(0).normal(120, 3, (SIDE, SIDE, 1)).clip(0, 255).astype(np.uint8).repeat(3, axis=2)
    foreground = np.ones((SIDE, SIDE), bool) if foreground is None else foreground
    defect = Defect(name="x", prompt="x", kind=DefectKind.CRACK)
    surface, _ = measure(InpaintJob(image, region, foreground, defect, 0))
    return surface


def box(top, bottom, left, right):
    region = np.zeros((SIDE, SIDE), bool)
    region[top:bottom, left:right] = True
    return region


def test_a_region_in_the_middle_is_open_nowhere():
    surface = surface_of(box(30, 90, 30, 90))
    assert surface.opened() is surface


def test_a_region_at_the_pictures_border_is_open_there_and_closed_elsewhere():
    surface = surface_of(box(0, 60, 30, 90))
    opened = surface.opened()
    top = surface.region[0]
    assert opened.room[0, top].max() > 20
    assert surface.room[0, top].max() < 2
    assert opened.room[0, top].min() < 2  # beside it there is product
    assert opened.room[~surface.region].max() == 0
    assert opened.frame.short >= surface.frame.short


def test_a_region_at_the_products_outline_is_open_there():
    foreground = np.ones((SIDE, SIDE), bool)
    foreground[:, 80:] = False
    surface = surface_of(box(30, 90, 30, 80), foreground)
    assert surface.opened().room[surface.region].max() > surface.room.max()


def test_surroundings_of_a_damage_stay_on_the_product():
    foreground = np.ones((SIDE, SIDE), bool)
    foreground[:, 60:] = False
    surface = surface_of(box(20, 100, 20, 100), foreground)
    rows, columns = np.indices(surface.shape)
    middle = (surface.shape[0] / 2, surface.shape[1] / 2)
    field = (12 - np.hypot(rows - middle[0], columns - middle[1])).astype(np.float32)
    touched = 0
    for seed in range(12):
        painted = weathered(surface, surface.base, field, np.random.default_rng(seed), depth=0.6)
        assert np.array_equal(painted[~surface.foreground], surface.base[~surface.foreground])
        touched += not np.array_equal(painted, surface.base)
    assert touched >= 4


def test_a_crumbled_outline_is_rough_and_stays_where_it_was():
    surface = surface_of(box(20, 100, 20, 100))
    rows, columns = np.indices(surface.shape)
    field = (20 - np.hypot(rows - 48, columns - 48)).astype(np.float32)
    rough = crumbled(surface, field, np.random.default_rng(0), share=0.1)
    moved = (rough > 0) != (field > 0)
    assert moved.any()
    assert np.abs(field[moved]).max() < 9


def test_crazing_grows_from_few_long_cracks_to_finer_ones_that_end_on_another():
    surface = surface_of(box(5, 115, 5, 115))
    for seed in range(4):
        lines = net(surface, np.random.default_rng(seed))
        assert len(lines) >= 3
        assert max(line.gape.max() for line in lines) > 2 * min(line.gape.max() for line in lines)
        ends = 0
        for index, line in enumerate(lines[3:], 3):
            others = np.concatenate([other.points for place, other in enumerate(lines) if place != index])
            ends += np.hypot(*(others - line.points[0]).T).min() < 4
        assert ends >= 0.8 * len(lines[3:])
