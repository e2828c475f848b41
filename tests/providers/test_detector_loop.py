"""The training loop: what it learns, when it stops, what it leaves behind, and that it never waits."""

from __future__ import annotations

import importlib
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from torch import nn  # noqa: E402

from fmas.errors import ComponentError, ConfigError, ImageError  # noqa: E402
from fmas_providers.detectors.training.batch import Batch, LabelledBatch  # noqa: E402
from fmas_providers.detectors.training.outcome import Validated  # noqa: E402
from fmas_providers.detectors.training.prefetch import prefetched  # noqa: E402
from fmas_providers.detectors.training.schedule import check_steps, learning_rate  # noqa: E402


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    return importlib.import_module("tiny_training")


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """No thread, no number of threads and no random state of torch may differ after a training."""
    torch.manual_seed(5)
    before = torch.get_rng_state(), torch.get_num_threads()
    yield
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("fmas-batches")]
    assert torch.get_num_threads() == before[1]
    assert torch.equal(torch.get_rng_state(), before[0])


def scripted(*scores: float) -> Any:
    given_scores = iter(scores)
    return lambda _: Validated(next(given_scores))


def test_it_learns(tiny: Any, tmp_path: Path) -> None:
    rows: list[Mapping[str, float]] = []
    _, outcome = tiny.train(tmp_path, steps=60, progress=lambda *told: rows.append(told[2]))
    losses = [row["loss"] for row in rows]
    assert sum(losses[-5:]) < 0.5 * sum(losses[:5])
    assert [row["step"] for row in outcome.history] == [20, 40, 60]
    assert outcome.history[-1]["loss"] == pytest.approx(sum(losses[40:]) / 20)
    assert outcome.validation == {name: outcome.history[-1][name] for name in ("score", "mean")}
    assert outcome.best_step == 60


def test_the_seed_decides(tiny: Any, tmp_path: Path) -> None:
    first, _ = tiny.train(tmp_path / "1")
    torch.manual_seed(99)  # whatever was drawn before
    second, _ = tiny.train(tmp_path / "2")
    other, _ = tiny.train(tmp_path / "3", options=tiny.OPTIONS.model_copy(update={"seed": 4}))
    torch.manual_seed(5)
    assert tiny.same(first, second)
    assert not tiny.same(first, other)  # dropout


def test_progress_is_told_of_every_step(tiny: Any, tmp_path: Path) -> None:
    told: list[tuple[int, int, set[str]]] = []
    tiny.train(tmp_path, progress=lambda done, planned, values: told.append((done, planned, set(values))))
    assert told == [(step, 9, {"loss", "learning_rate"}) for step in range(1, 10)]


def test_it_stops_early_and_keeps_the_best(tiny: Any, tmp_path: Path) -> None:
    options = tiny.OPTIONS.model_copy(update={"checks": 9, "patience": 2, "ema": 0.0})
    kept: list[dict[str, Any]] = []

    def validate(network: nn.Module) -> Validated:
        kept.append({name: value.clone() for name, value in network.state_dict().items()})
        assert not network.training
        assert not torch.is_grad_enabled()
        return Validated((0.3, 0.8, 0.5, 0.8, 0.1)[len(kept) - 1], {"measure": float(len(kept))})

    weights, outcome = tiny.train(tmp_path, options=options, validate=validate)
    # The fourth equals the best: it is no improvement, so training stops, but more was learnt, so it is kept.
    assert (outcome.steps, outcome.planned_steps, outcome.stopped_early, outcome.best_step) == (4, 9, True, 4)
    assert outcome.validation == {"score": 0.8, "measure": 4.0}
    assert tiny.same(weights, kept[3])


def test_without_patience_it_goes_to_the_end(tiny: Any, tmp_path: Path) -> None:
    _, outcome = tiny.train(tmp_path, validate=scripted(0.9, 0.2, 0.1))
    assert (outcome.steps, outcome.stopped_early, outcome.best_step) == (9, False, 3)


