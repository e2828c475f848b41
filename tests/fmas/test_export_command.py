"""``fmas export`` and what it does: the same result from another detector, or none at all."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from fmas.cli.export import register
from fmas.detectors import Exported
from fmas.errors import ComponentError, ConfigError, ModelError, OutputError, UsageError
from fmas.exporting import export_model, parity_pictures
from fmas.model_folder import read_model
from fmas.plugins import load_plugins
from fmas.plugins.requirements import MissingRequirementError
from fmas.training import TrainRequest, train_model


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
def trained(run, tmp_path, monkeypatch):
    """Return a function that trains a model by a detector's name, in the working folder."""
    monkeypatch.chdir(tmp_path)
    out, _ = run()

    def train(name="toy"):
        request = TrainRequest(data=out, out=Path("model"), detector={"name": name, "device": "cpu"})
        return train_model(request, registry=REGISTRY)

    return train


@pytest.fixture
def export(monkeypatch):
    monkeypatch.setattr("fmas.exporting.load_plugins", lambda: REGISTRY)
    app = typer.Typer()
    register(app)
    return lambda *arguments: CliRunner().invoke(app, [str(one) for one in arguments])


def test_an_export_is_a_model_with_the_same_threshold(trained, export):
    before = trained()
    result = export("model", "--onnx", "--out", "exported")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [
        "exported: exported (toy-runtime; largest difference 1e-06)",
        "next: fmas inspect exported PHOTOGRAPHS --out inspection",
    ]
    model = read_model("exported", registry=REGISTRY)
    assert model.about.detector == "toy-runtime" and model.about.detector_version == "7" and model.notes == ()
    assert model.about.options == {"steps": 1} and model.calibration == before.calibration
    assert model.about.source == {
        "format": "onnx",
        "detector": "toy",
        "detector_version": "1",
        "digest": before.about.digest,
        "largest_difference": 1e-6,
    }
    unchanged = ("category", "object_name", "data", "training", "versions")
    assert all(getattr(model.about, name) == getattr(before.about, name) for name in unchanged)
    assert "Exported as onnx from a model of the detector `toy`" in Path("exported/README.md").read_text()
    original = read_model("model", registry=REGISTRY).detector
    for (one, score), (other, same) in zip(
        original.score(parity_pictures()), model.detector.score(parity_pictures()), strict=True
    ):
        assert score == same and np.array_equal(one, other)


def test_a_finished_export_is_left_as_it_is(trained, export):
    trained()
    export("model", "--onnx", "--out", "exported")
    written = Path("exported/model.json").stat().st_mtime_ns
    result = export("model", "--onnx", "--out", "exported", "--json")
    content = json.loads(result.stdout)
    assert content["new"] is False and content["detector"] == "toy-runtime" and content["model"] == "exported"
    assert content["source"]["format"] == "onnx" and content["notes"] == []
    assert Path("exported/model.json").stat().st_mtime_ns == written
    assert "exported before, left as it is" in export("model", "--onnx", "--out", "exported").stdout


def test_an_export_of_another_model_is_not_written_over(trained, export, run, tmp_path):
    trained()
    export("model", "--onnx", "--out", "exported")
    other, _ = run(seed=3, out=tmp_path / "other")
    train_model(TrainRequest(data=other, out=Path("second"), detector={"name": "toy", "steps": 3}), registry=REGISTRY)
    result = export("second", "--onnx", "--out", "exported")
    assert result.exit_code == 1 and "the model to export has changed; choose another --out" in result.stderr
    with pytest.raises(OutputError, match="holds another one"):
        export_model(Path("model"), Path("second"), registry=REGISTRY)


def test_a_killed_export_is_begun_again(trained, monkeypatch):
    trained()

    class KilledError(BaseException):
        pass

    def kill(self, directory, *, parity):
        (directory / "half.onnx").write_bytes(b"x")
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(toy.ToyDetector, "export_onnx", kill)
        with pytest.raises(KilledError):
            export_model(Path("model"), Path("exported"), registry=REGISTRY)
    with pytest.raises(ModelError, match="not finished"):
        read_model("exported", registry=REGISTRY)
    assert export_model(Path("model"), Path("exported"), registry=REGISTRY).is_new
    assert [path.name for path in Path("exported/detector").iterdir()] == ["toy.json"]


def exported_as(monkeypatch, **changes):
    def export_onnx(self, directory, *, parity):
        self.save(directory)
        return dataclasses.replace(Exported("toy-runtime", {"steps": 1}, 1e-6), **changes)

    monkeypatch.setattr(toy.ToyDetector, "export_onnx", export_onnx)


def test_the_original_computes_on_the_cpu_if_it_can_choose(trained, monkeypatch):
    trained()
    devices = []
    original = toy.ToyDetector.export_onnx

    def export_onnx(self, directory, *, parity):
        devices.append(self.options.device)
        return original(self, directory, parity=parity)

    monkeypatch.setattr(toy.ToyDetector, "export_onnx", export_onnx)
    export_model(Path("model"), Path("exported"), registry=REGISTRY)
    assert devices == ["cpu"] and read_model("model", registry=REGISTRY).detector.options.device == "auto"


