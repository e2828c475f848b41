from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fmas.errors import ComponentError, ConfigError, ModelError, UsageError
from fmas.testing import check_fingerprint
from fmas_providers.detectors.onnx.detector import OnnxDetector, create, diagnose
from fmas_providers.detectors.options import OnnxOptions, UNetOptions
from fmas_providers.detectors.scoring.gate import GateReference
from fmas_providers.detectors.scoring.normalise import normalise
from fmas_providers.detectors.scoring.options import ScoringOptions

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")
pytest.importorskip("onnx", reason="needs onnx (fmas-providers[export])")
pytest.importorskip("onnxruntime", reason="needs onnxruntime (fmas-providers[onnx])")

from fmas_providers.detectors.onnx import export  # noqa: E402
from fmas_providers.detectors.onnx.export import export_network  # noqa: E402
from fmas_providers.detectors.unet.maps import TEMPERATURE  # noqa: E402
from fmas_providers.detectors.unet.network import build_network  # noqa: E402
from wdam import WDAM  # noqa: E402

REFERENCE = GateReference(1.0, 0.3)
OPTIONS = ScoringOptions(tile=96, overlap=24, gate_margin=0.05)


def picture(height: int, width: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


PARITY = [picture(*size, seed) for seed, size in enumerate([(32, 48), (96, 96), (65, 33), (130, 210)])]


def network(**options: object) -> torch.nn.Module:
    torch.manual_seed(3)
    result = build_network(UNetOptions(width=4, levels=3, **options), pretrained=False)
    lenses = [module for module in result.modules() if isinstance(module, WDAM)]
    assert bool(lenses) == options.get("wdam", True)
    with torch.no_grad():  # a fresh one does next to nothing, and what it does should be compared
        for parameter in (one for lens in lenses for one in lens.parameters()):
            parameter.normal_(0, 0.5)
    return result


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("exported")
    module = network()
    exported = export_network(
        module, directory, multiple=module.multiple, options=OPTIONS, reference=REFERENCE, parity=PARITY
    )
    assert exported.detector == "onnx"
    assert exported.largest_difference is not None
    assert exported.largest_difference <= 1e-4
    assert OnnxOptions.model_validate(exported.options).gate_margin == OPTIONS.gate_margin
    return directory


def loaded(directory: Path, **options: object) -> OnnxDetector:
    detector = create({"threads": 1, **OPTIONS.model_dump(), **options})
    detector.load(directory)
    return detector


def test_without_wdam_and_without_pictures(tmp_path: Path) -> None:
    module = network(wdam=False).train()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    exported = export_network(module, tmp_path, multiple=module.multiple, options=OPTIONS)
    assert exported.largest_difference is None  # nothing to compare on
    assert module.training
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())
    with torch.inference_mode():
        pictures = torch.from_numpy(normalise(picture(64, 96, 1))[np.newaxis])
        expected = torch.sigmoid(module.eval()(pictures) / TEMPERATURE)[0].numpy()
    values, _ = next(loaded(tmp_path, gate=False).score([picture(64, 96, 1)]))
    np.testing.assert_allclose(values, expected, rtol=1e-4, atol=1e-6)


