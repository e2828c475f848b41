"""Does the built-in selector agree with severity, and do its three words for an intensity find what they ask for?

    python packages/fmas/benchmarks/bench_selector.py [--photographs DIR] [--seeds 4] [--pairs 160]

Prints four tables: Spearman's rank correlation of severity and score for every built-in kind of defect and surface
(the mean over the seeds; a seed is a place and a drawing, painted in ten severities); how the scores of all kinds and
surfaces lie at low, middle and high severity, which the words are calibrated by; which share of the chosen scores lies
in the band of each word, on real runs; and what scoring costs. ``--photographs`` adds a folder of photographs of good
parts to scikit-image's. Everything runs in one process on one thread.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import skimage.data
from PIL import Image
from scipy.stats import spearmanr

from fmas import RunConfig, synthesize
from fmas.builtin.inpainter import BuiltinInpainter
from fmas.builtin.selector import BuiltinSelector
from fmas.config import CropConfig, RefineConfig, RegionConfig
from fmas.crop import cut_crop
from fmas.intensity import INTENSITIES
from fmas.manifest import ManifestIndex
from fmas.placement import Ground
from fmas.refine import Refined, refine
from fmas.region_drawing import draw_region
from fmas.reselect import preview_selection
from fmas.types import Defect, DefectKind, Foreground, RGBImage

SEVERITIES = tuple(round(0.1 * step, 1) for step in range(1, 11))
LEVELS = {"low": (0.1, 0.2, 0.3), "middle": (0.4, 0.5, 0.6), "high": (0.7, 0.8, 0.9, 1.0)}
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--photographs", type=Path, help="a folder of photographs of good parts")
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--pairs", type=int, default=160, help="photographs per real run; 0 for none")
    options = parser.parse_args(arguments)
    cv2.setNumThreads(1)

    surfaces = dict(all_surfaces(options.photographs))
    series = {
        (kind.value, name): [painted_scores(image, kind, seed) for seed in range(options.seeds)]
        for kind in DefectKind
        for name, image in surfaces.items()
    }
    agreement_table(series, list(surfaces))
    severity_table(series)
    if options.pairs:
        with tempfile.TemporaryDirectory() as folder:
            for name, photographs in run_folders(options.photographs, Path(folder), options.pairs):
                band_table(name, photographs, Path(folder) / f"out_{name}", options.pairs)
    cost_table()
    return 0


def all_surfaces(folder: Path | None) -> Iterator[tuple[str, RGBImage]]:
    """Yield name and picture of every surface, grey ones in three channels."""
    for name in ("brick", "grass", "gravel"):
        yield name, np.repeat(getattr(skimage.data, name)()[:400, :400, None], 3, axis=2)
    yield "coffee", np.ascontiguousarray(skimage.data.coffee()[:400, :400])
    noise = np.random.default_rng(0).normal(0, 2, (400, 400, 1))
    yield "smooth", np.clip(np.array([150, 140, 130]) + noise, 0, 255).astype(np.uint8)
    paths = sorted(folder.iterdir()) if folder is not None else []
    for path in paths[len(paths) // 6 :: max(len(paths) // 3, 1)][:3]:
        with Image.open(path) as opened:
            yield path.stem[-8:], np.asarray(opened.convert("RGB"))


def painted_scores(image: RGBImage, kind: DefectKind, seed: int) -> dict[float, float]:
    """Return severity -> score of one defect in one place, for the severities at which it was accepted."""
    foreground = np.ones(image.shape[:2], dtype=np.bool_)
    ground, generator = Ground(Foreground(foreground, "texture", 1.0)), np.random.default_rng(seed)
    region = draw_region(ground, config=RegionConfig(), place="anywhere", over_border=False, generator=generator)
    scores: dict[float, float] = {}
    if region is None:
        return scores
    painter, selector = BuiltinInpainter(), BuiltinSelector()
    crop = cut_crop(image, foreground, region, CropConfig(), painter)
    for severity in SEVERITIES:
        job = crop.job(Defect(name=kind.value, prompt="p", kind=kind, severity=severity), 1000 + seed)
        raw = crop.restore(painter.inpaint([job])[0])
        refined = refine(crop.image, raw, crop.region, crop.foreground, RefineConfig())
        if isinstance(refined, Refined):
            scores[severity] = round(selector.score(crop.image, refined.image, refined.mask), 4)
    return scores


def agreement_table(series: dict[tuple[str, str], list[dict[float, float]]], surfaces: Sequence[str]) -> None:
    """Print Spearman's correlation per kind and surface."""
    say("Spearman of severity and score (mean over the seeds)")
    say(f"{'':14}" + "".join(f"{name[:8]:>9}" for name in surfaces) + f"{'mean':>9}{'lowest':>9}")
    for kind in DefectKind:
        cells, every = [], []
        for name in surfaces:
            found = [
                float(spearmanr(*zip(*one.items(), strict=True))[0]) for one in series[kind.value, name] if len(one) > 2
            ]
            cells.append(float(np.mean(found)) if found else float("nan"))
            every += found
        say(f"{kind.value:14}" + "".join(f"{cell:9.3f}" for cell in cells) + f"{np.mean(every):9.3f}{min(every):9.3f}")


