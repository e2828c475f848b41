"""Writing the page: everything in one file, nothing in it but text, styles, a script, data and small pictures."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from fmas.decisions import read_decisions
from fmas.errors import UsageError
from fmas.files import AtomicWriter
from fmas.refill import DROPPED, DROPPED_AGAIN
from fmas.report.abreast import in_order
from fmas.report.payload import json_element
from fmas.report.pictures import PictureReader
from fmas.report.recipe import remake_commands
from fmas.report.rows import Overview, PairRow, failure_rows, pair_rows, read_overview
from fmas.samples import RejectReason

__all__ = ["ReviewMode", "page_chunks", "write_report"]

_REASONS = {
    RejectReason.BLACK: "came back all black, as a safety checker does",
    RejectReason.SATURATED: "came back burnt out",
    RejectReason.UNCHANGED: "looked like the original",
    RejectReason.TOO_SMALL: "changed too few pixels to be a defect",
    RejectReason.OFF_OBJECT: "lay beside the product",
    RejectReason.UNTRUE_MASK: "had no mask that tells the truth",
    DROPPED: "was dropped in review, and the next picture is not made yet",
    DROPPED_AGAIN: "came out as a picture that was dropped in review before",
    "rejected": "every candidate was rejected",
    "no_region": "no place for a defect was found",
    "ImageError": "the photograph cannot be used",
}
_MAX_PIXELS = 200_000_000
_STYLES = ("base.css", "filters.css", "pairs.css", "loupe.css")
_SCRIPTS = (
    "elements.js",
    "pairs.js",
    "pictures.js",
    "panes.js",
    "charts.js",
    "filters.js",
    "blink.js",
    "list.js",
    "cards.js",
    "recipe.js",
    "loupe.js",
    "queue.js",
    "review.js",
    "page.js",
)
"""One after the other they are one script; what one declares at its top the next ones use."""


def write_report(out: Path, *, most: int | None = None, progress: Callable[[int, int], None] | None = None) -> Path:
    """Write ``OUT/report.html``: one page that needs no other file and asks for none.

    The same output folder gives the same bytes. Pairs are written one after the other, so that memory does not grow
    with their number.

    Args:
        out: The output folder of ``fmas run``.
        most: Show only the first so many pairs; all by default.
        progress: Called with how many pairs are written, of how many.

    Returns:
        The page's path.

    Raises:
        UsageError: If ``most`` is less than 1.
        OutputError: If ``out`` is no output folder, holds no finished pair, or cannot be written.
    """
    if most is not None and most < 1:
        raise UsageError(f"expected to show at least 1 pair, got {most}; leave it out to show all")
    overview = read_overview(out)
    layout = overview.layout
    with AtomicWriter(layout.temporary / "report").stream(layout.report) as file:
        for chunk in page_chunks(overview, most=most, progress=progress):
            file.write(chunk.encode(errors="backslashreplace"))  # a name that is no Unicode must not cost the page
    return layout.report


@dataclass(frozen=True, slots=True)
class ReviewMode:
    """The page as ``fmas review`` serves it: pictures by address instead of in the page, and decisions.

    The page asks its server, and nobody else, for

    - ``GET /decisions``: ``{"000123": {"image_sha256": …, "verdict": "keep" | "drop" | "undecided"}, …}``
    - ``GET /session``: ``{"token": …, "digest": …}``, after a decision was refused with status 403
    - ``POST /decisions`` with ``{"stem": 123, "image_sha256": …, "verdict": …}`` and the header ``X-FMAS-Token``;
      anything but status 200 with ``{"saved": true}`` counts as not saved, is shown and tried again
    - ``GET /pictures/000123/<normal|result|mask|thumb-normal|thumb-result>?v=<first 16 digits of image_sha256>``

    Attributes:
        token: What the server expects in ``X-FMAS-Token``.
    """

    token: str


def page_chunks(
    overview: Overview,
    *,
    most: int | None = None,
    review: ReviewMode | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[str]:
    """Yield the page's text bit by bit; pictures are read when their turn comes.

    Args:
        overview: What the output folder holds.
        most: Show only the first so many pairs; all by default.
        review: Make the page that ``fmas review`` serves; by default the self-contained report.
        progress: Called with how many pairs the text holds so far, of how many.
    """
    environment = Environment(
        loader=PackageLoader("fmas.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    styles = "".join(_source(environment, name) for name in _STYLES)
    script = "".join(_source(environment, name) for name in _SCRIPTS)
    shown = min(most or overview.counts.pairs, overview.counts.pairs)
    reasons = {str(reason): words for reason, words in _REASONS.items()}
    elements = _pair_elements(overview, most=most, with_pictures=review is None)
    return environment.get_template("report.html.j2").generate(
        overview=overview,
        shown=shown,
        page=json_element(_page_data(overview, shown, reasons, review), id_="page"),
        data=elements if progress is None else _counted(elements, shown, progress),
        failures=failure_rows(overview.layout),
        reasons=reasons,
        review=review is not None,
        styles=styles,
        script=script,
        styles_hash=_csp_hash(styles),
        script_hash=_csp_hash(script),
    )


def _page_data(
    overview: Overview, shown: int, reasons: Mapping[str, str], review: ReviewMode | None
) -> dict[str, object]:
    per_image = overview.identity.get("per_image")
    return {
        "object": overview.identity.get("object"),
        "digest": overview.digest,
        "dataset": f"dataset/{overview.layout.category}",
        "pairs": shown,
        "perImage": per_image if isinstance(per_image, int) and per_image > 0 else 1,
        "reasons": dict(reasons),
        "commands": remake_commands(overview.layout),
        "review": None if review is None else {"token": review.token},
    }


def _pair_elements(overview: Overview, *, most: int | None, with_pictures: bool) -> Iterator[Markup]:
    """Yield each pair's data and, if the page is to carry them, its pictures; as many at a time as there are cores."""
    rows = pair_rows(overview.layout, most=most)
    if not with_pictures:
        yield from (json_element(row.to_json(), class_="pair") for row in rows)
        return
    limit = overview.identity.get("max_pixels")
    reader = PictureReader(overview.layout.dataset, max_pixels=limit if isinstance(limit, int) else _MAX_PIXELS)

    decisions = read_decisions(overview.layout)

    def element(row: PairRow) -> Markup:
        verdict = decisions.verdict(row.stem, row.image_sha256)
        facts = json_element(row.to_json() | {"verdict": verdict}, class_="pair")
        return facts + Markup("\n") + json_element(reader.read(row).to_json(), id_=f"p{row.stem}")

    yield from in_order(element, rows)


def _counted(elements: Iterator[Markup], total: int, progress: Callable[[int, int], None]) -> Iterator[Markup]:
    for number, element in enumerate(elements, start=1):
        yield element
        progress(number, total)


def _source(environment: Environment, name: str) -> str:
    """Return one of our own files as it is to stand in the page, not rendered."""
    loader = environment.loader
    if loader is None:  # never: made above; narrows the type
        raise RuntimeError("the environment has no loader")
    return loader.get_source(environment, name)[0] + "\n"


def _csp_hash(text: str) -> str:
    """Return what a content security policy calls an inline element of exactly this text."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
