"""The detector ``unet`` as a whole: it learns, resumes, is saved, explains itself, and meets the contract."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")
pytest.importorskip("wdam")

from fmas.errors import ConfigError, ModelError, UsageError  # noqa: E402
from fmas.testing import check_detector  # noqa: E402
from fmas.testing.pictures import disc_photo, texture_photo  # noqa: E402
from fmas.types import NormalSyntheticMask  # noqa: E402
from fmas_providers.detectors.unet.detector import UNetDetector, create, diagnose  # noqa: E402
from fmas_providers.detectors.weights_file import ABOUT, WEIGHTS  # noqa: E402

TINY: dict[str, object] = {
    "steps": 6,
    "width": 4,
    "levels": 2,
    "wdam_levels": 1,
    "crop": 32,
    "batch_size": 4,
    "checks": 2,
    "checkpoint_seconds": 0.0,
    "device": "cpu",
    "threads": 1,
    "gate": False,
}


def tiny(**changes: object) -> UNetDetector:
    return create(TINY | changes)


def pairs(count: int, *, side: int = 48) -> list[NormalSyntheticMask]:
    """Return pictures of a texture, and the same with a black square somewhere."""
    rng = np.random.default_rng(2)
    found = []
    for _ in range(count):
        normal = rng.integers(90, 150, (side, side, 3), dtype=np.uint8)
        mask = np.zeros((side, side), np.bool_)
        top, left = rng.integers(4, side - 14, 2)
        mask[top : top + 9, left : left + 9] = True
        synthetic = normal.copy()
        synthetic[mask] = 10
        found.append(NormalSyntheticMask(normal, synthetic, mask))
    return found


@pytest.fixture(scope="module")
def trained() -> UNetDetector:
    detector = tiny(steps=60, learning_rate=0.01, batch_size=8)
    detector.fit(pairs(8))
    return detector


def weights(detector: UNetDetector, directory: Path) -> bytes:
    directory.mkdir()
    detector.save(directory)
    return (directory / WEIGHTS).read_bytes()


@pytest.mark.parametrize("changes", [{}, {"wdam": False}, {"gate": True}], ids=str)
def test_it_meets_the_contract(tmp_path: Path, changes: dict[str, object]) -> None:
    check_detector(tiny(**changes), tmp_path, fresh=lambda: tiny(**changes), side=48)


def test_a_copy_of_one_that_is_not_trained_meets_it_too(tmp_path: Path) -> None:
    check_detector(tiny(), tmp_path, side=48)


def test_it_finds_what_it_learnt(trained: UNetDetector) -> None:
    unseen = pairs(12)[8:]
    good = list(trained.score(pair.normal for pair in unseen))
    bad = list(trained.score(pair.synthetic for pair in unseen))
    assert min(score for _, score in bad) > max(score for _, score in good)
    for pair, (found, _) in zip(unseen, bad, strict=True):
        assert found.shape == pair.mask.shape
        assert 0.0 <= found.min() <= found.max() <= 1.0
        assert found[pair.mask].mean() > found[~pair.mask].mean() + 0.1


def test_what_a_training_says_of_itself(tmp_path: Path) -> None:
    told: list[tuple[int, int, Mapping[str, float]]] = []
    some = pairs(6)
    said = tiny().train(some[:4], some[4:], workspace=tmp_path, progress=lambda *values: told.append(values))
    assert [step for step, _, _ in told] == list(range(1, 7))
    assert {"steps", "best_step", "stopped_early", "seconds", "seconds_in_model", "validation"} <= said.keys()
    validation = said["validation"]
    assert isinstance(validation, dict)
    assert set(validation) == {"score", "image_auroc", "pixel_average_precision"}
    assert json.loads(json.dumps(said)) == said


def test_interrupted_it_ends_with_the_same_weights(tmp_path: Path) -> None:
    some = pairs(6)
    expected, cut = tiny(), tiny()
    expected.train(some[:4], some[4:], workspace=tmp_path / "whole")

    def interrupt(step: int, _: int, __: object) -> None:
        if step == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cut.train(some[:4], some[4:], workspace=tmp_path / "cut", progress=interrupt)
    with pytest.raises(ModelError, match="expected a trained detector"):
        cut.save(tmp_path)
    cut = tiny()
    steps: list[int] = []
    cut.train(some[:4], some[4:], workspace=tmp_path / "cut", progress=lambda step, *_: steps.append(step))
    assert steps == [5, 6]
    assert weights(cut, tmp_path / "1") == weights(expected, tmp_path / "2")
    with pytest.raises(ModelError, match="of other options, data or seed"):
        tiny(seed=1).train(some[:4], some[4:], workspace=tmp_path / "cut")
    with pytest.raises(ModelError, match="of other options, data or seed"):
        tiny().train(some[:3], some[4:], workspace=tmp_path / "cut")


@pytest.mark.parametrize("anomalies", ["fmas", "scars", "both"])
def test_the_seed_and_the_anomalies_decide(tmp_path: Path, anomalies: str) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    results = []
    for number, seed in enumerate((0, 0, 1)):
        detector = tiny(anomalies=anomalies, seed=seed)
        detector.fit(iter(pairs(5)))
        results.append(weights(detector, tmp_path / str(number)))
    assert results[0] == results[1] != results[2]
    assert torch.equal(torch.get_rng_state(), before)
    other = tiny(anomalies="both" if anomalies == "fmas" else "fmas")
    other.fit(iter(pairs(5)))
    assert weights(other, tmp_path / "other") != results[0]


def test_scars_never_look_at_the_synthetic_picture(tmp_path: Path) -> None:
    some = pairs(5)
    changed = [NormalSyntheticMask(one.normal, 255 - one.synthetic, ~one.mask) for one in some]
    results = []
    for number, given in enumerate((some, changed)):
        detector = tiny(anomalies="scars")
        detector.fit(given)
        results.append(weights(detector, tmp_path / str(number)))
    assert results[0] == results[1]


def test_one_photograph_is_enough(tmp_path: Path) -> None:
    said = tiny().train(pairs(1), [], workspace=tmp_path)
    assert (said["validation"], said["best_step"]) == ({}, 6)


def test_no_pair_is_not(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expected at least one pair to learn from, got none; run `fmas run`"):
        tiny().fit(iter(()))


def test_before_it_is_trained_it_says_so(tmp_path: Path) -> None:
    asked: list[Any] = [
        lambda one: one.score([]),
        lambda one: one.explain([]),
        lambda one: one.save(tmp_path),
        lambda one: one.export_onnx(tmp_path, parity=[]),
    ]
    for ask in asked:
        with pytest.raises(ModelError, match=r"expected a trained detector, got a new one; call fit\(\) or load\(\)"):
            ask(tiny())
    assert not list(tmp_path.iterdir())


def test_it_explains_itself(trained: UNetDetector) -> None:
    pictures = [disc_photo(40, 52), texture_photo(48, 48)]
    told = list(trained.explain(iter(pictures)))
    assert len(told) == 2
    for weights_by_layer in told:
        assert len(weights_by_layer) == 1
        for four in weights_by_layer.values():
            assert len(four) == 4
            assert all(0.0 <= weight <= 1.0 for weight in four)
    assert told[0] != told[1]
    assert told == list(trained.explain(pictures))  # nothing is left in the network


def test_of_large_pictures_the_mean_over_tiles_is_told() -> None:
    detector = tiny(tile=32, overlap=0, view="crops")
    detector.fit(pairs(4, side=32))
    tiles = [texture_photo(32, 32), disc_photo(32, 32)]
    apart = [next(iter(told.values())) for told in detector.explain(tiles)]
    (together,) = detector.explain([np.concatenate(tiles, axis=1)])
    assert next(iter(together.values())) == pytest.approx(np.mean(apart, axis=0).tolist(), abs=1e-6)


def test_without_wdam_there_is_nothing_to_tell() -> None:
    detector = tiny(wdam=False)
    detector.fit(pairs(3))
    assert list(detector.explain([disc_photo(40, 40)] * 2)) == [{}, {}]


def test_wdam_changes_the_network() -> None:
    with_it, without = tiny(), tiny(wdam=False)
    for detector in (with_it, without):
        detector.fit(pairs(3))
    (one, _), (other, _) = (next(detector.score([disc_photo(40, 40)])) for detector in (with_it, without))
    assert not np.allclose(one, other)


def test_the_gates_reference_is_saved(tmp_path: Path) -> None:
    detector = tiny(gate=True)
    objects = [NormalSyntheticMask(disc_photo(64, 64), one.synthetic, one.mask) for one in pairs(3, side=64)]
    detector.fit(objects)
    detector.save(tmp_path)
    kept = json.loads((tmp_path / ABOUT).read_text())
    assert set(kept["gate"]) == {"objects", "area"}
    (tmp_path / ABOUT).write_text(json.dumps(kept | {"gate": {"objects": 2}}))
    with pytest.raises(ModelError, match=r"expected a number .* in .*; copy the whole folder again, or train again"):
        tiny(gate=True).load(tmp_path)


def test_foreign_and_truncated_files_are_refused(trained: UNetDetector, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"expected a saved detector with detector.json in"):
        tiny().load(tmp_path)
    trained.save(tmp_path)
    with pytest.raises(ModelError, match="load it with the options it was trained with"):
        tiny(width=6).load(tmp_path)
    with pytest.raises(ModelError, match="load it with the options it was trained with"):
        tiny(wdam=False).load(tmp_path)
    whole = (tmp_path / WEIGHTS).read_bytes()
    (tmp_path / WEIGHTS).write_bytes(whole[:-8])
    with pytest.raises(ModelError, match="got a damaged one"):
        tiny().load(tmp_path)
    (tmp_path / WEIGHTS).write_bytes(whole)
    loaded = tiny()
    loaded.load(tmp_path)
    photograph = disc_photo(40, 44)
    assert np.array_equal(next(loaded.score([photograph]))[0], next(trained.score([photograph]))[0])


def test_it_exports(trained: UNetDetector, tmp_path: Path) -> None:
    for module in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(module)
    exported = trained.export_onnx(tmp_path, parity=[disc_photo(40, 52), texture_photo(48, 48)])
    assert exported.detector == "onnx"
    assert exported.largest_difference is not None
    assert exported.largest_difference < 1e-4
    assert (tmp_path / "model.onnx").stat().st_size > 1000


def test_its_fingerprint_is_of_what_matters() -> None:
    assert tiny().fingerprint() == tiny(threads=2, score_batch=1).fingerprint()
    assert tiny().fingerprint().digest() != tiny(crop=64).fingerprint().digest()
    assert tiny().fingerprint().name == "unet"


def test_the_doctor_is_told() -> None:
    assert diagnose({"device": "cpu"}).keys() == {"device", "precision", "network"}
    assert diagnose({"device": "cpu", "dtype": "bfloat16"})["precision"] == "bfloat16"
    assert diagnose({"device": "cpu", "encoder": "resnet18", "wdam": False})["network"] == "resnet18"
    with pytest.raises(ConfigError, match="expected device"):
        diagnose({"device": "tpu"})


def test_a_crop_that_the_network_cannot_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"expected crop as a multiple of 8, .* got 50; take 48"):
        tiny(crop=50).train(pairs(2), [], workspace=tmp_path)


def test_an_epoch_is_every_pair_once(tmp_path: Path) -> None:
    # Half of a batch of 8 are good twins, so 8 pairs take two batches.
    said = tiny(steps=None, epochs=3, batch_size=8).train(pairs(8), [], workspace=tmp_path)
    assert said["steps"] == 6


@pytest.mark.parametrize(("name", "value"), [("view", "whole"), ("crop", 64)])
def test_a_model_looks_at_pictures_as_it_did_in_training(
    trained: UNetDetector, tmp_path: Path, name: str, value: object
) -> None:
    trained.save(tmp_path)
    other = tiny(steps=60, learning_rate=0.01, batch_size=8, **{name: value})
    with pytest.raises(ModelError, match=f"{name}="):
        other.load(tmp_path)


def test_focusing_has_no_values_without_a_gradient() -> None:
    with pytest.raises(ConfigError, match="expected focusing as 0, or from 1 to 5, got"):
        tiny(focusing=0.5)