def test_without_validation_the_last_weights_are_kept(tiny: Any, tmp_path: Path) -> None:
    network = tiny.network()
    _, outcome = tiny.train(tmp_path, network, validate=None)
    assert (outcome.best_step, outcome.validation) == (9, {})
    assert not network.training
    assert not any(hasattr(row, "score") for row in outcome.history)


def test_the_average_is_of_statistics_too_and_leaves_numbers_alone(tiny: Any, tmp_path: Path) -> None:
    seen: list[dict[str, Any]] = []
    network = tiny.network()

    def watch(*_: object) -> None:
        seen.append({name: value.clone() for name, value in network.state_dict().items()})

    options = tiny.OPTIONS.model_copy(update={"ema": 0.25})
    weights, _ = tiny.train(tmp_path, network, options=options, validate=None, steps=4, progress=watch)
    for name in ("layers.0.weight", "layers.1.running_mean", "layers.1.running_var"):
        average = seen[0][name]
        for number, step in enumerate(seen[1:], start=1):
            now = min(0.25, (1 + number) / (10 + number))
            average = now * average + (1 - now) * step[name]
        assert torch.allclose(weights[name], average, atol=1e-6)
        assert not torch.equal(weights[name], seen[-1][name])
    assert weights["number"].tolist() == [7, 8]
    assert int(weights["layers.1.num_batches_tracked"]) == 4


def test_frozen_parameters_stay(tiny: Any, tmp_path: Path) -> None:
    network = tiny.network()
    network.layers[0].requires_grad_(False)
    before = network.layers[0].weight.clone()
    tiny.train(tmp_path, network, options=tiny.OPTIONS.model_copy(update={"weight_decay": 0.5}))
    assert torch.equal(network.layers[0].weight, before)


def test_gradients_are_clipped(tiny: Any, tmp_path: Path) -> None:
    norms: list[float] = []
    network = tiny.network()

    def watch(*_: object) -> None:
        norms.append(float(torch.cat([one.grad.flatten() for one in network.parameters()]).norm()))

    tiny.train(tmp_path, network, options=tiny.OPTIONS.model_copy(update={"gradient_clip": 0.01}), progress=watch)
    assert max(norms) <= 0.01 * 1.001
    norms.clear()
    network = tiny.network()
    options = tiny.OPTIONS.model_copy(update={"gradient_clip": 0.0})
    tiny.train(tmp_path / "not", network, options=options, progress=watch)
    assert max(norms) > 0.1


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision(tiny: Any, tmp_path: Path, dtype: str) -> None:
    seen: set[Any] = set()
    network = tiny.network()
    network.layers[0].register_forward_hook(lambda _, __, output: seen.add(output.dtype))
    rows: list[Mapping[str, float]] = []
    tiny.train(
        tmp_path,
        network,
        options=tiny.OPTIONS.model_copy(update={"dtype": dtype}),
        steps=40,
        validate=None,
        progress=lambda *told: rows.append(told[2]),
    )
    assert seen == {getattr(torch, dtype)}
    assert all(one.dtype == torch.float32 for one in network.parameters())
    assert rows[-1]["loss"] < 0.5 * rows[0]["loss"]


def test_the_scale_of_half_precision_is_resumed(tiny: Any, tmp_path: Path) -> None:
    options = tiny.OPTIONS.model_copy(update={"dtype": "float16"})
    expected, _ = tiny.train(tmp_path / "whole", options=options)

    def interrupt(done: int, *_: object) -> None:
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tiny.train(tmp_path / "cut", options=options, progress=interrupt)
    weights, _ = tiny.train(tmp_path / "cut", options=options)
    assert tiny.same(weights, expected)


