"""The decisions of a review: lines of ours, and how many dropped pictures are still there."""

from __future__ import annotations

from pathlib import Path

from fmas.errors import OutputError
from fmas.layout import OutputLayout
from fmas.refill import dropped_pictures
from fmas.validate.problems import ProblemLog
from fmas.validate.reading import UnreadableError, open_regular, without_advice
from fmas.validate.remedies import RERUN, Remedy, remedy_for
from fmas.validate.rules import Rule

__all__ = ["check_decisions"]

_NAME = "decisions.jsonl"
_MEND = Remedy("mend or remove that line: until then neither fmas run nor fmas review goes on")


def check_decisions(out: Path, category: str | None, log: ProblemLog) -> int:
    """Check that ``decisions.jsonl`` holds decisions only; it may be missing.

    Args:
        out: The output folder, whose manifest is whole.
        category: Its category, if it is known.
        log: Told of what is wrong.

    Returns:
        Pictures that were dropped and are still there.
    """
    try:
        with open_regular(out / _NAME):  # tells more about a file that is none than reading its lines does
            pass
    except UnreadableError as error:
        if error.cause != "missing":
            log.add(Rule.DECISIONS, _NAME, f"expected a file of lines, got {error}", remedy_for(error, RERUN))
        return 0
    try:
        return dropped_pictures(OutputLayout(out, category or ""))
    except OutputError as error:
        log.add(Rule.DECISIONS, _NAME, without_advice(error).replace(f" of {out / _NAME}", ""), _MEND)
        return 0
