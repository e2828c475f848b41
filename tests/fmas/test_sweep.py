"""What is removed after a killed run, and above all what is not."""

from __future__ import annotations

import shutil

import pytest

from fmas.layout import OutputLayout
from fmas.sweep import sweep_unlisted


@pytest.fixture
def layout(tmp_path):
    return OutputLayout(tmp_path / "out", "test_part")


def put(layout, *names):
    for name in names:
        path = layout.dataset / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def left(layout):
    return {path.relative_to(layout.dataset).as_posix() for path in layout.dataset.rglob("*") if path.is_file()}


def test_files_of_other_shards_may_be_written_right_now(layout, make_config):
    folders = {"train/good": "", "test/crack": "", "ground_truth/crack": "_mask", "test/good": ""}
    names = [f"{folder}/00000{number}{end}.png" for number in range(2) for folder, end in folders.items()]
    put(layout, *names)
    sweep_unlisted(layout, make_config(shard="1/2"))
    assert left(layout) == {name for name in names if "000001" in name}


def test_a_stem_belongs_to_the_photograph_it_was_made_of(layout, make_config):
    """With two pairs per photograph stems 2 and 3 are of photograph 1, which is the second shard's."""
    put(
        layout,
        *(f"test/crack/00000{number}.png" for number in range(4)),
        "train/good/000000.png",
        "train/good/000001.png",
    )
    sweep_unlisted(layout, make_config(shard="1/2", per_image=2))
    assert left(layout) == {"test/crack/000002.png", "test/crack/000003.png", "train/good/000001.png"}


def test_files_that_we_would_not_have_named_stay(layout, make_config):
    names = {"test/crack/7.png", "test/crack/cover.png", "test/Crack/000000.png", "train/other/000000.png",
             "ground_truth/crack/x_mask.png", "extra/crack/000000.png"}  # fmt: skip
    put(layout, *names)
    sweep_unlisted(layout, make_config())
    assert left(layout) == names


def test_a_twin_without_a_pair_is_removed(layout, make_config):
    put(layout, "train/good/000000.png")
    sweep_unlisted(layout, make_config())
    assert left(layout) == set()


def test_leftovers_of_a_killed_run_are_swept(run, rows, tree):
    out, _ = run()
    before = tree(out)
    root = out / "dataset/test_part"
    (root / "test/dent").mkdir()
    shutil.copy(root / rows(out)[0]["file_name"], root / "test/dent/000000.png")
    (root / "ground_truth/dent").mkdir()
    shutil.copy(root / rows(out)[0]["mask_file_name"], root / "ground_truth/dent/000000_mask.png")
    (out / ".tmp/shard-1-of-1").mkdir()
    (out / ".tmp/shard-1-of-1/99-0.part").write_bytes(b"half")
    run()
    assert tree(out) == before
    assert not (root / "test/dent").exists()
    assert not (out / ".tmp/shard-1-of-1").exists()


def test_foreign_files_are_left_for_the_validator(run):
    out, _ = run()
    stray = out / "dataset/test_part/test/notes.txt"
    stray.write_text("mine", encoding="utf-8")
    run()
    assert stray.read_text(encoding="utf-8") == "mine"


def put_candidates(layout, *names):
    for name in names:
        path = layout.candidates / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def candidates_left(layout):
    return {path.relative_to(layout.candidates).as_posix() for path in layout.candidates.rglob("*")}


def test_candidates_that_no_line_names_are_removed_with_their_folder(layout, make_config):
    put_candidates(layout, "000000/0.png", "000001/0.png", "000001/mine.txt")
    sweep_unlisted(layout, make_config())
    assert candidates_left(layout) == {"000001", "000001/mine.txt"}


def test_candidates_of_other_shards_and_other_files_stay(layout, make_config):
    names = {"000001/0.png", "notes/0.png", "000000/best.png", "000002/0.png"}
    put_candidates(layout, *names, "000000/0.png")
    sweep_unlisted(layout, make_config(shard="1/2"))
    assert {name for name in candidates_left(layout) if name.endswith(".png")} == names - {"000002/0.png"}


def test_candidates_that_a_line_names_stay(run, make_config):
    out, _ = run()
    layout = OutputLayout(out, "test_part")
    before = candidates_left(layout)
    assert before
    (layout.candidates / "000000" / "7.png").write_bytes(b"of a killed run")
    sweep_unlisted(layout, make_config())
    assert candidates_left(layout) == before
