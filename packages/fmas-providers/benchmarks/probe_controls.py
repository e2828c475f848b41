"""What negative controls change: does a probe that sees an inpainter's traces take them for defects?

    python packages/fmas-providers/benchmarks/probe_controls.py [--photographs 60] [--out FOLDER]

Two inpainters, each on photographs of a made-up texture:

* ``tiny``: the real Stable Diffusion inpainting pipeline of diffusers with half a megabyte of random weights. It does
  not understand prompts, so a control looks like a defect: this shows the bookkeeping, not a use.
* ``traced``: the built-in painter, whose crops then go to half size and back, as a latent model's decoder softens what
  it touches. An intact prompt gives the softening alone. Here defect and trace can be told apart.

The probe is a logistic regression on four numbers of a picture, made to see traces as well as defects. It learns from
one half of the photographs, without and with controls among the normal pictures, and is tried on the other half.
Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import entry_points
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.optimize import minimize

from fmas import RunConfig, hookimpl, synthesize
from fmas.builtin.inpainter import create as create_painter
from fmas.plugins import PluginRegistry, load_plugins
from fmas.specs import InpainterSpec
from fmas.types import Fingerprint, InpaintJob, RGBImage

TINY = Path(__file__).parents[3] / "tests" / "providers"
PATCH = 12
FALSE_ALARMS = 0.05


class TracedPainter:
    """The built-in painter behind a lens: everything in the crop is softened, and nothing else when it is intact."""

    multiple, working_size = 2, None

    def __init__(self) -> None:
        self._painter = create_painter({})

    def fingerprint(self) -> Fingerprint:
        """Return a name; the probe keeps nothing."""
        return Fingerprint("traced", "1")

    def inpaint(self, jobs: Sequence[InpaintJob]) -> list[RGBImage]:
        """Paint, or leave as it is for the prompt of an intact surface; then soften inside the region."""
        intact = [job.defect.prompt.startswith("flawless") for job in jobs]
        painted = iter(
            self._painter.inpaint([job for job, is_intact in zip(jobs, intact, strict=True) if not is_intact])
        )
        crops = [job.image if is_intact else next(painted) for job, is_intact in zip(jobs, intact, strict=True)]
        return [_softened(crop, job) for crop, job in zip(crops, jobs, strict=True)]


def _softened(crop: RGBImage, job: InpaintJob) -> RGBImage:
    height, width = crop.shape[:2]
    small = cv2.resize(np.ascontiguousarray(crop), (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    result = crop.copy()
    result[job.region] = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)[job.region]
    return result


def traced_registry() -> PluginRegistry:
    """Return the installed plugins and the traced painter."""
    spec = InpainterSpec("traced", "For the probe.", lambda options: TracedPainter())
    module = SimpleNamespace(fmas_register_inpainters=hookimpl(lambda: [spec]))
    entry = SimpleNamespace(name="probe", value="probe", group="fmas.plugins", dist=None, load=lambda: module)
    return load_plugins([*entry_points(group="fmas.plugins"), entry])


def write_photographs(folder: Path, number: int) -> None:
    """Write middle grey textures with grain."""
    folder.mkdir(parents=True)
    generator = np.random.default_rng(11)
    for index in range(number):
        grain = generator.normal(127, 4, (128, 160, 1)).repeat(3, axis=2)
        Image.fromarray(np.clip(grain, 0, 255).astype(np.uint8)).save(folder / f"{index:04d}.png")


def features(path: Path) -> NDArray[np.float64]:
    """Return the strongest and the weakest grain, and the brightest and the darkest patch, against the middle one."""
    grey = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2GRAY).astype(np.float64)
    grain = cv2.blur(np.abs(cv2.Laplacian(grey, cv2.CV_64F)), (PATCH, PATCH))
    light = cv2.blur(grey, (PATCH, PATCH))
    grain, light = np.log(grain + 0.1), light / 10
    return np.array(
        [
            grain.max() - np.median(grain),
            np.median(grain) - grain.min(),
            light.max() - np.median(light),
            np.median(light) - light.min(),
        ]
    )


def fit(normal: NDArray[np.float64], defective: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Return mean, scale and weights of a logistic regression, both classes counting alike."""
    values = np.vstack([normal, defective])
    mean, scale = values.mean(axis=0), values.std(axis=0) + 1e-9
    inputs = np.column_stack([(values - mean) / scale, np.ones(len(values))])
    signs = np.r_[-np.ones(len(normal)), np.ones(len(defective))]
    shares = np.r_[np.full(len(normal), 1 / len(normal)), np.full(len(defective), 1 / len(defective))]

    def loss(weights: NDArray[np.float64]) -> float:
        return float((shares * np.logaddexp(0, -signs * (inputs @ weights))).sum() + 1e-3 * (weights**2).sum())

    return mean, scale, np.asarray(minimize(loss, np.zeros(inputs.shape[1])).x)


