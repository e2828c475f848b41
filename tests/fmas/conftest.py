"""Fixtures for the tests of fmas: small photographs, and components that behave well or badly on purpose."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from fmas.cli.app import build_app
from fmas.config import RunConfig
from fmas.pipeline import synthesize
from fmas.plugins import PluginRegistry, load_plugins
from fmas.specs import InpainterSpec, LLMSpec, SegmenterSpec, SelectorSpec
from fmas.stages import Executor
from fmas.summary import RunSummary
from fmas.types import Defect, DefectKind, Fingerprint, Foreground, InpaintJob, PlanRequest, PromptPlan


@dataclass
class FakeLLM:
    """Answers with fixed defects and counts how often it is asked."""

    defects: Sequence[Defect]
    asked: list[PlanRequest] = field(default_factory=list)

    def fingerprint(self) -> Fingerprint:
        return Fingerprint("fake", "1")

    def plan(self, request: PlanRequest) -> PromptPlan:
        self.asked.append(request)
        return PromptPlan(defects=tuple(self.defects))


class FakeSegmenter:
    """Takes everything brighter than 40 for the product."""

    def fingerprint(self) -> Fingerprint:
        return Fingerprint("fake", "1")

    def segment(self, image: np.ndarray) -> Foreground:
        mask = image.max(axis=2) > 40
        if not mask.any():
            mask[:] = True
        return Foreground(mask, "texture" if mask.all() else "object", 1.0)


@dataclass
class FakeInpainter:
    """Paints a disc of another brightness into the middle of the region."""

    paint: Callable[[InpaintJob], np.ndarray] | None = None
    multiple: int = 1
    working_size: int | None = None
    batches: list[list[InpaintJob]] = field(default_factory=list)

    def fingerprint(self) -> Fingerprint:
        return Fingerprint("fake", "1")

    def inpaint(self, jobs: Sequence[InpaintJob]) -> list[np.ndarray]:
        self.batches.append(list(jobs))
        return [(self.paint or paint_spot)(job) for job in jobs]


def paint_spot(job: InpaintJob) -> np.ndarray:
    """Darken or brighten the region's inner part by an amount that the seed decides."""
    image = job.image.astype(np.int16)
    strength = 20 + job.seed % 60
    sign = -1 if image[job.region].mean() > 120 else 1
    image[job.region] += sign * strength
    return np.clip(image, 0, 255).astype(np.uint8)


class FakeSelector:
    """Mean change inside the mask, as a fraction of 255."""

    def fingerprint(self) -> Fingerprint:
        return Fingerprint("fake", "1")

    def score(self, original: np.ndarray, candidate: np.ndarray, mask: np.ndarray) -> float:
        return float(np.abs(original.astype(int) - candidate.astype(int))[mask].mean() / 255)


@dataclass(frozen=True)
class FakeHook:
    """An entry point that loads a plugin made on the spot."""

    name: str
    plugin: object
    value: str = "tests:fake"
    group: str = "fmas.plugins"
    dist: None = None

    def load(self) -> object:
        return self.plugin


CRACK = Defect(name="hairline crack", prompt="a thin crack", kind=DefectKind.CRACK, severity=0.5)
STAIN = Defect(name="oil stain", prompt="a dark stain", kind=DefectKind.STAIN, severity=0.4)
FRAY = Defect(name="frayed edge", prompt="a frayed edge", kind=DefectKind.FRAY, severity=0.6)


@pytest.fixture
def fakes() -> dict[str, object]:
    """One component of each kind; a test may replace any before it builds a registry."""
    return {
        "llm": FakeLLM([CRACK, STAIN]),
        "segmenter": FakeSegmenter(),
        "inpainter": FakeInpainter(),
        "selector": FakeSelector(),
    }


