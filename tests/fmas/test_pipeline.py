"""The guarantees of a run, with components that are simple enough to know the answer."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from fmas.errors import OutputError, UsageError
from fmas.executor import LocalExecutor
from fmas.files import AtomicWriter
from fmas.pipeline import synthesize
from fmas.types import Defect, DefectKind
from fmas.validate import validate_output


def test_output_has_the_designed_layout(run, rows, tree):
    out, summary = run()
    assert (summary.made, summary.kept, summary.failed, summary.exit_code) == (6, 0, 0, 0)
    files = set(tree(out))
    for row in rows(out):
        stem = f"{row['stem']:06d}"
        assert row["normal_file_name"] == f"train/good/{stem}.png"
        assert row["file_name"] == f"test/{row['defect']}/{stem}.png"
        assert row["mask_file_name"] == f"ground_truth/{row['defect']}/{stem}_mask.png"
        files -= {f"test_part/{row[key]}" for key in ("normal_file_name", "file_name", "mask_file_name")}
    assert files == {"test_part/README.md", "test_part/metadata.jsonl"}
    assert {path.name for path in out.iterdir()} == {
        ".tmp", "candidates", "config.resolved.yaml", "dataset", "failures.jsonl", "manifest", "plan.json", "run.json",
    }  # fmt: skip
    assert (out / "failures.jsonl").read_bytes() == b""


def test_same_seed_same_bytes_other_seed_other_bytes(run, tmp_path, tree):
    one, _ = run()
    two, _ = run(out=tmp_path / "two")
    other, _ = run(out=tmp_path / "other", seed=1)
    assert tree(one) == tree(two)
    assert tree(one) != tree(other)


def test_bad_images_fail_alone_and_leave_gaps(run, photographs, tmp_path, rows):
    clean, _ = run(out=tmp_path / "clean")
    good = {row["source"]: row for row in rows(clean)}
    (photographs / "part_2.png").write_bytes(b"not a picture")
    (photographs / "part_4.png").write_bytes(b"")
    out, summary = run()
    assert (summary.made, summary.failed, summary.exit_code) == (4, 2, 3)
    assert [row["stem"] for row in rows(out)] == [0, 1, 3, 5]
    assert all(row == good[row["source"]] for row in rows(out))
    failures = [json.loads(line) for line in (out / "failures.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [(failure["source"], failure["stage"], failure["reason"]) for failure in failures] == [
        ("part_2.png", "read", "ImageError"),
        ("part_4.png", "read", "ImageError"),
    ]


def test_failed_image_is_tried_again_and_mended(run, photographs, rows):
    content = (photographs / "part_2.png").read_bytes()
    (photographs / "part_2.png").write_bytes(b"not a picture")
    run()
    (photographs / "part_2.png").write_bytes(content)
    out, summary = run()
    assert (summary.made, summary.kept, summary.failed, summary.exit_code) == (1, 5, 0, 0)
    assert (out / "failures.jsonl").read_bytes() == b""
    assert len(rows(out)) == 6


def test_border_defects_are_placed_too(run, fakes):
    fakes["llm"].defects = [Defect(name="fray", prompt="a frayed edge", kind=DefectKind.FRAY)]
    _, summary = run()
    assert (summary.made, summary.failed) == (6, 0)


def test_photograph_without_room_is_a_listed_failure(run, photographs):
    image = np.full((64, 64, 3), 5, np.uint8)
    image[::5, ::5] = 200  # specks that touch nowhere
    Image.fromarray(image).save(photographs / "part_0.png")
    _, summary = run(region={"min_overlap": 0.95, "redraws": 3, "area": [0.5, 1.0]}, limit=1)
    assert summary.counts.failures == {"no_region": 1}


def test_workers_stop_before_the_sweep_whatever_ends_the_run(make_config, photographs):
    """Regression: workers went on writing after an error in the loop, and left files without manifest lines."""
    for number in range(6, 30):
        shutil.copy(photographs / "part_0.png", photographs / f"part_{number:02d}.png")
    builtin = {kind: {"name": "builtin"} for kind in ("llm", "segmenter", "inpainter", "selector")}
    config = make_config(workers=2, **builtin)

    def stop(finished, total, failed):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        synthesize(config, progress=stop)
    assert validate_output(config.out).problems == ()


def test_texture_gets_no_defect_that_needs_an_edge(run, fakes, photographs, rows):
    fakes["llm"].defects = [
        Defect(name="fray", prompt="a frayed edge", kind=DefectKind.FRAY),
        Defect(name="stain", prompt="a stain", kind=DefectKind.STAIN),
    ]
    out, _ = run(per_image=6)
    kinds = {(row["foreground_kind"], row["kind"]) for row in rows(out)}
    assert kinds == {("texture", "stain"), ("object", "stain"), ("object", "fray")}


def test_wrong_usage_writes_nothing(run, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(UsageError):
        run(images=tmp_path / "missing")
    with pytest.raises(UsageError, match=r"unknown|known"):
        run(inpainter={"name": "fakke"})
    with pytest.raises(ValidationError, match="set the variable that its SDK reads") as caught:
        run(llm={"name": "fake", "api_key": "sk-secret"})
    assert "sk-secret" not in str(caught.value)
    assert not out.exists()


def test_full_disk_stops_the_run_and_keeps_what_is_finished(run, monkeypatch, fakes):
    real, written = AtomicWriter.write, []

    def fill_up(self, path, content):
        written.append(path)
        if len(written) > 8:
            raise OutputError("expected room for it, got a full disk; free some space")
        real(self, path, content)

    monkeypatch.setattr(AtomicWriter, "write", fill_up)
    with pytest.raises(OutputError, match="full disk"):
        run()
    monkeypatch.setattr(AtomicWriter, "write", real)
    _, summary = run()
    assert summary.kept >= 1
    assert summary.made + summary.kept == 6


def test_ctrl_c_leaves_a_valid_data_set(run, fakes, tmp_path, rows, tree):
    calls = []

    def interrupt(job):
        calls.append(job)
        if len(calls) > 8:
            raise KeyboardInterrupt
        image = job.image.copy()
        image[job.region] = 255 - image[job.region]
        return image

    _whole, _ = run(out=tmp_path / "whole")
    fakes["inpainter"].paint = interrupt
    with pytest.raises(KeyboardInterrupt):
        run()
    out = tmp_path / "out"
    listed = {row[key] for row in rows(out) for key in ("file_name", "mask_file_name", "normal_file_name")}
    assert {name.removeprefix("test_part/") for name in tree(out)} == listed | {"README.md", "metadata.jsonl"}
    fakes["inpainter"].paint = None


class UnshowableError(Exception):
    def __str__(self):
        raise RuntimeError


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (RuntimeError("bad \udcff byte"), "bad \\udcff byte"),
        (UnshowableError(), "UnshowableError"),
        (SystemExit(0), "0"),
        (RuntimeError("x" * 5000), "x" * 1000),
        (RuntimeError("401 for sk-live-1234567890"), "401 for <SOME_API_KEY>"),
    ],
    ids=["surrogate", "unshowable", "exit", "long", "secret"],
)
def test_whatever_a_component_raises_stays_with_its_photograph(run, fakes, monkeypatch, error, message):
    monkeypatch.setenv("SOME_API_KEY", "sk-live-1234567890")

    def paint(job):
        raise error

    fakes["inpainter"].paint = paint
    out, summary = run()
    assert (summary.made, summary.failed, summary.exit_code) == (0, 6, 1)
    failures = [json.loads(line) for line in (out / "failures.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {failure["message"] for failure in failures} == {message}


def test_the_given_executor_runs_the_stages(run):
    class Recording:
        ran = ()

        def run(self, stages, items):
            self.ran = tuple(stage.name for stage in stages)
            return LocalExecutor().run(stages, items)

    executor = Recording()
    run(executor=executor)
    assert executor.ran == ("read", "segment", "region", "inpaint", "select", "write")


def test_a_painter_elsewhere_is_kept_busy_from_threads_and_changes_no_byte(
    run, fakes, make_registry, make_config, tmp_path, tree
):
    alone, _ = run(per_image=3)
    config = make_config(per_image=3, out=tmp_path / "overlapped")
    summary = synthesize(config, registry=make_registry(fakes, elsewhere=True))
    assert summary.made == 18
    assert tree(config.out) == tree(alone)


def test_progress_counts_what_is_left_to_do(run, photographs):
    run(limit=2)
    (photographs / "part_2.png").write_bytes(b"not a picture")
    told = []
    run(progress=lambda *numbers: told.append(numbers))
    assert told == [(number, 4, 1) for number in (1, 2, 3, 4)]  # a failure passes the stages that hold batches
