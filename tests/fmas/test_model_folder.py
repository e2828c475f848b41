"""Model folders: whole or none, nothing in them that runs code, and clear words for anything else."""

from __future__ import annotations

import dataclasses
import importlib.util
import io
import json
import pickle
import shutil
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from fmas.calibration import Calibration
from fmas.errors import ConfigError, ModelError, OutputError, UnknownComponentError
from fmas.model_files import FileRecord
from fmas.model_folder import ModelAbout, ModelLayout, portable_options, read_about, read_model, write_model
from fmas.plugins import load_plugins
from fmas.types import NormalSyntheticMask


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
ABOUT = ModelAbout(
    detector="toy",
    detector_version="1",
    options={"steps": 3},
    category="tile",
    object_name="magnetic tile",
    data={"pairs": 3},
    training={"steps": 3},
    versions={"fmas": "0"},
    request={"seed": 0},
)
CALIBRATION = Calibration.from_scores([0.5, 1.5, 2.5])
GREY = np.full((16, 12, 3), 120, np.uint8)


def write(folder, about=ABOUT, *, save=None, calibration=CALIBRATION):
    detector = toy.ToyDetector(toy.ToyOptions())
    detector.fit([NormalSyntheticMask(GREY, GREY, np.zeros((16, 12), bool))])
    saved = ModelLayout(folder).work / "saved"
    saved.mkdir(parents=True)
    (save or detector.save)(saved)
    (folder / "training.jsonl").write_text('{"step": 1}\n')
    written = write_model(folder, about, calibration, saved=saved, card="# A card\n")
    shutil.rmtree(ModelLayout(folder).work)
    return written


@pytest.fixture
def folder(tmp_path):
    write(tmp_path / "model")
    return tmp_path / "model"


def test_a_model_is_read_as_it_was_written(folder):
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    assert files == ["README.md", "detector/toy.json", "model.json", "training.jsonl"]
    model = read_model(folder, registry=REGISTRY)
    assert dataclasses.replace(model.about, digest="") == ABOUT and model.calibration == CALIBRATION
    assert model.notes == () and model.folder == folder and model.detector.options.steps == 3
    (result,) = model.detector.score([GREY])
    assert result[0].shape == (16, 12)


def test_the_digest_tells_models_apart(folder, tmp_path):
    digest = read_about(folder)[0].digest
    assert len(digest) == 64
    alike = dataclasses.replace(ABOUT, training={"steps": 3, "seconds": 9.5}, versions={"fmas": "7"})
    assert write(tmp_path / "alike", alike).digest == digest
    others = (
        write(tmp_path / "a", dataclasses.replace(ABOUT, options={"steps": 4})),
        write(tmp_path / "b", save=lambda saved: (saved / "toy.json").write_text("{}")),
        write(tmp_path / "c", calibration=CALIBRATION.at(0.5)),
    )
    assert len({digest, *(other.digest for other in others)}) == 4


def test_overrides_count_instead_of_stored_options(folder):
    assert read_model(folder, {"device": "cuda", "steps": 9}, registry=REGISTRY).detector.options.steps == 9
    with pytest.raises(ConfigError, match=r"unknown key 'detector.stepz'"):
        read_model(str(folder), {"stepz": 1}, registry=REGISTRY)


def test_a_detector_that_is_not_installed_is_named(folder):
    with pytest.raises(UnknownComponentError, match="got 'toy'"):
        read_model(folder, registry=load_plugins([]))


def test_installed_plugins_are_the_default(folder, monkeypatch):
    monkeypatch.setattr("fmas.model_folder.load_plugins", lambda: REGISTRY)
    assert read_model(folder).about.detector == "toy"


def test_another_version_of_the_detector_is_told(tmp_path):
    write(tmp_path / "old", dataclasses.replace(ABOUT, detector_version="0"))
    (note,) = read_model(tmp_path / "old", registry=REGISTRY).notes
    assert "version 0, now 1" in note and "train again" in note
    write(tmp_path / "unknown", dataclasses.replace(ABOUT, detector_version=""))
    assert read_model(tmp_path / "unknown", registry=REGISTRY).notes == ()


def edit(change):
    def do(folder):
        content = json.loads((folder / "model.json").read_bytes())
        change(content)
        (folder / "model.json").write_text(json.dumps(content))

    return do


def truncate(folder):
    path = folder / "detector" / "toy.json"
    path.write_bytes(path.read_bytes()[:-1])


