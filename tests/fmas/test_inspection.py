"""From photographs to scores, maps and overlays: constant memory, errors alone, kill it anywhere."""

from __future__ import annotations

import csv
import errno
import importlib
import json
import os
import signal
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fmas.inspection as inspection_module
import fmas.inspection_journal as journal_module
from fmas.errors import ConfigError, ModelError, OutputError, UsageError
from fmas.inspection import InspectRequest, inspect_images
from fmas.model_folder import read_about


@pytest.fixture(autouse=True)
def spots(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    return importlib.import_module("numpy_detector")


@pytest.fixture
def model(spots, tmp_path):
    return spots.write_spot_model(tmp_path / "model")


@pytest.fixture
def images(spots, tmp_path):
    return spots.write_pictures(tmp_path / "images", 6)


@pytest.fixture
def look(spots, model, images, tmp_path):
    """Return a function that inspects the photographs; any field of the request can be given."""

    def go(create=None, progress=None, **fields):
        request = InspectRequest(**({"model": model, "images": images, "out": tmp_path / "out"} | fields))
        registry = spots.registry_of(create or spots.SpotDetector)
        return inspect_images(request, registry=registry, progress=progress)

    return go


def rows(out: Path) -> list[list[str]]:
    with (out / "scores.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def failures(out: Path) -> dict[str, dict[str, str]]:
    lines = (out / "failures.jsonl").read_text(encoding="utf-8").splitlines()
    return {row["path"]: row for row in map(json.loads, lines)}


def tree(out: Path) -> dict[str, bytes]:
    """Return every result by its name."""
    kept = [path for path in out.rglob("*") if path.is_file() and ".tmp" not in path.parts]
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in kept
        if path.name not in ("progress.jsonl", "inspection.json")
    }


def test_every_photograph_gets_score_verdict_map_and_overlay(spots, look, images, tmp_path):
    summary = look()
    assert (summary.inspected, summary.kept, summary.failed, summary.exit_code) == (6, 0, 0, 0)
    assert summary.counts.to_json() == {"good": 4, "anomalous": 2, "failed": 0}
    detector = spots.SpotDetector(spots.SpotOptions())
    table = rows(tmp_path / "out")
    assert table[0] == ["path", "score", "verdict"]
    assert [row[0] for row in table[1:]] == [f"{number:03d}.png" for number in range(6)]
    for path, score, verdict in table[1:]:
        values, expected = detector.answer(np.asarray(Image.open(images / path)))
        assert float(score) == expected
        assert verdict == ("anomalous" if expected > summary.threshold else "good")
        with Image.open(tmp_path / "out/maps" / f"{path[:-4]}.tiff") as stored:
            assert stored.mode == "F" and (np.asarray(stored) == values).all()
        with Image.open(tmp_path / "out/overlays" / path) as overlay:
            assert overlay.mode == "RGB"
    assert failures(tmp_path / "out") == {}
    assert not (tmp_path / "out/explain.csv").exists()


def test_about_the_inspection(look, tmp_path):
    summary = look(limit=5, overrides={"gate": False, "device": "cpu"})
    about = json.loads((tmp_path / "out/inspection.json").read_bytes())
    assert about["finished"] is True
    assert about["identity"]["images"] == "../images"
    assert about["identity"]["detector"] == {"name": "spots", "version": "1", "config": {"gate": False}}
    assert about["identity"]["model"] == read_about(tmp_path / "model")[0].digest
    assert about["threshold"] == summary.threshold
    assert about["counts"] == {"good": 4, "anomalous": 1, "failed": 0}
    assert about["libraries"]["fmas"]
    assert str(tmp_path) not in json.dumps(about)
    assert summary.to_json()["counts"] == about["counts"]


def test_folders_and_one_photograph(spots, look, images, tmp_path):
    (images / "line 2" / "inner").mkdir(parents=True)
    Image.fromarray(spots.picture(1)).save(images / "line 2" / "inner" / "x.tif")
    (images / "notes.txt").touch()
    summary = look()
    assert rows(tmp_path / "out")[-1][0] == "line 2/inner/x.tif"
    assert (tmp_path / "out/maps/line 2/inner/x.tiff").is_file()
    assert summary.ignored_files == 1
    look(images=images / "002.png", out=tmp_path / "one")
    assert [row[0] for row in rows(tmp_path / "one")[1:]] == ["002.png"]


def test_results_inside_the_inspected_folder_are_not_inspected(look, images):
    assert look(out=images / "results").inspected == 6
    summary = look(out=images / "results")
    assert (summary.inspected, summary.kept) == (0, 6)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse some of these names")
def test_hostile_names(spots, look, images, tmp_path):
    odd = [b"with space.png", "Stra\u00dfe \U0001f600.png".encode(), b"new\nline.png", b"-dash.png", b"=1+2.png"]
    odd += [b'quote"s, and commas.png', b" leading.png", b"not utf-8 \xff\xfe.png", b"back\\slash.png", b"cr\r.png"]
    content = (images / "002.png").read_bytes()
    for name in odd:
        (images / os.fsdecode(name)).write_bytes(content)
    assert look().inspected == 6 + len(odd)
    table = {row[0]: row[1:] for row in rows(tmp_path / "out")[1:]}
    for name in odd:
        spelt = name.decode("utf-8", "backslashreplace").replace("\\xff", "\\udcff").replace("\\xfe", "\\udcfe")
        assert table[spelt][1] == "anomalous"
        assert (tmp_path / "out/maps" / f"{spelt[:-4]}.tiff").is_file()
    assert look().kept == 6 + len(odd)


def test_names_that_share_a_map_are_refused_before_anything_starts(look, images, tmp_path):
    (images / "000.jpg").write_bytes(b"")
    with pytest.raises(UsageError, match=r"'000.jpg' and '000.png'; rename"):
        look()
    assert not (tmp_path / "out").exists()


def test_unreadable_files_fail_alone(look, images, tmp_path):
    (images / "001.png").write_bytes((images / "001.png").read_bytes()[:300])
    (images / "004.png").write_bytes(b"")
    summary = look()
    assert (summary.inspected, summary.failed, summary.exit_code) == (4, 2, 3)
    assert {path: row["stage"] for path, row in failures(tmp_path / "out").items()} == {
        "001.png": "read",
        "004.png": "read",
    }
    assert [row[0] for row in rows(tmp_path / "out")[1:]] == ["000.png", "002.png", "003.png", "005.png"]
    assert not (tmp_path / "out/maps/001.tiff").exists()


def test_everything_failing_is_a_failure(look, images):
    for path in images.iterdir():
        path.write_bytes(b"none")
    assert look().exit_code == 1


def test_repaired_and_changed_photographs_are_inspected_again(spots, look, images, tmp_path):
    whole = (images / "001.png").read_bytes()
    (images / "001.png").write_bytes(b"none")
    assert look().exit_code == 3
    (images / "001.png").write_bytes(whole)
    Image.fromarray(spots.picture(7, spot=True)).save(images / "003.png")
    (images / "005.png").write_bytes(b"none")
    summary = look()
    assert (summary.inspected, summary.kept, summary.failed) == (2, 3, 1)
    verdicts = {row[0]: row[2] for row in rows(tmp_path / "out")[1:]}
    assert verdicts["001.png"] == "good" and verdicts["003.png"] == "anomalous" and "005.png" not in verdicts
    assert not (tmp_path / "out/maps/005.tiff").exists()
    assert list(failures(tmp_path / "out")) == ["005.png"]


def test_photographs_that_come_later_are_added_and_those_that_go_stay(spots, look, images, tmp_path):
    look(limit=2)
    assert len(rows(tmp_path / "out")) == 3
    (images / "000.png").unlink()
    Image.fromarray(spots.picture(9)).save(images / "zzz.png")
    summary = look()
    assert (summary.inspected, summary.kept) == (5, 1)
    assert len(rows(tmp_path / "out")) == 8


def test_photograph_with_another_ending_takes_over(look, images, tmp_path):
    look()
    (images / "002.png").rename(tmp_path / "away.png")
    Image.open(images / "000.png").save(images / "002.bmp")
    assert look().inspected == 1
    verdicts = {row[0]: row[2] for row in rows(tmp_path / "out")[1:]}
    assert verdicts["002.bmp"] == "good" and "002.png" not in verdicts and len(verdicts) == 6
    (images / "002.bmp").unlink()
    (tmp_path / "away.png").rename(images / "002.png")
    assert look().inspected == 1, "the map is another photograph's"
    assert {row[0]: row[2] for row in rows(tmp_path / "out")[1:]}["002.png"] == "anomalous"


def test_missing_map_is_made_again(look, tmp_path):
    look()
    before = tree(tmp_path / "out")
    (tmp_path / "out/maps/002.tiff").unlink()
    (tmp_path / "out/overlays/003.png").unlink()
    assert look().inspected == 2
    assert tree(tmp_path / "out") == before


def test_finished_inspection_redoes_nothing(spots, look, tmp_path):
    look()
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.tiff")}
    about = (tmp_path / "out/inspection.json").read_bytes()

    class Never(spots.SpotDetector):
        def answer(self, image):
            raise AssertionError("the detector was asked")

    summary = look(Never)
    assert summary.kept == 6 and summary.failed == 0
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.tiff")} == stamps
    assert (tmp_path / "out/inspection.json").read_bytes() == about


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"threshold": 0.3}, "threshold was 0.0.*, now 0.3"),
        ({"overlays": False}, "overlays was True, now False"),
        ({"overrides": {"gate": False}}, "detector.config.gate was True, now False"),
    ],
)
def test_other_options_over_an_inspection_are_refused(look, tmp_path, fields, message):
    look()
    before = tree(tmp_path / "out")
    with pytest.raises(OutputError, match=f"holds another one: {message}; choose another --out"):
        look(**fields)
    assert tree(tmp_path / "out") == before


