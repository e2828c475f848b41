"""What the command does: find the files, measure them, write every result that was asked for."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from fmas_evaluate.cli.arguments import Options
from fmas_evaluate.cli.progress import progress_bar
from fmas_evaluate.files import printable, write_result
from fmas_evaluate.layouts import Found, ImageFiles, find_maps, find_samples, with_problems
from fmas_evaluate.loading import Images
from fmas_evaluate.measuring import Measured, groups_of, measure_images
from fmas_evaluate.report.findings import Findings
from fmas_evaluate.report.tables import csv_text, latex_text, markdown_text, plain_text, tables_of
from fmas_evaluate.tables import find_split_samples, read_scores

__all__ = ["run"]


def run(options: Options) -> None:
    """Evaluate and write.

    Raises:
        EvaluateError: If something cannot be evaluated.
        OSError: If something cannot be read or written.
        ModuleNotFoundError: If a library of the extra ``cli`` is needed and missing.
    """
    if options.plot is not None:
        from fmas_evaluate.plots import require_matplotlib

        require_matplotlib()  # before an hour of reading, not after it
    found = _found(options)
    images, source = _images(found, options.maps, options.scores, options)
    others = None
    if options.compare is not None:
        files = _other_maps(found.samples, options.compare)
        others, _ = _images(replace(found, samples=files), options.compare, options.compare_scores, options)
    groups = groups_of(found.samples) if options.per_class else {}
    measured = _measured(images, options, groups)
    _talk(found, measured, options)
    findings = Findings(
        maps=str(options.maps),
        truth=str(options.truth),
        mode=options.mode,
        image_scores=source,
        evaluation=measured.evaluation,
        groups=measured.groups,
        grouped_by="category" if _has_categories(found) else "defect",
        curves=measured.curves,
    )
    findings = _with_intervals(findings, images, options)
    findings = _with_comparison(findings, images, others, options)
    findings = _with_protocol(findings, images, options)
    _write(findings, images, options)


def _found(options: Options) -> Found:
    if options.truth.is_dir():
        return find_samples(options.maps, options.truth)
    return find_split_samples(options.maps, options.truth)


def _images(found: Found, maps: Path, table: Path | None, options: Options) -> tuple[Images, str]:
    """Return the images, and in words where their image scores come from."""
    beside = maps.resolve().parent / "scores.csv"
    if table is None and beside.is_file():
        table = beside
    scores = None if table is None else read_scores(table, [one.name for one in found.samples])
    threshold = 0.0 if options.mask_threshold is None and found.any_value else options.mask_threshold
    return Images(found.samples, scores, threshold), "maximum of each map" if table is None else str(table)


def _other_maps(samples: tuple[ImageFiles, ...], folder: Path) -> tuple[ImageFiles, ...]:
    """Return the same images with another method's maps."""
    maps, _ = find_maps(folder)
    names = {one.name for one in samples}
    problems = {
        "images without another map": [printable(name) for name in sorted(names - maps.keys())],
        "other maps without an image": [printable(name) for name in sorted(maps.keys() - names)],
    }
    if any(problems.values()):
        raise with_problems(
            f"the same names in {printable(folder)} as in --maps", problems, "compare maps of the same images"
        )
    return tuple(replace(one, map_path=maps[one.name]) for one in samples)


@contextmanager
def _watched(images: Images, what: str, times: int, options: Options) -> Iterator[Images]:
    with progress_bar(what, times * len(images), quiet=options.quiet) as step:
        yield replace(images, step=step)


def _measured(images: Images, options: Options, groups: Mapping[str, frozenset[str]]) -> Measured:
    with _watched(images, "measuring", 2 if options.mode == "exact" else 1, options) as watched:
        return measure_images(
            watched,
            limits=tuple(options.max_fpr),
            mode=options.mode,
            bins=options.bins,
            threads=options.threads,
            groups=groups,
        )


def _with_intervals(findings: Findings, images: Images, options: Options) -> Findings:
    if not options.bootstrap:
        return findings
    from fmas_evaluate.bootstrap import bootstrap

    with _watched(images, "resampling", 3, options) as watched:
        intervals = bootstrap(
            watched.maps(),
            watched.masks(),
            labels=watched.labels(),
            image_scores=watched.given_scores(),
            max_fpr=options.max_fpr[0],
            replicates=options.bootstrap,
            level=options.confidence,
            seed=options.seed,
        )
    return replace(findings, intervals=intervals)


def _with_comparison(findings: Findings, images: Images, others: Images | None, options: Options) -> Findings:
    if others is None:
        return findings
    from fmas_evaluate.comparison import compare

    measured = _measured(others, options, {})
    with _watched(images, "comparing", 2, options) as watched:
        comparison = compare(
            watched.maps(),
            others.maps(),
            watched.masks(),
            labels=watched.labels(),
            first_image_scores=watched.given_scores(),
            second_image_scores=others.given_scores(),
            max_fpr=options.max_fpr[0],
            replicates=options.bootstrap or 1000,
            level=options.confidence,
            seed=options.seed,
        )
    return replace(findings, comparison=comparison, other=str(options.compare), other_curves=measured.curves)


def _with_protocol(findings: Findings, images: Images, options: Options) -> Findings:
    if options.protocol is None:
        return findings
    from fmas_evaluate.protocols import protocol

    with _watched(images, options.protocol, 2, options) as watched:
        published = protocol(
            options.protocol,
            watched.maps(),
            watched.masks(),
            labels=watched.labels(),
            image_scores=watched.given_scores(),
        )
    return replace(findings, protocol=options.protocol, published=published)


def _has_categories(found: Found) -> bool:
    return len({one.category for one in found.samples}) > 1


def _talk(found: Found, measured: Measured, options: Options) -> None:
    """Say on standard error what the numbers alone do not show."""
    notes = []
    if found.ignored:
        notes.append(f"{found.ignored} other files are neither maps nor masks and were not read")
    if measured.unmarked:
        names = ", ".join(printable(name) for name in measured.unmarked)
        notes.append(f"the masks of these defective images mark no pixel; they count as defective: {names}")
    if _has_categories(found) and not options.per_class:
        count = len({one.category for one in found.samples})
        notes.append(f"the maps show {count} categories and were pooled; --per-class gives a row each, and their mean")
    for note in notes:
        sys.stderr.write(f"note: {note}\n")


def _write(findings: Findings, images: Images, options: Options) -> None:
    tables = tables_of(findings)
    if options.html is not None:
        from fmas_evaluate.report.page import page

        with progress_bar("drawing", 2 * len(images), quiet=options.quiet) as step:
            text = page(findings, replace(images, step=step), photographs=options.images, worst=options.worst)
        _write_text(options.html, text)
    if options.plot is not None:
        from fmas_evaluate.plots import write_plot

        write_plot(options.plot, findings)
    if options.csv is not None:
        _write_text(options.csv, csv_text(findings))
    if options.markdown is not None:
        _write_text(options.markdown, markdown_text(tables))
    if options.latex is not None:
        _write_text(options.latex, latex_text(tables))
    if options.json:
        _print(json.dumps(findings.as_dict(), indent=2, allow_nan=False) + "\n")
    elif "-" not in (options.csv, options.markdown, options.latex, options.html):
        _print(plain_text(tables))


def _write_text(target: str, text: str) -> None:
    # A name that is no Unicode must not cost the result.
    write_result(target, text.encode(errors="backslashreplace"))


def _print(text: str) -> None:
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))
