"""Whole outputs: which are sound, which are none, what is noted and counted."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from fmas.errors import UsageError
from fmas.pipeline import synthesize
from fmas.validate import validate_output


def broken(out: Path) -> set[str]:
    return {str(problem.rule) for problem in validate_output(out).problems}


def test_finished_output_is_ok(finished, forgery):
    report = validate_output(finished)
    assert report.problems == ()
    assert report.ok
    assert (report.pairs, report.held_out) == (len(forgery.pairs), len(forgery.held_out))
    assert report.pairs >= 4
    assert report.held_out >= 2
    assert report.files == sum(path.is_file() for path in (finished / "dataset").rglob("*"))
    assert report.notes == ()


def test_sealing_an_untouched_output_changes_nothing(forgery):
    before = {path: path.read_bytes() for path in forgery.dataset.rglob("*") if path.is_file()}
    forgery.seal()
    assert {path: path.read_bytes() for path in forgery.dataset.rglob("*") if path.is_file()} == before
    assert broken(forgery.out) == set()


@pytest.mark.parametrize(
    "settings_", [{"per_image": 3}, {"per_image": 1, "candidates": 1}, {"holdout_good": 0.4}, {"limit": 2}]
)
def test_other_runs_are_ok(settings_, fakes, make_registry, make_config):
    config = make_config(**settings_)
    summary = synthesize(config, registry=make_registry(fakes))
    report = validate_output(config.out)
    assert report.problems == ()
    assert report.pairs == summary.counts.pairs
    assert report.held_out == summary.counts.held_out


def test_shards_are_ok(fakes, make_registry, make_config):
    for shard in ("1/2", "2/2"):
        config = make_config(shard=shard)
        synthesize(config, registry=make_registry(fakes))
    assert validate_output(config.out).problems == ()


def test_run_with_failures_and_redrawn_candidates_is_ok(fakes, make_registry, make_config, forgery_of):
    willing = type(fakes["inpainter"])()

    def paint(job):
        if "stain" in job.defect.name or job.seed % 3 == 0:
            return np.zeros_like(job.image)
        return willing.inpaint([job])[0]

    fakes["inpainter"].paint = paint
    config = make_config(per_image=2)
    summary = synthesize(config, registry=make_registry(fakes))
    assert summary.counts.failed > 0
    assert summary.counts.pairs > 0
    assert any(line["status"] == "done" and line["rejections"] for line in forgery_of(config.out).lines)
    assert validate_output(config.out).problems == ()


def test_rerun_after_a_failure_is_ok(fakes, make_registry, make_config):
    fakes["inpainter"].paint = lambda job: np.zeros_like(job.image)
    config = make_config()
    assert synthesize(config, registry=make_registry(fakes)).counts.failed == 6
    (problem,) = validate_output(config.out).problems  # nothing was made
    assert (problem.rule, problem.path) == ("finished", "dataset")
    assert problem.message == (
        "expected a finished pair, got none: all 6 pairs failed (6 x rejected); "
        "read failures.jsonl, mend what it says and run the same fmas run again"
    )
    fakes["inpainter"].paint = None
    synthesize(config, registry=make_registry(fakes))
    assert validate_output(config.out).problems == ()


def test_identical_second_line_is_ok(forgery):
    """Somebody deleted an image, and the rerun made the same again."""
    forgery.lines.append(forgery.lines[0])
    forgery.write_lines()
    assert broken(forgery.out) == set()


def test_swapped_masks_are_found(forgery):
    first, second = (forgery.path("mask", number) for number in (0, 1))
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)
    assert {"file-sha256", "untouched"} <= broken(forgery.out)
    forgery.seal()
    assert "untouched" in broken(forgery.out)
    assert "file-sha256" not in broken(forgery.out)


def test_every_problem_of_an_image_is_told(forgery):
    """One damaged image does not hide the next."""
    forgery.path("image", 0).unlink()
    forgery.path("mask", 1).write_bytes(b"")
    report = validate_output(forgery.out)
    assert [(str(problem.rule), problem.path) for problem in report.problems] == [
        ("missing-file", f"dataset/{forgery.category}/{forgery.name('image', 0)}"),
        ("empty-file", f"dataset/{forgery.category}/{forgery.name('mask', 1)}"),
    ]


def test_manifest_that_changes_meanwhile_is_told(forgery):
    def empty_it(_finished, _total):
        forgery.manifest.write_bytes(b"")

    assert "manifest" in {str(p.rule) for p in validate_output(forgery.out, progress=empty_it).problems}


def test_the_newest_line_counts_in_whichever_file_it_stands(forgery):
    failure = {"stage": "inpaint", "reason": "rejected", "message": "m"}
    lost = forgery.lines[0] | {"status": "failed", "files": {}, "row": None, "failure": failure, "sizes": {}}
    other = forgery.manifest.parent / "shard-2-of-2.jsonl"
    other.write_text(json.dumps(lost | {"written": lost["written"] - 1}) + "\n")
    assert broken(forgery.out) == set()
    other.write_text(json.dumps(lost | {"written": lost["written"] + 1}) + "\n")
    assert {"extra-file", "metadata", "failures", "counts"} <= broken(forgery.out)


def test_missing_folder(tmp_path):
    with pytest.raises(UsageError, match="expected the output folder of a run, got nothing"):
        validate_output(tmp_path / "nowhere")


def test_file_instead_of_a_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="got a file"):
        validate_output(tmp_path / "file")


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ((), "got an empty one at .*; name the folder that was given to fmas run --out"),
        (("photo.png",), r"got one without run\.json, manifest, dataset at .*; name the folder"),
        (("plan.json", "config.resolved.yaml"), "got one with a plan only at .*; run fmas run with it as --out first"),
    ],
)
def test_folder_that_is_no_output(tmp_path, files, found):
    for name in files:
        (tmp_path / name).write_text("{}")
    with pytest.raises(UsageError, match=found):
        validate_output(tmp_path)


@pytest.mark.parametrize("part", ["dataset", "dataset/test_part", "dataset/test_part/train/good", "manifest"])
def test_part_of_an_output_leads_to_it(finished, part):
    with pytest.raises(UsageError) as caught:
        validate_output(finished / part)
    assert str(caught.value).endswith(f"; did you mean {str(finished)!r}?")


def test_nothing_below_a_file(finished):
    with pytest.raises(UsageError, match="got nothing"):
        validate_output(finished / "run.json" / "out")


def test_only_pair_failed(fakes, make_registry, make_config):
    fakes["inpainter"].paint = lambda job: np.zeros_like(job.image)
    config = make_config(limit=1)
    synthesize(config, registry=make_registry(fakes))
    (problem,) = validate_output(config.out).problems
    assert "got none: the only pair failed (1 x rejected);" in problem.message


@pytest.mark.parametrize("began", [True, False])
def test_run_that_was_stopped_before_its_first_pair(forgery, began):
    """As after a power cut: identity and plan are there, the manifest is empty or not yet made."""
    shutil.rmtree(forgery.out / "dataset")
    shutil.rmtree(forgery.out / "manifest")
    if began:
        forgery.manifest.parent.mkdir()
        forgery.manifest.write_bytes(b"")
    (forgery.out / "failures.jsonl").unlink()
    forgery.edit_json("run.json", lambda content: content.pop("counts"))
    (problem,) = validate_output(forgery.out).problems
    assert str(problem) == (
        "dataset: expected a finished pair, got none: the run was stopped before it finished one; "
        "run the same fmas run again [finished]"
    )


def test_notes(finished, tmp_path):
    out = Path(shutil.copytree(finished, tmp_path / "Prüfling"))
    (out / ".tmp" / "shard-1-of-1").mkdir(parents=True)
    (out / ".tmp" / "shard-1-of-1" / "1-0.part").write_bytes(b"x")
    report = validate_output(out)
    assert report.ok
    assert [note.split(",")[0] for note in report.notes] == ["1 file in .tmp", "the path to this folder is not ASCII"]


def test_progress(finished, forgery):
    calls: list[tuple[int, int]] = []
    validate_output(finished, progress=lambda done, total: calls.append((done, total)))
    total = len(forgery.lines)
    assert calls == [(number, total) for number in range(1, total + 1)]


def test_memory_holds_one_pair_at_a_time(forgery, monkeypatch):
    """No decoded picture outlives its line, except the twin that the next line may share."""
    import weakref

    from fmas.validate import dataset_files

    alive: list[weakref.ref[np.ndarray]] = []
    decode = dataset_files.decode_png
    most = 0

    def counted(*args, **kwargs):
        nonlocal most
        result = decode(*args, **kwargs)
        alive.append(weakref.ref(result[0]))
        most = max(most, sum(ref() is not None for ref in alive))
        return result

    monkeypatch.setattr(dataset_files, "decode_png", counted)
    assert validate_output(forgery.out).ok
    assert len(alive) > 8
    assert most <= 3
