"""One training as it goes on: the network, its average, the optimiser, and which weights were best so far."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Generic, cast

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from fmas.errors import ComponentError
from fmas_providers.detectors.options import TrainingOptions
from fmas_providers.detectors.training.batch import BatchT
from fmas_providers.detectors.training.checkpoint import (
    Checkpoint,
    optimiser_tensors,
    read_checkpoint,
    restore_optimiser,
    write_checkpoint,
)
from fmas_providers.detectors.training.outcome import Times, TrainingOutcome, Validated
from fmas_providers.detectors.training.schedule import check_steps, learning_rate
from fmas_providers.detectors.training.surroundings import reseed

__all__ = ["Trainer"]

_SAVING_SHARE = 0.05
"""Large networks take longer to write; checkpoints get rarer instead of taking more than this part of the time."""


class Trainer(Generic[BatchT]):
    """Learns from one batch after the other; :func:`fmas_providers.detectors.training.loop.fit` says what all of it is.

    Between two calls it stands between two steps, where a checkpoint holds everything.

    Attributes:
        done: How many steps were done.
        stop: After how many steps to stop; fewer than planned once validation stopped the training.
        times: Where the time went.
    """

    def __init__(
        self,
        network: nn.Module,
        loss: Callable[[Tensor, BatchT], Tensor],
        validate: Callable[[nn.Module], Validated] | None,
        options: TrainingOptions,
        *,
        steps: int,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self.done = 0
        self.stop = steps
        self.times = Times()
        self._planned, self._options, self._device, self._dtype = steps, options, device, dtype
        self._loss, self._validate = loss, validate
        self._layout = torch.channels_last
        self._network = network.to(device)
        cast("Any", self._network).to(memory_format=self._layout)  # torch's types do not know it
        self._called: Callable[[Tensor], Tensor] = torch.compile(network) if options.compile else network
        self._average = AveragedModel(network, multi_avg_fn=_average(options.ema), use_buffers=True)
        self._optimiser = torch.optim.AdamW(_groups(network, options.weight_decay), lr=options.learning_rate)
        self._scaler = torch.amp.GradScaler(device.type, enabled=dtype == torch.float16)
        self._checks = check_steps(steps, options.checks)
        self._history: list[dict[str, float]] = []
        self._best: dict[str, Tensor] = {}
        self._best_step = 0
        self._loss_sum, self._loss_count = 0.0, 0
        self._begin = self._saved = time.perf_counter()
        self._save_seconds = 0.0

    @contextmanager
    def clock(self, name: str) -> Iterator[None]:
        """Add the seconds that the block takes to the time of that name."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            setattr(self.times, name, getattr(self.times, name) + time.perf_counter() - begin)

    def learn(self, batch: BatchT) -> Mapping[str, float]:
        """Do one step; return its loss and learning rate.

        Raises:
            ComponentError: If the loss is not finite.
        """
        rate = learning_rate(self.done, self._planned, highest=self._options.learning_rate, warmup=self._options.warmup)
        # Dropout and its like draw from torch's global generator; seeded by the step, they need no state to resume.
        reseed(self._device, (self._options.seed * 1_000_003 + self.done) % 2**63)
        with self.clock("in_model"):
            for group in self._optimiser.param_groups:
                group["lr"] = rate
            loss = self._backward(batch.to(self._device, memory_format=self._layout))
            value = float(loss)  # waits for the GPU
            if not torch.isfinite(loss):
                raise ComponentError(
                    f"expected a finite loss, got {value} at step {self.done} with learning rate {rate:.3g}; "
                    f"lower learning_rate ({self._options.learning_rate:g})"
                    + ("" if self._dtype == torch.float32 else ", or set dtype=float32")
                )
            if self._options.gradient_clip:
                self._scaler.unscale_(self._optimiser)
                nn.utils.clip_grad_norm_(self._network.parameters(), self._options.gradient_clip)
            self._scaler.step(self._optimiser)
            self._scaler.update()
            self._average.update_parameters(self._network)
        self.done += 1
        self._loss_sum, self._loss_count = self._loss_sum + value, self._loss_count + 1
        return {"loss": value, "learning_rate": rate}

    def _backward(self, batch: BatchT) -> Tensor:
        self._network.train()
        self._optimiser.zero_grad(set_to_none=True)
        with torch.autocast(self._device.type, self._dtype, enabled=self._dtype != torch.float32):
            outputs = self._called(batch.pictures)
        loss = self._loss(outputs.float(), batch)
        cast("Any", self._scaler.scale(loss)).backward()
        return loss.detach()

    def check(self) -> None:
        """Validate if it is time to; keep the best weights, and stop when nothing gets better any more.

        Raises:
            ComponentError: If the score is not finite.
        """
        if self.done not in self._checks:
            return
        row = {"step": float(self.done), "loss": self._loss_sum / self._loss_count}
        self._loss_sum, self._loss_count = 0.0, 0
        if self._validate is not None:
            with self.clock("validating"), torch.no_grad(), self._timed(self._average.module.eval()) as network:
                found = self._validate(network)
            if not math.isfinite(found.score):
                raise ComponentError(
                    f"expected a finite validation score, got {found.score} after step {self.done}; lower "
                    f"learning_rate ({self._options.learning_rate:g})"
                )
            row |= {"score": found.score, **found.measures}
            scores = [earlier["score"] for earlier in self._history]
            # Of equals the later: more was learnt meanwhile, even where the measure has come to its end.
            if not scores or found.score >= max(scores):
                self._best_step = self.done
                self._best = {name: value.clone() for name, value in network.state_dict().items()}
            if self._options.patience and _checks_since_best([*scores, found.score]) >= self._options.patience:
                self.stop = self.done
        self._history.append(row)

    def save(self, workspace: Path, identity: str) -> None:
        """Write a checkpoint if it is time to, or if this was the last step."""
        now = time.perf_counter()
        pause = self._options.checkpoint_seconds
        if pause:  # 0 asks for one after every step, whatever that takes
            pause = max(pause, self._save_seconds / _SAVING_SHARE)
        if self.done < self.stop and now - self._saved < pause:
            return
        parts = {
            "network": self._network.state_dict(),
            "average": self._average.module.state_dict(),
            "optimiser": optimiser_tensors(self._optimiser),
            "best": self._best,
        }
        tensors = {f"{part}.{name}": value for part, values in parts.items() for name, value in values.items()}
        with self.clock("saving"):
            write_checkpoint(workspace, Checkpoint(identity, self._values(), tensors))
        self._saved = time.perf_counter()
        self._save_seconds = self._saved - now

    def resume(self, workspace: Path, identity: str) -> None:
        """Go to where the last checkpoint stands, if there is one.

        Raises:
            ModelError: If it is damaged or another training's.
        """
        found = read_checkpoint(workspace, identity=identity)
        if found is None:
            return
        values = cast("dict[str, Any]", found.values)
        self.done, self.stop = values["done"], values["stop"]
        self.times = Times(**values["times"])
        self._begin = time.perf_counter() - self.times.total
        self._history, self._best_step = values["history"], values["best_step"]
        self._loss_sum, self._loss_count = values["loss_sum"], values["loss_count"]
        self._best = {name: value.to(self._device) for name, value in found.part("best").items()}
        self._network.load_state_dict(found.part("network"))
        self._average.module.load_state_dict(found.part("average"))
        self._average.n_averaged.fill_(self.done)
        restore_optimiser(self._optimiser, found.part("optimiser"))
        if self._scaler.is_enabled():
            self._scaler.load_state_dict(values["scaler"])

    def finish(self) -> TrainingOutcome:
        """Give the network the best weights and say how it went."""
        self._network.load_state_dict(self._best or self._average.module.state_dict())
        self._network.eval()
        self.times.total = time.perf_counter() - self._begin
        kept = next((row for row in self._history if row["step"] == self._best_step), {})
        return TrainingOutcome(
            steps=self.done,
            planned_steps=self._planned,
            best_step=self._best_step or self.done,
            stopped_early=self.done < self._planned,
            times=self.times,
            validation={name: value for name, value in kept.items() if name not in ("step", "loss")},
            history=tuple(self._history),
        )

    def _values(self) -> dict[str, object]:
        """Return what is no tensor, as JSON values."""
        self.times.total = time.perf_counter() - self._begin
        return {
            "done": self.done,
            "stop": self.stop,
            "times": asdict(self.times),
            "history": self._history,
            "best_step": self._best_step,
            "loss_sum": self._loss_sum,
            "loss_count": self._loss_count,
            "scaler": self._scaler.state_dict(),
        }

    @contextmanager
    def _timed(self, network: nn.Module) -> Iterator[nn.Module]:
        """Count the time of the network's calls inside the block as spent in the model."""
        begins: list[float] = []

        def before(*_: object) -> None:
            begins.append(time.perf_counter())

        def after(*_: object) -> None:
            self.times.in_model += time.perf_counter() - begins.pop()

        hooks = network.register_forward_pre_hook(before), network.register_forward_hook(after)
        try:
            yield network
        finally:
            for hook in hooks:
                hook.remove()


def _checks_since_best(scores: Sequence[float]) -> int:
    """Return how many checks in a row, up to the last, did not beat the best before them."""
    return len(scores) - 1 - scores.index(max(scores))


def _groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Return what learns in two groups: matrices and filters decay, biases and normalisation do not."""
    learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
    groups = [
        {"params": [parameter for parameter in learning if parameter.ndim > 1], "weight_decay": weight_decay},
        {"params": [parameter for parameter in learning if parameter.ndim <= 1], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def _average(decay: float) -> Callable[[Any, Any, Tensor | int], None]:
    """Return an exponential moving average for ``AveragedModel``.

    torch's own takes ``decay`` from the first step on, so that a short training would keep its first weights, and
    averages whole numbers with a rounding down.
    """

    @torch.no_grad()
    def update(averages: list[Tensor], values: list[Tensor], number: Tensor | int) -> None:
        if averages[0].is_floating_point():
            now = min(decay, (1.0 + float(number)) / (10.0 + float(number)))
            torch._foreach_lerp_(averages, values, 1.0 - now)
        else:
            torch._foreach_copy_(averages, values)

    return update
