"""Training as a function: what is learnt from, what is refused, what a killed process leaves, what a detector owes."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image
from pydantic import ValidationError

from fmas.calibration import Calibration
from fmas.errors import (
    ComponentError,
    ConfigError,
    ModelError,
    OutputError,
    PluginError,
    UnknownComponentError,
    UsageError,
)
from fmas.held_out_scores import checked_scores
from fmas.json_values import json_values
from fmas.model_folder import read_about, read_model
from fmas.model_workspace import ModelWorkspace
from fmas.pairs import PairDataset
from fmas.plugins import load_plugins
from fmas.training import TrainRequest, train_model
from fmas.training_log import TrainingLog


def _sibling(name):
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


toy = _sibling("toy_detector")


class Hook:
    name, value, group, dist = "toy", "toy_detector", "fmas.plugins", None

    def load(self):
        return toy


REGISTRY = load_plugins([Hook()])


@pytest.fixture
def out(run):
    return run()[0]


@pytest.fixture
def request_for(tmp_path):
    def make(data, detector=None, **settings):
        detector = {"name": "toy", **(detector or {})}
        return TrainRequest(data=data, out=tmp_path / "model", detector=detector, **settings)

    return make


def files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def without_times(folder):
    return {
        name: content
        for name, content in files(folder).items()
        if name not in ("model.json", "README.md")  # seconds
    }


class Killed(BaseException):
    """What a test raises where a process would die."""


# What is learnt from --------------------------------------------------------------------------------------------------


@pytest.fixture
def taught(monkeypatch):
    """Return what every training since was given: (pairs, validation)."""
    given = []
    original = toy.ToyDetector.train

    def train(self, pairs, validation, **keywords):
        given.append((pairs, validation))
        return original(self, pairs, validation, **keywords)

    monkeypatch.setattr(toy.ToyDetector, "train", train)
    return given


def test_a_model_says_what_it_learnt_from(run, request_for, taught, photographs):
    out, _ = run(per_image=2, controls=1.0)
    summary = train_model(request_for(out), registry=REGISTRY)
    pairs, validation = taught[0]
    data = summary.about.data
    learnt, held = PairDataset(out).split()
    assert pairs.rows == learnt.with_controls().rows and validation.rows == held.rows
    assert (
        (data["pairs"], data["photographs"], data["controls"]) == (len(learnt), learnt.photograph_count, 4) == (8, 4, 4)
    )
    assert (data["validation_pairs"], data["validation_photographs"]) == (4, 2)
    assert sum(data["defects"].values()) == 12 and data["components"]["inpainter"]["name"] == "fake"
    assert data["digest"] == PairDataset(out).with_controls().digest() and data["holdout_compared"] == 0
    assert summary.calibration.count == 2 and summary.is_new and summary.exit_code == 0
    assert summary.notes == (summary.calibration.note(),) and "takes 19" in summary.notes[0]
    assert summary.about.training["validation"] == {"pairs": 4}
    assert sum(total for _, total in summary.about.training["found"].values()) == 4
    assert read_about(summary.folder) == (summary.about, summary.calibration)
    assert set(summary.about.versions) >= {"fmas", "numpy", "python"}
    assert not {path.name for path in summary.folder.iterdir()} ^ {
        "model.json",
        "README.md",
        "training.jsonl",
        "detector",
    }


def test_the_threshold_is_that_of_the_held_out_photographs(out, request_for):
    summary = train_model(request_for(out, validation=0.5, false_alarms=0.3), registry=REGISTRY)
    model = read_model(summary.folder, registry=REGISTRY)
    normals = PairDataset(out).split(0.5)[1].normals()
    scores = [score for _, score in model.detector.score(normals)]
    assert model.calibration == Calibration.from_scores(scores, false_alarms=0.3)
    found = summary.about.training["found"]
    pictures = [pair.synthetic for pair in PairDataset(out).split(0.5)[1]]
    above = sum(model.calibration.verdict(score) == "anomalous" for _, score in model.detector.score(pictures))
    assert sum(hit for hit, _ in found.values()) == above


def test_the_seed_is_the_detectors_and_divides_the_photographs(out, request_for, taught, tmp_path):
    for seed in range(6):
        request = request_for(out, {"seed": seed}).model_copy(update={"out": tmp_path / f"model-{seed}"})
        train_model(request, registry=REGISTRY)
    assert len({validation.rows[0]["stem"] for _, validation in taught}) > 1
    assert TrainRequest(data="a", out="b").seed == 0
    assert TrainRequest(data="a", out="b", detector={"seed": "x"}).seed == 0


def test_a_detector_that_only_fits_is_trained_and_calibrated(out, request_for):
    summary = train_model(request_for(out, {"name": "plain-toy"}), registry=REGISTRY)
    assert set(summary.about.training) == {"seconds", "found"} and summary.about.detector == "plain-toy"
    assert not (summary.folder / "training.jsonl").exists()
    assert read_model(summary.folder, registry=REGISTRY).detector.state["step"] == 4


def test_progress_is_handed_on_and_logged(out, request_for):
    told = []
    summary = train_model(
        request_for(out, {"steps": 3}),
        registry=REGISTRY,
        progress=lambda *step: told.append((*step[:2], dict(step[2]))),
    )
    assert told == [(1, 3, {"loss": 1.0}), (2, 3, {"loss": 0.5}), (3, 3, {"loss": pytest.approx(1 / 3)})]
    lines = [json.loads(line) for line in (summary.folder / "training.jsonl").read_text().splitlines()]
    assert lines[0] == {"step": 1, "steps": 3, "loss": 1.0} and lines[2]["loss"] == 0.333333


def test_the_folder_holds_no_path_of_this_machine(out, request_for, tmp_path):
    summary = train_model(request_for(out, {"weights": str(tmp_path / "w"), "device": "cuda:7"}), registry=REGISTRY)
    for name, content in files(summary.folder).items():
        assert str(tmp_path).encode() not in content and b"cuda:7" not in content, name
    options = read_model(summary.folder, registry=REGISTRY).about.options
    assert options == {"epochs": None, "seed": 0, "steps": 6, "wdam": True}, "all of them, so that defaults may change"


def test_secrets_are_refused_and_never_written(out, request_for, monkeypatch):
    with pytest.raises(ValidationError, match="would put a secret into a file"):
        request_for(out, {"token": "geheim123"})
    monkeypatch.setenv("SOME_API_KEY", "geheim-geheim")
    monkeypatch.setattr(
        toy.ToyDetector, "train", lambda self, pairs, *_, **__: self.fit(pairs) or {"at": "geheim-geheim"}
    )
    summary = train_model(request_for(out), registry=REGISTRY)
    assert summary.about.training["at"] == "<SOME_API_KEY>"
    assert all(b"geheim-geheim" not in content for content in files(summary.folder).values())


def test_notes_of_the_data_and_the_guard_are_told(out, request_for, tmp_path):
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "broken.png").write_bytes(b"x")
    (out / "run.json").write_text(
        json.dumps({k: v for k, v in json.loads((out / "run.json").read_text()).items() if k != "counts"})
    )
    notes = train_model(request_for(out, holdout=(tmp_path / "test",)), registry=REGISTRY).notes
    assert [note.split(" ", 3)[:3] for note in notes[:2]] == [["the", "run", "is"], ["1", "file", "of"]]


# What is refused ------------------------------------------------------------------------------------------------------


def test_no_pairs_and_too_few_photographs(run, request_for, tmp_path):
    out, _ = run(holdout_good=0.99)
    with pytest.raises(
        UsageError, match=r"expected pairs to train on, got none in .*; run fmas run IMAGES --out OUT first"
    ):
        train_model(request_for(out), registry=REGISTRY)
    out, _ = run(limit=3, out=tmp_path / "three")
    with pytest.raises(UsageError, match="at least 4 different photographs"):
        train_model(request_for(out), registry=REGISTRY)
    assert not (tmp_path / "model").exists()


def test_held_out_pictures_are_refused_before_anything_is_written(out, request_for, photographs, tmp_path, taught):
    with pytest.raises(UsageError, match="got 6 that would be trained on"):
        train_model(request_for(out, holdout=(photographs,)), registry=REGISTRY)
    assert not (tmp_path / "model").exists() and taught == []
    train_model(request_for(out), registry=REGISTRY)
    with pytest.raises(UsageError, match="got 6 that would be trained on"):
        train_model(request_for(out, holdout=(photographs,)), registry=REGISTRY)


def test_a_guard_that_passes_is_counted(out, request_for, tmp_path):
    (tmp_path / "test").mkdir()
    Image.fromarray(np.full((9, 9, 3), 7, np.uint8)).save(tmp_path / "test" / "one.png")
    summary = train_model(request_for(out, holdout=(tmp_path / "test",)), registry=REGISTRY)
    assert summary.about.data["holdout_compared"] == 1
    assert "1 held-out pictures were compared" in (summary.folder / "README.md").read_text()


def test_wrong_options_and_unknown_detectors(out, request_for, tmp_path):
    with pytest.raises(ConfigError, match=r"unknown key 'detector.stepz': did you mean 'steps'"):
        train_model(request_for(out, {"stepz": 3}), registry=REGISTRY)
    with pytest.raises(UnknownComponentError, match=r"got 'toi': did you mean 'toy'.*pip install \"fmas-providers"):
        train_model(request_for(out, {"name": "toi"}), registry=REGISTRY)
    with pytest.raises(UnknownComponentError, match=r"got 'unet'.*pip install \"fmas-providers\[detector\]\"$"):
        train_model(TrainRequest(data=out, out=tmp_path / "model"), registry=load_plugins([]))
    assert not (tmp_path / "model").exists()


def test_where_the_default_is_installed_nothing_is_to_be_installed(out, request_for):
    from types import SimpleNamespace

    from fmas import hookimpl
    from fmas.specs import DetectorSpec

    def create(options):
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    install = 'pip install "fmas-providers[detector]"'
    spec = DetectorSpec("unet", "for tests", create, requires=("torch",), install=install)
    hook = Hook()
    hook.load = lambda: SimpleNamespace(fmas_register_detectors=hookimpl(lambda: [spec]))
    registry = load_plugins([hook])
    with pytest.raises(PluginError, match=r"expected the module 'torch', got none installed; run: pip install"):
        train_model(request_for(out, {"name": "unet"}), registry=registry)
    with pytest.raises(UnknownComponentError, match=r"known: unet$"):
        train_model(request_for(out, {"name": "other"}), registry=registry)


@pytest.mark.parametrize(("key", "value"), [("false_alarms", 0), ("false_alarms", 1.0), ("validation", 1.5), ("x", 1)])
def test_requests_are_checked(key, value):
    with pytest.raises(ValidationError, match=key):
        TrainRequest(data="a", out="b", **{key: value})


@pytest.mark.parametrize(
    ("photographs", "false_alarms", "held"),
    [(4, 0.05, 1), (20, 0.05, 5), (60, 0.05, 15), (76, 0.05, 19), (100, 0.05, 19), (126, 0.05, 19), (200, 0.05, 30),
     (200, 0.01, 50), (1000, 0.01, 150), (100, 0.5, 15)],
)  # fmt: skip
def test_as_many_photographs_are_held_as_the_rate_takes_but_no_more_than_a_quarter(photographs, false_alarms, held):
    request = TrainRequest(data="a", out="b", false_alarms=false_alarms)
    assert round(request.validation_share(photographs) * photographs) == held
    fixed = TrainRequest(data="a", out="b", false_alarms=false_alarms, validation=0.4)
    assert fixed.validation_share(photographs) == 0.4
    assert request.validation_share(0) == 0.15


def test_options_alone_are_those_of_the_default_detector():
    assert TrainRequest(data="a", out="b", detector={"width": 8}).detector.name == "unet"
    assert TrainRequest(data="a", out="b", detector="toy").detector.name == "toy"


# Going on -------------------------------------------------------------------------------------------------------------


def test_a_finished_model_is_left_as_it_is(out, request_for, taught):
    first = train_model(request_for(out), registry=REGISTRY)
    before = files(first.folder)
    second = train_model(request_for(out), registry=REGISTRY)
    assert not second.is_new and len(taught) == 1 and files(first.folder) == before
    assert (second.about, second.calibration) == (first.about, first.calibration)
    assert not train_model(request_for(out, {"device": "cuda"}), registry=REGISTRY).is_new


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"detector": {"steps": 7}}, "detector.config.steps was 6, now 7"),
        ({"detector": {"name": "plain-toy"}}, "detector.name was toy, now plain-toy"),
        ({"false_alarms": 0.1}, "false_alarms was 0.05, now 0.1"),
        ({"detector": {"seed": 3}}, "seed was 0, now 3"),
    ],
)
def test_another_request_over_a_model_is_refused(out, request_for, settings, message):
    train_model(request_for(out), registry=REGISTRY)
    with pytest.raises(OutputError, match=f"holds another one: .*{message}.*; choose another --out"):
        train_model(request_for(out, **settings), registry=REGISTRY)


def test_other_pairs_over_a_model_are_refused(out, request_for, run, tmp_path):
    train_model(request_for(out), registry=REGISTRY)
    other, _ = run(seed=5, out=tmp_path / "other")
    with pytest.raises(OutputError, match="holds another one: the pairs have changed;"):
        train_model(request_for(other), registry=REGISTRY)


def stop_at(number):
    def progress(done, planned, values):
        if done == number:
            raise Killed

    return progress


def test_an_interrupted_training_goes_on_and_ends_alike(out, request_for, tmp_path, monkeypatch):
    whole = train_model(request_for(out), registry=REGISTRY)
    request = request_for(out).model_copy(update={"out": tmp_path / "again"})
    with pytest.raises(Killed):
        train_model(request, registry=REGISTRY, progress=stop_at(4))
    with pytest.raises(ModelError, match="where a training is not finished"):
        read_about(request.out)
    with pytest.raises(OutputError, match=r"an unfinished one with other settings: detector.config.steps was 6, now 9"):
        train_model(request.model_copy(update={"detector": request_for(out, {"steps": 9}).detector}), registry=REGISTRY)
    steps = []
    resumed = train_model(request, registry=REGISTRY, progress=lambda done, *_: steps.append(done))
    assert steps == [5, 6]
    assert without_times(request.out) == without_times(whole.folder)
    assert (resumed.calibration, resumed.about.data) == (whole.calibration, whole.about.data)


@pytest.mark.parametrize(
    "where",
    [
        "fmas.training._calibrated",
        "fmas.training._found",
        "fmas.training.model_card",
        "fmas.model_folder.refuse_pickles",
        "fmas.model_folder.record_files",
        "fmas.model_folder.about_json",
    ],
)
def test_a_process_killed_after_learning_learns_nothing_again(out, request_for, tmp_path, monkeypatch, taught, where):
    whole = train_model(request_for(out), registry=REGISTRY)
    request = request_for(out).model_copy(update={"out": tmp_path / "again"})

    def kill(*_, **__):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(where, kill)
        with pytest.raises(Killed):
            train_model(request, registry=REGISTRY)
    assert not (request.out / "model.json").exists() and len(taught) == 2
    summary = train_model(request, registry=REGISTRY)
    assert len(taught) == 2 and summary.is_new
    assert without_times(request.out) == without_times(whole.folder) and summary.calibration == whole.calibration


def test_a_process_killed_while_it_saves_learns_from_its_checkpoint(out, request_for, tmp_path, monkeypatch, taught):
    whole = train_model(request_for(out), registry=REGISTRY)
    request = request_for(out).model_copy(update={"out": tmp_path / "again"})

    def torn(self, directory):
        (directory / "toy.json").write_text("{")
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(toy.ToyDetector, "save", torn)
        with pytest.raises(Killed):
            train_model(request, registry=REGISTRY)
    train_model(request, registry=REGISTRY)
    assert len(taught) == 3 and without_times(request.out) == without_times(whole.folder)


def test_a_process_killed_before_it_cleans_up_leaves_a_model(out, request_for, monkeypatch, taught):
    with monkeypatch.context() as patch:
        patch.setattr(ModelWorkspace, "_remove_work", lambda self: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            train_model(request_for(out), registry=REGISTRY)
    assert read_about(request_for(out).out)
    summary = train_model(request_for(out), registry=REGISTRY)
    assert not summary.is_new and len(taught) == 1 and not (summary.folder / ".work").exists()


# The folder -----------------------------------------------------------------------------------------------------------


def test_a_foreign_folder_is_refused(out, request_for, tmp_path):
    request = request_for(out)
    request.out.mkdir()
    (request.out / "thesis.docx").write_text("x")
    with pytest.raises(OutputError, match=r"holds 'thesis.docx'; choose another --out"):
        train_model(request, registry=REGISTRY)
    (request.out / "other.docx").write_text("x")
    with pytest.raises(OutputError, match=r"'other.docx' and 1 more"):
        train_model(request, registry=REGISTRY)
    with pytest.raises(OutputError, match="got the file"):
        train_model(request.model_copy(update={"out": request.out / "thesis.docx"}), registry=REGISTRY)
    with pytest.raises(OutputError, match="holds"):
        train_model(request.model_copy(update={"out": out}), registry=REGISTRY)


def test_only_one_process_writes_a_model(out, request_for):
    request = request_for(out)
    (request.out / ".work").mkdir(parents=True)
    with (
        FileLock(request.out / ".work" / "lock"),
        pytest.raises(OutputError, match="but another fmas train or export is doing it; wait"),
    ):
        train_model(request, registry=REGISTRY)
    train_model(request, registry=REGISTRY)


def test_a_damaged_model_is_no_reason_to_train_over_it(out, request_for):
    summary = train_model(request_for(out), registry=REGISTRY)
    (summary.folder / "detector" / "toy.json").unlink()
    with pytest.raises(ModelError, match="to write here, delete the folder or choose another --out"):
        train_model(request_for(out), registry=REGISTRY)


@pytest.mark.parametrize(("content", "message"), [("{", "expected JSON in"), ("[]", "expected an object in")])
def test_a_damaged_workspace_is_told(out, request_for, content, message):
    request = request_for(out)
    with pytest.raises(Killed):
        train_model(request, registry=REGISTRY, progress=stop_at(2))
    (request.out / ".work" / "request.json").write_text(content)
    with pytest.raises(OutputError, match=message):
        train_model(request, registry=REGISTRY)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_told(out, request_for, tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(OutputError, match="expected to write"):
            train_model(request_for(out), registry=REGISTRY)
    finally:
        tmp_path.chmod(0o700)


def test_a_path_through_a_file_is_told(out, request_for, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="expected to write"):
        train_model(request_for(out).model_copy(update={"out": tmp_path / "file" / "model"}), registry=REGISTRY)


def test_a_file_system_without_locks_is_told(out, request_for, monkeypatch):
    monkeypatch.setattr(FileLock, "acquire", lambda *_, **__: (_ for _ in ()).throw(NotImplementedError))
    with pytest.raises(OutputError, match=r"expected a file system with file locks for .*; choose another --out"):
        train_model(request_for(out), registry=REGISTRY)


def test_a_folder_in_the_place_of_a_file_is_told(out, request_for):
    request = request_for(out)
    with pytest.raises(Killed):
        train_model(request, registry=REGISTRY, progress=stop_at(2))
    (request.out / "training.jsonl").mkdir()
    (request.out / "training.jsonl" / "x").write_text("")
    with pytest.raises(OutputError, match=r"expected to write .*training.jsonl"):
        train_model(request, registry=REGISTRY)
    (request.out / ".work" / "request.json").unlink()
    (request.out / ".work" / "request.json").mkdir()
    with pytest.raises(OutputError, match=r"expected to read .*request.json"):
        train_model(request, registry=REGISTRY)


def test_an_import_name_that_is_no_distributions_has_no_version(out, request_for, monkeypatch):
    spec = REGISTRY.spec("detector", "toy")
    object.__setattr__(spec, "requires", ("numpy", "no_such_distribution_anywhere"))
    try:
        versions = train_model(request_for(out), registry=REGISTRY).about.versions
    finally:
        object.__setattr__(spec, "requires", ("numpy",))
    assert versions["numpy"] == np.__version__ and "no_such_distribution_anywhere" not in versions


def test_a_full_disk_while_saving_is_told(out, request_for, monkeypatch):
    monkeypatch.setattr(toy.ToyDetector, "save", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(OutputError, match="got a full disk"):
        train_model(request_for(out), registry=REGISTRY)


# What a detector owes -------------------------------------------------------------------------------------------------


def zeros(image):
    return np.zeros(image.shape[:2], np.float32)


@pytest.mark.parametrize(
    ("score", "message"),
    [
        (lambda images: ((zeros(one)[:-1], 0.0) for one in images), "expected a float32 map of 64 x 96"),
        (lambda images: ((zeros(one).astype(float), 0.0) for one in images), "got float64"),
        (lambda images: ((zeros(one), float("nan")) for one in images), "expected finite scores"),
        (lambda images: ((zeros(one) + np.float32("inf"), 0.0) for one in images), "expected finite scores"),
        (lambda images: (0.0 for _ in images), r"expected \(map, score\)"),
        (lambda images: iter([(zeros(one), 0.0) for one in images][:-1]), "got fewer"),
        (lambda images: iter(()), "got fewer"),
        (lambda images: iter([(zeros(one), 0.0) for one in images] * 2), "got more"),
    ],
)
def test_scores_are_checked(score, message):
    class Wrong:
        pass

    Wrong.score = staticmethod(score)
    with pytest.raises(ComponentError, match=message):
        list(checked_scores(Wrong(), [np.zeros((64, 96, 3), np.uint8)] * 2, name="wrong"))


def test_a_detector_that_has_not_converged_makes_no_model(out, request_for, monkeypatch):
    def score(self, images):
        yield from ((zeros(one), float("nan")) for one in images)

    monkeypatch.setattr(toy.ToyDetector, "score", score)
    with pytest.raises(ComponentError, match="the training has not converged"):
        train_model(request_for(out), registry=REGISTRY)
    assert not (request_for(out).out / "model.json").exists()


def nested(depth):
    return {"a": nested(depth - 1)} if depth else {}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "expected a mapping as it, got NoneType"),
        ({"a": {"b": {1, 2}}}, "expected a JSON value as it, a.b, got set"),
        ({"a": [b"x"]}, "got bytes"),
        ({"api_key": "x"}, "expected no secret in it, got 'api_key'"),
        (nested(30), "expected at most 20 levels"),
    ],
)
def test_what_a_plugin_says_must_be_json(content, message):
    with pytest.raises(ComponentError, match=message):
        json_values(content, what="it")


def test_numbers_of_numpy_become_plain_ones():
    said = {"a": np.float32(0.5), 1: np.int64(3), "c": [np.bool_(True), float("inf")], "d": {"e": (None, "x")}}
    values = json_values(said, what="it")
    assert values == {"a": 0.5, "1": 3, "c": [True, None], "d": {"e": [None, "x"]}}
    assert type(values["a"]) is float and type(values["1"]) is int and type(values["c"][0]) is bool


# The log --------------------------------------------------------------------------------------------------------------


def steps_of(path):
    return [json.loads(line)["step"] for line in path.read_text().splitlines()]


def test_the_log_is_of_bounded_length_and_ends_with_the_last_step(tmp_path):
    with TrainingLog(tmp_path / "log") as log:
        for step in range(1, 25_001):
            log(step, 25_000, {"loss": 1.0})
    assert len(steps_of(tmp_path / "log")) == 1000 and steps_of(tmp_path / "log")[-1] == 25_000


def test_steps_done_again_replace_their_old_lines(tmp_path):
    with TrainingLog(tmp_path / "log") as log:
        for step in (1, 2, 3, 4):
            log(step, 6, {"loss": float("nan")})
    with (tmp_path / "log").open("ab") as file:
        file.write(b'{"step": 5, "lo')  # torn
    with TrainingLog(tmp_path / "log") as log:
        for step in (3, 4, 5, 6):
            log(step, 6, {"loss": 0.25})
    assert steps_of(tmp_path / "log") == [1, 2, 3, 4, 5, 6]
    losses = [json.loads(line)["loss"] for line in (tmp_path / "log").read_text().splitlines()]
    assert losses == [None, None, 0.25, 0.25, 0.25, 0.25]


def test_a_training_that_never_tells_leaves_no_log(tmp_path):
    with TrainingLog(tmp_path / "log"):
        pass
    assert not (tmp_path / "log").exists()


def test_a_log_that_cannot_be_written_is_told(tmp_path):
    with TrainingLog(tmp_path) as log, pytest.raises(OutputError, match="expected to write"):
        log(1, 2, {})


def test_the_data_set_may_move(out, request_for, tmp_path):
    first = train_model(request_for(out), registry=REGISTRY)
    moved = shutil.move(out, tmp_path / "moved")
    assert not train_model(request_for(moved), registry=REGISTRY).is_new
    assert first.is_new
