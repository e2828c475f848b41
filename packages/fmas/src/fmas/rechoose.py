"""Choosing again, one photograph at a time: another candidate of the same pair becomes its image and its mask.

What comes out is byte for byte what a run with the other band would have written: the same twin, the same candidate,
the same row. Nothing is painted and nothing is scored; both stand in the row.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fmas.candidates import StoredCandidate, chosen_fields, decode_candidate
from fmas.errors import ImageError
from fmas.images import decode_png, pixel_sha256
from fmas.layout import OutputLayout
from fmas.manifest import ManifestEntry
from fmas.options import explain
from fmas.pair_files import PairFiles, WrittenFiles
from fmas.samples import Box, Failure
from fmas.secrecy import one_line
from fmas.select import nearest_to_band
from fmas.stages import Resources
from fmas.types import Fingerprint, RGBImage

__all__ = ["ChosenAgain", "PhotographPairs", "RechooseStage", "ScoredRow", "scored_row"]

_MAX_PIXELS = 178_956_970  # what a run lets pass at most


class _Candidate(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")

    candidate: int = Field(ge=0)
    score: float = Field(allow_inf_nan=False)
    box: list[int] = Field(min_length=4, max_length=4)
    mask_area: int
    attempt: int
    seed: int
    severity: float
    noise_floor: int
    high: int


class ScoredRow(BaseModel):
    """The part of a metadata row that choosing needs."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")

    candidate: int
    band: list[float] = Field(min_length=2, max_length=2)
    candidates: list[_Candidate] = Field(min_length=1)
    normal_file_name: str
    normal_sha256: str
    file_name: str
    mask_file_name: str
    image_sha256: str

    @property
    def scores(self) -> list[float]:
        """Every candidate's distance."""
        return [candidate.score for candidate in self.candidates]

    @property
    def score(self) -> float:
        """The distance of the candidate that is chosen now."""
        return next((each.score for each in self.candidates if each.candidate == self.candidate), float("nan"))

    def choice(self, band: tuple[float, float]) -> int:
        """Return the place in ``candidates`` of the one to choose."""
        return nearest_to_band(self.scores, band)


def scored_row(entry: ManifestEntry) -> ScoredRow:
    """Return a finished pair's row as far as choosing needs it.

    Raises:
        ImageError: If it has no such row, as that of a run before candidates were kept.
    """
    try:
        return ScoredRow.model_validate(dict(entry.row or {}))
    except ValidationError as error:
        raise ImageError(
            f"expected a row with its candidates for pair {entry.stem}, got {explain(error, ScoredRow)}; "
            "it cannot be chosen anew"
        ) from error


@dataclass(frozen=True, slots=True)
class ChosenAgain:
    """What became of one pair.

    Attributes:
        entry: The manifest line to write; ``None`` if nothing was touched.
        message: Why not; empty if something was.
    """

    entry: ManifestEntry | None
    message: str = ""


@dataclass(frozen=True, slots=True)
class PhotographPairs:
    """The pairs of one photograph that are to be chosen anew.

    Attributes:
        entries: Their finished lines.
        outcomes: What became of each, once it went through.
        failure: What went wrong with all of them; what was written of them is not known.
    """

    entries: tuple[ManifestEntry, ...]
    outcomes: tuple[ChosenAgain, ...] = ()
    failure: Failure | None = field(default=None)

    @property
    def failed(self) -> bool:
        """Whether it went wrong as a whole."""
        return self.failure is not None

    def with_failure(self, stage: str, error: BaseException) -> Self:
        """Return these pairs as failed by ``error``."""
        return replace(self, failure=Failure(stage, type(error).__name__, one_line(error)))


