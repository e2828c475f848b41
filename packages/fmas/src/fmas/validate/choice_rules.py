"""What a row must say of its candidates and of the one that was chosen; no file is opened."""

from __future__ import annotations

from collections.abc import Iterator

from fmas.validate.rows import Identity, PairRow
from fmas.validate.rules import Rule

__all__ = ["broken_choice_rules", "is_chosen_for_run"]


def is_chosen_for_run(row: PairRow, identity: Identity) -> bool:
    """Return whether a row was chosen for the band of ``run.json``; if not, ``fmas select`` was stopped before it."""
    return row.band == identity.select.band


def broken_choice_rules(row: PairRow, identity: Identity | None) -> Iterator[tuple[Rule, str]]:
    """Yield every rule about candidates and the choice that a row breaks.

    Args:
        row: A well-formed row.
        identity: The run's identity, if it is known.

    Yields:
        Rule and message.
    """
    yield from _chosen_rules(row, identity)
    for item in row.candidates:
        left, top, right, bottom = item.box
        if not (left < right <= row.width and top < bottom <= row.height):
            yield Rule.ROW_FIELDS, f"expected the box of candidate {item.candidate} inside the image, got {item.box}"
        elif item.candidate != row.candidate and not 0 < item.mask_area <= (right - left) * (bottom - top):
            yield (
                Rule.ROW_FIELDS,
                f"expected a mask_area of candidate {item.candidate} within its box {item.box}, got {item.mask_area}",
            )
    if identity is not None:
        yield from _severity_rules(row, identity)


def _chosen_rules(row: PairRow, identity: Identity | None) -> Iterator[tuple[Rule, str]]:
    names = ("candidate", "attempt", "seed", "severity", "score", "mask_area", "noise_floor")
    chosen = (*(getattr(row, name) for name in names), row.high_threshold)
    if chosen not in [(*(getattr(item, name) for name in names), item.high) for item in row.candidates]:
        yield Rule.CANDIDATES, f"expected the chosen candidate among the scored ones, got {chosen}"
        return
    if identity is not None and not is_chosen_for_run(row, identity):
        return  # one thing at a time
    middle = sum(row.band) / 2
    best = min(row.candidates, key=lambda item: abs(item.score - middle))
    if best.candidate != row.candidate:
        yield (
            Rule.CANDIDATES,
            f"expected candidate {best.candidate}, whose score {best.score:g} is nearest to the middle of the band "
            f"{row.band}, got candidate {row.candidate} with {row.score:g}",
        )


def _severity_rules(row: PairRow, identity: Identity) -> Iterator[tuple[Rule, str]]:
    """Candidate c of n is painted with the planned severity times 1 + spread * u, u evenly spaced in [-1, 1]."""
    for item in row.candidates:
        last = identity.candidates - 1
        place = 2 * item.candidate / last - 1 if last > 0 else 0.0
        wanted = min(max(row.planned_severity * (1 + identity.paint.severity_spread * place), 0.0), 1.0)
        if abs(item.severity - wanted) > 1e-6:
            yield (
                Rule.SEVERITY,
                f"expected severity {wanted:.6g} of candidate {item.candidate} of {identity.candidates} (planned "
                f"{row.planned_severity:g}, spread {identity.paint.severity_spread:g}), got {item.severity:g}",
            )
            return
