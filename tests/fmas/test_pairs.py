"""Pairs as a data set: which rows count, how they are divided, what a damaged file says."""

from __future__ import annotations

import json
import pickle
import shutil

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import fmas
from fmas.decisions import Decision, DecisionLog
from fmas.errors import ImageError, OutputError, UsageError
from fmas.layout import OutputLayout
from fmas.pairs import PairDataset
from fmas.types import NormalSyntheticMask


@pytest.fixture
def out(run):
    folder, summary = run(per_image=2)
    assert summary.counts.pairs == 12
    return folder


@pytest.fixture
def category(out):
    return out / "dataset" / "test_part"


def test_it_is_the_package_s_own():
    assert fmas.PairDataset is PairDataset


def test_items_are_pairs_in_order_of_stems(out, rows):
    dataset = PairDataset(out)
    assert len(dataset) == 12 and dataset.category == "test_part" and dataset.object_name == "test part"
    assert list(dataset.rows) == rows(out)
    assert dataset.notes == ()
    for item in (dataset[0], dataset[-1]):
        assert isinstance(item, NormalSyntheticMask)
        assert item.normal.dtype == item.synthetic.dtype == np.uint8 and item.mask.dtype == np.bool_
        assert item.mask.any() and (item.normal != item.synthetic)[~item.mask].sum() == 0
    with pytest.raises(IndexError):
        dataset[12]


def test_a_slice_is_a_data_set_and_reads_nothing(out, category):
    dataset = PairDataset(out)
    shutil.rmtree(category / "ground_truth")
    part = dataset[2:5]
    assert isinstance(part, PairDataset) and part.rows == dataset.rows[2:5]


def test_transform_is_applied_when_an_item_is_read(out):
    dataset = PairDataset(out, transform=lambda pair: pair.mask.sum())
    assert [dataset[0], dataset.split()[0][0]] == [
        dataset.rows[0]["mask_area"],
        dataset.split()[0].rows[0]["mask_area"],
    ]


def test_it_can_be_sent_to_another_process(out):
    there = pickle.loads(pickle.dumps(PairDataset(out)))  # noqa: S301 (our own)
    assert len(there) == 12 and there[3].mask.any()


def test_torch_loads_it_as_it_is(out):
    loader = pytest.importorskip("torch.utils.data").DataLoader
    dataset = PairDataset(out, transform=lambda pair: pair.mask[:8, :8])
    assert [len(batch) for batch in loader(dataset, batch_size=5)] == [5, 5, 2]


def test_the_categorys_folder_and_a_copy_of_it_will_do(out, category, tmp_path):
    whole = PairDataset(out)
    assert PairDataset(category).rows == whole.rows
    copied = shutil.copytree(category, tmp_path / "elsewhere" / "parts")
    copy = PairDataset(str(copied))
    assert copy.rows == whole.rows and copy.category == "parts" and copy[0].mask.any()
    assert copy.digest() == whole.digest()


def test_of_several_categories_one_must_be_named(out, category):
    shutil.copytree(category, out / "dataset" / "other")
    with pytest.raises(UsageError, match="other, test_part; say which, with --category"):
        PairDataset(out)
    assert len(PairDataset(out, category="other")) == 12
    assert len(PairDataset(out, category="test_part")) == 12
    with pytest.raises(UsageError, match="did you mean 'other'"):
        PairDataset(out, category="othr")
    with pytest.raises(UsageError, match="leave the category out"):
        PairDataset(category, category="other")


def test_dropped_pictures_are_left_out(out):
    layout, whole = OutputLayout(out, "test_part"), PairDataset(out)
    row = whole.rows[4]
    DecisionLog(layout).append(Decision(row["stem"], row["image_sha256"], "drop"))
    DecisionLog(layout).append(Decision(0, whole.rows[0]["image_sha256"], "keep"))
    dataset = PairDataset(out)
    assert [one["stem"] for one in dataset.rows] == [one["stem"] for one in whole.rows if one["stem"] != row["stem"]]
    assert dataset.notes == ("1 picture is left out: dropped in review; fmas run makes others instead",)
    assert dataset.digest() != whole.digest()


def test_held_out_photographs_are_not_pairs(run):
    out, summary = run(holdout_good=0.5)
    assert summary.counts.held_out
    assert len(PairDataset(out)) == summary.counts.pairs == len(PairDataset(out / "dataset" / "test_part"))