def test_two_files_say_what_they_are(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == ["detector.json", "model.onnx"]
    about = json.loads((folder / "detector.json").read_text())
    assert about["format"] == "fmas-onnx"
    assert about["normalisation"]["scale"] == 1 / 64
    assert about["normalisation"]["offset"] == -2
    assert about["gate"] == REFERENCE.to_json()
    assert about["about"]["opset"] == export.OPSET
    assert about["about"]["options"]["tile"] == 96


def test_maps_are_probabilities_of_the_pictures_size(folder: Path) -> None:
    for image, (values, score) in zip(PARITY, loaded(folder, gate=False).score(iter(PARITY)), strict=True):
        assert values.shape == image.shape[:2]
        assert values.dtype == np.float32
        assert 0 <= values.min() < values.max() <= 1
        assert 0 <= score <= 1


def test_scores_depend_on_the_picture_alone_and_survive_saving(folder: Path, tmp_path: Path) -> None:
    detector = loaded(folder)
    before = check_fingerprint(detector)
    first = list(detector.score(PARITY))
    backwards = list(detector.score(PARITY[::-1]))[::-1]
    detector.save(tmp_path)
    again = list(loaded(tmp_path).score(PARITY))
    for one, other, third in zip(first, backwards, again, strict=True):
        np.testing.assert_allclose(one[0], other[0], atol=1e-5)
        np.testing.assert_allclose(one[0], third[0], atol=1e-5)
        assert one[1] == pytest.approx(other[1], abs=1e-5)
    assert check_fingerprint(detector) == before


def test_how_much_at_once_and_where_is_no_part_of_the_identity() -> None:
    assert create({"score_batch": 1, "threads": 2}).fingerprint() == create({}).fingerprint()
    assert create({"gate": False}).fingerprint() != create({}).fingerprint()


def test_inspecting_needs_no_torch(folder: Path, tmp_path: Path) -> None:
    script = f"""
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "wdam", "safetensors", "onnx", "onnxscript"):
            raise ImportError(name + " is blocked")
sys.meta_path.insert(0, Blocked())
import pathlib
import numpy as np
from fmas_providers.detectors.onnx.detector import create
detector = create({{"threads": 1, "tile": 96, "overlap": 24}})
detector.load(pathlib.Path({str(folder)!r}))
values, score = next(detector.score([np.full((50, 70, 3), 99, np.uint8)]))
assert "torch" not in sys.modules
print(values.shape, round(score, 6))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("(50, 70) 0.")


def test_it_learns_nothing() -> None:
    with pytest.raises(UsageError, match=r"only inspects.*train unet, then fmas export"):
        create({}).fit([])


def test_nothing_is_scored_or_saved_before_loading(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="call load"):
        create({}).score([])
    with pytest.raises(ModelError, match="call load"):
        create({}).save(tmp_path)


@pytest.fixture
def copied(folder: Path, tmp_path: Path) -> Path:
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


@pytest.mark.parametrize("name", ["model.onnx", "detector.json"])
def test_a_missing_file_is_named(copied: Path, name: str) -> None:
    (copied / name).unlink()
    with pytest.raises(ModelError, match=name):
        loaded(copied)


@pytest.mark.parametrize("name", ["model.onnx", "detector.json"])
def test_a_truncated_file_is_named(copied: Path, name: str) -> None:
    content = (copied / name).read_bytes()
    (copied / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(ModelError, match=f"{name}.*(truncated|damaged)"):
        loaded(copied)


CHANGES = [
    ({"format": "other"}, "expected format"),
    ({"version": 99}, "expected version"),
    ({"sha256": 5}, "sha256"),
    ({"multiple": 0}, "multiple"),
    ({"multiple": True}, "multiple"),
    ({"gate": {"objects": 7}}, "gate"),
    ({"normalisation": {"scale": 1.0, "offset": 0.0}}, "grey levels"),
    ({"normalisation": None}, "grey levels"),
]


@pytest.mark.parametrize(("change", "message"), CHANGES)
def test_a_foreign_description_is_refused(copied: Path, change: dict[str, object], message: str) -> None:
    path = copied / "detector.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ModelError, match=message):
        loaded(copied)


def test_what_is_no_json_object_is_refused(copied: Path) -> None:
    (copied / "detector.json").write_text("[1]")
    with pytest.raises(ModelError, match="expected format"):
        loaded(copied)


def rewritten(directory: Path, model: bytes) -> None:
    import hashlib

    path = directory / "detector.json"
    (directory / "model.onnx").write_bytes(model)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"sha256": hashlib.sha256(model).hexdigest()}))


def test_what_is_no_onnx_model_is_refused(copied: Path) -> None:
    rewritten(copied, b"no model at all")
    with pytest.raises(ModelError, match=r"expected an ONNX model in .*model.onnx"):
        loaded(copied)


def test_another_networks_onnx_model_is_refused(copied: Path) -> None:
    import onnx
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "other",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    assert isinstance(model, onnx.ModelProto)
    rewritten(copied, model.SerializeToString())
    with pytest.raises(ModelError, match="pictures -> maps"):
        loaded(copied)


def test_cuda_is_asked_for_where_there_is_none() -> None:
    assert diagnose({}) == {"device": "CPU"}
    with pytest.raises(ConfigError, match="onnxruntime-gpu"):
        diagnose({"device": "cuda"})


def test_without_onnxruntime_the_package_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UsageError, match=r"fmas-providers\[onnx\]"):
        OnnxDetector().load(folder)


def test_a_wrong_option_is_named() -> None:
    with pytest.raises(ConfigError, match=r"unknown key .detector\.tiles"):
        create({"tiles": 5})


def test_other_maps_in_onnxruntime_are_an_error(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    foreign = (folder / "model.onnx").read_bytes()
    monkeypatch.setattr(export, "_onnx_bytes", lambda module, multiple: foreign)
    module = network(wdam=False)
    torch.nn.init.constant_(module.last.bias, 2.0)
    with pytest.raises(ComponentError, match="do not use this export"):
        export_network(module, tmp_path, multiple=module.multiple, options=OPTIONS, parity=PARITY[:1])


def test_exporting_names_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"got none; pip install 'fmas-providers\[export\]'"):
        export_network(torch.nn.Identity(), tmp_path, multiple=1, options=OPTIONS)


def test_a_network_that_cannot_be_exported_is_an_error(tmp_path: Path) -> None:
    class Failing(torch.nn.Module):
        def forward(self, pictures: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("not today")

    with pytest.raises(ComponentError, match="can export"):
        export_network(Failing(), tmp_path, multiple=8, options=OPTIONS)
