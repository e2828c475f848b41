"""What the user is told to do about a problem: only what really helps."""

from __future__ import annotations

from dataclasses import dataclass, replace

from fmas.validate.reading import UnreadableError

__all__ = [
    "CHECK_PERMISSIONS",
    "CONTINUE_NO_MORE",
    "DELETE",
    "FINISH_CHOICE",
    "MOVE_AWAY",
    "PUT_COPY",
    "REMAKE",
    "REPLACE_LINE",
    "RERUN",
    "REWRITE",
    "REWRITE_BROKEN",
    "Remedy",
    "remedy_for",
]


@dataclass(frozen=True, slots=True)
class Remedy:
    """The last part of a message.

    Attributes:
        text: What to do.
        needs_run: Whether it ends in running ``fmas run`` again, which is refused once what makes the run that run is
            lost.
        otherwise: What to do when it is.
    """

    text: str
    needs_run: bool = False
    otherwise: str = "restore it from a copy"

    def told(self, blocker: str | None) -> str:
        """Return what to do.

        Args:
            blocker: The file because of which ``fmas run`` refuses to go on; ``None`` if it does not.
        """
        if blocker is None or not self.needs_run:
            return self.text
        return f"{self.otherwise}: a rerun is refused until {blocker} is mended"


RERUN = Remedy("run the same fmas run again", needs_run=True)
REWRITE = Remedy("run the same fmas run again, it writes this file anew", needs_run=True)
REMAKE = Remedy("delete it and run the same fmas run again", needs_run=True)
REPLACE_LINE = Remedy(
    "restore the manifest line, or delete it and run the same fmas run again",
    needs_run=True,
    otherwise="restore the manifest line",
)
REWRITE_BROKEN = replace(REWRITE, text=f"delete it and {REWRITE.text}")
CONTINUE_NO_MORE = Remedy(
    "restore it from a copy: without it this run cannot be continued, so choose another --out for more; the pictures "
    "that are there can still be used"
)
FINISH_CHOICE = Remedy("run the same fmas select again, or fmas run with its --intensity", needs_run=True)
DELETE = Remedy("delete it")
MOVE_AWAY = Remedy("move it elsewhere")
PUT_COPY = Remedy("put a copy in its place")
CHECK_PERMISSIONS = Remedy("check its permissions")


def remedy_for(error: UnreadableError, if_missing: Remedy) -> Remedy:
    """Return what helps against a file that cannot be read.

    Args:
        error: Why it cannot.
        if_missing: What helps if it is missing.
    """
    if error.cause == "denied":
        return CHECK_PERMISSIONS
    if error.cause == "kind":
        return replace(if_missing, text=f"move it away and {if_missing.text}", otherwise="put the file in its place")
    return if_missing
