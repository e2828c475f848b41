"""What the page says, read from ``run.json`` and the manifests; no pixels here."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fmas.derive import DatasetCounts
from fmas.errors import OutputError, UsageError
from fmas.layout import OutputLayout, image_stem
from fmas.manifest import ManifestEntry, ManifestIndex
from fmas.options import explain
from fmas.output import read_run_file

__all__ = ["Component", "FailureRow", "Overview", "PairRow", "failure_rows", "pair_rows", "read_overview"]

_CATEGORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")  # also keeps a tampered run.json inside OUT/dataset


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Rejection(_Row):
    """A candidate that was not accepted."""

    reason: str


class Component(_Row):
    """Who did one step."""

    name: str
    version: str


class PairRow(_Row):
    """One finished pair as its metadata row describes it; the names are those of ``metadata.jsonl``."""

    stem: int = Field(ge=0)
    source: str
    width: int = Field(gt=0)
    height: int = Field(gt=0)
    defect: str
    defect_name: str
    kind: str
    severity: float
    prompt: str
    negative_prompt: str
    seed: int
    score: float = Field(allow_inf_nan=False)
    band: tuple[float, float]
    mask_area: int
    region_shape: str
    region_box: tuple[int, int, int, int]
    noise_floor: int
    foreground_kind: str
    candidates: tuple[Mapping[str, object], ...]
    rejections: tuple[Rejection, ...]
    components: Mapping[str, Component]
    normal_file_name: str
    file_name: str
    mask_file_name: str

    @property
    def stem_text(self) -> str:
        """The number as the file names carry it."""
        return image_stem(self.stem)

    @property
    def mask_percent(self) -> float:
        """Share of the picture that the mask covers, in percent."""
        return 100 * self.mask_area / (self.width * self.height)

    @property
    def band_position(self) -> str:
        """``below``, ``inside`` or ``above`` the intensity band."""
        low, high = self.band
        return "below" if self.score < low else "above" if self.score > high else "inside"

    @property
    def scale(self) -> float:
        """The distance at the right end of the score's little bar: shows the band and the score, whichever is wider."""
        return 1.15 * max(self.score, self.band[1], 1e-9)

    @property
    def rejects(self) -> list[tuple[str, int]]:
        """Reason and number of the rejected candidates, sorted by reason."""
        return sorted(Counter(rejection.reason for rejection in self.rejections).items())


@dataclass(frozen=True, slots=True)
class FailureRow:
    """One pair that could not be made.

    Attributes:
        stem: Its number, as the file names would have carried it.
        source: The photograph.
        stage: Where it happened.
        reason: A short word to count by.
        message: One line.
        rejects: Reason and number of the rejected candidates.
    """

    stem: str
    source: str
    stage: str
    reason: str
    message: str
    rejects: list[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class Overview:
    """What the page says above the pairs.

    Attributes:
        layout: Where things lie.
        identity: The run's identity, as ``run.json`` holds it.
        counts: What the output folder holds.
        accepted: Accepted candidates of all pairs; one of each pair was kept.
        components: Kind -> who did it.
        kinds: Physical kind of defect -> pairs.
    """

    layout: OutputLayout
    identity: Mapping[str, object]
    counts: DatasetCounts
    accepted: int
    components: Mapping[str, Component]
    kinds: Mapping[str, int]

    @property
    def rejected(self) -> int:
        """Rejected candidates, of finished and failed pairs."""
        return self.counts.rejects.total()


def read_overview(out: Path) -> Overview:
    """Count what an output folder holds.

    Args:
        out: The output folder of ``fmas run``.

    Raises:
        UsageError: If it is no output folder.
        OutputError: If it holds no finished pair, or a line in it is not one of ours.
    """
    identity = (read_run_file(OutputLayout(out, "")) or {}).get("identity")
    if not isinstance(identity, dict):
        raise UsageError(
            f"expected the output folder of fmas run, got {out} without a run.json; "
            f"name the right folder, or run: fmas run IMAGES --out {out}"
        )
    category = identity.get("category")
    if not isinstance(category, str) or not _CATEGORY.fullmatch(category):
        raise OutputError(
            f"expected a category's folder name in {out / 'run.json'}, got {category!r}; restore the file"
        )
    layout = OutputLayout(out, category)
    counts, accepted, kinds = DatasetCounts(), 0, Counter[str]()
    components: Mapping[str, Component] = {}
    for entry in ManifestIndex(layout.manifest).entries():
        row = _pair_row(entry)
        counts.add(entry)
        if row is not None:
            accepted += len(row.candidates)
            kinds[row.kind] += 1
            components = components or dict(sorted(row.components.items()))
    if counts.pairs == 0:
        listed = f"; see {layout.failures} for what failed" if counts.failed else ""
        raise OutputError(f"expected at least one finished pair in {out}, got none{listed}; finish the run first")
    return Overview(layout, identity, counts, accepted, components, dict(sorted(kinds.items())))


def pair_rows(layout: OutputLayout, *, most: int | None = None) -> Iterator[PairRow]:
    """Yield the finished pairs by number, at most ``most``; one is in memory at a time."""
    shown = 0
    for entry in ManifestIndex(layout.manifest).entries():
        if most is not None and shown >= most:
            return
        row = _pair_row(entry)
        if row is not None:
            shown += 1
            yield row


def failure_rows(layout: OutputLayout) -> Iterator[FailureRow]:
    """Yield what could not be made, by number."""
    for entry in ManifestIndex(layout.manifest).entries():
        if entry.failure is not None:
            rejects = Counter(str(rejection.get("reason", "?")) for rejection in entry.rejections)
            failure = {key: str(entry.failure.get(key, "?")) for key in ("stage", "reason", "message")}
            yield FailureRow(image_stem(entry.stem), entry.source, rejects=sorted(rejects.items()), **failure)


def _pair_row(entry: ManifestEntry) -> PairRow | None:
    """Return the row of a finished pair, ``None`` for a failure and for a held-out good photograph."""
    if entry.row is None or entry.row.get("defect") == "good":
        return None
    try:
        return PairRow.model_validate(entry.row)
    except ValidationError as error:
        raise OutputError(
            f"expected the row of pair {image_stem(entry.stem)} as this version of fmas writes it, got "
            f"{explain(error, PairRow)}; run fmas validate, or make the data set again"
        ) from error
