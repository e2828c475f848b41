"""Choosing again gives what a run with that intensity gives: always, in any order, and after any death."""

from __future__ import annotations

import hashlib
import shutil

import numpy as np
import pytest

import fmas.files
from fmas.decisions import Decision, DecisionLog
from fmas.errors import OutputError
from fmas.executor import LocalExecutor
from fmas.layout import OutputLayout
from fmas.manifest import ManifestIndex, ManifestWriter
from fmas.reselect import preview_selection, reselect
from fmas.selection import Selection, read_selectable
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


def test_every_band_from_every_other_is_as_if_run_so(fresh, tree, tmp_path):
    assert len({hashlib.sha256(b"".join(tree(fresh(band)).values())).digest() for band in BANDS}) == 3
    out = shutil.copytree(fresh("middle"), tmp_path / "out")
    for band in ("high", "low", "high", "middle", "middle", "low"):
        summary = reselect(out, BANDS[band])
        assert tree(out) == tree(fresh(band))
        assert told(out) == []
        assert (summary.band, summary.exit_code, summary.failed) == (BANDS[band], 0, ())
    for name in ("config.resolved.yaml", "run.json", "failures.jsonl"):
        wanted = (fresh("low") / name).read_text(encoding="utf-8").replace("fresh_low", "OUT")
        assert (out / name).read_text(encoding="utf-8").replace("fresh_middle", "OUT") == wanted


def test_the_run_goes_on_with_the_new_band_and_redoes_nothing(fresh, run, tmp_path):
    out = shutil.copytree(fresh("middle"), tmp_path / "out")
    reselect(out, BANDS["high"])
    _, summary = run(out=out, **settings("high"))
    assert (summary.made, summary.notes) == (0, ())
    with pytest.raises(OutputError, match=r"select\.band was .*fmas select .*out --intensity 0\.1:0\.2; or choose"):
        run(out=out, **settings("middle"))


def test_other_differences_are_told_as_before(fresh, run):
    with pytest.raises(OutputError, match=r"seed was 5, now 6; select\.band was .*choose another --out"):
        run(out=fresh("middle"), **settings("high", seed=6))


def test_an_unfinished_run_is_chosen_as_far_as_it_is(fresh, run, tmp_path, tree, broken):
    out = tmp_path / "out"
    run(out=out, **settings("middle", limit=3))
    reselect(out, BANDS["low"])
    assert told(out) == []
    run(out=out, **settings("low"))
    assert tree(out) == tree(fresh("low"))


def test_workers_and_shards_make_no_difference(fresh, run, tmp_path, tree, make_config, photographs):
    out = tmp_path / "out"
    for shard in ("1/2", "2/2"):
        run(out=out, **settings("middle", shard=shard))
    summary = reselect(out, BANDS["high"], workers=2)
    assert summary.changed > 0
    assert tree(out) == tree(fresh("high"))
    assert told(out) == []


def test_the_same_band_again_changes_nothing(fresh):
    out = fresh("middle")
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file() and path.suffix != ".lock"}
    summary = reselect(out, BANDS["middle"])
    assert (summary.changed, summary.rewritten) == (0, 0)
    after = {path: path.read_bytes() for path in out.rglob("*") if path.is_file() and path.suffix != ".lock"}
    assert after == before


def test_preview_says_what_will_be_and_writes_nothing(fresh):
    out = fresh("middle")
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    preview = preview_selection(out, BANDS["high"])
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before
    summary = reselect(out, BANDS["high"])
    said, done = preview.to_json(), summary.to_json()
    for key in ("dry_run", "seconds", "counts"):
        said.pop(key), done.pop(key)
    assert said == done
    assert preview.dry_run and not summary.dry_run
    assert summary.pairs == summary.changed + summary.rewritten
    assert summary.changed > 0


def test_scores_are_counted(fresh, rows):
    out = fresh("middle")
    pairs = [row for row in rows(out) if row["defect"] != "good"]
    scores = preview_selection(out, "0.3:0.5").to_json()["scores"]
    assert scores["chosen_before"]["number"] == scores["chosen"]["number"] == len(pairs)
    assert scores["candidates"]["number"] == sum(len(row["candidates"]) for row in pairs)
    every = [candidate["score"] for row in pairs for candidate in row["candidates"]]
    assert (scores["candidates"]["lowest"], scores["candidates"]["highest"]) == (min(every), max(every))
    assert scores["candidates"]["inside"] == sum(0.3 <= score <= 0.5 for score in every)
    assert scores["chosen_before"]["mean"] == round(float(np.mean([row["score"] for row in pairs])), 4)


# Deaths


class KilledError(KeyboardInterrupt):
    """The process is gone; of this kind because stages keep any other to themselves."""


class Life:
    """Lets a process write so many times, and nothing after; the last line may be cut in the middle."""

    def __init__(self, monkeypatch, writes, *, torn=False):
        self.left, self.dead, self.tore = writes, False, False
        move, append = fmas.files._move, ManifestWriter.append

        def moving(temporary, path):
            self.spend()
            move(temporary, path)

        def appending(writer, entry):
            if torn and self.left == 0 and not self.dead:
                with writer._path.open("ab") as file:
                    self.tore = bool(file.write(entry.to_line().encode()[:40]))
            self.spend()
            append(writer, entry)

        monkeypatch.setattr(fmas.files, "_move", moving)
        monkeypatch.setattr(ManifestWriter, "append", appending)

    def spend(self):
        self.dead = self.dead or self.left == 0
        if self.dead:
            raise KilledError
        self.left -= 1