def scores(model: tuple[NDArray[np.float64], ...], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the probe's belief in a defect, larger for more."""
    mean, scale, weights = model
    return np.asarray(((values - mean) / scale) @ weights[:-1] + weights[-1])


def auroc(low: NDArray[np.float64], high: NDArray[np.float64]) -> float:
    """Return the chance that one of ``high`` is above one of ``low``."""
    return float(np.mean((high[:, None] > low).astype(float) + 0.5 * (high[:, None] == low)))


def measure(dataset: Path, untraced: Path | None) -> list[dict[str, float]]:
    """Return a row for the probe without and one for it with controls."""
    twins = sorted((dataset / "train/good").glob("0*.png"))
    named = {
        "normal": twins,
        "control": sorted((dataset / "train/good").glob("1*.png")),
        "defect": sorted(path for path in dataset.glob("test/*/*.png")),
    }
    if untraced is not None:
        named["untraced"] = sorted(untraced.glob("test/*/*.png"))
    known = {name: np.stack([features(path) for path in paths]) for name, paths in named.items()}
    odd = {name: np.array([int(path.stem) % 2 == 1 for path in paths]) for name, paths in named.items()}
    learn = {name: values[odd[name]] for name, values in known.items()}
    rows = []
    for normal in (learn["normal"], np.vstack([learn["normal"], learn["control"]])):
        model = fit(normal, learn["defect"])
        tried = {name: scores(model, values[~odd[name]]) for name, values in known.items()}
        threshold = np.quantile(tried["normal"], 1 - FALSE_ALARMS)
        rows.append(
            {
                "defects against photographs, AUROC": auroc(tried["normal"], tried["defect"]),
                "defects against controls, AUROC": auroc(tried["control"], tried["defect"]),
                "controls called defective": float(np.mean(tried["control"] > threshold)),
            }
            | (
                {"defects without traces, AUROC": auroc(tried["normal"], tried["untraced"])}
                if "untraced" in tried
                else {}
            )
        )
    return rows


def main() -> None:
    """Make the data sets, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photographs", type=int, default=60)
    parser.add_argument("--out", type=Path, help="where to leave the data sets (default: nowhere)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.out or Path(temporary)
        write_photographs(folder / "photographs", arguments.photographs)
        sys.path.insert(0, str(TINY))
        from tiny_stable_diffusion import save_tiny_pipeline

        model = save_tiny_pipeline(folder / "models" / "tiny-sd", grey_outside=True)
        tiny = {"name": "diffusers", "model": str(model), "steps": 2, "size": 64, "device": "cpu"}
        base = {"images": folder / "photographs", "object": "grey texture", "candidates": 1}
        sets = {}
        for name, registry, settings in (
            ("tiny", load_plugins(), {"inpainter": tiny, "controls": 1.0}),
            ("traced", traced_registry(), {"inpainter": {"name": "traced"}, "controls": 1.0}),
            ("untraced", load_plugins(), {}),
        ):
            summary = synthesize(
                RunConfig.model_validate({**base, **settings, "out": folder / name}), registry=registry
            )
            sets[name] = summary.dataset
            sys.stderr.write(f"{name}: {summary.counts.to_json()}\n")
        results = {"tiny": measure(sets["tiny"], None), "traced": measure(sets["traced"], sets["untraced"])}
    columns = list(results["traced"][0])
    sys.stdout.write(f"| inpainter | learned from | {' | '.join(columns)} |\n|---|---|{'---|' * len(columns)}\n")
    for name, rows in results.items():
        for learned, row in zip(("no controls", "with controls"), rows, strict=True):
            cells = [f"{row[column]:.2f}" if column in row else "" for column in columns]
            sys.stdout.write(f"| {name} | {learned} | {' | '.join(cells)} |\n")


if __name__ == "__main__":
    main()