def severity_table(series: dict[tuple[str, str], list[dict[float, float]]]) -> None:
    """Print how scores lie at low, middle and high severity."""
    say(
        "\nScores at low, middle and high severity: quantiles over all kinds, surfaces and seeds; then medians per kind"
    )
    say(f"{'':14}" + "".join(f"{f'{share:.0%}':>9}" for share in QUANTILES))
    for level, severities in LEVELS.items():
        values = [
            one[severity] for runs in series.values() for one in runs for severity in severities if severity in one
        ]
        say(f"{level:14}" + "".join(f"{value:9.3f}" for value in np.quantile(values, QUANTILES)))
    say(f"{'':14}" + "".join(f"{level:>9}" for level in LEVELS))
    for kind in DefectKind:
        medians = [
            np.median(
                [
                    one[severity]
                    for (name, _), runs in series.items()
                    if name == kind.value
                    for one in runs
                    for severity in severities
                    if severity in one
                ]
            )
            for severities in LEVELS.values()
        ]
        say(f"{kind.value:14}" + "".join(f"{median:9.3f}" for median in medians))


def run_folders(folder: Path | None, temporary: Path, most: int) -> Iterator[tuple[str, Path]]:
    """Yield name and folder of what real runs are made of: crops of scikit-image's textures, and the given folder."""
    textures = temporary / "textures"
    textures.mkdir()
    generator = np.random.default_rng(0)
    for number in range(min(most, 60)):
        picture = getattr(skimage.data, ("brick", "grass", "gravel")[number % 3])()
        top, left = generator.integers(0, 256, 2)
        Image.fromarray(picture[top : top + 256, left : left + 256]).save(textures / f"{number:03d}.png")
    yield "textures", textures
    if folder is not None:
        yield "photographs", folder


def band_table(name: str, photographs: Path, out: Path, most: int) -> None:
    """Run once, and print which share of the chosen scores each word finds in its band, also per kind."""
    config = RunConfig(images=photographs, out=out, object=name.replace("photographs", "part"), limit=most)
    started = time.perf_counter()
    summary = synthesize(config)
    say(f"\n{name}: {summary.counts.pairs} pairs, {summary.failed} failed, in {time.perf_counter() - started:.0f} s")
    say(
        f"{'':14}{'pairs':>9}" + "".join(f"{word:>9}" for word in INTENSITIES) + "   share of chosen scores in the band"
    )
    found: dict[str, list[list[bool]]] = defaultdict(list)
    for row in (entry.row for entry in ManifestIndex(out / "manifest").entries() if entry.row is not None):
        scores = [float(item["score"]) for item in row["candidates"]]  # type: ignore[attr-defined]  # JSON
        found[str(row["kind"])].append([inside(scores, band) for band in INTENSITIES.values()])
    for kind, shares in sorted(found.items()):
        say(f"{kind:14}{len(shares):9}" + "".join(f"{share:9.2f}" for share in np.mean(shares, axis=0)))
    previews = [preview_selection(out, word) for word in INTENSITIES]
    shares_of_all = [preview.after.inside / preview.pairs for preview in previews]
    say(f"{'all':14}{summary.counts.pairs:9}" + "".join(f"{share:9.2f}" for share in shares_of_all))


def inside(scores: Sequence[float], band: tuple[float, float]) -> bool:
    """Return whether the score nearest to the band's middle lies in the band."""
    nearest = min(scores, key=lambda score: abs(score - sum(band) / 2))
    return band[0] <= nearest <= band[1]


def cost_table() -> None:
    """Print what scoring four candidates of a 1024 x 1024 photograph costs, by the side of the mask's box."""
    say("\nMilliseconds of CPU for four candidates, by the side of the mask's box in a photograph of 1024 x 1024")
    generator = np.random.default_rng(0)
    original = generator.integers(0, 255, (1024, 1024, 3), dtype=np.uint8)
    selector = BuiltinSelector()
    for side in (50, 100, 200, 320):
        mask = np.zeros((1024, 1024), dtype=np.bool_)
        mask[300 : 300 + side, 300 : 300 + side] = True
        candidate = original.copy()
        candidate[mask] //= 2
        crop = np.s_[250 : 350 + side, 250 : 350 + side]
        spent = [timed(lambda: selector.score(original[crop], candidate[crop], mask[crop])) for _ in range(30)]  # noqa: B023 (called at once)
        say(f"{side:14}{4000 * float(np.median(spent)):9.1f}")


def timed(call: Callable[[], object]) -> float:
    """Return the seconds of CPU that a call takes."""
    started = time.thread_time()
    call()
    return time.thread_time() - started


def say(line: str) -> None:
    """Print at once: a run takes minutes."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
