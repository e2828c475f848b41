"""``fmas run``: photographs of good parts in, a defect data set out."""

from __future__ import annotations

import shlex
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fmas.cli.options import (
    ConfigOption,
    DefectsOption,
    InpainterOption,
    IntensityOption,
    JsonOption,
    LLMOption,
    ObjectOption,
    SegmenterOption,
    SelectorOption,
    SetOption,
    given_path,
    given_section,
    resolve_settings,
)
from fmas.cli.outcome import print_json, reported_errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fmas.balance import Share
    from fmas.config import RunConfig
    from fmas.summary import RunSummary

__all__ = ["print_summary", "register"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("run")(run)


def run(
    images: Annotated[
        Path,
        typer.Argument(
            metavar="IMAGES", parser=given_path, help="A folder of photographs of good parts, or one photograph."
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out", metavar="OUT", parser=given_path, help="The output folder; a rerun finishes what is missing."
        ),
    ],
    object_: ObjectOption = None,
    category: Annotated[
        str | None, typer.Option("--category", metavar="NAME", help="Folder name. (default: from --object or IMAGES)")
    ] = None,
    per_image: Annotated[
        int | None, typer.Option("--per-image", metavar="N", help="Pairs per photograph. (default: 1)")
    ] = None,
    candidates: Annotated[
        int | None, typer.Option("--candidates", metavar="N", help="Candidates per pair. (default: 4)")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", metavar="N", help="Same seed, same bytes. (default: 0)")] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", metavar="N", help="Only the first N photographs. (default: all)")
    ] = None,
    holdout_good: Annotated[
        float | None,
        typer.Option("--holdout-good", metavar="FRACTION", help="Share kept as good test images. (default: 0)"),
    ] = None,
    controls: Annotated[
        float | None,
        typer.Option(
            "--controls",
            metavar="FRACTION",
            help="Share that also gives a normal image with the inpainter's traces. (default: 0)",
        ),
    ] = None,
    balance: Annotated[
        str | None,
        typer.Option(
            "--balance",
            metavar="SHARES",
            help="even, or shares by defect or kind: scratch=3,dent=1. (default: chance decides)",
        ),
    ] = None,
    region_mask: Annotated[
        Path | None,
        typer.Option(
            "--region-mask",
            metavar="FILE",
            parser=given_path,
            help="Defects only where this image is white; or a folder of them by photograph.",
        ),
    ] = None,
    avoid: Annotated[
        Path | None,
        typer.Option(
            "--avoid",
            metavar="FILE",
            parser=given_path,
            help="No defect where this image is white; or a folder of them by photograph.",
        ),
    ] = None,
    placement: Annotated[
        str | None,
        typer.Option("--placement", metavar="PLACE", help="auto, anywhere, edge or inside. (default: auto, by kind)"),
    ] = None,
    intensity: IntensityOption = None,
    llm: LLMOption = None,
    segmenter: SegmenterOption = None,
    inpainter: InpainterOption = None,
    selector: SelectorOption = None,
    defects: DefectsOption = None,
    config: ConfigOption = None,
    settings: SetOption = None,
    workers: Annotated[int | None, typer.Option("--workers", metavar="N", help="Processes. (default: 1)")] = None,
    shard: Annotated[
        str | None, typer.Option("--shard", metavar="I/N", help="Do every N-th photograph from the I-th (1/N … N/N).")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done; spend and write nothing.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Turn photographs of good parts into pairs with synthetic defects and truthful masks.

    With no option the built-in components do everything: no torch, no key, no network, no GPU.
    """
    with reported_errors(interrupted=f"interrupted; everything finished is in {out}; run the same command to go on"):
        given: dict[str, object] = {
            "images": images,
            "out": out,
            "object": object_,
            "category": category,
            "per_image": per_image,
            "candidates": candidates,
            "seed": seed,
            "limit": limit,
            "holdout_good": holdout_good,
            "controls": controls,
            "balance": balance,
            "region": given_section(mask=region_mask, avoid=avoid, placement=placement),
            "select": given_section(band=intensity),
            "llm": llm,
            "segmenter": segmenter,
            "inpainter": inpainter,
            "selector": selector,
            "workers": workers,
            "shard": shard,
        }
        resolved = resolve_settings(given, settings=settings, config=config, defects=defects)
        if dry_run:
            _dry_run(resolved.config, as_json=as_json)
            return
        _warn_about_path(resolved.config.out)
        summary = _run(resolved.config)
        if as_json:
            print_json(summary.to_json())
        else:
            print_summary(summary)
    raise typer.Exit(summary.exit_code)


def _run(config: RunConfig) -> RunSummary:
    from fmas.cli.progress import reported_progress
    from fmas.pipeline import synthesize

    # A terminated run finishes its summary files as an interrupted one does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with reported_progress() as progress:
        return synthesize(config, progress=progress)


def _warn_about_path(out: Path) -> None:
    if not str(out.resolve()).isascii():
        typer.echo(
            f"warning: {out.resolve()} has characters beyond ASCII; some loaders of the output (anomalib 2.7 among "
            "them) cannot open such paths",
            err=True,
        )


def _dry_run(config: RunConfig, *, as_json: bool) -> None:
    from fmas.preview import preview_run

    preview = preview_run(config)
    if as_json:
        print_json(preview)
        return
    notes = preview.pop("notes")
    for note in notes if isinstance(notes, list) else ():
        typer.echo(f"note: {note}", err=True)
    for key, value in preview.items():
        counted = ", ".join(f"{name} {number}" for name, number in value.items()) if isinstance(value, dict) else value
        typer.echo(f"{key.replace('_', ' ')}: {counted}")


def _share(share: Share, shares: Sequence[Share]) -> str:
    pairs = sum(other.made for other in shares)
    made = f"made {share.made / pairs:.1%} ({share.made})" if pairs else "made 0"
    return f"{share.name} asked {share.asked:.1%}, {made}"


def print_summary(summary: RunSummary) -> None:
    """Print what was made, counted, on stdout."""
    from fmas.usage import usage_words

    for note in summary.notes:
        typer.echo(f"note: {note}", err=True)
    counts = summary.counts
    rate = f", {summary.made / summary.seconds:.1f} per second" if summary.made and summary.seconds > 0 else ""
    typer.echo(f"made {summary.made}, kept {summary.kept}, failed {summary.failed} in {summary.seconds:.1f} s{rate}")
    if summary.refilled:
        typer.echo(f"refilled {summary.refilled}: places whose picture was dropped in review")
    if summary.dropped_and_still_there:
        dropped = f"dropped and still there {summary.dropped_and_still_there}"
        typer.echo(f"{dropped}: a run that covers their photographs refills them")
    controls = f", {counts.controls} negative controls" if counts.controls else ""
    held_out = f"{counts.held_out} held-out good photographs{controls}"
    typer.echo(f"data set: {summary.dataset} ({counts.pairs} pairs, {held_out})")
    typer.echo(
        "defects: " + (", ".join(f"{name} {number}" for name, number in sorted(counts.defects.items())) or "none")
    )
    if summary.balance:
        typer.echo(f"balance: {'; '.join(_share(share, summary.balance) for share in summary.balance)}")
    if counts.rejects:
        rejects = ", ".join(f"{reason} {number}" for reason, number in sorted(counts.rejects.items()))
        typer.echo(f"rejected candidates, painted again: {rejects}")
    if counts.failed:
        failures = ", ".join(f"{reason} {number}" for reason, number in sorted(counts.failures.items()))
        typer.echo(f"failed: {failures}; listed in {summary.out / 'failures.jsonl'}")
    if summary.usage:
        typer.echo(f"used in all runs into this folder: {usage_words(summary.usage)}")
    if summary.ignored_files:
        typer.echo(f"ignored: {summary.ignored_files} files that are no images")
    out = shlex.quote(str(summary.out))
    typer.echo(f"next: fmas validate {out} && fmas report {out}")
