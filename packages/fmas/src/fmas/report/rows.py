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
from fmas.refill import dropped_pictures
from fmas.samples import Box

__all__ = [
    "AcceptedCandidate",
    "Component",
    "FailureRow",
    "Overview",
    "PairRow",
    "Rejection",
    "failure_rows",
    "pair_rows",
    "read_overview",
]

_CATEGORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")  # also keeps a tampered run.json inside OUT/dataset


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Rejection(_Row):
    """A candidate that was not accepted."""

    candidate: int
    attempt: int
    seed: int
    reason: str


class AcceptedCandidate(_Row):
    """A candidate among which the selector chose."""

    candidate: int
    attempt: int
    seed: int
    score: float = Field(allow_inf_nan=False)
    severity: float | None = None


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
    severity: float = Field(allow_inf_nan=False)
    planned_severity: float | None = None
    prompt: str
    negative_prompt: str
    seed: int
    candidate: int
    attempt: int
    generation: int = 0
    score: float = Field(allow_inf_nan=False)
    band: tuple[float, float]
    mask_area: int
    region_shape: str
    region_box: tuple[int, int, int, int]
    noise_floor: int
    high_threshold: int
    foreground_kind: str
    foreground_confidence: float
    candidates: tuple[AcceptedCandidate, ...]
    rejections: tuple[Rejection, ...]
    components: Mapping[str, Component]
    normal_file_name: str
    file_name: str
    mask_file_name: str
    image_sha256: str

    @property
    def focus(self) -> Box:
        """Where the defect is, as far as the row tells: its region, or everything if an edited row has none."""
        left, right = max(self.region_box[0], 0), min(self.region_box[2], self.width)
        top, bottom = max(self.region_box[1], 0), min(self.region_box[3], self.height)
        return Box(left, top, right, bottom) if left < right and top < bottom else Box(0, 0, self.width, self.height)

    def to_json(self) -> dict[str, object]:
        """Return what the page's script reads."""
        focus = self.focus
        return {
            "stem": self.stem,
            "id": image_stem(self.stem),
            "sha": self.image_sha256,
            "source": self.source,
            "width": self.width,
            "height": self.height,
            "name": self.defect_name,
            "kind": self.kind,
            "severity": self.severity,
            "planned": self.planned_severity,
            "prompt": self.prompt,
            "negative": self.negative_prompt,
            "seed": str(self.seed),  # may be larger than a number of the script holds exactly
            "candidate": self.candidate,
            "attempt": self.attempt,
            "generation": self.generation,
            "score": self.score,
            "band": list(self.band),
            "area": self.mask_area,
            "shape": self.region_shape,
            "region": list(self.region_box),
            "focus": [focus.left, focus.top, focus.right, focus.bottom],
            "floor": self.noise_floor,
            "high": self.high_threshold,
            "foreground": self.foreground_kind,
            "confidence": self.foreground_confidence,
            "candidates": [one.model_dump() | {"seed": str(one.seed)} for one in self.candidates],
            "rejections": [one.model_dump() | {"seed": str(one.seed)} for one in self.rejections],
            "components": {kind: f"{one.name} {one.version}" for kind, one in sorted(self.components.items())},
            "normal": self.normal_file_name,
            "result": self.file_name,
            "mask": self.mask_file_name,
        }


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
        digest: The identity's SHA-256, as ``run.json`` holds it.
        counts: What the output folder holds.
        accepted: Accepted candidates of all pairs; one of each pair was kept.
        components: Kind -> who did it.
        kinds: Physical kind of defect -> pairs.
        dropped: Pictures that were dropped in review and are still there.
    """

    layout: OutputLayout
    identity: Mapping[str, object]
    digest: str
    counts: DatasetCounts
    accepted: int
    components: Mapping[str, Component]
    kinds: Mapping[str, int]
    dropped: int = 0

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
    run = read_run_file(OutputLayout(out, "")) or {}
    identity = run.get("identity")
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
    return Overview(
        layout,
        identity,
        str(run.get("digest", "")),
        counts,
        accepted,
        components,
        dict(sorted(kinds.items())),
        dropped_pictures(layout),
    )


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