def test_another_model_over_an_inspection_is_refused(spots, look, tmp_path):
    look()
    other = spots.write_spot_model(tmp_path / "other", scores=[*spots.GOOD_SCORES[:-1], 0.2])
    with pytest.raises(OutputError, match=r"another one: model was [0-9a-f]+, now [0-9a-f]+; threshold was"):
        look(model=other)
    with pytest.raises(OutputError, match=r"images was \.\./images, now \.\./images/000.png"):
        look(images=tmp_path / "images" / "000.png")


def test_another_device_and_what_changes_no_result_go_on(look):
    look(limit=3, overrides={"device": "cuda"})
    assert look(overrides={"device": "cpu", "seconds": 0.001}).kept == 3


def test_threshold_that_may_not_fit_is_noted(look, tmp_path):
    assert look(overrides={"seconds": 0.001}).notes == ()
    summary = look(out=tmp_path / "ungated", overrides={"gate": False})
    assert "found with other options (gate was True, now False) and may not fit" in summary.notes[0]
    assert look(out=tmp_path / "own", overrides={"gate": False}, threshold=0.3).notes == ()


def test_threshold_of_ones_own(look, tmp_path):
    summary = look(threshold=0.9)
    assert summary.counts.anomalous == 0 and summary.threshold == 0.9
    scores = sorted(float(row[1]) for row in rows(tmp_path / "out")[1:])
    at_the_score = look(threshold=scores[-1], out=tmp_path / "out2")
    assert at_the_score.counts.anomalous == 0, "only above the threshold"


