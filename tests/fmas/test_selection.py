"""What cannot be chosen again, and how that is told; nothing is lost by trying."""

from __future__ import annotations

import json
import shutil
import threading

import numpy as np
import pytest
from filelock import FileLock

from fmas.errors import OutputError, UsageError
from fmas.images import encode_png
from fmas.manifest import CHOOSING, ManifestIndex
from fmas.reselect import preview_selection, reselect
from fmas.validate import validate_output

BANDS = {"low": (0.0, 0.1), "middle": (0.1, 0.2), "high": (0.25, 0.4)}


def settings(band, **more):
    return {"per_image": 2, "candidates": 3, "holdout_good": 0.3, "seed": 5, "select": {"band": BANDS[band]}, **more}


@pytest.fixture
def broken(photographs):
    """Make one photograph unreadable, so that its pairs fail."""
    (photographs / "part_2.png").write_bytes(b"not a picture")


@pytest.fixture
def fresh(run, tmp_path, broken):
    """Return a function: the output folder of a run with a band, and the same one for every call."""

    def make(band, **more):
        out = tmp_path / f"fresh_{band}"
        if not out.exists():
            run(out=out, **settings(band, **more))
        return out

    return make


def told(out):
    return [str(problem) for problem in validate_output(out).problems]


def other_candidate(out, rows, *, band):
    """Return the row of a pair that ``band`` changes, and the file of the candidate that it would get."""
    middle = sum(band) / 2
    for row in rows(out):
        if row["defect"] == "good":
            continue
        best = min(row["candidates"], key=lambda item: abs(item["score"] - middle))
        if best["candidate"] != row["candidate"]:
            return row, out / f"candidates/{row['stem']:06d}/{best['candidate']}.png"
    raise AssertionError("no pair changes")


@pytest.mark.parametrize("damage", ["missing", "changed", "unlisted", "folder"])
def test_a_pair_whose_candidate_is_gone_stays_and_is_told(fresh, run, rows, tree, tmp_path, damage):
    out = shutil.copytree(fresh("middle"), tmp_path / "out")
    row, path = other_candidate(out, rows, band=BANDS["high"])
    before = (out / "dataset/test_part" / row["file_name"]).read_bytes()
    if damage == "unlisted":
        manifest = out / "manifest/shard-1-of-1.jsonl"
        lines = [json.loads(line) for line in manifest.read_text().splitlines()]
        for line in lines:
            line["candidates"].pop(path.relative_to(out).as_posix(), None)
        manifest.write_text("".join(json.dumps(line) + "\n" for line in lines))
    elif damage == "changed":
        path.write_bytes(encode_png(np.zeros((3, 3, 4), np.uint8)))
    else:
        path.unlink()
        path.mkdir() if damage == "folder" else None
    if damage == "missing":
        assert [stem for stem, _ in preview_selection(out, BANDS["high"]).failed] == [row["stem"]]
    summary = reselect(out, BANDS["high"])
    assert [stem for stem, _ in summary.failed] == [row["stem"]]
    assert summary.failed[0][1].startswith("expected ")
    assert summary.exit_code == 3
    assert (out / "dataset/test_part" / row["file_name"]).read_bytes() == before
    assert {problem.rule for problem in validate_output(out).problems} >= {"choice"}
    if path.is_dir():
        path.rmdir()
    _, painted = run(out=out, **settings("high"))
    assert painted.made == 1
    assert tree(out) == tree(fresh("high"))
    assert told(out) == []


def test_a_pair_that_keeps_its_candidate_needs_no_file(fresh, tree, tmp_path, rows):
    out = shutil.copytree(fresh("middle"), tmp_path / "out")
    low, high = BANDS["middle"]
    same = (low - 0.0001, high + 0.0001)
    shutil.rmtree(out / "candidates")
    summary = reselect(out, same)
    assert (summary.changed, summary.rewritten, summary.failed) == (0, summary.pairs, ())
    assert all(row["band"] == list(same) for row in rows(out) if row["defect"] != "good")
    reselect(out, BANDS["middle"])
    assert tree(out) == tree(fresh("middle"))


def test_a_damaged_picture_is_not_passed_on_with_another_row(fresh, tmp_path, rows):
    out = shutil.copytree(fresh("middle"), tmp_path / "out")
    shutil.rmtree(out / "candidates")
    row = next(row for row in rows(out) if row["defect"] != "good")
    path = out / "dataset/test_part" / row["file_name"]
    path.write_bytes(encode_png(np.zeros((row["height"], row["width"], 3), np.uint8)))
    low, high = BANDS["middle"]
    summary = reselect(out, (low - 0.0001, high + 0.0001))
    assert [stem for stem, _ in summary.failed] == [row["stem"]]
    assert "expected the pixels that the row of" in summary.failed[0][1]