def test_a_loss_that_is_not_finite_names_the_learning_rate(tiny: Any, tmp_path: Path) -> None:
    def diverge(outputs: Any, batch: Batch) -> Any:
        return tiny.loss(outputs, batch) * float("nan")

    with pytest.raises(ComponentError, match=r"expected a finite loss, got nan at step 0 .*learning_rate \(0\.02\)$"):
        tiny.train(tmp_path, loss=diverge)
    with pytest.raises(ComponentError, match=r"or set dtype=float32$"):
        tiny.train(tmp_path, loss=diverge, options=tiny.OPTIONS.model_copy(update={"dtype": "bfloat16"}))


def test_a_score_that_is_not_finite_is_an_error(tiny: Any, tmp_path: Path) -> None:
    with pytest.raises(ComponentError, match=r"expected a finite validation score, got nan after step 3; .*\(0\.02\)"):
        tiny.train(tmp_path, validate=scripted(float("nan")))


def test_a_missing_device_is_an_error(tiny: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected device"):
        tiny.train(tmp_path, options=tiny.OPTIONS.model_copy(update={"device": "tpu"}))


def test_what_a_sampler_raises_surfaces(tiny: Any, tmp_path: Path) -> None:
    def sample(step: int) -> Batch:
        if step == 4:
            raise ImageError("expected a picture, got none; bring one")
        return tiny.sample(step)

    steps: list[int] = []
    with pytest.raises(ImageError, match="bring one") as caught:
        tiny.train(tmp_path, sample=sample, progress=lambda done, *_: steps.append(done))
    assert caught.value.__notes__ == ["while the batch of step 4 was prepared"]
    assert steps == [1, 2, 3, 4]  # everything before it was learnt from


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interruption_leaves_nothing_behind(tiny: Any, tmp_path: Path, error: type[BaseException]) -> None:
    def interrupt(*_: object) -> None:
        assert any(thread.name.startswith("fmas-batches") for thread in threading.enumerate())
        raise error

    other = torch.get_num_threads() + 1
    with pytest.raises(error):
        tiny.train(tmp_path, progress=interrupt, options=tiny.OPTIONS.model_copy(update={"threads": other}))


def test_batches_are_prepared_while_the_network_computes() -> None:
    prepared = [threading.Event() for _ in range(5)]

    def sample(step: int) -> Batch:
        prepared[step].set()
        return Batch(torch.full((1, 3, 2, 2), float(step)), torch.zeros(1, 2, 2))

    with prefetched(sample, 1, 5) as batches:
        for step in range(1, 5):
            batch = next(batches)
            assert float(batch.pictures[0, 0, 0, 0]) == step
            for ahead in range(step + 1, min(step + 3, 5)):
                assert prepared[ahead].wait(10)  # nothing else was asked for meanwhile
            assert not any(event.is_set() for event in prepared[step + 3 :])  # nor more held than said
        assert next(batches, None) is None
    assert not prepared[0].is_set()


def test_several_workers_keep_the_order() -> None:
    def sample(step: int) -> Batch:
        time.sleep(0.01 * (step % 3 == 0))
        return Batch(torch.full((1, 3, 1, 1), float(step)), torch.zeros(1, 1, 1))

    with prefetched(sample, 0, 20, workers=4) as batches:
        assert [float(batch.pictures.max()) for batch in batches] == list(range(20))


def test_times_say_where_the_time_went(tiny: Any, tmp_path: Path) -> None:
    def slow_sample(step: int) -> Batch:
        time.sleep(0.1)
        return tiny.sample(step)

    def slow_validate(network: nn.Module) -> Validated:
        time.sleep(0.05)
        return Validated(float(network(tiny.sample(0).pictures).mean()))

    _, outcome = tiny.train(tmp_path / "data", sample=slow_sample, validate=slow_validate)
    about = outcome.about()
    assert about["seconds_waiting"] > 0.1  # for the first batch, which nothing could hide
    assert about["seconds_validating"] > 3 * 0.05
    assert about["seconds_saving"] > 0.0
    parts = sum(about[f"seconds_{name}"] for name in ("waiting", "saving", "validating"))
    assert 0.0 < about["seconds_in_model"] < about["seconds"]
    assert parts < about["seconds"]
    assert about["share_in_model"] == pytest.approx(about["seconds_in_model"] / about["seconds"], abs=0.01)


def test_a_network_that_takes_longer_than_its_data_never_waits(tiny: Any, tmp_path: Path) -> None:
    def slow_sample(step: int) -> Batch:
        time.sleep(0.05)
        return tiny.sample(step)

    def slow_loss(outputs: Any, batch: Batch) -> Any:
        time.sleep(0.15)
        return tiny.loss(outputs, batch)

    options = tiny.OPTIONS.model_copy(update={"checkpoint_seconds": 100.0})
    _, outcome = tiny.train(tmp_path, sample=slow_sample, loss=slow_loss, validate=None, options=options)
    assert outcome.times.waiting < 3 * 0.05  # one after the other it would be 9 times that
    assert outcome.about()["share_in_model"] > 0.7


def test_the_networks_part_of_validation_counts_as_the_model(tiny: Any, tmp_path: Path) -> None:
    class Slow(tiny.TinyNetwork):  # type: ignore[misc]
        def forward(self, pictures: Any) -> Any:
            time.sleep(0.0 if self.training else 0.1)
            return super().forward(pictures)

    _, outcome = tiny.train(
        tmp_path, Slow(), steps=3, validate=lambda one: Validated(float(one(torch.ones(1, 3, 4, 4)).mean()))
    )
    assert outcome.times.in_model > 3 * 0.1
    torch.manual_seed(5)


def test_other_batches_and_losses_are_welcome(tiny: Any, tmp_path: Path) -> None:
    """The loop knows nothing of maps: a classifier trains just as well."""
    from fmas_providers.detectors.training.loop import fit

    def sample(step: int) -> LabelledBatch:
        generator = torch.Generator().manual_seed(step)
        labels = torch.randint(0, 3, (8,), generator=generator)
        return LabelledBatch(labels.float()[:, None, None, None].expand(8, 3, 4, 4) - 1.0, labels)

    network = nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3))
    options = tiny.OPTIONS.model_copy(update={"learning_rate": 0.05})
    outcome = fit(
        network,
        sample,
        lambda outputs, batch: nn.functional.cross_entropy(outputs, batch.labels),
        None,
        options,
        steps=60,
        identity="",
        workspace=tmp_path,
    )
    batch = sample(1000)
    assert float((network(batch.pictures).argmax(1) == batch.labels).float().mean()) == 1.0
    assert outcome.steps == 60
    torch.manual_seed(5)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's own inside torch.compile
