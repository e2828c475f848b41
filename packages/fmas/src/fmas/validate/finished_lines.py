"""One finished line of the manifest after the other: its row, its files, its pixels."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from fmas.images import pixel_sha256
from fmas.layout import CONTROL_STEM
from fmas.manifest import ManifestEntry
from fmas.options import explain
from fmas.plan import StoredPlan
from fmas.validate.choice_rules import is_chosen_for_run
from fmas.validate.dataset_files import DatasetReader, Picture
from fmas.validate.kept_candidates import KeptCandidates
from fmas.validate.line_text import disagreement, row_line
from fmas.validate.pixels import broken_control_rules, broken_pixel_rules
from fmas.validate.problems import ProblemLog
from fmas.validate.remedies import FINISH_CHOICE, REMAKE, REPLACE_LINE, Remedy
from fmas.validate.row_rules import broken_row_rules
from fmas.validate.rows import ControlRow, HeldOutRow, Identity, PairRow, SourceRow
from fmas.validate.rules import Rule

__all__ = ["FinishedLines"]

_DEFAULT_MAX_PIXELS = 200_000_000
_TWIN_NAME = re.compile(r"train/good/\d{6,}\.png")


class FinishedLines:
    """Checks the finished lines of one category, with the pixels of one pair in memory at a time.

    Args:
        out: The output folder.
        category: The category's folder name.
        identity: The run's identity, or ``None`` if it cannot be read; then what follows from it is not checked.
        plan: The plan, or ``None`` alike.
        log: Told of every problem.
    """

    def __init__(
        self, out: Path, category: str, identity: Identity | None, plan: StoredPlan | None, log: ProblemLog
    ) -> None:
        max_pixels = identity.max_pixels if identity is not None else _DEFAULT_MAX_PIXELS
        self._reader = DatasetReader(out, category, max_pixels=max_pixels, log=log)
        self._category = category
        self._identity = identity
        self._plan = plan
        self._log = log
        self.kept_candidates = KeptCandidates(out, log)
        self._twin: tuple[tuple[str, str, int | None], Picture | None] | None = None

    def check(self, entry: ManifestEntry) -> tuple[str, ...]:
        """Check a finished line and everything that it names.

        Returns:
            The files that belong to it, relative to the category's folder.
        """
        row = self._row(entry)
        if row is None:
            return tuple(entry.files)
        if isinstance(row, PairRow) and self._identity is not None and not is_chosen_for_run(row, self._identity):
            message = f"expected a choice for the band {self._identity.select.band} of run.json, got one for {row.band}"
            self._report(Rule.CHOICE, row.file_name, message, FINISH_CHOICE)
        for rule, message in broken_row_rules(row, entry, self._category, self._identity, self._plan):
            self._report(rule, row.file_name, message, REPLACE_LINE)
        names = _expected_names(row, entry.stem, self._per_image)
        stated = _stated_names(row)
        if set(names) != set(entry.files) or names != stated:
            self._report(
                Rule.FILE_NAMES,
                names[0],
                f"expected manifest and row to name {', '.join(names)}, got {', '.join(sorted(entry.files))} and "
                f"{', '.join(stated)}",
                REPLACE_LINE,
            )
            return (*names, *entry.files)
        if isinstance(row, PairRow):
            self._check_pair(entry, row, names)
        elif isinstance(row, ControlRow):
            self._check_control(entry, row, names)
        else:
            image = self._reader.image(names[0], entry, with_text=True)
            if image is not None:
                self._check_image(row, names[0], image)
                self._check_text(entry, names[0], image)
        return names

    @property
    def _per_image(self) -> int | None:
        return self._identity.per_image if self._identity is not None else None

    def _row(self, entry: ManifestEntry) -> PairRow | HeldOutRow | ControlRow | None:
        content = entry.row or {}
        model: type[PairRow | HeldOutRow | ControlRow] = HeldOutRow if content.get("defect") == "good" else PairRow
        if entry.stem >= CONTROL_STEM:
            model = ControlRow
        try:
            row = model.model_validate(content)
        except ValidationError as error:
            name = content.get("file_name", entry.stem)
            message = f"expected the fields of a row, got {explain(error, model)}"
            self._report(Rule.ROW_FIELDS, str(name), message, REPLACE_LINE)
            return None
        return row

    def _check_pair(self, entry: ManifestEntry, row: PairRow, names: tuple[str, ...]) -> None:
        image_name, mask_name, twin_name = names
        image = self._reader.image(image_name, entry, with_text=True)
        mask = self._reader.mask(mask_name, entry)
        twin = self._read_twin(twin_name, entry)
        if image is not None:
            self._check_image(row, image_name, image)
            self._check_text(entry, image_name, image)
        if mask is not None:
            self._check_mask(row, mask_name, mask.pixels != 0)
        if twin is not None:
            self._check_pixels(twin_name, "normal_sha256", row.normal_sha256, twin.pixels)
        if image is None or mask is None or twin is None:
            return
        sizes = {picture.pixels.shape[:2] for picture in (image, mask, twin)}
        if len(sizes) != 1:
            shown = ", ".join(
                f"{picture.pixels.shape[1]} x {picture.pixels.shape[0]} ({name})"
                for picture, name in ((image, "image"), (mask, "mask"), (twin, "twin"))
            )
            self._report(Rule.SIZE, image_name, f"expected image, mask and twin of one size, got {shown}")
            return
        for rule, message in broken_pixel_rules(twin.pixels, image.pixels, mask.pixels != 0, high=row.high_threshold):
            self._report(rule, image_name, message)
        self.kept_candidates.check(entry, row, twin.pixels, image.pixels, mask.pixels != 0)

    def _check_control(self, entry: ManifestEntry, row: ControlRow, names: tuple[str, ...]) -> None:
        image, twin = self._reader.image(names[0], entry), self._read_twin(names[1], entry)
        if image is not None:
            self._check_image(row, names[0], image)
        if twin is not None:
            self._check_pixels(names[1], "normal_sha256", row.normal_sha256, twin.pixels)
        if image is None or twin is None:
            return
        for rule, message in broken_control_rules(twin.pixels, image.pixels, row.region_box, row.mask_area):
            self._report(rule, names[0], message)

    def _read_twin(self, name: str, entry: ManifestEntry) -> Picture | None:
        """Return the twin; the pairs of one photograph follow each other and share it."""
        record = (name, entry.files[name], entry.sizes.get(name))
        if self._twin is None or self._twin[0] != record:
            self._twin = None  # let go of the old pixels before the new ones are read
            self._twin = (record, self._reader.image(name, entry))
        return self._twin[1]

    def _check_image(self, row: SourceRow, name: str, image: Picture) -> None:
        height, width = image.pixels.shape[:2]
        if (width, height) != (row.width, row.height):
            message = f"expected {row.width} x {row.height} as the row says, got {width} x {height}"
            self._report(Rule.SIZE, name, message)
        self._check_pixels(name, "image_sha256", row.image_sha256, image.pixels)

    def _check_text(self, entry: ManifestEntry, name: str, image: Picture) -> None:
        row, text = entry.row or {}, image.texts.get("fmas")
        others = sorted(keyword for keyword in image.texts if keyword != "fmas")
        if text is None:
            self._report(Rule.PNG_TEXT, name, "expected an iTXt chunk 'fmas', got none")
        elif text != row_line(row):
            wanted, found = disagreement(row, text, show=self._log.shown)
            self._report(Rule.PNG_TEXT, name, f"expected {wanted} in the iTXt chunk 'fmas' as in the row, got {found}")
        if others:
            self._report(Rule.PNG_TEXT, name, f"expected the iTXt chunk 'fmas' alone, got {', '.join(others)} as well")

    def _check_mask(self, row: PairRow, name: str, mask: NDArray[np.bool_]) -> None:
        area = int(np.count_nonzero(mask))
        if area != row.mask_area:
            self._report(Rule.MASK_AREA, name, f"expected {row.mask_area} pixels as the row says, got {area}")
        self._check_pixels(name, "mask_sha256", row.mask_sha256, mask)
        left, top, right, bottom = row.region_box
        inside = int(np.count_nonzero(mask[top:bottom, left:right]))
        if inside != area or area > row.region_area:
            self._report(
                Rule.MASK_REGION,
                name,
                f"expected a mask within the {row.region_area} pixels of the region {row.region_box}, got {area}, "
                f"{area - inside} of them outside",
            )

    def _check_pixels(self, name: str, field: str, expected: str, pixels: NDArray[Any]) -> None:
        actual = pixel_sha256(pixels)
        if actual != expected:
            self._report(
                Rule.PIXEL_SHA256,
                name,
                f"expected pixels with the {field} {expected[:12]}… of the row, got {actual[:12]}…",
            )

    def _report(self, rule: Rule, name: str, message: str, remedy: Remedy = REMAKE) -> None:
        self._reader.report(rule, name, message, remedy)


def _stated_names(row: PairRow | HeldOutRow | ControlRow) -> tuple[str, ...]:
    if isinstance(row, PairRow):
        return row.file_name, row.mask_file_name, row.normal_file_name
    return (row.file_name, row.normal_file_name) if isinstance(row, ControlRow) else (row.file_name,)


def _expected_names(row: PairRow | HeldOutRow | ControlRow, stem: int, per_image: int | None) -> tuple[str, ...]:
    """Return the files that a finished line must name, relative to the category's folder.

    Args:
        row: Its row.
        stem: Its stem.
        per_image: How many stems each photograph has; if unknown, the row's word for its twin is taken.

    Returns:
        Image, mask and twin; the image alone if it is held out; a control and its twin.
    """
    if isinstance(row, ControlRow):
        return (f"train/good/{stem:06d}.png", f"train/good/{stem - CONTROL_STEM:06d}.png")
    if isinstance(row, HeldOutRow):
        return (f"test/good/{stem:06d}.png",)
    if per_image is None and _TWIN_NAME.fullmatch(row.normal_file_name):
        twin = row.normal_file_name
    else:
        twin = f"train/good/{stem // (per_image or 1):06d}.png"
    return (f"test/{row.defect}/{stem:06d}.png", f"ground_truth/{row.defect}/{stem:06d}_mask.png", twin)