def alter(folder):
    path = folder / "detector" / "toy.json"
    path.write_bytes(path.read_bytes().replace(b"1", b"2"))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (shutil.rmtree, "which does not exist; check the path"),
        (lambda folder: (shutil.rmtree(folder), folder.write_text("")), "which is a file; name the folder"),
        (lambda folder: (folder / "model.json").unlink(), "without model.json; name the folder that fmas train"),
        (
            lambda folder: ((folder / "model.json").unlink(), (folder / ".work").mkdir()),
            "where a training is not finished; run the same fmas train command again",
        ),
        (lambda folder: ((folder / "model.json").unlink(), (folder / "model.json").mkdir()), "expected to read"),
        (lambda folder: (folder / "model.json").write_text("{"), "expected JSON"),
        (lambda folder: (folder / "model.json").write_text("[]"), "got another model.json"),
        (lambda folder: (folder / "model.json").write_text("{}"), "got another model.json"),
        (edit(lambda one: one.update(format_version=2)), "of format 1, got 2 in .*; use the version of fmas"),
        (edit(lambda one: one.pop("detector")), r"fmas writes it, got another one in .* \('detector'\)"),
        (edit(lambda one: one["detector"].update(name=3)), "detector.name is no text"),
        (edit(lambda one: one.update(options=3, data=[])), "data is no object"),
        (edit(lambda one: one["calibration"].update(threshold=0.0)), "does not follow from the scores"),
        (edit(lambda one: one["files"].update({"../x": {}})), "the file name '../x'"),
        (edit(lambda one: one["files"].update({"x": {"sha256": "0"}})), "no sha256 and size of 'x'"),
        (edit(lambda one: one["files"].update({"x": 1})), "no sha256 and size of 'x'"),
        (lambda folder: (folder / "detector" / "toy.json").unlink(), "the file detector/toy.json .* got No such file"),
        (truncate, r"the file detector/toy.json .* got \d+ of \d+ bytes in .*; copy the whole folder again"),
        (alter, "the file detector/toy.json .* got other content"),
        (lambda folder: (folder / "README.md").write_text("# Mine"), "the file README.md .* got"),
    ],
)
def test_anything_else_is_refused(folder, spoil, message):
    spoil(folder)
    with pytest.raises(ModelError, match=message):
        read_model(folder, registry=REGISTRY)


def test_files_that_are_not_the_detectors_are_refused(tmp_path):
    write(tmp_path / "model", save=lambda saved: (saved / "toy.json").write_text("torn"))
    with pytest.raises(ModelError, match=r"expected the detector 'toy' to load .*, got: .*; train again"):
        read_model(tmp_path / "model", registry=REGISTRY)


def test_errors_that_the_detector_explains_are_its_own(folder, monkeypatch):
    def explain(self, directory):
        raise ModelError("expected width 8, got 16; train again")

    monkeypatch.setattr(toy.ToyDetector, "load", explain)
    with pytest.raises(ModelError, match=r"^expected width 8"):
        read_model(folder, registry=REGISTRY)


def pickled(name):
    return lambda saved: (saved / name).write_bytes(pickle.dumps([1]))


def archived(saved):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("archive/data.pkl", "x")
    (saved / "weights.bin").write_bytes(content.getvalue())


@pytest.mark.parametrize(
    ("save", "message"),
    [
        (lambda saved: None, "to save something, got an empty folder"),
        (lambda saved: (saved / "deep").mkdir(), "to save something, got an empty folder"),
        (pickled("weights.dat"), "got weights.dat, which is or may hold a pickle"),
        (lambda saved: (saved / "weights.pt").write_text("x"), "got weights.pt, which is or may hold a pickle"),
        (archived, "got weights.bin, which is or may hold a pickle"),
        (lambda saved: (saved / "weights.json").symlink_to("/etc/hosts"), "got the link weights.json"),
    ],
)
def test_a_model_holds_no_pickle_and_no_link(tmp_path, save, message):
    with pytest.raises(ModelError, match=message):
        write(tmp_path / "model", save=save)
    with pytest.raises(ModelError, match="where a training is not finished"):
        read_about(tmp_path / "model")


def test_arrays_of_numpy_are_no_pickle(tmp_path):
    write(tmp_path / "model", save=lambda saved: np.savez(saved / "weights.npz", one=np.ones(3)))
    assert read_about(tmp_path / "model")[0].detector == "toy"


def test_options_with_a_secret_are_refused(tmp_path):
    with pytest.raises(ModelError, match="got 'api_key'; leave it out"):
        write(tmp_path / "model", dataclasses.replace(ABOUT, options={"api_key": "geheim"}))


def test_a_folder_that_cannot_be_written_is_an_output_error(tmp_path):
    def block(saved):
        (saved / "toy.json").write_text("{}")
        (saved.parent.parent / "README.md").mkdir()
        (saved.parent.parent / "README.md" / "x").mkdir()

    with pytest.raises(OutputError, match=r"expected to write .*README.md"):
        write(tmp_path / "model", save=block)


def test_a_detectors_files_replace_those_of_a_process_that_was_killed(tmp_path):
    (tmp_path / "model" / "detector").mkdir(parents=True)
    (tmp_path / "model" / "detector" / "old.json").write_text("{}")
    write(tmp_path / "model")
    assert [path.name for path in (tmp_path / "model" / "detector").iterdir()] == ["toy.json"]


def test_what_belongs_to_a_machine_is_not_kept():
    options = {
        "device": "cuda:1",
        "weights": "/home/me/weights",
        "windows": "C:\\me",
        "home": "~/weights",
        "nested": {"deep": ["/data/x"]},
        "name": "wide_resnet50_2",
        "relative": "a/b",
        "numbers": [1, 2.5, None, True],
        "tilde": "~5",
    }
    assert portable_options(options) == {key: options[key] for key in ("name", "relative", "numbers", "tilde")}


def test_records_are_read_as_they_were_written():
    record = FileRecord("a" * 64, 3)
    assert FileRecord.from_json("x", record.to_json()) == record
