"""One cell of the benchmark, where it lies, and the commands that make it."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from fmas.benchmark.layouts import Category
from fmas.benchmark.variants import Variant
from fmas.errors import UsageError
from fmas.secrecy import first_secret_setting
from fmas.slugs import slug

__all__ = ["BenchmarkRequest", "Cell", "Step", "StepName", "pairs_folder", "shown_command", "synthesis_step"]

StepName: TypeAlias = Literal["synthesize", "train", "inspect"]

_PAIRS_WANTED = 450
_MOST_PER_PHOTOGRAPH = 10
_FOR_EVERY_DETECTOR = "detector."


@dataclass(frozen=True, slots=True)
class BenchmarkRequest:
    """What ``fmas benchmark`` was asked for.

    Attributes:
        dataset: The data set's folder.
        out: Where everything goes.
        variants: What to compare.
        only: Names of categories; empty for all.
        seeds: How many, counted from 0.
        jobs: Cells at a time.
        product: What the product is, in words; the category's name by default.
        steps: Training steps; the detector's own default by default.
        device: Where to train and inspect; the detector's own default by default.
        settings: ``KEY=VALUE``. ``detector.KEY`` goes to every training, ``unet.KEY`` and ``cutpaste.KEY`` to those of
            one detector, anything else to ``fmas run``.
    """

    dataset: Path
    out: Path
    variants: tuple[Variant, ...]
    only: tuple[str, ...] = ()
    seeds: int = 3
    jobs: int = 1
    product: str | None = None
    steps: int | None = None
    device: str | None = None
    settings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, number in (("--seeds", self.seeds), ("--jobs", self.jobs), ("--steps", self.steps)):
            if number is not None and number < 1:
                raise UsageError(f"expected {name} of at least 1, got {number}; leave it out for the default")
        for setting in self.settings:
            key, equals, value = setting.partition("=")
            if not key.strip() or not equals:
                raise UsageError(f"expected KEY=VALUE for --set, got {setting!r}; e.g. --set detector.width=16")
            if first_secret_setting({key.strip(): value}):  # settings go into benchmark.json, results and logs
                raise UsageError(
                    f"expected settings without secrets, got one as {key.strip()!r}; leave it out and set the variable "
                    "that its component reads"
                )
            if key.strip() in _OURS:
                raise UsageError(f"expected a setting that variants share, got {setting!r}; {_OURS[key.strip()]}")

    def training_settings(self, detector: str) -> Iterator[str]:
        """Yield ``KEY=VALUE`` for the trainings of one detector."""
        for setting in self.settings:
            for prefix in (_FOR_EVERY_DETECTOR, f"{detector}."):
                if setting.startswith(prefix):
                    yield setting.removeprefix(prefix)

    def run_settings(self) -> Iterator[str]:
        """Yield ``KEY=VALUE`` for ``fmas run``."""
        prefixes = (_FOR_EVERY_DETECTOR, "unet.", "cutpaste.")
        yield from (setting for setting in self.settings if not setting.startswith(prefixes))

    def identity(self) -> dict[str, object]:
        """Return what a finished cell depends on, as JSON values; which cells are wanted is no part of it."""
        return {
            "dataset": str(self.dataset.resolve()),
            "object": self.product,
            "steps": self.steps,
            "device": self.device,
            "set": sorted(self.settings),
        }


_OURS = {
    **dict.fromkeys(("seed", "detector.seed", "unet.seed", "cutpaste.seed"), "use --seeds"),
    **dict.fromkeys(("detector.wdam", "unet.wdam", "cutpaste.wdam"), "that is what the variants differ in"),
    **dict.fromkeys(("detector.anomalies", "unet.anomalies"), "that is what the variants differ in"),
    **dict.fromkeys(("detector.fmas", "cutpaste.fmas"), "that is what the variants differ in"),
    **dict.fromkeys(("detector.foreground", "cutpaste.foreground"), "that is what the variants differ in"),
    **dict.fromkeys(("images", "out", "category", "object"), "that is given by the data set and by --object"),
}


@dataclass(frozen=True, slots=True)
class Step:
    """One command.

    Attributes:
        name: Which step of a cell it is.
        arguments: What follows ``fmas``.
        accepted: Exit codes that mean that the next step can go on.
    """

    name: StepName
    arguments: tuple[str, ...]
    accepted: frozenset[int] = frozenset({0})


@dataclass(frozen=True, slots=True)
class Cell:
    """One training of one variant on one category.

    Attributes:
        category: The product.
        variant: How it is trained.
        seed: Of its pairs and of its training.
    """

    category: Category
    variant: Variant
    seed: int

    @property
    def label(self) -> str:
        """What people call it."""
        return f"{self.category.name}, {self.variant.name}, seed {self.seed}"

    def folder(self, out: Path) -> Path:
        """Return where its files lie: ``model``, ``inspection``, ``log.txt`` and, last of all, ``result.json``."""
        return _seed_folder(out, self.category, self.seed) / self.variant.name

    def steps(self, request: BenchmarkRequest) -> tuple[Step, ...]:
        """Return the commands that make it once its pairs are there."""
        folder = self.folder(request.out)
        train = [
            *("train", str(pairs_folder(request.out, self.category, self.seed)), "--out", str(folder / "model")),
            *("--detector", self.variant.detector, "--seed", str(self.seed)),
            *("--holdout", str(self.category.test)),
        ]
        for key, value in self.variant.options.items():
            train += ["--set", f"{key}={str(value).lower() if isinstance(value, bool) else value}"]
        if request.steps is not None:
            train += ["--steps", str(request.steps)]
        if request.device is not None:
            train += ["--device", request.device]
        for setting in request.training_settings(self.variant.detector):
            train += ["--set", setting]
        inspect = ["inspect", str(folder / "model"), str(self.category.test), "--out", str(folder / "inspection")]
        inspect.append("--no-overlays")  # the page draws its own, side by side
        if request.device is not None:
            inspect += ["--device", request.device]
        if self.variant.looks_through_wdam:
            inspect.append("--explain")
        # Which photograph could not be inspected (exit code 3) is said when it is missing from the scores.
        return (Step("train", tuple(train)), Step("inspect", tuple(inspect), accepted=frozenset({0, 3})))


def synthesis_step(request: BenchmarkRequest, category: Category, seed: int) -> Step:
    """Return the command that makes the pairs that all variants of one category and seed share.

    A photograph with which no pair could be made costs nothing but that pair (exit code 3).
    """
    per_image = min(max(1, math.ceil(_PAIRS_WANTED / category.photographs)), _MOST_PER_PHOTOGRAPH)
    arguments = [
        *("run", str(category.train), "--out", str(pairs_folder(request.out, category, seed))),
        *("--category", slug(category.name, fallback="category"), "--seed", str(seed)),
        *("--object", request.product if request.product is not None else category.name.replace("_", " ")),
    ]
    settings = list(request.run_settings())
    if not any(setting.startswith("per_image=") for setting in settings):
        arguments += ["--per-image", str(per_image)]
    for setting in settings:
        arguments += ["--set", setting]
    return Step("synthesize", tuple(arguments), accepted=frozenset({0, 3}))


def pairs_folder(out: Path, category: Category, seed: int) -> Path:
    """Return where the pairs of one category and seed lie."""
    return _seed_folder(out, category, seed) / "pairs"


def shown_command(arguments: Sequence[str]) -> str:
    """Return a command as one would type it."""
    return shlex.join(["fmas", *arguments])


def _seed_folder(out: Path, category: Category, seed: int) -> Path:
    return out / category.name / f"seed-{seed}"