def test_few_good_pictures_are_noted(spots, look, tmp_path):
    few = spots.write_spot_model(tmp_path / "few", scores=[0.03, 0.04])
    assert "too few for a false-alarm rate of 0.05" in look(model=few).notes[0]
    assert look(model=few, out=tmp_path / "own", threshold=0.2).notes == ()


def test_nonsense_is_refused(look, tmp_path):
    with pytest.raises(UsageError, match="at least 1 photograph for --limit, got 0"):
        look(limit=0)
    with pytest.raises(UsageError, match="finite number for --threshold, got nan"):
        look(threshold=float("nan"))
    with pytest.raises(ConfigError, match=r"unknown key 'detector\.gaet': did you mean 'gate'"):
        look(overrides={"gaet": False})
    with pytest.raises(ModelError, match="which does not exist"):
        look(model=tmp_path / "nowhere")
    with pytest.raises(UsageError, match="does not exist"):
        look(images=tmp_path / "nowhere")
    assert not (tmp_path / "out").exists()


def test_explanations(spots, look, tmp_path):
    assert look(spots.ExplainingSpotDetector, explain=True).exit_code == 0
    with (tmp_path / "out/explain.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.reader(file))
    assert table[0] == ["path", "layer", "LL", "LH", "HL", "HH"]
    assert [row[:2] for row in table[1:5]] == [
        ["000.png", "layer1.0"], ["000.png", "layer1.1"], ["001.png", "layer1.0"], ["001.png", "layer1.1"],
    ]  # fmt: skip
    assert table[1][3:] == ["0.25", "0.5", "0.75"]
    assert len(table) == 13


def test_detector_that_cannot_explain(look, tmp_path):
    with pytest.raises(UsageError, match="can tell its sub-band weights, got 'spots', which cannot"):
        look(explain=True)
    assert not (tmp_path / "out").exists()


def test_model_without_wdam_is_noted(spots, look, tmp_path):
    class Plain(spots.ExplainingSpotDetector):
        def explain(self, images):
            for _ in images:
                yield {}

    summary = look(Plain, explain=True)
    assert "trained without WDAM" in summary.notes[-1] and summary.exit_code == 0
    assert (tmp_path / "out/explain.csv").read_bytes() == b"path,layer,LL,LH,HL,HH\n"


def test_explanation_that_fails_concerns_one_photograph(spots, look, images, tmp_path):
    class Odd(spots.ExplainingSpotDetector):
        def __init__(self, options):
            super().__init__(options)
            self.number = 0

        def explain(self, images):
            self.number += 1
            if self.number == 2:
                raise RuntimeError("no hook")
            yield {"layer1": (0.1, 0.2, 0.3) if self.number == 3 else (0.1, 0.2, float("nan"), 0.4)[:4]}

    summary = look(Odd, explain=True, limit=3)
    assert summary.exit_code == 1
    assert [row["stage"] for row in failures(tmp_path / "out").values()] == ["explain"] * 3
    assert "no hook" in failures(tmp_path / "out")["001.png"]["error"]
    assert "expected 4 finite weights" in failures(tmp_path / "out")["002.png"]["error"]


def test_detector_failing_on_one_photograph(spots, look, tmp_path):
    class Picky(spots.SpotDetector):
        def answer(self, image):
            if image.max() == 230:
                raise MemoryError("too bright")
            values, score = super().answer(image)
            return (values[:, :-1] if self.options.seconds else values), score

    summary = look(Picky)
    assert (summary.inspected, summary.failed, summary.exit_code) == (4, 2, 3)
    assert "too bright" in failures(tmp_path / "out")["002.png"]["error"]
    assert look(Picky, out=tmp_path / "wrong size", overrides={"seconds": 1e-9}).exit_code == 1
    assert "expected a map of 48 x 64" in failures(tmp_path / "wrong size")["000.png"]["error"]


def test_map_with_nan_fails_that_photograph(spots, look, tmp_path):
    class Diverging(spots.SpotDetector):
        def answer(self, image):
            values, score = super().answer(image)
            if image.max() == 230:
                values[3, 3] = np.nan
            return values, score

    assert look(Diverging).exit_code == 3
    assert list(failures(tmp_path / "out")) == ["002.png", "005.png"]
    assert not (tmp_path / "out/maps/002.tiff").exists()


def test_full_disk_ends_the_inspection_and_the_next_one_finishes(look, tmp_path, monkeypatch):
    look(out=tmp_path / "undisturbed")
    replace = Path.replace

    def full(path, target):
        if Path(target).name == "003.tiff":
            raise OSError(errno.ENOSPC, "No space left on device")
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OutputError, match="full disk"):
        look()
    monkeypatch.undo()
    listed = [row[0] for row in rows(tmp_path / "out")[1:]]
    assert listed == ["000.png", "001.png", "002.png"]
    assert json.loads((tmp_path / "out/inspection.json").read_bytes())["finished"] is False
    assert look().kept == 3
    assert tree(tmp_path / "out") == tree(tmp_path / "undisturbed")