def test_controls_are_normal_pictures_with_an_empty_mask(run):
    out, summary = run(controls=1.0)
    assert summary.counts.controls == 6
    dataset = PairDataset(out)
    assert len(dataset) == 6 and len(dataset.controls) == 6 and dataset.controls.controls.rows == dataset.controls.rows
    control = dataset.controls[0]
    assert not control.mask.any() and control.mask.shape == control.normal.shape[:2]
    assert (control.normal != control.synthetic).any()
    learnt, held = dataset.split(0.4)
    for part in (learnt, held):
        assert set(part.controls.photographs()) == set(part.photographs())
        assert (
            part.with_controls().rows == (*part.rows, *part.controls.rows) == part.with_controls().with_controls().rows
        )
    assert len(learnt.controls) + len(held.controls) == 6


def test_failed_pairs_and_an_unfinished_run_are_told(out):
    layout = OutputLayout(out, "test_part")
    shard = layout.manifest / "shard-1-of-1.jsonl"
    lines = shard.read_bytes().splitlines(keepends=True)
    failed = json.loads(lines[-1]) | {
        "status": "failed",
        "row": None,
        "failure": {"stage": "inpaint", "reason": "black"},
    }
    choosing = json.loads(lines[-2]) | {"status": "failed", "row": None, "failure": {"reason": "choosing"}}
    shard.write_bytes(b"".join([*lines[:-2], *(json.dumps(one).encode() + b"\n" for one in (choosing, failed))]))
    dataset = PairDataset(out)
    assert len(dataset) == 10
    stopped, missing, unfinished = dataset.notes
    assert stopped.endswith("fmas select was stopped in the middle of it")
    assert missing == "2 pictures are missing: could not be made, see failures.jsonl"
    assert unfinished.startswith("the run is not finished")


def test_a_run_killed_before_its_summary_can_be_used(out, category):
    (category / "metadata.jsonl").unlink()
    run = json.loads((out / "run.json").read_bytes())
    del run["counts"]
    (out / "run.json").write_text(json.dumps(run))
    dataset = PairDataset(out)
    assert len(dataset) == 12 and len(dataset.notes) == 1 and dataset[0].mask.any()
    assert len(PairDataset(category)) == 12


def test_an_output_folder_may_lie_in_a_folder_of_any_name(out, tmp_path):
    moved = shutil.move(out, tmp_path / "dataset" / "out")
    assert len(PairDataset(moved)) == len(PairDataset(tmp_path / "dataset" / "out" / "dataset")) == 12


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: None, "which does not exist; check the path"),
        (lambda folder: folder.write_text(""), "which is no folder; check the path"),
        (lambda folder: folder.mkdir(), "without dataset/<category>; run fmas run"),
        (lambda folder: (folder / "dataset").mkdir(parents=True), "without dataset/<category>; run fmas run"),
        (lambda folder: (folder / "dataset" / "c").mkdir(parents=True), "a category with metadata.jsonl, got none at"),
    ],
)
def test_other_folders_are_refused(tmp_path, make, message):
    folder = tmp_path / "folder"
    make(folder)
    with pytest.raises(UsageError, match=message):
        PairDataset(folder)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"{", "expected JSON in line 2"),
        (b"[]", "expected an object in line 2"),
        (b'{"file_name": "a.png", "mask_file_name": "b.png"}', "as normal_file_name in line 2"),
        (b'{"file_name": "../a.png", "mask_file_name": "b", "normal_file_name": "c"}', r"got '../a.png'"),
        (b'{"file_name": "/etc/a.png", "mask_file_name": "b", "normal_file_name": "c"}', r"got '/etc/a.png'"),
        (b'{"file_name": "C:\\\\a.png", "mask_file_name": "b", "normal_file_name": "c"}', "got 'C:"),
        (b'{"file_name": "", "mask_file_name": "b", "normal_file_name": "c"}', "got ''"),
    ],
)
def test_damaged_rows_are_refused(category, tmp_path, line, message):
    copied = shutil.copytree(category, tmp_path / "copied")
    first = (copied / "metadata.jsonl").read_bytes().splitlines()[0]
    (copied / "metadata.jsonl").write_bytes(first + b"\n" + line + b"\n")
    with pytest.raises(OutputError, match=message):
        PairDataset(copied)


def test_rows_that_cannot_be_read_are_an_error(category, tmp_path):
    copied = shutil.copytree(category, tmp_path / "copied")
    (copied / "metadata.jsonl").unlink()
    (copied / "metadata.jsonl").mkdir()
    with pytest.raises(UsageError, match="without dataset/<category>"):
        PairDataset(copied)
    shutil.move(copied, tmp_path / "dataset" / "c")
    with pytest.raises(OutputError, match=r"expected to read .*metadata.jsonl"):
        PairDataset(tmp_path / "dataset")


