"""Killed at any moment and started again, a training ends with the same weights to the last bit."""

from __future__ import annotations

import errno
import importlib
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from safetensors import safe_open  # noqa: E402

from fmas.errors import ModelError, OutputError  # noqa: E402
from fmas_providers.detectors.training import checkpoint as checkpoints  # noqa: E402
from fmas_providers.detectors.training.checkpoint import CHECKPOINT, Checkpoint, read_checkpoint  # noqa: E402

HERE = Path(__file__).parent


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(HERE))
    return importlib.import_module("tiny_training")


@pytest.mark.parametrize("ema", [0.0, 0.9])
@pytest.mark.parametrize("step", range(1, 10))
def test_interrupted_after_any_step(tiny: Any, tmp_path: Path, step: int, ema: float) -> None:
    options = tiny.OPTIONS.model_copy(update={"ema": ema})
    expected, whole = tiny.train(tmp_path / "whole", options=options)

    def interrupt(done: int, _: int, __: object) -> None:
        if done == step:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tiny.train(tmp_path / "cut", options=options, progress=interrupt)
    seen: list[int] = []
    weights, outcome = tiny.train(tmp_path / "cut", options=options, progress=lambda done, *_: seen.append(done))
    assert seen == list(range(step + 1, tiny.STEPS + 1))
    assert tiny.same(weights, expected)
    assert (outcome.history, outcome.best_step, outcome.validation) == (
        whole.history,
        whole.best_step,
        whole.validation,
    )


@pytest.mark.parametrize("place", ["sample", "loss", "validate", "write", "replace"])
def test_interrupted_in_the_middle_of_a_step(
    tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    expected, _ = tiny.train(tmp_path / "whole")
    calls = 0

    def interrupting(function: Any) -> Any:
        def called(*arguments: Any, **named: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == (2 if place == "validate" else 5):
                raise KeyboardInterrupt
            return function(*arguments, **named)

        return called

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        if place == "write":
            patch.setattr(checkpoints, "save_file", interrupting(checkpoints.save_file))
        elif place == "replace":
            patch.setattr(Path, "replace", interrupting(Path.replace))
        named = {place: interrupting(getattr(tiny, place))} if place in ("sample", "loss", "validate") else {}
        tiny.train(tmp_path / "cut", **named)
    assert [path.name for path in (tmp_path / "cut").iterdir()] == [CHECKPOINT]
    weights, _ = tiny.train(tmp_path / "cut")
    assert tiny.same(weights, expected)


def test_killed_for_real(tiny: Any, tmp_path: Path) -> None:
    steps = 24
    expected, _ = tiny.train(tmp_path / "whole", steps=steps)
    command = [sys.executable, str(HERE / "tiny_training.py"), str(tmp_path / "cut"), str(steps)]
    deaths = 0
    for kill_after in (1, 5, 7):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for _ in range(kill_after):
                assert process.stdout.readline().strip()
            process.send_signal(signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
            process.wait(60)
            deaths += process.returncode != 0
    assert deaths == 3
    begun = read_checkpoint(tmp_path / "cut", identity="one")
    assert begun is not None
    assert 13 <= int(str(begun.values["done"])) < steps
    weights, _ = tiny.train(tmp_path / "cut", steps=steps)
    assert tiny.same(weights, expected)


def test_a_finished_training_is_not_done_again(tiny: Any, tmp_path: Path) -> None:
    expected, first = tiny.train(tmp_path)

    def never(step: int) -> Any:
        raise AssertionError(step)

    weights, again = tiny.train(tmp_path, sample=never)
    assert tiny.same(weights, expected)
    assert (again.steps, again.best_step, again.history) == (first.steps, first.best_step, first.history)


def test_one_that_stopped_early_stays_stopped(tiny: Any, tmp_path: Path) -> None:
    options = tiny.OPTIONS.model_copy(update={"patience": 1, "checks": 9})
    scores = iter([1.0, 2.0, 1.5])
    outcomes = importlib.import_module("fmas_providers.detectors.training.outcome")
    expected, first = tiny.train(tmp_path, options=options, validate=lambda _: outcomes.Validated(next(scores)))
    assert (first.steps, first.best_step, first.stopped_early, first.planned_steps) == (3, 2, True, 9)
    weights, again = tiny.train(tmp_path, options=options, validate=lambda _: outcomes.Validated(next(scores)))
    assert tiny.same(weights, expected)
    assert (again.steps, again.best_step, again.stopped_early) == (3, 2, True)


def test_anothers_checkpoint_is_refused(tiny: Any, tmp_path: Path) -> None:
    tiny.train(tmp_path, steps=2)
    with pytest.raises(ModelError, match=r"expected in .* of this training, got one of other options.*delete it"):
        tiny.train(tmp_path, steps=2, identity="another")


def test_a_damaged_one_is_told(tiny: Any, tmp_path: Path) -> None:
    tiny.train(tmp_path, steps=2)
    whole = (tmp_path / CHECKPOINT).read_bytes()
    for content in (
        b"",
        whole[:4],
        whole[: len(whole) // 2],
        b"\x80\x04pickle",
        whole.replace(b"training", b"trailing"),
    ):
        (tmp_path / CHECKPOINT).write_bytes(content)
        with pytest.raises(ModelError, match=r"expected a checkpoint .* got a damaged file .*delete it"):
            tiny.train(tmp_path, steps=2)


def test_a_full_disk_leaves_the_one_before(tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny.train(tmp_path, steps=2)
    before = (tmp_path / CHECKPOINT).read_bytes()

    def full(_: object, path: Path, **__: object) -> None:
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoints, "save_file", full)
    with pytest.raises(OutputError, match="got a full disk"):
        checkpoints.write_checkpoint(tmp_path, Checkpoint("one", {}, {"x": torch.zeros(2)}))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {CHECKPOINT: before}

    def broken(*_: object, **__: object) -> None:
        raise checkpoints.SafetensorError("I/O error")

    monkeypatch.setattr(checkpoints, "save_file", broken)
    with pytest.raises(OutputError, match="I/O error"):
        checkpoints.write_checkpoint(tmp_path, Checkpoint("one", {}, {"x": torch.zeros(2)}))


def test_checkpoints_are_no_more_frequent_than_asked(
    tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []
    trainers = importlib.import_module("fmas_providers.detectors.training.trainer")
    write = trainers.write_checkpoint

    def counted(workspace: Path, checkpoint: Checkpoint) -> None:
        written.append(int(str(checkpoint.values["done"])))
        write(workspace, checkpoint)

    monkeypatch.setattr(trainers, "write_checkpoint", counted)
    tiny.train(tmp_path, options=tiny.OPTIONS.model_copy(update={"checkpoint_seconds": 3600.0}))
    assert written == [tiny.STEPS]


def test_it_holds_tensors_and_json_alone(tiny: Any, tmp_path: Path) -> None:
    tiny.train(tmp_path, steps=3)
    with safe_open(tmp_path / CHECKPOINT, framework="pt") as file:
        assert {name.partition(".")[0] for name in file.keys()} == {"network", "average", "optimiser", "best"}  # noqa: SIM118
        assert list(file.metadata()) == ["training"]