def test_interruption_leaves_tables_of_what_is_done(spots, look, tmp_path):
    class Interrupted(spots.SpotDetector):
        def answer(self, image):
            if image.max() == 230:
                raise KeyboardInterrupt
            return super().answer(image)

    look(out=tmp_path / "undisturbed")
    with pytest.raises(KeyboardInterrupt):
        look(Interrupted)
    assert [row[0] for row in rows(tmp_path / "out")[1:]] == ["000.png", "001.png"]
    assert {path.stem for path in (tmp_path / "out/maps").iterdir()} == {"000", "001"}
    assert look().kept == 2
    assert tree(tmp_path / "out") == tree(tmp_path / "undisturbed")


def test_progress_counts_everything(look, images):
    (images / "001.png").write_bytes(b"none")
    told = []
    look(progress=lambda *numbers: told.append(numbers))
    assert [one[0] for one in told] == [1, 2, 3, 4, 5, 6]
    assert told[-1] == (6, 6, 1)


def test_changed_libraries_are_noted(look, monkeypatch):
    look(limit=1)
    monkeypatch.setattr(inspection_module, "library_versions", lambda: {"numpy": "0"})
    assert any("numpy was" in note and "now 0" in note for note in look().notes)


def test_memory_does_not_grow_with_the_number_of_photographs(spots, look, tmp_path):
    size = (180, 240)

    def peak(count: int) -> int:
        folder = tmp_path / f"{count}"
        folder.mkdir()
        for number in range(count):
            Image.fromarray(spots.picture(number, size=size)).save(folder / f"{number:03d}.png", compress_level=0)

        def progress(done: int, *_: int) -> None:
            if done == 1:
                tracemalloc.reset_peak()  # what came before, such as reading the model, is no photograph

        tracemalloc.start()
        assert look(images=folder, out=tmp_path / f"out {count}", overlays=False, progress=progress).inspected == count
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    few, many = peak(20), peak(120)
    one = size[0] * size[1] * 7  # a photograph and its map, bytes
    assert few < 40 * one
    assert many - few < 10 * one