def test_a_changed_twin_is_not_painted_on(fresh, tmp_path, rows):
    out = shutil.copytree(fresh("middle"), tmp_path / "out")
    row, _ = other_candidate(out, rows, band=BANDS["high"])
    path = out / "dataset/test_part" / row["normal_file_name"]
    path.write_bytes(encode_png(np.zeros((row["height"], row["width"], 3), np.uint8)))
    failed = dict(reselect(out, BANDS["high"]).failed)
    assert "expected the photograph that pair" in failed[row["stem"]]


def test_a_damaged_image_is_mended_by_choosing_another(fresh, tree, tmp_path, rows):
    out = shutil.copytree(fresh("middle"), tmp_path / "out")
    row, _ = other_candidate(out, rows, band=BANDS["high"])
    (out / "dataset/test_part" / row["file_name"]).write_bytes(b"")
    reselect(out, BANDS["high"])
    assert tree(out) == tree(fresh("high"))


def test_no_candidate_kept_is_refused_before_anything_changes(run, tmp_path):
    out, _ = run(out=tmp_path / "none", **settings("middle", write={"keep_candidates": False}))
    before = (out / "run.json").read_bytes()
    for choose in (reselect, preview_selection):
        with pytest.raises(
            OutputError, match=r"expected .*candidates, where a run keeps its candidates, got no such fol"
        ):
            choose(out, BANDS["high"])
    assert (out / "run.json").read_bytes() == before
    assert told(out) == []


def test_keeping_candidates_is_no_part_of_a_run(run, tree, tmp_path):
    out, _ = run(out=tmp_path / "none", **settings("middle", write={"keep_candidates": False}))
    other, _ = run(out=tmp_path / "kept", **settings("middle"))
    assert tree(out) == tree(other)
    _, summary = run(out=out, **settings("middle"))
    assert summary.made == 0


def test_rows_without_candidates_are_refused(fresh, tmp_path):
    out = shutil.copytree(fresh("middle"), tmp_path / "out")
    manifest = out / "manifest/shard-1-of-1.jsonl"
    lines = [json.loads(line) for line in manifest.read_text().splitlines()]
    for line in lines:
        for item in (line["row"] or {}).get("candidates", ()):
            del item["box"]
    manifest.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(OutputError, match=r"got none of any pair: expected a row with its candidates for pair \d, got"):
        reselect(out, BANDS["high"])


def test_folders_that_are_no_output_are_refused(tmp_path, run):
    for choose in (reselect, preview_selection):
        with pytest.raises(UsageError, match=r"expected the output folder of fmas run, got .*without a run\.json"):
            choose(tmp_path / "nowhere", "strong")
    out, _ = run()
    for content, message in (
        ("{}", "expected .*run.json as fmas writes it"),
        ('{"identity": {}}', "as this version of"),
    ):
        (out / "run.json").write_text(content)
        with pytest.raises(OutputError, match=message):
            reselect(out, BANDS["high"])
    assert not (tmp_path / "nowhere").exists()


def test_nothing_finished_is_refused(run, photographs):
    for path in photographs.iterdir():
        path.write_bytes(b"no picture")
    out, _ = run()
    with pytest.raises(OutputError, match=r"expected finished pairs in .*, got none; finish the run first"):
        reselect(out, BANDS["high"])


def test_words_need_scores_of_the_built_in_selector(fresh):
    with pytest.raises(UsageError, match=r"expected LO:HI for scores of the selector 'fake' version 1, got 'strong'"):
        reselect(fresh("middle"), "strong")
    with pytest.raises(UsageError, match="--intensity: expected subtle, medium, strong or LO:HI"):
        reselect(fresh("middle"), "very")


@pytest.mark.parametrize("name", ["shard-1-of-1.lock", "shard-2-of-3.lock"])
def test_a_folder_that_a_run_is_writing_is_refused(fresh, name):
    out = fresh("middle")
    before = (out / "run.json").read_bytes()
    held, done = threading.Event(), threading.Event()

    def hold():
        with FileLock(out / ".tmp" / name):
            held.set()
            done.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert held.wait(10)
        with pytest.raises(OutputError, match="another fmas run"):
            reselect(out, BANDS["high"])
    finally:
        done.set()
        thread.join()
    assert (out / "run.json").read_bytes() == before


def test_a_failing_choice_leaves_no_line_that_says_it_is_going_on(fresh, rows, tmp_path):
    out = shutil.copytree(fresh("middle"), tmp_path / "out")
    row, path = other_candidate(out, rows, band=BANDS["high"])
    path.unlink()
    reselect(out, BANDS["high"])
    latest = {entry.stem: entry for entry in ManifestIndex(out / "manifest").entries()}
    assert latest[row["stem"]].status == "done"
    assert all(entry.reason != CHOOSING for entry in latest.values())