@pytest.fixture
def make_registry() -> Callable[..., PluginRegistry]:
    """Return a registry with the given components under the name ``fake``."""

    def make(components: Mapping[str, object], *, live: bool = False, elsewhere: bool = False) -> PluginRegistry:
        from types import SimpleNamespace

        from fmas import hookimpl

        def hook(spec: object) -> Callable[[], list[object]]:
            return hookimpl(lambda: [spec])

        plugin = SimpleNamespace(
            fmas_register_llms=hook(LLMSpec("fake", "for tests", lambda _: components["llm"], live=live)),
            fmas_register_segmenters=hook(SegmenterSpec("fake", "for tests", lambda _: components["segmenter"])),
            fmas_register_inpainters=hook(
                InpainterSpec("fake", "for tests", lambda _: components["inpainter"], elsewhere=elsewhere)
            ),
            fmas_register_selectors=hook(SelectorSpec("fake", "for tests", lambda _: components["selector"])),
        )
        registry = load_plugins([FakeHook("fakes", plugin)])
        assert registry.failures == ()
        return registry

    return make


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """Return a folder with six small photographs: textures and parts on a dark background, of different sizes."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    generator = np.random.default_rng(7)
    for number in range(6):
        height, width = 64 + 8 * number, 96 - 4 * number
        image = generator.normal(130, 6, (height, width, 1)).repeat(3, axis=2)
        if number % 2:
            image[: height // 6] = image[-height // 6 :] = 12
            image[:, : width // 6] = image[:, -width // 6 :] = 12
        Image.fromarray(np.clip(image, 0, 255).astype(np.uint8)).save(folder / f"part_{number}.png")
    return folder


@pytest.fixture
def make_config(photographs: Path, tmp_path: Path) -> Callable[..., RunConfig]:
    """Return a configuration that uses the fakes; any setting can be given."""

    def make(**settings: object) -> RunConfig:
        fake = {kind: {"name": "fake"} for kind in ("llm", "segmenter", "inpainter", "selector")}
        base: dict[str, object] = {
            "images": photographs,
            "out": tmp_path / "out",
            "object": "test part",
            "candidates": 2,
        }
        return RunConfig.model_validate(base | fake | settings)

    return make


@pytest.fixture
def run(
    fakes: dict[str, object], make_registry: Callable[..., PluginRegistry], make_config: Callable[..., RunConfig]
) -> Callable[..., tuple[Path, RunSummary]]:
    """Return a function that runs the fakes with the given settings and returns the output folder and the summary."""

    def go(
        progress: Callable[[int, int, int], None] | None = None, executor: Executor | None = None, **settings: object
    ) -> tuple[Path, RunSummary]:
        config = make_config(**settings)
        return config.out, synthesize(config, registry=make_registry(fakes), progress=progress, executor=executor)

    return go


@pytest.fixture
def rows() -> Callable[[Path], list[dict[str, object]]]:
    """Return a function that reads the metadata rows of an output folder."""

    def read(out: Path) -> list[dict[str, object]]:
        lines = (out / "dataset/test_part/metadata.jsonl").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]

    return read


@pytest.fixture
def tree() -> Callable[[Path], dict[str, bytes]]:
    """Return a function that maps every file of a data set to its bytes."""

    def read(out: Path) -> dict[str, bytes]:
        root = out / "dataset"
        files = sorted(path for path in root.rglob("*") if path.is_file())
        return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}

    return read


@pytest.fixture
def fmas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., object]:
    """Run the command in an empty folder; return the result with stdout and stderr apart."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    for name in [name for name in os.environ if name.startswith("FMAS_")]:
        monkeypatch.delenv(name)
    app = build_app(load_plugins())
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def tiles(tmp_path: Path) -> Path:
    """Return a folder with three small photographs of a texture and a file that is none."""
    folder = tmp_path / "Blue Tiles"
    folder.mkdir()
    generator = np.random.default_rng(5)
    for number in range(3):
        image = np.clip(generator.normal(120, 9, (80, 90, 1)).repeat(3, axis=2), 0, 255).astype(np.uint8)
        Image.fromarray(image).save(folder / f"{number}.png")
    (folder / "readme.txt").write_text("no picture", encoding="utf-8")
    return folder
