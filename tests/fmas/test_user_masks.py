"""Masks of the user's: read from files as people save them, fitted to photographs, refused with a clear word."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fmas.config import RegionConfig
from fmas.errors import ImageError, OutputError, UsageError
from fmas.preview import preview_run
from fmas.sources import Source, find_sources
from fmas.user_masks import UserMasks, _fitted
from fmas.validate import validate_output


def half(width=60, height=40):
    """Return a mask that is white on the left."""
    mask = np.zeros((height, width), dtype=bool)
    mask[:, : width // 2] = True
    return mask


def save(path, mask, mode="L", value=255):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(mask, dtype=np.uint8) * np.uint8(value)).convert(mode).save(path)
    return path


def source(relative="a.png", index=0):
    return Source(index, Path("/photographs") / relative, relative)


def read(only=None, never=None, sources=None):
    return UserMasks.read(RegionConfig(mask=only, avoid=never), sources or [source()], max_pixels=10**6)


def test_none_allows_everything():
    masks = read()
    assert not masks
    assert masks.allowed(source(), (10, 10)) is None
    assert masks.digests == {}


@pytest.mark.parametrize(
    ("name", "mode"), [("m.png", "L"), ("m.png", "1"), ("m.png", "RGB"), ("m.png", "P"), ("m.bmp", "L"), ("m.tif", "1")]
)
def test_a_mask_is_read_however_it_was_saved(tmp_path, name, mode):
    masks = read(save(tmp_path / name, half(), mode))
    assert (masks.allowed(source(), (40, 60)) == half()).all()
    assert (read(never=tmp_path / name).allowed(source(), (40, 60)) == ~half()).all()


def test_soft_edges_are_cut_at_half(tmp_path):
    ramp = np.tile(np.arange(256, dtype=np.uint8), (8, 1))
    Image.fromarray(ramp).save(tmp_path / "m.png")
    assert (read(tmp_path / "m.png").allowed(source(), (8, 256)) == (ramp >= 128)).all()


def test_a_jpeg_in_colour_of_a_grey_mask_is_grey(tmp_path):
    path = tmp_path / "m.jpg"
    Image.fromarray(half(64, 64).astype(np.uint8) * np.uint8(255)).convert("RGB").save(path, quality=80)
    assert (read(path).allowed(source(), (64, 64)) == half(64, 64)).mean() > 0.98


def test_both_together_leave_what_one_allows_and_the_other_does_not_exclude(tmp_path):
    top = half(40, 60).T
    masks = read(save(tmp_path / "m.png", half()), save(tmp_path / "a.png", top))
    assert (masks.allowed(source(), (40, 60)) == (half() & ~top)).all()


def test_a_mask_fits_every_photograph_of_its_shape(tmp_path):
    masks = read(save(tmp_path / "m.png", half()))
    large = masks.allowed(source(), (400, 600))
    assert large[:, :300].all()
    assert not large[:, 300:].any()
    assert masks.allowed(source(), (400, 600)) is large  # kept
    assert masks.allowed(source(), (20, 30)).sum() == 300
    assert not large.flags.writeable


def test_kept_sizes_do_not_pile_up(tmp_path):
    masks = read(save(tmp_path / "m.png", half()))
    for factor in range(1, 20):
        masks.allowed(source(), (40 * factor, 60 * factor))
    assert len(masks._by_size) <= 4
    sent = pickle.loads(pickle.dumps(masks))  # noqa: S301 (as it goes to a worker)
    assert len(sent._by_size) == 0
    assert (sent.allowed(source(), (40, 60)) == half()).all()
    assert sent.digests == masks.digests


@given(st.integers(8, 2000), st.integers(8, 2000), st.floats(0.1, 1.0))
def test_a_mask_drawn_on_a_smaller_copy_fits(width, height, scale):
    """Whatever the rounding of the smaller side."""
    small = (max(round(height * scale), 1), max(round(width * scale), 1))
    assert _fitted(np.ones(small, dtype=bool), (height, width), "mask").shape == (height, width)


@pytest.mark.parametrize("shape", [(60, 40), (40, 50), (41, 60), (400, 620)])
def test_another_shape_is_refused(tmp_path, shape):
    masks = read(save(tmp_path / "m.png", half()))
    with pytest.raises(ImageError, match=r"region\.mask of the photograph's size .* got 60 x 40") as error:
        masks.allowed(source(), shape)
    assert ("turned upright" in str(error.value)) is (shape == (60, 40))


@pytest.mark.parametrize(
    ("image", "setting", "message"),
    [
        (np.zeros((9, 9), np.uint8), "only", "got a black one"),
        (np.ones((9, 9), np.uint8), "only", "brightest grey level is 1; mark"),
        (np.full((9, 9), 127, np.uint8), "only", "brightest grey level is 127"),
        (np.full((9, 9), 255, np.uint8), "never", "got a white mask"),
        (np.full((9, 9, 3), (255, 0, 0), np.uint8), "only", "got one with colours"),
        (np.full((9, 9, 3), (255, 0, 0), np.uint8), "never", r"\(region\.avoid\)"),
    ],
)
def test_a_mask_that_leaves_nothing_is_refused(tmp_path, image, setting, message):
    Image.fromarray(image).save(tmp_path / "m.png")
    with pytest.raises(UsageError, match=message):
        read(**{setting: tmp_path / "m.png"})


def test_masks_that_exclude_each_other_are_refused(tmp_path):
    path = save(tmp_path / "m.png", half())
    with pytest.raises(UsageError, match=r"region\.mask .* allows and region\.avoid .* does not exclude, got none"):
        read(path, path)


@pytest.mark.parametrize(("name", "content"), [("none.png", None), ("broken.png", b"x"), ("empty.png", b"")])
def test_a_mask_that_cannot_be_read_is_refused(tmp_path, name, content):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=r"\(region\.mask\)"):
        read(tmp_path / name)


# Folders


def test_a_folder_has_a_mask_for_each_photograph(tmp_path):
    save(tmp_path / "masks/left/a.tif", half())
    save(tmp_path / "masks/b.PNG", ~half())
    sources = [source("b.jpg"), source("left/a.png", 1)]
    masks = read(tmp_path / "masks", sources=sources)
    assert (masks.allowed(sources[1], (40, 60)) == half()).all()
    assert (masks.allowed(sources[0], (40, 60)) == ~half()).all()
    assert masks.notes == ()


def test_a_photograph_without_a_mask_fails_alone_or_has_nothing_to_avoid(tmp_path):
    save(tmp_path / "masks/a.png", half())
    sources = [source("a.png"), source("b.png", 1)]
    only, never = read(tmp_path / "masks", sources=sources), read(never=tmp_path / "masks", sources=sources)
    with pytest.raises(ImageError, match=r"a mask for 'b\.png' in region\.mask .* add b\.png there"):
        only.allowed(sources[1], (40, 60))
    assert never.allowed(sources[1], (40, 60)).all()
    assert "no mask for 1 of 2 photographs, which will fail" in only.notes[0]
    assert "which have nothing to avoid" in never.notes[0]


def test_a_black_mask_of_a_folder_leaves_nothing(tmp_path):
    save(tmp_path / "masks/a.png", np.zeros((40, 60)))
    assert not read(tmp_path / "masks").allowed(source(), (40, 60)).any()


def test_a_folder_without_any_mask_is_refused(tmp_path):
    save(tmp_path / "masks/other.png", half())
    with pytest.raises(UsageError, match=r"got none for 'a\.png' or any other; name them .* such as a\.png"):
        read(tmp_path / "masks")


def test_two_masks_for_one_photograph_are_refused(tmp_path):
    save(tmp_path / "masks/a.png", half())
    save(tmp_path / "masks/a.bmp", half())
    with pytest.raises(UsageError, match=r"got 'a\.bmp' and 'a\.png'; remove one"):
        read(tmp_path / "masks")


def test_a_mask_among_the_photographs_is_refused(photographs):
    sources = find_sources(photographs)
    with pytest.raises(UsageError, match="would be taken for a photograph of a good part"):
        read(photographs / "part_1.png", sources=sources)
    with pytest.raises(UsageError, match="would be taken for a photograph of a good part"):
        read(never=photographs, sources=sources)


# What counts


def test_the_pixels_count_not_the_path(tmp_path):
    first = read(save(tmp_path / "m.png", half())).digests
    assert read(save(tmp_path / "elsewhere/n.bmp", half())).digests == first
    assert read(save(tmp_path / "o.png", ~half())).digests != first
    assert read(never=tmp_path / "m.png").digests.keys() == {"avoid"}
    folder = read(tmp_path / "elsewhere", sources=[source("n.png")]).digests
    save(tmp_path / "elsewhere/n.bmp", ~half())
    assert read(tmp_path / "elsewhere", sources=[source("n.png")]).digests != folder


# In a run


def size_of(path):
    with Image.open(path) as image:
        return image.size


def masks_for(photographs, folder, side="left"):
    for photograph in sorted(photographs.iterdir()):
        width, height = size_of(photograph)
        mask = half(width, height)
        save(folder / f"{photograph.stem}.bmp", mask if side == "left" else ~mask)
    return folder


def test_defects_stay_inside_the_masks(run, rows, photographs, tmp_path):
    left = masks_for(photographs, tmp_path / "left")
    out, summary = run(per_image=3, region={"mask": str(left)})
    assert summary.failed == 0
    assert len(rows(out)) == 18
    assert all(box[2] <= row["width"] // 2 for row in rows(out) for box in [row["region_box"]])
    out, _ = run(out=tmp_path / "right", per_image=3, region={"avoid": str(left)})
    assert all(box[0] >= row["width"] // 2 for row in rows(out) for box in [row["region_box"]])


def test_workers_and_shards_make_the_same_bytes(run, photographs, tmp_path, tree):
    settings = {"per_image": 2, "region": {"avoid": str(masks_for(photographs, tmp_path / "m"))}}
    whole, _ = run(**settings)
    for shard in ("1/2", "2/2"):
        sharded, _ = run(out=tmp_path / "sharded", **settings, shard=shard)
    assert tree(whole) == tree(sharded)


def test_a_single_mask_of_another_shape_fails_each_photograph_alone(run, photographs, tmp_path, rows):
    width, height = size_of(photographs / "part_2.png")
    path = save(tmp_path / "m.png", half(width, height))
    out, summary = run(region={"mask": str(path)})
    assert (summary.made, summary.failed) == (1, 5)
    assert [row["source"] for row in rows(out)] == ["part_2.png"]
    assert summary.counts.failures == {"ImageError": 5}


def test_a_changed_mask_is_another_run_and_a_moved_one_is_not(run, photographs, tmp_path):
    left = masks_for(photographs, tmp_path / "left")
    run(region={"mask": str(left)})
    moved = shutil.move(left, tmp_path / "moved")
    _, summary = run(region={"mask": str(moved)})
    assert summary.kept == 6
    masks_for(photographs, tmp_path / "moved", "right")
    with pytest.raises(OutputError, match="the region mask has changed"):
        run(region={"mask": str(moved)})
    with pytest.raises(OutputError, match="the region mask has changed"):
        run()


def test_a_mask_that_leaves_nothing_writes_nothing(run, tmp_path, make_config, make_registry, fakes):
    path = save(tmp_path / "m.png", np.zeros((9, 9)))
    with pytest.raises(UsageError, match="got a black one") as real:
        run(region={"mask": str(path)})
    assert not (tmp_path / "out").exists()
    with pytest.raises(UsageError) as dry:
        preview_run(make_config(region={"mask": str(path)}), registry=make_registry(fakes))
    assert str(dry.value) == str(real.value)


def test_the_output_of_a_masked_run_is_valid(run, photographs, tmp_path):
    out, _ = run(region={"mask": str(masks_for(photographs, tmp_path / "left"))}, balance="even")
    assert validate_output(out).problems == ()