def test_a_compiled_network_learns_and_keeps_its_names(tiny: Any, tmp_path: Path) -> None:
    expected, _ = tiny.train(tmp_path / "plain")
    weights, _ = tiny.train(tmp_path / "compiled", options=tiny.OPTIONS.model_copy(update={"compile": True}))
    assert weights.keys() == expected.keys()


@given(
    steps=st.integers(1, 400),
    warmup=st.floats(0.0, 1.0),
    highest=st.floats(1e-6, 1.0),
)
def test_the_learning_rate_rises_then_falls(steps: int, warmup: float, highest: float) -> None:
    rates = [learning_rate(step, steps, highest=highest, warmup=warmup) for step in range(steps)]
    top = rates.index(max(rates))
    assert all(0.0 < rate <= highest * (1 + 1e-12) for rate in rates)
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert top <= round(warmup * steps)


@given(steps=st.integers(1, 10_000), checks=st.integers(1, 50))
def test_checks_are_even_and_end_with_the_last_step(steps: int, checks: int) -> None:
    found = sorted(check_steps(steps, checks))
    assert found[-1] == steps
    assert found[0] >= 1
    assert len(found) == min(steps, checks)
    gaps = [after - before for before, after in zip([0, *found], found, strict=False)]
    assert max(gaps) - min(gaps) <= 1