def damage(path, pixels):
    Image.fromarray(pixels).save(path)


@pytest.mark.parametrize(
    ("key", "spoil", "message"),
    [
        ("file_name", lambda path: path.unlink(), "got none at .*{name}; run fmas run again"),
        ("file_name", lambda path: path.write_bytes(path.read_bytes()[:-30]), "{name}"),
        ("mask_file_name", lambda path: path.write_bytes(b""), "{name}"),
        ("normal_file_name", lambda path: damage(path, np.zeros((64, 96), np.uint8)), "got mode L at .*{name}"),
        ("normal_file_name", lambda path: damage(path, np.zeros((9, 9, 3), np.uint8)), "one size, got 9 x 9, 96 x 64"),
        ("mask_file_name", lambda path: damage(path, np.zeros((64, 96), np.uint8)), "an empty one at .*{name}"),
        ("mask_file_name", lambda path: damage(path, np.full((64, 96), 7, np.uint8)), "0 and 255 only .*{name}"),
        ("mask_file_name", lambda path: damage(path, np.full((64, 96, 3), 255, np.uint8)), "grey mask, got mode RGB"),
    ],
)
def test_damaged_pictures_are_named(out, category, key, spoil, message):
    dataset = PairDataset(out)
    name = dataset.rows[0][key]
    spoil(category / name)
    with pytest.raises(ImageError, match=message.format(name=name)):
        dataset[0]


def test_a_picture_that_cannot_be_read_is_named(out, category):
    name = PairDataset(out).rows[0]["file_name"]
    (category / name).unlink()
    (category / name).mkdir()
    with pytest.raises(ImageError, match=f"expected to read .*{name}"):
        PairDataset(out)[0]


def test_several_pairs_of_a_photograph_stay_together(out):
    dataset = PairDataset(out)
    assert [len(indices) for indices in dataset.photographs().values()] == [2] * 6
    assert dataset.photograph_count == 6
    assert len(list(dataset.normals())) == 6
    learnt, held = dataset.split(0.15)
    assert held.photograph_count == 2 and len(held) == 4 and len(learnt) == 8
    assert not set(learnt.photographs()) & set(held.photographs())


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0.001, 0.999), seed=st.integers(0, 2**40))
def test_every_split_divides_all_photographs(out, share, seed):
    dataset = PairDataset(out)
    learnt, held = dataset.split(share, seed)
    assert sorted([*learnt.rows, *held.rows], key=lambda row: row["stem"]) == list(dataset.rows)
    assert not set(learnt.photographs()) & set(held.photographs())
    assert min(learnt.photograph_count, held.photograph_count) >= 2
    assert held.photograph_count == min(max(round(6 * share), 2), 4)
    assert dataset.split(share, seed)[1].rows == held.rows


def test_seeds_divide_differently(out):
    dataset = PairDataset(out)
    assert len({tuple(dataset.split(0.3, seed)[1].photographs()) for seed in range(20)}) > 3


def test_copies_of_a_photograph_are_one(run, photographs):
    shutil.copy(photographs / "part_0.png", photographs / "part_9.png")
    out, _ = run()
    dataset = PairDataset(out)
    assert len(dataset.photographs()) == 7 and dataset.photograph_count == 6 and len(list(dataset.normals())) == 6
    for seed in range(10):
        learnt, held = dataset.split(0.3, seed)
        digests = [{row["normal_sha256"] for row in part.rows} for part in (learnt, held)]
        assert not digests[0] & digests[1]


def test_too_few_photographs_cannot_be_divided(run):
    out, _ = run(limit=3, per_image=3)
    with pytest.raises(UsageError, match=r"at least 4 different photographs, .* got 3 in .*; add photographs"):
        PairDataset(out).split()


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, float("nan")])
def test_a_share_is_between_0_and_1(out, share):
    with pytest.raises(UsageError, match="expected a share between 0 and 1"):
        PairDataset(out).split(share)


def test_an_empty_data_set_has_no_items(run):
    out, _ = run(holdout_good=0.99)
    dataset = PairDataset(out)
    assert len(dataset) == 0 and dataset.rows == () and dataset.object_name == ""
    assert dataset.photographs() == {} and list(dataset.normals()) == []