def test_a_detector_without_a_choice_of_device_is_exported_as_it_is(trained, monkeypatch):
    trained()
    parse = toy.parse_options

    def strict(model, options, *, section):
        if "device" in options:
            raise ConfigError("unknown key 'detector.device'")
        return parse(model, options, section=section)

    monkeypatch.setattr(toy, "parse_options", strict)
    assert export_model(Path("model"), Path("exported"), registry=REGISTRY).is_new


@pytest.mark.parametrize("difference", [1.1e-3, float("nan"), float("inf")])
def test_other_maps_are_refused(trained, monkeypatch, difference):
    trained()
    exported_as(monkeypatch, largest_difference=difference)
    with pytest.raises(ModelError, match=r"the same maps up to 0.001, got a difference of .*; report it"):
        export_model(Path("model"), Path("exported"), registry=REGISTRY)
    assert not Path("exported/model.json").exists()


def test_other_scores_are_refused(trained, monkeypatch):
    trained()
    exact = toy.ToyRuntime.score

    def off(self, images):
        yield from ((heat, score * 1.01) for heat, score in exact(self, images))

    monkeypatch.setattr(toy.ToyRuntime, "score", off)
    with pytest.raises(ModelError, match=r"the same scores up to 0.001, got a difference of 0.0"):
        export_model(Path("model"), Path("exported"), registry=REGISTRY)


def test_scores_that_break_the_contract_are_refused(trained, monkeypatch):
    trained()
    monkeypatch.setattr(toy.ToyRuntime, "score", lambda self, images: iter(()))
    with pytest.raises(ComponentError, match="one result per image of the detector 'the export', got fewer"):
        export_model(Path("model"), Path("exported"), registry=REGISTRY)


def test_without_the_runtime_the_export_says_that_nothing_was_compared(trained, export, monkeypatch):
    trained()
    exported_as(monkeypatch, largest_difference=None)

    def missing(self, directory):
        raise MissingRequirementError("expected the module 'onnxruntime'", name="onnxruntime")

    monkeypatch.setattr(toy.ToyRuntime, "load", missing)
    result = export("model", "--onnx", "--out", "exported")
    assert result.exit_code == 0, result.output
    assert "(toy-runtime; maps not compared)" in result.stdout
    assert "note: the export was not compared with the original: expected the module 'onnxruntime'" in result.stderr
    monkeypatch.setattr(toy.ToyRuntime, "load", toy.ToyDetector.load)
    model = read_model("exported", registry=REGISTRY)
    assert model.about.detector_version == "" and model.notes == ()


def test_a_detector_that_cannot_be_exported_is_a_mistake(trained, export):
    trained("plain-toy")
    result = export("model", "--onnx", "--out", "exported")
    assert result.exit_code == 2
    assert result.stderr == (
        "error: expected a model whose detector can be exported, got one of 'plain-toy', which cannot; fmas inspect "
        "uses it as it is\n"
    )
    assert not Path("exported").exists()


def test_a_format_must_be_asked_for(export):
    result = export("model", "--out", "exported")
    assert result.exit_code == 2 and result.stderr == "error: expected a format to export to, got none; add --onnx\n"


def test_an_export_is_not_written_into_the_model(trained):
    trained()
    for out in ("model", "model/deep"):
        with pytest.raises(UsageError, match="expected another folder for --out than the model's"):
            export_model(Path("model"), Path(out), registry=REGISTRY)


def test_no_model_is_an_error(export, tmp_path):
    result = export(tmp_path, "--onnx", "--out", tmp_path / "x")
    assert result.exit_code == 1 and "without model.json" in result.stderr


def test_a_full_disk_is_told(trained, monkeypatch):
    trained()

    def full(self, directory, *, parity):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(toy.ToyDetector, "export_onnx", full)
    with pytest.raises(OutputError, match="got a full disk"):
        export_model(Path("model"), Path("exported"), registry=REGISTRY)


def test_options_of_the_export_are_checked(trained, monkeypatch):
    trained()
    exported_as(monkeypatch, options={"api_key": "x"})
    with pytest.raises(ComponentError, match="expected no secret in the options of the exported detector"):
        export_model(Path("model"), Path("exported"), registry=REGISTRY)


def test_parity_pictures_are_the_same_every_time():
    one, other = parity_pictures(), parity_pictures()
    assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
    assert {picture.shape for picture in one} == {(96, 96, 3), (97, 131, 3), (160, 75, 3), (256, 192, 3)}
    assert all(picture.dtype == np.uint8 and picture.std() > 20 for picture in one)
    assert not np.array_equal(parity_pictures(1)[0], one[0])