@pytest.mark.parametrize("torn", [False, True], ids=["whole lines", "a torn line"])
def test_whatever_it_dies_of_it_is_finished_or_told(fresh, run, tree, tmp_path, monkeypatch, torn):
    """Also a select back to where it came from, and a run with the new band, finish what was left."""
    few = {"per_image": 1, "limit": 4}
    wanted = {band: tree(fresh(band, **few)) for band in ("middle", "high")}
    finishers = {
        "select on": lambda out: (reselect(out, BANDS["high"]), "high"),
        "run": lambda out: (run(out=out, **settings("high", **few)), "high"),
        "select back": lambda out: (reselect(out, BANDS["middle"]), "middle"),
    }
    survived, step, examined = 0, -1, 0
    while not survived:
        step += 1
        out = shutil.copytree(fresh("middle"), tmp_path / "dying")
        with monkeypatch.context() as patch:
            life = Life(patch, step, torn=torn)
            try:
                reselect(out, BANDS["high"])
            except KilledError:
                pass
            else:
                survived = 1
        if torn and not life.tore:  # died as it does in the other round, where no line is cut
            shutil.rmtree(out)
            continue
        report = validate_output(out)
        assert not report.ok or tree(out) in wanted.values(), f"a mixture passes after {step} writes"
        names = list(finishers) if step in (5, 8) else [list(finishers)[step % 3]]
        if step == 0:  # run.json still names the old band: the run is refused and says what to do
            names = ["select on", "select back"]
        for name in names:
            copy = shutil.copytree(out, tmp_path / "finished")
            _, band = finishers[name](copy)
            assert tree(copy) == wanted[band], f"{name} after {step} writes"
            assert told(copy) == [], f"{name} after {step} writes"
            shutil.rmtree(copy)
        shutil.rmtree(out)
        assert life.left == 0 or survived
        examined += 1
    assert examined >= (5 if torn else 16), examined


def test_a_run_sharded_after_a_death_finishes_its_own(fresh, run, tree, tmp_path, monkeypatch):
    out = shutil.copytree(fresh("middle"), tmp_path / "out")
    with monkeypatch.context() as patch:
        Life(patch, 6)
        with pytest.raises(KilledError):
            reselect(out, BANDS["high"])
    assert list(ManifestIndex(out / "manifest").interrupted())
    _, summary = run(out=out, **settings("high", shard="1/2"))
    assert not validate_output(out).ok
    _, other = run(out=out, **settings("high", shard="2/2"))
    assert summary.notes[0].startswith("finished what fmas select left undone: ")
    assert summary.made == other.made == 0
    assert tree(out) == tree(fresh("high"))
    assert told(out) == []


def test_interrupt_leaves_what_validate_names_and_summaries_that_agree(fresh, tmp_path, monkeypatch):
    out = shutil.copytree(fresh("middle"), tmp_path / "out")

    class Interrupting:
        def run(self, stages, items):
            for number, item in enumerate(LocalExecutor().run(stages, items)):
                if number == 1:
                    raise KeyboardInterrupt
                yield item

    with pytest.raises(KeyboardInterrupt):
        reselect(out, BANDS["high"], executor=Interrupting())
    problems = validate_output(out).problems
    assert {problem.rule for problem in problems} == {"choice"}  # its files are no strangers that one may delete


def decide(out, stem, verdict):
    row = next(entry.row for entry in ManifestIndex(out / "manifest").entries() if entry.stem == stem)
    DecisionLog(OutputLayout(out, "")).append(Decision(stem, str(row["image_sha256"]), verdict))


def test_decisions_that_cannot_be_read_stop_it_before_anything_is_written(fresh, run, tree, tmp_path, monkeypatch):
    out = shutil.copytree(fresh("middle"), tmp_path / "out")
    half = shutil.copytree(fresh("middle"), tmp_path / "half")
    with monkeypatch.context() as patch:
        Life(patch, 6)
        with pytest.raises(KilledError):
            reselect(half, BANDS["high"])
    for folder in (out, half):
        (folder / "decisions.jsonl").write_text("by hand\n", encoding="utf-8")
        before = tree(folder), (folder / "run.json").read_bytes(), list(ManifestIndex(folder / "manifest").entries())
        with pytest.raises(OutputError, match=r"expected a decision in line 1 of .*; mend or remove that line"):
            reselect(folder, BANDS["high"])
        with pytest.raises(OutputError, match=r"expected a decision in line 1"):
            run(out=folder, **settings("high" if folder == half else "middle"))
        assert (tree(folder), (folder / "run.json").read_bytes()) == before[:2]
        assert list(ManifestIndex(folder / "manifest").entries()) == before[2]


def test_it_says_how_many_decided_pictures_gave_way_to_others(fresh, tmp_path):
    out = shutil.copytree(fresh("middle"), tmp_path / "out")
    changing = sorted(Selection.read(read_selectable(out), BANDS["high"]).changed)
    assert preview_selection(out, BANDS["high"]).notes == ()
    decide(out, changing[0], "drop")
    decide(out, changing[1], "keep")
    decide(out, changing[2], "drop")
    decide(out, changing[2], "undecided")
    expected = (
        "2 pictures that were decided in review give way to other candidates, which start undecided; choosing "
        "0.1:0.2 again brings them and their decisions back",
    )
    assert preview_selection(out, BANDS["high"]).notes == expected
    done = reselect(out, BANDS["high"])
    assert done.notes == expected
    assert done.to_json()["notes"] == list(expected)
    assert reselect(out, BANDS["middle"]).notes == ()
