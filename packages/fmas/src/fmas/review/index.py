"""Which pictures an output folder holds now, while a run may be adding to it; positions only, no pixels."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass

from fmas.decisions import Decision, Decisions, read_decisions
from fmas.layout import DEFECT_FOLDER, OutputLayout
from fmas.manifest import ManifestEntry, ManifestIndex

__all__ = ["CurrentPicture", "ReviewIndex"]

_TWIN = re.compile(r"train/good/\d{6,}\.png")


@dataclass(frozen=True, slots=True)
class CurrentPicture:
    """The picture that a place holds now.

    Attributes:
        stem: The place.
        image_sha256: SHA-256 of its pixels.
        held_out: Whether it is a good photograph in ``test/good``, about which there is nothing to decide.
        files: ``normal``, ``result`` and ``mask`` -> path relative to the category's folder, and the file's SHA-256.
    """

    stem: int
    image_sha256: str
    held_out: bool
    files: Mapping[str, tuple[str, str]]


class ReviewIndex:
    """Looks up places in the manifest and decisions in their file; both are read on when they have grown.

    May be used by several threads.

    Args:
        layout: Where things lie.
    """

    def __init__(self, layout: OutputLayout) -> None:
        self._layout = layout
        self._lock = threading.Lock()
        self._manifest = ManifestIndex(layout.manifest)
        self._decisions = Decisions({})
        self._decisions_seen: tuple[int, int, int] | None = None

    def picture(self, stem: int) -> CurrentPicture | None:
        """Return what a place holds now, ``None`` if it holds nothing.

        Raises:
            OutputError: If the manifest cannot be read.
        """
        with self._lock:
            self._manifest.refresh()
            entry = self._manifest.entry(stem)
        return None if entry is None else _current(self._layout, entry)

    def decisions(self) -> list[Decision]:
        """Return the newest decision about the picture of every place that there is one about, by place.

        Where only one picture of a place was ever decided about, it is not looked up whether that is still there: who
        asks compares the SHA-256 anyway.

        Raises:
            OutputError: If manifest or decisions cannot be read.
        """
        found = []
        for stem, decisions in sorted(self._read_decisions().by_stem().items()):
            if len(decisions) == 1:
                found += decisions
            elif current := self.picture(stem):
                found += [one for one in decisions if one.image_sha256 == current.image_sha256]
        return found

    def _read_decisions(self) -> Decisions:
        with self._lock:
            try:
                status = self._layout.decisions.stat()
                seen = (status.st_ino, status.st_size, status.st_mtime_ns)
            except FileNotFoundError:
                seen = (0, 0, 0)
            if seen != self._decisions_seen:
                self._decisions = read_decisions(self._layout)
                self._decisions_seen = seen
            return self._decisions


def _current(layout: OutputLayout, entry: ManifestEntry) -> CurrentPicture | None:
    """Return the picture of a finished line; its files are named by our own rules, never by what a line says."""
    row = entry.row if entry.status == "done" else None
    if row is None:
        return None
    defect, twin = str(row.get("defect")), str(row.get("normal_file_name"))
    names = {"result": layout.held_out(entry.stem)}
    if defect != "good":
        if not DEFECT_FOLDER.fullmatch(defect) or not _TWIN.fullmatch(twin):
            return None
        names = {
            "normal": twin,
            "result": layout.synthetic(defect, entry.stem),
            "mask": layout.mask(defect, entry.stem),
        }
    return CurrentPicture(
        stem=entry.stem,
        image_sha256=str(row.get("image_sha256")),
        held_out=defect == "good",
        files={kind: (name, entry.files[name]) for kind, name in names.items() if name in entry.files},
    )
