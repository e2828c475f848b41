"""Do the stems belong to their sources? Photographs are numbered in the order of their paths, gaps allowed."""

from __future__ import annotations

from fmas.manifest import ManifestEntry
from fmas.validate.problems import ProblemLog
from fmas.validate.remedies import REPLACE_LINE
from fmas.validate.rules import Rule

__all__ = ["SourceNumbering"]


class SourceNumbering:
    """Follows the manifest in the order of its stems.

    The list of photographs is not part of the output, so a single line cannot be held to it; but where two lines
    contradict each other, or the row's pair number its stem, one of them is wrong.

    Args:
        per_image: How many stems each photograph has.
        log: Told of every contradiction.
    """

    def __init__(self, per_image: int, log: ProblemLog) -> None:
        self._per_image = per_image
        self._log = log
        self._index = -1
        self._source = ""
        self._sha256: object = None

    def check(self, entry: ManifestEntry) -> None:
        """Check one line; stems must come in ascending order."""
        index, pair = divmod(entry.stem, self._per_image)
        if index == self._index:
            if entry.source != self._source:
                self._complain(entry, f"the source {self._source!r}, as another line of photograph {index} has")
        elif self._index >= 0 and entry.source <= self._source:
            self._complain(entry, f"a source that sorts after {self._source!r}, which photograph {self._index} is")
        row = entry.row or {}
        stated = row.get("pair", 0)  # a held-out photograph takes the first stem of its source
        if entry.status == "done" and stated != pair:
            self._complain(entry, f"pair {pair} (stem {entry.stem}, {self._per_image} per photograph)", got=stated)
        sha256 = row.get("source_sha256")
        if index == self._index and None not in (sha256, self._sha256) and sha256 != self._sha256:
            self._complain(entry, f"one SHA-256 for all pairs of {entry.source!r}", got=sha256)
        if index != self._index or sha256 is not None:
            self._sha256 = sha256
        self._index, self._source = index, entry.source

    def _complain(self, entry: ManifestEntry, wanted: str, *, got: object = None) -> None:
        found = entry.source if got is None else got
        self._log.add(
            Rule.MANIFEST_SOURCE,
            "manifest",
            f"expected {wanted}, got {found!r} for stem {entry.stem}",
            REPLACE_LINE,
        )
