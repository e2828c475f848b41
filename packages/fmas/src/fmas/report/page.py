"""Writing the page: everything in one file, nothing in it but text, styles, a small script and embedded pictures."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from fmas.errors import UsageError
from fmas.files import AtomicWriter
from fmas.report.pictures import PairPictures, pair_pictures
from fmas.report.rows import Overview, PairRow, failure_rows, pair_rows, read_overview
from fmas.samples import RejectReason

__all__ = ["write_report"]

_REASONS = {
    RejectReason.BLACK: "came back all black, as a safety checker does",
    RejectReason.SATURATED: "came back burnt out",
    RejectReason.UNCHANGED: "looked like the original",
    RejectReason.TOO_SMALL: "changed too few pixels to be a defect",
    RejectReason.OFF_OBJECT: "lay beside the product",
    RejectReason.UNTRUE_MASK: "had no mask that tells the truth",
    "rejected": "every candidate was rejected",
    "no_region": "no place for a defect was found",
    "ImageError": "the photograph cannot be used",
}
_MAX_PIXELS = 200_000_000


def write_report(out: Path, *, most: int | None = None) -> Path:
    """Write ``OUT/report.html``: one page that needs no other file and asks for none.

    The same output folder gives the same bytes. Pairs are written one after the other, so that memory does not grow
    with their number.

    Args:
        out: The output folder of ``fmas run``.
        most: Show only the first so many pairs; all by default.

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
        for chunk in page_chunks(overview, most=most):
            file.write(chunk.encode(errors="backslashreplace"))  # a name that is no Unicode must not cost the page
    return layout.report


def page_chunks(overview: Overview, *, most: int | None = None) -> Iterator[str]:
    """Yield the page's text bit by bit; pictures are read when their turn comes."""
    environment = Environment(
        loader=PackageLoader("fmas.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    styles, script = (_source(environment, name) for name in ("report.css", "report.js"))
    return environment.get_template("report.html.j2").generate(
        overview=overview,
        pairs=_pairs_with_pictures(overview, most=most),
        shown=min(most or overview.counts.pairs, overview.counts.pairs),
        failures=failure_rows(overview.layout),
        reasons={str(reason): words for reason, words in _REASONS.items()},
        styles=styles,
        script=script,
        styles_hash=_csp_hash(styles),
        script_hash=_csp_hash(script),
    )


def _pairs_with_pictures(overview: Overview, *, most: int | None) -> Iterator[tuple[PairRow, PairPictures]]:
    limit = overview.identity.get("max_pixels")
    max_pixels = limit if isinstance(limit, int) else _MAX_PIXELS
    for row in pair_rows(overview.layout, most=most):
        yield row, pair_pictures(overview.layout.dataset, row, max_pixels=max_pixels)


def _source(environment: Environment, name: str) -> str:
    """Return one of our own files as it is to stand in the page, not rendered."""
    loader = environment.loader
    if loader is None:  # never: made above; narrows the type
        raise RuntimeError("the environment has no loader")
    return loader.get_source(environment, name)[0]


def _csp_hash(text: str) -> str:
    """Return what a content security policy calls an inline element of exactly this text."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
