"""What another intensity would choose from the candidates that a run kept: read from the manifest, no pixels here."""

from __future__ import annotations

import statistics
from array import array
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from fmas.config import SelectConfig
from fmas.decisions import read_decisions
from fmas.derive import DatasetCounts
from fmas.errors import ImageError, OutputError, UsageError
from fmas.intensity import INTENSITIES, WORDS_MEAN, band_text, ordered_band, parse_intensity
from fmas.layout import OutputLayout
from fmas.manifest import ManifestEntry, ManifestIndex
from fmas.output import read_run_file
from fmas.rechoose import scored_row

__all__ = [
    "Scores",
    "SelectableRun",
    "Selection",
    "SelectionSummary",
    "band_of",
    "read_selectable",
    "unfinished_choices",
]

_QUANTILES = {"lowest": 0.0, "p05": 0.05, "p25": 0.25, "median": 0.5, "p75": 0.75, "p95": 0.95, "highest": 1.0}


@dataclass(frozen=True, slots=True)
class SelectableRun:
    """The run that an output folder holds, as far as choosing needs it.

    Attributes:
        layout: Where things lie.
        band: The band of ``run.json``.
        compress_level: That of the run.
        selector: Name and version of what measured the scores.
    """

    layout: OutputLayout
    band: tuple[float, float]
    compress_level: int
    selector: tuple[str, str]


