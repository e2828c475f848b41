"""The HTML page: one file that holds everything it shows, asks for nothing, and runs no script."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Iterator
from html import escape
from importlib.resources import files
from pathlib import Path

import numpy as np

from fmas_evaluate.files import normal_form, printable
from fmas_evaluate.loading import Images
from fmas_evaluate.misses import misses_by_size
from fmas_evaluate.report.charts import chart
from fmas_evaluate.report.findings import Findings, bounds_of, title_of
from fmas_evaluate.report.overlays import map_uri, photograph_uri
from fmas_evaluate.report.tables import Table, level_text, number, tables_of
from fmas_evaluate.report.worst import Judged, judge, worst_alarms, worst_misses

__all__ = ["page"]

_PHOTOGRAPHS = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")

_DEFINITIONS = (
    ("image AUROC", "The chance that a defective image scores higher than a good one; a tie counts one half."),
    ("pixel AUROC", "The same for pixels. Large defects weigh more than small ones."),
    ("average precision", "Precision at the score of each defect pixel, averaged."),
    ("F1-max", "The largest harmonic mean of precision and recall over all thresholds, chosen on these very images."),
    ("PRO@L", "Share of each defect region that is found, averaged over regions and over thresholds, for all "
     "false-positive rates up to L, divided by L. Regions are 8-connected; small ones weigh as much as large ones."),
)  # fmt: skip


def page(findings: Findings, images: Images, *, photographs: Path | None, worst: int) -> str:
    """Return the page.

    The same findings and files give the same text.

    Args:
        findings: What to show.
        images: The evaluated images; all of them are read again, the worst a third time.
        photographs: Folder of the photographs, in folders like the maps'; ``None`` to show the maps alone.
        worst: How many of the worst images to show, of each kind.
    """
    style = files("fmas_evaluate.report").joinpath("page.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode("ascii")
    policy = f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    name = printable(Path(findings.maps).resolve().name or findings.maps)
    return "".join(
        (
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n',
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n',
            '<meta name="color-scheme" content="light dark">\n<meta name="referrer" content="no-referrer">\n',
            f"<title>{escape(name)}: evaluation</title>\n<style>{style}</style>\n</head>\n<body>\n",
            *_header(findings),
            "<main>\n",
            *_curves(findings),
            *(_section(table) for table in tables_of(findings)[1:]),
            *_worst(findings, images, photographs=photographs, most=worst),
            *_how_to_read(findings),
            "</main>\n</body>\n</html>\n",
        )
    )


def _header(findings: Findings) -> Iterator[str]:
    about = findings.evaluation.aupro
    yield '<header>\n<p class="eyebrow">fmas-evaluate</p>\n'
    yield f"<h1>{escape(printable(findings.maps))}</h1>\n"
    yield (
        f'<p class="lead">against {escape(printable(findings.truth))}: {about.n_images:,} images, {about.n_regions:,} '
        f"defect regions, {about.n_pixels:,} pixels</p>\n"
    )
    yield '<dl class="tiles">\n'
    for name, result in findings.evaluation.items():
        bounds = bounds_of(findings, name)
        shown = ""
        if bounds is not None and not math.isnan(bounds[0]):
            shown = f"<small>{bounds[0]:.4f} to {bounds[1]:.4f}</small>"
        if result.threshold is not None and not math.isnan(result.threshold):
            shown += f"<small>at score {result.threshold:.6g}</small>"
        title = escape(title_of(name, result))
        yield f"<div><dt>{title}</dt><dd>{number(result)}</dd>{shown}</div>\n"
    yield "</dl>\n</header>\n"


def _curves(findings: Findings) -> Iterator[str]:
    if findings.curves is None:
        return
    whole = findings.evaluation
    methods = [("first", findings.curves)]
    yield '<section aria-labelledby="curves">\n<h2 id="curves">Curves</h2>\n'
    if findings.other_curves is not None:
        methods.append(("second", findings.other_curves))
        yield f'<ul class="keys"><li><span class="key"></span>{escape(printable(findings.maps))}</li>'
        yield f'<li><span class="key second"></span>{escape(printable(findings.other or ""))}</li></ul>\n'
    limit = whole.aupro.limit
    roc, pr, pro = ([(name, getattr(one, kind)) for name, one in methods] for kind in ("roc", "pr", "pro"))
    rate = "false-positive rate"
    yield '<div class="charts">\n'
    yield chart(f"ROC: pixel AUROC {number(whole.pixel_auroc)}", roc, across=rate, up="true-positive rate")
    yield chart(f"PR: average precision {number(whole.average_precision)}", pr, across="recall", up="precision")
    yield chart(
        f"{title_of('aupro', whole.aupro)}: {number(whole.aupro)}",
        pro,
        across=rate,
        up="per-region overlap",
        limit=limit,
        shown=min(1.0, 1.25 * (limit or 1.0)),
    )
    yield "\n</div>\n</section>\n"


def _section(table: Table) -> str:
    heading = f"<h2>{escape(table.heading)}</h2>"
    if table.title.lower() != table.heading.lower():
        heading += f"\n<p>{escape(table.title)}</p>"
    return f'<section>\n{heading}\n<div class="scroll" tabindex="0">{_table(table)}</div>\n</section>\n'


def _table(table: Table) -> str:
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in table.header)
    rows = "".join(
        f"<tr{' class=total' if first == 'mean' and row is table.rows[-1] else ''}>"
        f'<th scope="row" title="{escape(first)}">{escape(first)}</th>'
        + "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        + "</tr>\n"
        for row in table.rows
        for first, *cells in (row,)
    )
    label = escape(table.heading)
    return f'<table aria-label="{label}">\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table>'


def _worst(findings: Findings, images: Images, *, photographs: Path | None, most: int) -> Iterator[str]:
    threshold = findings.evaluation.f1_max.threshold
    if threshold is None or math.isnan(threshold):
        return
    judged, low, high = [], math.inf, -math.inf
    for pair in images.pairs():
        judged.append(judge(pair, threshold=threshold, image_score=images.image_score(pair)))
        finite = pair.scores[np.isfinite(pair.scores)]
        if finite.size:
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    yield _section(_sizes(images, threshold))
    scale = (low, high) if low <= high else (0.0, 1.0)
    lists = (("Worst misses", worst_misses(judged, most)), ("Worst false alarms", worst_alarms(judged, most)))
    for title, chosen in lists:
        yield f"<section>\n<h2>{title} at F1-max</h2>\n"
        if not chosen:
            yield "<p>None.</p>\n</section>\n"
            continue
        yield '<ul class="keys"><li><span class="key truth"></span>truth</li>'
        yield f'<li><span class="key alarm"></span>scores at or above {threshold:.6g}</li></ul>\n<div class="images">\n'
        for one in chosen:
            yield _image(one, images, photographs, threshold=threshold, scale=scale)
        yield "</div>\n</section>\n"


def _sizes(images: Images, threshold: float) -> Table:
    rows = tuple(
        (
            f"from {row.smallest:,.0f} px" if math.isinf(row.end) else f"{row.smallest:,.0f} to {row.end - 1:,.0f} px",
            f"{row.n_regions:,}",
            f"{row.n_missed:,}",
            f"{100 * row.mean_overlap:.1f} %",
        )
        for row in misses_by_size(images.maps(), images.masks(), threshold=threshold)
        if row.n_regions
    )
    header = ("size of the region", "regions", "missed whole", "mean overlap")
    return Table("Misses by defect size", f"at the threshold of F1-max, {threshold:.6g}", header, rows)


def _image(
    one: Judged, images: Images, photographs: Path | None, *, threshold: float, scale: tuple[float, float]
) -> str:
    files_of_image = next(each for each in images.files if each.name == one.name)
    pair = images.pair(files_of_image)
    name = escape(printable(one.name))
    views = []
    photograph = None if photographs is None else _photograph(photographs, one.name)
    if photograph is not None:
        uri = photograph_uri(photograph, pair.scores, pair.mask, threshold=threshold)
        views += [] if uri is None else [(uri, "photograph")]
    views.append((map_uri(pair.scores, pair.mask, threshold=threshold, low=scale[0], high=scale[1]), "score map"))
    pictures = "".join(f'<img src="{uri}" alt="{what} of {name}">' for uri, what in views)
    facts = [f"image score {one.image_score:.6g}"]
    if one.sizes.size:
        facts.append(f"{one.missed_regions} of {one.sizes.size} regions missed whole")
        facts.append(f"{one.missed_pixels:,} of {int(one.sizes.sum()):,} defect pixels below the threshold")
    facts.append(f"{one.false_pixels:,} false pixels")
    return (
        f'<figure class="image"><div class="views">{pictures}</div>'
        f"<figcaption><strong>{name}</strong>{'; '.join(facts)}</figcaption></figure>\n"
    )


def _photograph(folder: Path, name: str) -> Path | None:
    for ending in (*_PHOTOGRAPHS, *(one.upper() for one in _PHOTOGRAPHS)):
        for spelling in (name, normal_form(name)):
            path = folder / f"{spelling}{ending}"
            if path.is_file():
                return path
    return None


def _how_to_read(findings: Findings) -> Iterator[str]:
    yield '<section aria-labelledby="reading">\n<h2 id="reading">How to read this page</h2>\n'
    if findings.intervals is not None:
        interval = findings.intervals["pixel_auroc"]
        yield (
            f"<p>Small numbers below a value: its {level_text(interval.level)} from {interval.replicates.size:,} "
            "resamples of the images. It speaks of other images, not of another training run.</p>\n"
        )
    elif not findings.evaluation.pixel_auroc.exact:
        yield "<p>Small numbers below a value: between these the exact value certainly lies.</p>\n"
    yield f"<p>Image scores: {escape(printable(findings.image_scores))}. Counted in {findings.mode} mode. "
    yield f"fmas-evaluate {escape(findings.evaluation.aupro.version)}.</p>\n"
    yield '<dl class="definitions">\n'
    yield "".join(f"<div><dt>{term}</dt><dd>{meaning}</dd></div>\n" for term, meaning in _DEFINITIONS)
    yield "</dl>\n</section>\n"
