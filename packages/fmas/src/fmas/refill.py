"""Which places of a data set are filled, which are to be filled anew because their picture was dropped in review.

A place is one stem. It holds its first picture (generation 0) until a reviewer drops that one; the next ``fmas run``
then makes generation 1, and so on. The generation stands in the manifest line, so it depends on which picture was
dropped and not on how often or in which order anybody decided something.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from fmas.decisions import Decisions, read_decisions
from fmas.errors import OutputError
from fmas.files import unwritable
from fmas.layout import DEFECT_FOLDER, OutputLayout
from fmas.manifest import ManifestEntry, ManifestIndex, ManifestWriter
from fmas.samples import Sample

__all__ = [
    "DROPPED",
    "DROPPED_AGAIN",
    "Places",
    "dropped_pictures",
    "is_held_out",
    "read_places",
    "retiring",
    "review_notes",
    "to_refill",
]

DROPPED = "dropped"
"""The reason of a gap whose picture was taken out and whose next one is not made yet."""

DROPPED_AGAIN = "dropped_again"
"""The reason of a gap whose next picture came out as one that was dropped before."""


@dataclass(slots=True)
class Places:
    """What a run finds done, and what a review asks of it.

    Attributes:
        made_of: Stem -> SHA-256 of its source file, of every pair whose line says done and whose files are all there;
            dropped ones included.
        dropped: Stem -> defect folder, of finished pairs whose picture was dropped.
        generations: Stem -> generation of the picture to be made, where that is not 0.
        kept_good: Held-out good photographs that somebody marked as dropped all the same.
        decisions: What was decided.
    """

    decisions: Decisions
    made_of: dict[int, str] = field(default_factory=dict)
    dropped: dict[int, str] = field(default_factory=dict)
    generations: dict[int, int] = field(default_factory=dict)
    kept_good: int = 0

    def to_make(self, sample: Sample) -> Sample:
        """Return the sample with only the pairs that are to be made, and what the finished ones were made of."""
        known = next((self.made_of[pair.stem] for pair in sample.pairs if pair.stem in self.made_of), "")
        pairs = tuple(
            replace(pair, generation=self.generations.get(pair.stem, 0))
            for pair in sample.pairs
            if pair.stem not in self.made_of or pair.stem in self.dropped
        )
        return replace(sample, known_sha256=known, pairs=pairs)


def read_places(layout: OutputLayout, *, band: tuple[float, float] | None = None) -> Places:
    """Read the manifest and the decisions.

    Args:
        layout: Where things lie.
        band: A pair that was chosen for another intensity band is to be made again; ``None`` to let all pass.

    Raises:
        OutputError: If either cannot be read.
    """
    places = Places(read_decisions(layout))
    for entry in ManifestIndex(layout.manifest).entries():
        generation = entry.generation
        if entry.status == "done":
            if _is_dropped(entry, places.decisions):
                if is_held_out(entry):
                    places.kept_good += 1
                else:
                    places.dropped[entry.stem] = _defect_folder(entry)
                    generation += 1
            chosen = band is None or entry.is_chosen_for(band)
            if chosen and all(_is_whole(layout.dataset / name, entry.sizes.get(name)) for name in entry.files):
                places.made_of[entry.stem] = str((entry.row or {}).get("source_sha256", ""))
        if generation:
            places.generations[entry.stem] = generation
    return places


def dropped_pictures(layout: OutputLayout) -> int:
    """Return how many pictures of the data set were dropped in review and are still there.

    Raises:
        OutputError: If manifest or decisions cannot be read.
    """
    decisions = read_decisions(layout)
    if not len(decisions):
        return 0
    entries = ManifestIndex(layout.manifest).entries()
    return sum(_is_dropped(entry, decisions) and not is_held_out(entry) for entry in entries)


def is_held_out(entry: ManifestEntry) -> bool:
    """Return whether a line is about a good photograph in ``test/good``: nobody painted it, so none can replace it."""
    return entry.row is not None and entry.row.get("defect") == "good"


def _is_dropped(entry: ManifestEntry, decisions: Decisions) -> bool:
    row = entry.row if entry.status == "done" else None
    return row is not None and decisions.verdict(entry.stem, row.get("image_sha256")) == "drop"


def _defect_folder(entry: ManifestEntry) -> str:
    folder = str((entry.row or {}).get("defect"))
    if not DEFECT_FOLDER.fullmatch(folder):
        raise OutputError(
            f"expected a defect folder in the manifest line of pair {entry.stem}, got {folder!r}; restore the line"
        )
    return folder


def _is_whole(path: Path, size: int | None) -> bool:
    try:
        return path.stat().st_size == size
    except FileNotFoundError:
        return False
    except OSError as error:
        raise OutputError(f"expected to read {path}, got {error.strerror or error}; check its permissions") from error


def to_refill(pending: Iterable[Sample]) -> frozenset[int]:
    """Return the places that are to be filled anew, those that an earlier process left open included."""
    return frozenset(pair.stem for sample in pending for pair in sample.pairs if pair.generation)


def retiring(
    pending: Iterable[Sample], places: Places, layout: OutputLayout, manifest: ManifestWriter
) -> Iterator[Sample]:
    """Hand on the samples; take the dropped pictures of each out of the data set before anything new is painted.

    A line says so first, then the files go. From then on the place is a gap that waits for its next generation,
    whatever happens to the process: the dropped picture cannot come back, and its mask never lies beside the next
    picture. What has not had its turn when a run is stopped stays as it is.

    Raises:
        OutputError: If that cannot be written.
    """
    for sample in pending:
        for pair in sample.pairs:
            picture = places.dropped.get(pair.stem)
            if picture is not None:
                manifest.append(_gap(pair.stem, sample.source.relative, pair.generation))
                for name in (layout.synthetic(picture, pair.stem), layout.mask(picture, pair.stem)):
                    _unlink(layout.dataset / name)
        yield sample


def _gap(stem: int, source: str, generation: int) -> ManifestEntry:
    message = "the picture was dropped in review; run the same fmas run again to make another"
    failure: Mapping[str, str] = {"stage": "review", "reason": DROPPED, "message": message}
    return ManifestEntry(stem, source, "failed", {}, None, failure, (), generation=generation)


def _unlink(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise unwritable(path, error) from error


def review_notes(places: Places) -> tuple[str, ...]:
    """Return what a user should know about the decisions that a run could not follow."""
    if not places.kept_good:
        return ()
    return (
        f"{places.kept_good} held-out good photographs are marked as dropped; nobody painted them, so they are kept",
    )