@pytest.mark.slow
def test_killed_inspections_end_in_the_same_bytes(spots, model, tmp_path):
    images = spots.write_pictures(tmp_path / "images", 40)
    script = [sys.executable, str(Path(spots.__file__)), str(model), str(images)]
    subprocess.run([*script, str(tmp_path / "undisturbed"), "0.0"], check=True, timeout=120)
    out, generator = tmp_path / "out", np.random.default_rng(0)
    for _ in range(3):
        process = subprocess.Popen([*script, str(out), "0.02"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wanted = lines(out) + int(generator.integers(1, 9))
        while process.poll() is None and lines(out) < wanted:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        assert process.wait(timeout=60) == -signal.SIGKILL
    assert 3 <= lines(out) < 40
    subprocess.run([*script, str(out), "0.0"], check=True, timeout=120)
    assert lines(out) == 40, "something was done twice"
    ours, theirs = tree(out), tree(tmp_path / "undisturbed")
    assert ours == theirs
    assert not list((out / ".tmp").rglob("*.part"))


def lines(out: Path) -> int:
    path = out / "progress.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def test_killed_between_two_writes(spots, look, tmp_path, monkeypatch):
    """Stop dead before every single move of a file and every line, and go on: always the same bytes."""
    look(out=tmp_path / "undisturbed", limit=2)
    wanted = tree(tmp_path / "undisturbed")

    class Killed(BaseException):
        pass

    step = 0
    while True:
        out, left = tmp_path / f"out {step}", [step]

        def counted(function, left=left):
            def call(*arguments, **named):
                if left[0] == 0:
                    raise Killed
                left[0] -= 1
                return function(*arguments, **named)

            return call

        with monkeypatch.context() as patched:
            patched.setattr(Path, "replace", counted(Path.replace))
            patched.setattr(journal_module.Journal, "append", counted(journal_module.Journal.append))
            try:
                look(out=out, limit=2)
            except Killed:
                done = False
            else:
                done = True
        look(out=out, limit=2)
        assert tree(out) == wanted, f"killed at step {step}"
        if done:
            break
        step += 1
    assert step >= 8
