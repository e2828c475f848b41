"""Dropped pictures are made anew, in the same places, the same whatever happens in between."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fmas.decisions import Decision, DecisionLog
from fmas.errors import FmasError, OutputError
from fmas.layout import OutputLayout
from fmas.manifest import ManifestIndex
from fmas.preview import preview_run
from fmas.refill import dropped_pictures
from fmas.report import write_report
from fmas.reselect import reselect
from fmas.validate import validate_output


def layout_of(out: Path) -> OutputLayout:
    return OutputLayout(out, "test_part")


@pytest.fixture
def decide(rows):
    """Return a function that decides about the picture that a place holds now."""

    def decide(out: Path, stem: int, verdict: str = "drop") -> str:
        sha256 = next(row["image_sha256"] for row in rows(out) if row["stem"] == stem)
        DecisionLog(layout_of(out)).append(Decision(stem, sha256, verdict))
        return sha256

    return decide


def lines(out: Path) -> dict[int, object]:
    return {entry.stem: entry for entry in ManifestIndex(out / "manifest").entries()}


def picture(out: Path, row: dict[str, object]) -> bytes:
    return (out / "dataset/test_part" / str(row["file_name"])).read_bytes()


def test_dropped_picture_is_made_anew_in_its_place(run, decide, rows, tree):
    out, _ = run(per_image=2)
    before, rows_before = tree(out), {row["stem"]: row for row in rows(out)}
    decide(out, 3)
    decide(out, 8)
    decide(out, 5, "keep")
    assert dropped_pictures(layout_of(out)) == 2
    _, summary = run(per_image=2)
    assert (summary.made, summary.refilled, summary.kept, summary.failed) == (2, 2, 10, 0)
    assert summary.dropped_and_still_there == 0
    after, rows_after = tree(out), {row["stem"]: row for row in rows(out)}
    changed = {name for name in before if after.get(name) != before[name]}
    assert before.keys() == after.keys()
    assert {name for name in changed if "metadata" not in name and "README" not in name} == {
        f"test_part/{rows_before[stem][key]}" for stem in (3, 8) for key in ("file_name", "mask_file_name")
    }
    for stem in (3, 8):
        old, new = rows_before[stem], rows_after[stem]
        assert (old["generation"], new["generation"]) == (0, 1)
        assert old["image_sha256"] != new["image_sha256"]
        assert (old["defect"], old["prompt"]) == (new["defect"], new["prompt"])
        assert {item["attempt"] // 1000 for item in new["candidates"]} == {1}
        assert new["region_box"] != old["region_box"]
    assert validate_output(out).problems == ()


def test_generations_count_on_and_every_one_is_another_picture(run, decide, rows):
    out, _ = run(limit=2)
    seen = {decide(out, 1)}
    for generation in (1, 2, 3):
        run(limit=2)
        row = rows(out)[1]
        assert row["generation"] == generation
        assert row["image_sha256"] not in seen
        seen.add(decide(out, 1))
    assert validate_output(out).ok


def test_decision_that_was_taken_back_before_the_run_keeps_the_picture(run, decide, tree):
    out, _ = run()
    before = tree(out)
    decide(out, 2)
    decide(out, 2, "undecided")
    decide(out, 4)
    decide(out, 4, "keep")
    _, summary = run()
    assert (summary.made, summary.refilled) == (0, 0)
    assert tree(out) == before


def test_drop_of_a_picture_that_is_gone_is_history(run, decide, tree):
    out, _ = run()
    old = decide(out, 2)
    run()
    after = tree(out)
    DecisionLog(layout_of(out)).append(Decision(2, old, "keep"))  # too late: it is not there any more
    DecisionLog(layout_of(out)).append(Decision(2, old, "drop"))
    DecisionLog(layout_of(out)).append(Decision(77, old, "drop"))
    _, summary = run()
    assert (summary.made, summary.dropped_and_still_there) == (0, 0)
    assert tree(out) == after


@pytest.mark.parametrize("settings", [{"workers": 2}, {"shards": 3}, {"orders": 1}], ids=["workers", "shards", "steps"])
def test_the_same_decisions_give_the_same_bytes(run, decide, tree, tmp_path, fakes, settings):
    drops = (0, 1, 4)
    plain, _ = run(per_image=1)
    for stem in drops:
        decide(plain, stem)
    run(per_image=1)
    out, _ = run(per_image=1, out=tmp_path / "other")
    for stem in drops:
        decide(out, stem)
        if "orders" in settings:  # one place after the other instead of all at once
            run(per_image=1, out=out)
    if "workers" in settings:
        from fmas.executor import LocalExecutor
        from fmas.through import set_up, through

        class Batches:
            """Takes every item before it paints the first, and gives them back the other way round."""

            def run(self, stages, items):
                set_up(stages)
                yield from reversed(list(through(stages, list(items), LocalExecutor().fatal)))

        run(per_image=1, out=out, executor=Batches())
    for number in range(settings.get("shards", 0), 0, -1):
        run(per_image=1, out=out, shard=f"{number}/3")
    assert tree(out) == tree(plain)
    assert validate_output(out).ok


def test_limit_and_shard_refill_only_what_they_cover(run, decide, rows):
    out, _ = run()
    for stem in (0, 1, 5):
        decide(out, stem)
    _, summary = run(limit=1)
    assert (summary.refilled, summary.dropped_and_still_there) == (1, 2)
    assert json.loads((out / "run.json").read_bytes())["review"] == {"dropped_and_still_there": 2}
    _, summary = run(shard="2/2")
    assert (summary.refilled, summary.dropped_and_still_there) == (2, 0)
    assert [row["generation"] for row in rows(out)] == [1, 1, 0, 0, 0, 1]


def test_what_cannot_be_made_anew_leaves_a_counted_gap_and_the_dropped_picture_stays_away(run, decide, fakes, rows):
    out, _ = run()
    row = rows(out)[2]
    decide(out, 2)
    paint = fakes["inpainter"].paint
    fakes["inpainter"].paint = lambda job: job.image
    _, summary = run()
    assert (summary.made, summary.refilled, summary.failed, summary.exit_code) == (0, 0, 1, 3)
    assert 2 not in {row["stem"] for row in rows(out)}
    assert not (out / "dataset/test_part" / row["file_name"]).exists()
    assert not (out / "dataset/test_part" / row["normal_file_name"]).exists()
    failure = json.loads((out / "failures.jsonl").read_text(encoding="utf-8"))
    assert (failure["stem"], failure["reason"]) == (2, "rejected")
    assert {item["attempt"] // 1000 for item in failure["rejections"]} == {1}
    assert validate_output(out).ok
    fakes["inpainter"].paint = paint
    _, summary = run()
    assert (summary.made, summary.refilled) == (1, 1)
    assert rows(out)[2]["generation"] == 1


def test_inpainter_that_paints_the_dropped_picture_again_has_failed(run, decide, fakes, rows, photographs):
    Image.fromarray(np.full((40, 40, 3), 120, np.uint8)).save(photographs / "part_0.png")

    def paint_everything(job):
        image = job.image.copy()
        image[job.region] = 200
        return image

    fakes["inpainter"].paint = paint_everything
    area = [0.9999, 0.99999]
    region = {"shape": "rectangle", "area": area, "spread_area": area, "aspect": [0.999, 1.0]}
    settings = {"limit": 1, "region": region}
    out, _ = run(**settings)
    decide(out, 0)
    _, summary = run(**settings)
    assert (summary.made, summary.refilled, summary.failed) == (0, 0, 1)
    assert json.loads((out / "failures.jsonl").read_text(encoding="utf-8"))["reason"] == "dropped_again"
    assert lines(out)[0].generation == 2  # what the next run makes
    assert run(**settings)[1].failed == 1
    fakes["inpainter"].paint = None
    assert run(**settings)[1].refilled == 1
    assert rows(out)[0]["generation"] == 3


def test_held_out_photograph_is_never_made_anew(run, rows, tree):
    out, _ = run(holdout_good=0.5)
    good = next(row for row in rows(out) if row["defect"] == "good")
    DecisionLog(layout_of(out)).append(Decision(good["stem"], good["image_sha256"], "drop"))
    before = tree(out)
    _, summary = run(holdout_good=0.5)
    assert tree(out) == before
    assert summary.dropped_and_still_there == 0
    assert any("held-out good photographs are marked as dropped" in note for note in summary.notes)


def test_lost_file_of_a_refilled_place_is_the_same_picture_again(run, decide, rows, tree):
    out, _ = run()
    decide(out, 2)
    run()
    before = tree(out)
    (out / "dataset/test_part" / rows(out)[2]["file_name"]).unlink()
    _, summary = run()
    assert (summary.made, summary.refilled) == (1, 1)
    assert tree(out) == before


def test_interrupted_run_keeps_what_had_no_turn_and_is_a_valid_data_set(run, decide, rows, tree, fakes):
    out, _ = run()
    for stem in range(6):
        decide(out, stem)
    whole, _ = run(out=out.with_name("whole"))
    for stem in range(6):
        decide(whole, stem)
    run(out=whole)

    real, calls = fakes["inpainter"].inpaint, 0

    def inpaint(jobs):
        nonlocal calls
        calls += 1
        if calls > 1:
            raise KeyboardInterrupt
        return real(jobs)

    fakes["inpainter"].inpaint = inpaint
    with pytest.raises(KeyboardInterrupt):
        run()
    assert validate_output(out).ok
    assert {row["generation"] for row in rows(out)} == {1}
    reasons = [json.loads(line)["reason"] for line in (out / "failures.jsonl").read_text("utf-8").splitlines()]
    assert set(reasons) == {"dropped"}
    fakes["inpainter"].inpaint = real
    _, summary = run()
    assert summary.refilled == len(reasons)
    assert tree(out) == tree(whole)


def test_plan_and_decisions_make_the_same_data_set_elsewhere(run, decide, tree, rows, tmp_path):
    out, _ = run()
    decide(out, 1)
    decide(out, 4)
    run()
    decide(out, 4)
    run()
    again = tmp_path / "again"
    again.mkdir()
    for name in ("plan.json", "decisions.jsonl"):
        (again / name).write_bytes((out / name).read_bytes())
    assert run(out=again)[1].dropped_and_still_there == 2
    assert [run(out=again)[1].refilled for _ in range(3)] == [1, 1, 0]  # one round for each generation
    assert tree(again) == tree(out)


def test_run_that_cannot_start_takes_nothing_out(run, decide, tree, fakes):
    out, _ = run()
    before = tree(out)
    decide(out, 2)

    class Stubborn:
        def run(self, stages, items):
            raise FmasError("no")
            yield from items

    with pytest.raises(FmasError, match="no"):
        run(executor=Stubborn())
    assert tree(out) == before
    assert dropped_pictures(layout_of(out)) == 1


def test_changed_photograph_is_not_mixed_in_by_a_refill(run, decide, photographs, rows):
    out, _ = run(per_image=2)
    decide(out, 2)
    path = photographs / "part_1.png"
    Image.fromarray(255 - np.asarray(Image.open(path))).save(path)
    _, summary = run(per_image=2)
    assert summary.failed == 1
    assert summary.counts.failures["ImageError"] == 1


def test_foreign_line_stops_a_run_before_it_begins(run, tree):
    out, _ = run()
    before = tree(out)
    (out / "decisions.jsonl").write_text('{"stem": 1}\n', encoding="utf-8")
    with pytest.raises(OutputError, match=r"expected a decision in line 1 of .*decisions.jsonl, got no object with"):
        run()
    assert tree(out) == before
    problem = validate_output(out).problems[0]
    assert (problem.rule, problem.path) == ("decisions", "decisions.jsonl")


def test_validate_and_dry_run_say_what_is_waiting(run, decide, make_config, make_registry, fakes):
    out, _ = run()
    decide(out, 1)
    decide(out, 2)
    report = validate_output(out)
    assert report.ok
    assert any(note.startswith("2 pictures dropped in review and still there") for note in report.notes)
    preview = preview_run(make_config(), registry=make_registry(fakes))
    assert (preview["places_to_refill"], preview["pairs_to_make"], preview["finished_before"]) == (2, 2, 4)
    page = write_report(out).read_text(encoding="utf-8")
    assert "2 of them were dropped in review</strong> and are still there" in page


def test_row_with_another_generation_than_its_line_is_found(run, decide):
    out, _ = run()
    path = out / "manifest/shard-1-of-1.jsonl"
    content = path.read_text(encoding="utf-8").replace('"generation":0,"written"', '"generation":1,"written"', 1)
    path.write_text(content, encoding="utf-8")
    messages = [str(problem) for problem in validate_output(out).problems]
    assert any("expected generation 1 as in its line, got 0" in message for message in messages)


def test_choosing_another_candidate_leaves_the_drop_with_the_picture_it_was_about(run, decide, rows, tree):
    settings = {"candidates": 4, "select": {"band": [0.0, 0.01]}}
    out, _ = run(**settings)
    before = rows(out)
    reselect(out, (0.9, 1.0))
    changed = next(row["stem"] for row, old in zip(rows(out), before, strict=True) if row != old)
    assert rows(out)[changed]["image_sha256"] != before[changed]["image_sha256"]
    reselect(out, (0.0, 0.01))
    dropped = decide(out, changed)
    reselect(out, (0.9, 1.0))
    assert dropped_pictures(layout_of(out)) == 0  # another picture: nobody decided about it
    assert run(candidates=4, select={"band": [0.9, 1.0]})[1].refilled == 0
    reselect(out, (0.0, 0.01))
    assert rows(out)[changed]["image_sha256"] == dropped
    assert dropped_pictures(layout_of(out)) == 1  # the same picture, and what was decided about it
    assert run(**settings)[1].refilled == 1
    assert rows(out)[changed]["generation"] == 1
    reselect(out, (0.9, 1.0))
    assert rows(out)[changed]["generation"] == 1
    stronger = decide(out, changed)
    assert run(candidates=4, select={"band": [0.9, 1.0]})[1].refilled == 1
    assert rows(out)[changed]["generation"] == 2
    assert rows(out)[changed]["image_sha256"] != stronger
    assert validate_output(out).problems == ()


def test_place_that_waits_for_its_next_picture_is_left_alone_by_select(run, decide, fakes, rows):
    settings = {"candidates": 3, "select": {"band": [0.0, 0.01]}}
    out, _ = run(**settings)
    decide(out, 2)
    fakes["inpainter"].paint = lambda job: job.image
    assert run(**settings)[1].failed == 1
    reselect(out, (0.9, 1.0))
    assert 2 not in {row["stem"] for row in rows(out)}
    fakes["inpainter"].paint = None
    assert run(candidates=3, select={"band": [0.9, 1.0]})[1].refilled == 1
    assert rows(out)[2]["generation"] == 1
    assert validate_output(out).problems == ()
