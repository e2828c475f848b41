"""``fmas benchmark``: does it help on this data set? The ablation with seeds, intervals and p-values."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fmas.cli.options import JsonOption, ObjectOption, given_path
from fmas.cli.outcome import EXIT_FAILED, print_json, reported_errors

if TYPE_CHECKING:
    from fmas.benchmark.results import Json
    from fmas.benchmark.ruler import Ruler

__all__ = ["register"]

_EXIT_SOME_FAILED = 3
_MISSING = 'expected fmas-evaluate, which measures, got no such package; install it: pip install "fmas[evaluate]"'


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("benchmark")(benchmark)


def benchmark(
    dataset: Annotated[
        Path,
        typer.Argument(
            metavar="DATASET", parser=given_path, help="A data set of good and defective parts, as MVTec AD or VisA."
        ),
    ],
    out: Annotated[
        Path,
        typer.Option("--out", metavar="DIR", parser=given_path, help="Where to; a rerun finishes what is missing."),
    ],
    quick: Annotated[
        bool, typer.Option("--quick", help="The four variants of unet and one seed, unless asked otherwise.")
    ] = False,
    seeds: Annotated[int | None, typer.Option("--seeds", metavar="N", help="Runs of each. (default: 3)")] = None,
    category: Annotated[
        list[str] | None, typer.Option("--category", metavar="NAME", help="Only this category. Repeatable.")
    ] = None,
    variants: Annotated[
        list[str] | None, typer.Option("--variants", metavar="NAME", help="Only this variant. Repeatable.")
    ] = None,
    jobs: Annotated[int, typer.Option("--jobs", metavar="N", help="Cells at a time, which share the cores.")] = 1,
    object_: ObjectOption = None,
    steps: Annotated[
        int | None, typer.Option("--steps", metavar="N", help="Training steps. (default: the detector's)")
    ] = None,
    device: Annotated[
        str | None, typer.Option("--device", metavar="D", help="auto, cpu, cuda, mps. (default: auto)")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="detector.KEY for every training, unet.KEY or cutpaste.KEY for some, any other for fmas run.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Train and test every variant on every category, with the same pairs and the same test images.

    Variants: cutpaste, cutpaste+fmas, cutpaste+fmas+fm, cutpaste+fmas+fm+wdam (the paper's ablation), unet-scars,
    unet-scars+wdam, unet-fmas, unet-fmas+wdam. Training never sees a test image.

    Each (category, seed, variant) is a cell. A finished cell is kept, a failed one does not stop the others and is
    tried again by a rerun. DIR gets results.json, results.csv, results.md and index.html.
    """
    with reported_errors(interrupted=f"interrupted; finished cells are in {out}; run the same command to go on"):
        from fmas.benchmark.cells import BenchmarkRequest
        from fmas.benchmark.variants import chosen_variants

        request = BenchmarkRequest(
            dataset=dataset,
            out=out,
            variants=chosen_variants(variants or (), quick=quick),
            only=tuple(category or ()),
            seeds=seeds if seeds is not None else 1 if quick else 3,
            jobs=jobs,
            product=object_,
            steps=steps,
            device=device,
            settings=tuple(settings or ()),
        )
        ruler = _ruler()
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        from fmas.benchmark.benchmark import run_benchmark
        from fmas.cli.progress import reported_progress

        with reported_progress("cells") as progress:
            results = run_benchmark(request, ruler=ruler, command=sys.argv[1:], progress=progress)
        if as_json:
            print_json(results)
        else:
            _print(results, out)
        failed = sum("reason" in cell for cell in results["cells"])
    if failed:
        raise typer.Exit(_EXIT_SOME_FAILED)


def _print(results: Json, out: Path) -> None:
    from fmas.benchmark.ruler import LEADING, MEASURES
    from fmas.benchmark.tables import figure_words

    for row in results["rows"]:
        figures = ", ".join(f"{MEASURES[name]} {figure_words(row['measures'].get(name))}" for name in LEADING)
        typer.echo(f"{row['category']}, {row['variant']}: {figures if row['seeds'] else 'failed'}")
        for failure in row["failed"]:
            typer.echo(f"failed: {row['variant']}, seed {failure['seed']}: {failure['reason']}", err=True)
    for row in results["contrasts"]:
        for name in ("image_auroc", "aupro"):
            found = row["of_averaged"][name]
            if found["difference"] is not None and found["p_value"] is not None:
                typer.echo(
                    f"{row['category']}, {row['asks']}: {MEASURES[name]} {found['difference']:+.3f}, "
                    f"p = {found['p_value']:.3f}"
                )
    typer.echo(f"tables and pictures: {out / 'index.html'}")


def _ruler() -> Ruler:
    """Return fmas-evaluate behind the benchmark's protocol; only a command's body may know that package."""
    try:
        import fmas_evaluate
    except ModuleNotFoundError as error:
        if error.name != "fmas_evaluate":
            raise
        typer.echo(f"error: {_MISSING}", err=True)
        raise typer.Exit(EXIT_FAILED) from error

    from fmas.benchmark.ruler import MEASURES, Sampled, ScoredImage
    from fmas.errors import OutputError

    class Evaluate:
        def sample(self, images: Sequence[ScoredImage], *, seed: int) -> Sampled:
            try:
                intervals = fmas_evaluate.bootstrap(
                    [image.map for image in images],
                    [image.mask for image in images],
                    labels=[image.mask is not None for image in images],
                    image_scores=[image.score for image in images],
                    metrics=list(MEASURES),
                    max_fpr=0.3,
                    seed=seed,
                )
            except fmas_evaluate.EvaluateError as error:
                raise OutputError(str(error)) from error
            return Sampled(
                {name: row.value for name, row in intervals.items()},
                {name: row.replicates for name, row in intervals.items()},
            )

    return Evaluate()