class RechooseStage:
    """Writes the pairs of a photograph with the candidates that another band asks for.

    Args:
        layout: Where things lie.
        temporary: Folder for files on their way.
        band: Lowest and highest wanted distance.
        compress_level: That of the run.
    """

    name = "choose"
    resources = Resources()
    batch_size = 1

    def __init__(
        self, layout: OutputLayout, temporary: Path, *, band: tuple[float, float], compress_level: int
    ) -> None:
        self._layout = layout
        self._band = band
        self._files = PairFiles(layout, temporary, compress_level)

    def setup(self) -> None:
        """Nothing to load."""

    def fingerprint(self) -> Fingerprint:
        """Return the band."""
        return Fingerprint(self.name, "1", {"band": list(self._band)})

    def process(self, batch: Sequence[PhotographPairs]) -> list[PhotographPairs]:
        """Choose anew for each; a pair whose files do not allow it is left as it was."""
        return [replace(pairs, outcomes=self._outcomes(pairs)) for pairs in batch]

    def _outcomes(self, pairs: PhotographPairs) -> tuple[ChosenAgain, ...]:
        outcomes, photograph = [], None
        for entry in pairs.entries:
            try:
                row = scored_row(entry)
                if photograph is None:
                    photograph = self._photograph(entry, row)
                outcomes.append(ChosenAgain(self._choose(entry, row, photograph)))
            except ImageError as error:  # raised by what is read, before the first file is written
                outcomes.append(ChosenAgain(None, str(error)))
        return tuple(outcomes)

    def _choose(self, entry: ManifestEntry, row: ScoredRow, photograph: RGBImage) -> ManifestEntry:
        full_row = dict(entry.row or {})
        place = row.choice(self._band)
        chosen = row.candidates[place]
        fields = full_row | chosen_fields(chosen.model_dump()) | {"band": list(self._band)}
        box = Box(*chosen.box)
        try:
            candidate = self._stored(entry, row, place, photograph)
        except ImageError:
            if chosen.candidate != row.candidate:
                raise
            written = self._with_new_row(row, fields)  # the same picture: it is there already
        else:
            written = self._files.write_pair(photograph, fields, box, candidate.image, candidate.mask)
        unchanged = {name for name in entry.files if name not in (row.file_name, row.mask_file_name)}
        return replace(
            entry,
            row=written.row,
            files={**{name: entry.files[name] for name in unchanged}, **written.files},
            sizes={**{name: entry.sizes[name] for name in unchanged}, **written.sizes},
        )

    def _with_new_row(self, row: ScoredRow, fields: Mapping[str, object]) -> WrittenFiles:
        """Write the image and the mask that are there already with another row.

        Raises:
            ImageError: If they are not those that the row describes.
        """
        image = _decoded(self._layout.dataset / row.file_name)
        content = _read(self._layout.dataset / row.mask_file_name)
        mask = decode_png(content, what=row.mask_file_name, max_pixels=_MAX_PIXELS)[0] != 0
        for name, pixels, wanted in (
            (row.file_name, image, fields["image_sha256"]),
            (row.mask_file_name, mask, fields["mask_sha256"]),
        ):
            if pixel_sha256(pixels) != wanted:
                raise ImageError(f"expected the pixels that the row of {name} describes, got others; {_PAINT_AGAIN}")
        sorted_row = dict(sorted(fields.items()))
        return self._files.write(
            sorted_row, {row.file_name: self._files.encode(image, sorted_row), row.mask_file_name: content}
        )

    def _photograph(self, entry: ManifestEntry, row: ScoredRow) -> RGBImage:
        pixels = _decoded(self._layout.dataset / row.normal_file_name)
        if pixel_sha256(pixels) != row.normal_sha256:
            raise ImageError(
                f"expected the photograph that pair {entry.stem} was made of in {row.normal_file_name}, got another; "
                "run fmas validate"
            )
        return pixels

    def _stored(self, entry: ManifestEntry, row: ScoredRow, place: int, photograph: RGBImage) -> StoredCandidate:
        """Return a candidate as it was kept.

        Raises:
            ImageError: If it is not there, or not what was kept.
        """
        listed = row.candidates[place]
        name = self._layout.candidate(entry.stem, listed.candidate)
        if name not in entry.candidates:
            raise ImageError(
                f"expected candidate {listed.candidate} of pair {entry.stem}, which was not kept; {_PAINT_AGAIN}"
            )
        content = _read(self._layout.out / name)
        if hashlib.sha256(content).hexdigest() != entry.candidates[name]:
            raise ImageError(f"expected {name} as it was kept, got another content; {_PAINT_AGAIN}")
        box = Box(*listed.box)
        height, width = photograph.shape[:2]
        if not (0 <= box.left < box.right <= width and 0 <= box.top < box.bottom <= height):
            raise ImageError(f"expected a box inside the photograph for {name}, got {listed.box}; run fmas validate")
        return decode_candidate(content, box, what=name)


_PAINT_AGAIN = "restore it from a copy, or run the same fmas run with this --intensity to paint the pair again"


def _decoded(path: Path) -> RGBImage:
    pixels, mode, _ = decode_png(_read(path), what=str(path), max_pixels=_MAX_PIXELS)
    if mode != "RGB":
        raise ImageError(f"expected 8-bit RGB, got {mode} in {path}; run fmas validate")
    return pixels


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise ImageError(f"expected {path}, got nothing there; {_PAINT_AGAIN}") from error
    except OSError as error:
        raise ImageError(f"expected to read {path}, got {error.strerror or error}; check its permissions") from error
