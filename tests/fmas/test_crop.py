from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fmas.config import CropConfig
from fmas.crop import cut_crop
from fmas.errors import ComponentError
from fmas.samples import Box, Region
from fmas.types import Defect

DEFECT = Defect(name="d", prompt="p")


def photograph(height, width):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def make_crop(image, box, foreground=None, *, multiple=1, working_size=None, context=0.5, min_side=16):
    region = Region("rectangle", box, np.ones((box.height, box.width), dtype=bool))
    model = SimpleNamespace(multiple=multiple, working_size=working_size)
    foreground = np.ones(image.shape[:2], dtype=bool) if foreground is None else foreground
    return cut_crop(image, foreground, region, CropConfig(context=context, min_side=min_side), model)


def job_of(crop):
    return crop.job(DEFECT, 0)


@st.composite
def boxes(draw):
    height, width = draw(st.integers(8, 120)), draw(st.integers(8, 120))
    left, top = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
    return (height, width), Box(left, top, draw(st.integers(left + 1, width)), draw(st.integers(top + 1, height)))


@settings(max_examples=150, deadline=None)
@given(boxes(), st.sampled_from([1, 8, 16, 7]), st.sampled_from([None, 64, 200]), st.floats(0, 2), st.integers(1, 150))
def test_crop_holds_the_region_and_comes_back_at_its_size(case, multiple, working_size, context, min_side):
    (height, width), box = case
    image = photograph(height, width)
    crop = make_crop(image, box, multiple=multiple, working_size=working_size, context=context, min_side=min_side)
    assert 0 <= crop.box.left <= box.left and box.right <= crop.box.right <= width
    assert 0 <= crop.box.top <= box.top and box.bottom <= crop.box.bottom <= height
    assert crop.box.width >= min(min_side, width) and crop.box.height >= min(min_side, height)
    assert crop.region.sum() == box.width * box.height
    job = crop.job(DEFECT, 5)
    assert job.image.shape[0] % multiple == 0 and job.image.shape[1] % multiple == 0
    assert job.image.shape[:2] == job.region.shape == job.foreground.shape
    assert job.image.dtype == np.uint8 and job.region.dtype == bool
    restored = crop.restore(job.image)
    assert restored.shape == crop.image.shape
    if working_size is None:
        assert (restored == crop.image).all()


def test_job_never_loses_a_small_region_when_enlarged():
    crop = make_crop(photograph(100, 100), Box(40, 40, 44, 44), working_size=512)
    assert crop.job(DEFECT, 0).region.sum() > 16


def test_padding_adds_nothing_to_paint():
    crop = make_crop(photograph(30, 30), Box(20, 20, 30, 30), multiple=16, context=0.3)
    job = crop.job(DEFECT, 0)
    assert job.region.sum() == 100


@pytest.mark.parametrize(
    "output",
    [
        np.zeros((10, 10, 3), np.uint8),
        np.zeros((32, 32), np.uint8),
        np.zeros((32, 32, 3), np.float32),
        "picture",
        None,
    ],
    ids=["size", "grey", "float", "text", "none"],
)
def test_wrong_output_is_refused(output):
    crop = make_crop(photograph(32, 32), Box(5, 5, 15, 15), min_side=32)
    with pytest.raises(ComponentError, match=r"expected a uint8 array of shape \(32, 32, 3\) from the inpainter, got"):
        crop.restore(output)


def test_region_at_the_frame_keeps_its_context_on_the_other_side():
    crop = make_crop(photograph(200, 200), Box(0, 0, 20, 20), context=1.0)
    assert crop.box == Box(0, 0, 60, 60)


def test_context_is_a_multiple_of_the_longer_side():
    crop = make_crop(photograph(200, 200), Box(80, 95, 120, 105), context=0.5, min_side=1)
    assert crop.box == Box(60, 75, 140, 125)


def test_padding_reflects_picture_and_foreground():
    image = photograph(30, 30)
    foreground = np.ones((30, 30), dtype=bool)
    foreground[:, 15:] = False
    crop = make_crop(image, Box(0, 0, 30, 30), foreground, multiple=16, context=0.0)
    job = job_of(crop)
    assert job.image.shape == (32, 32, 3)
    assert (job.image[30] == job.image[29]).all() and (job.image[:, 30] == job.image[:, 29]).all()
    assert (job.foreground[30:, :15]).all() and not job.foreground[30:, 15:].any()


def test_job_carries_the_foreground_of_its_crop():
    foreground = np.random.default_rng(1).random((60, 60)) > 0.5
    crop = make_crop(photograph(60, 60), Box(20, 22, 40, 40), foreground)
    assert (job_of(crop).foreground == foreground[crop.box.slices]).all()


@pytest.mark.parametrize("field", ["image", "region", "foreground"])
def test_no_array_of_a_job_can_be_written_to(field):
    job = job_of(make_crop(photograph(30, 30), Box(5, 5, 15, 15)))
    with pytest.raises(ValueError, match="read-only"):
        getattr(job, field)[0, 0] = 0


@pytest.mark.parametrize(("size", "expected"), [(128, (128, 64)), (40, (40, 20))])
def test_the_longer_side_gets_the_working_size(size, expected):
    job = job_of(make_crop(photograph(50, 100), Box(0, 0, 100, 50), working_size=size, context=0.0, min_side=1))
    assert job.image.shape[1::-1] == expected


def test_shrinking_averages_instead_of_skipping_pixels():
    """Cubic interpolation of a fine pattern makes a coarse one that no camera saw."""
    lines = np.zeros((128, 128, 3), np.uint8)
    lines[:, ::4] = 255
    job = job_of(make_crop(lines, Box(0, 0, 128, 128), working_size=32, context=0.0))
    assert set(np.unique(job.image)) <= {63, 64}


def test_job_never_loses_a_thin_region_when_reduced():
    for top in range(400, 416):
        crop = make_crop(photograph(1400, 1400), Box(400, top, 1000, top + 3), working_size=256)
        assert job_of(crop).region.any()