def read_selectable(out: Path) -> SelectableRun:
    """Return the run that an output folder holds.

    Raises:
        UsageError: If it is no output folder.
        OutputError: If ``run.json`` is not what a run writes.
    """
    content = read_run_file(OutputLayout(out, ""))
    if content is None:
        raise UsageError(
            f"expected the output folder of fmas run, got {str(out)!r} without a run.json; name the folder that was "
            "given to fmas run --out"
        )
    identity = content["identity"]
    try:
        if not isinstance(identity, Mapping):
            raise TypeError("identity is no object")
        low, high = identity["select"]["band"]
        selector = identity["selector"]
        return SelectableRun(
            layout=OutputLayout(out, str(identity["category"])),
            band=(float(low), float(high)),
            compress_level=int(identity["write"]["compress_level"]),
            selector=(str(selector["name"]), str(selector["version"])),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise OutputError(
            f"expected {out / 'run.json'} as this version of fmas writes it, got another file; run fmas validate"
        ) from error


def band_of(intensity: str | tuple[float, float], run: SelectableRun) -> tuple[float, float]:
    """Return the band that an intensity stands for in a run.

    Raises:
        UsageError: If it stands for none, or is a word and the run's scores are not on the scale of the words.
    """
    try:
        band = ordered_band(intensity) if isinstance(intensity, tuple) else parse_intensity(intensity)
    except ValueError as error:
        raise UsageError(f"--intensity: {error}") from error
    if isinstance(intensity, str) and intensity.strip() in INTENSITIES and run.selector != WORDS_MEAN:
        name, version = run.selector
        raise UsageError(
            f"expected LO:HI for scores of the selector {name!r} version {version}, got {intensity.strip()!r}, which "
            f"stands for distances of the builtin selector version {WORDS_MEAN[1]}; "
            "--intensity 0:1 --dry-run shows how the scores are distributed"
        )
    return SelectConfig(band=band).band


def unfinished_choices(layout: OutputLayout, band: tuple[float, float]) -> Iterator[ManifestEntry]:
    """Yield the finished lines of pairs that are not, or perhaps not, what ``band`` asks for, by stem.

    Raises:
        OutputError: If the manifest cannot be read.
    """
    index = ManifestIndex(layout.manifest)
    interrupted = {entry.stem: entry for entry in index.interrupted()}
    for entry in index.entries():
        if entry.stem in interrupted:
            yield interrupted[entry.stem]
        elif not entry.is_chosen_for(band):
            yield entry


@dataclass(frozen=True, slots=True)
class Scores:
    """How scores are distributed.

    Attributes:
        values: Finite distances.
        band: What they should hit.
    """

    values: Sequence[float]
    band: tuple[float, float]

    @property
    def inside(self) -> int:
        """How many are in the band, its bounds included."""
        return sum(self.band[0] <= value <= self.band[1] for value in self.values)

    def quantiles(self) -> dict[str, float]:
        """Return the lowest, the highest and five quantiles in between, to four digits; nothing without values."""
        if not self.values:
            return {}
        ordered = sorted(self.values)
        last = len(ordered) - 1
        return {name: round(ordered[round(share * last)], 4) for name, share in _QUANTILES.items()}

    def to_json(self) -> dict[str, object]:
        """Return the distribution as JSON values."""
        return {
            "number": len(self.values),
            "inside": self.inside,
            "mean": round(statistics.fmean(self.values), 4) if self.values else None,
            **self.quantiles(),
        }


@dataclass(frozen=True, slots=True)
class SelectionSummary:
    """The end of ``fmas select``.

    Attributes:
        out: The output folder.
        dry_run: Whether this is only what would be done.
        band_before: The band of ``run.json`` before.
        band: The band that was asked for.
        pairs: Finished pairs.
        changed: Pairs that have, or would get, another candidate.
        rewritten: Pairs whose candidate stays, and whose row names, or would name, the new band.
        failed: Stem and reason of pairs that could not be chosen; they are unfinished now.
        before: Scores of the candidates that were chosen, over the old band.
        after: Scores of those that are chosen, over the new one.
        offered: Scores of all candidates, over the new one.
        counts: What the folder holds now; ``None`` if nothing was written.
        seconds: How long it took.
        notes: Things worth knowing that stopped nothing.
    """

    out: Path
    dry_run: bool
    band_before: tuple[float, float]
    band: tuple[float, float]
    pairs: int
    changed: int
    rewritten: int
    failed: tuple[tuple[int, str], ...]
    before: Scores
    after: Scores
    offered: Scores
    counts: DatasetCounts | None
    seconds: float
    notes: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """0 if every pair is what the band asks for, 3 if some are not."""
        return 3 if self.failed else 0

    def to_json(self) -> dict[str, object]:
        """Return the summary as JSON values."""
        return {
            "out": str(self.out),
            "dry_run": self.dry_run,
            "band_before": list(self.band_before),
            "band": list(self.band),
            "pairs": self.pairs,
            "changed": self.changed,
            "rewritten": self.rewritten,
            "failed": [{"stem": stem, "message": message} for stem, message in self.failed],
            "scores": {
                "chosen_before": self.before.to_json(),
                "chosen": self.after.to_json(),
                "candidates": self.offered.to_json(),
            },
            "notes": list(self.notes),
            "seconds": round(self.seconds, 3),
            "counts": self.counts.to_json() if self.counts is not None else None,
        }


@dataclass(slots=True)
class Selection:
    """What a band would choose, pair by pair.

    Attributes:
        run: The run.
        band: The band.
        pairs: Finished pairs, and those that an earlier choice was stopped in.
        changed: Stems that get another candidate.
        decided: Of these, those whose picture was kept or dropped in review.
        unfinished: Stems that are to be written.
        missing: Stem and reason of pairs of which the candidate to choose is not there.
        photographs: Photographs of the pairs to be written.
        before: Scores chosen now.
        after: Scores of the choice.
        offered: Scores of all candidates.
    """

    run: SelectableRun
    band: tuple[float, float]
    pairs: int = 0
    photographs: int = 0
    changed: set[int] = field(default_factory=set)
    decided: set[int] = field(default_factory=set)
    unfinished: set[int] = field(default_factory=set)
    missing: dict[int, str] = field(default_factory=dict)
    before: array[float] = field(default_factory=lambda: array("d"))
    after: array[float] = field(default_factory=lambda: array("d"))
    offered: array[float] = field(default_factory=lambda: array("d"))

    @classmethod
    def read(cls, run: SelectableRun, band: tuple[float, float]) -> Self:
        """Read the manifest and the decisions.

        Raises:
            OutputError: If either cannot be read.
        """
        selection = cls(run, band)
        decisions = read_decisions(run.layout)
        index = ManifestIndex(run.layout.manifest)
        interrupted = {entry.stem: entry for entry in index.interrupted()}
        source = None
        for newest in index.entries():
            entry = interrupted.get(newest.stem, newest)
            if entry.row is None or entry.row.get("defect") == "good":
                continue
            selection._add(entry, to_do=entry.stem in interrupted or not entry.is_chosen_for(band))
            if entry.stem in selection.unfinished and entry.source != source:
                source = entry.source
                selection.photographs += 1
            if entry.stem in selection.changed:
                verdict = decisions.verdict(entry.stem, entry.row.get("image_sha256"))
                if verdict != "undecided":
                    selection.decided.add(entry.stem)
        return selection

    def _add(self, entry: ManifestEntry, *, to_do: bool) -> None:
        self.pairs += 1
        if to_do:
            self.unfinished.add(entry.stem)
        try:
            row = scored_row(entry)
        except ImageError as error:
            self.missing[entry.stem] = str(error)
            return
        choice = row.candidates[row.choice(self.band)]
        self.before.append(row.score)
        self.after.append(choice.score)
        self.offered.extend(row.scores)
        if choice.candidate != row.candidate:
            self.changed.add(entry.stem)
            name = self.run.layout.candidate(entry.stem, choice.candidate)
            if not (self.run.layout.out / name).is_file():
                self.missing[entry.stem] = f"expected {name}, got nothing there"

    def refuse_nothing_kept(self) -> None:
        """Refuse to begin what cannot be done for a single pair.

        Raises:
            OutputError: If no candidate was kept, or nothing is finished.
        """
        out = self.run.layout.out
        if self.pairs == 0:
            raise OutputError(f"expected finished pairs in {out}, got none; finish the run first")
        if self.changed and not self.run.layout.candidates.is_dir():
            raise OutputError(
                f"expected {self.run.layout.candidates}, where a run keeps its candidates, got no such folder "
                "(deleted, or write.keep_candidates was false); restore it, or run fmas run with this --intensity "
                "into another --out"
            )
        if len(self.missing) == self.pairs:
            reason = self.missing[min(self.missing)]
            raise OutputError(f"expected candidates to choose from in {out}, got none of any pair: {reason}")

    def preview(self) -> SelectionSummary:
        """Return what would be done."""
        failed = [(stem, reason) for stem, reason in self.missing.items() if stem in self.unfinished]
        return self._summary(None, failed, dry_run=True, seconds=0.0)

    def summary(self, counts: DatasetCounts, failed: Sequence[tuple[int, str]], *, seconds: float) -> SelectionSummary:
        """Return what was done."""
        return self._summary(counts, failed, dry_run=False, seconds=seconds)

    def _summary(
        self, counts: DatasetCounts | None, failed: Sequence[tuple[int, str]], *, dry_run: bool, seconds: float
    ) -> SelectionSummary:
        lost = {stem for stem, _ in failed}
        return SelectionSummary(
            out=self.run.layout.out,
            dry_run=dry_run,
            band_before=self.run.band,
            band=self.band,
            pairs=self.pairs,
            changed=len((self.changed & self.unfinished) - lost),
            rewritten=len(self.unfinished - self.changed - lost),
            failed=tuple(sorted(failed)),
            before=Scores(self.before, self.run.band),
            after=Scores(self.after, self.band),
            offered=Scores(self.offered, self.band),
            counts=counts,
            seconds=seconds,
            notes=self._notes(lost),
        )

    def _notes(self, lost: Collection[int]) -> tuple[str, ...]:
        """Return what a reviewer should know: a decision is about one picture and stays with it."""
        number = len((self.decided & self.unfinished) - set(lost))
        if not number:
            return ()
        gave_way = (
            f"{number} pictures that were decided in review give way to other candidates, which start undecided"
            if number > 1
            else "1 picture that was decided in review gives way to another candidate, which starts undecided"
        )
        back = "them and their decisions" if number > 1 else "it and its decision"
        return (f"{gave_way}; choosing {band_text(self.run.band)} again brings {back} back",)
