"""Stage 6: write the good twin, the defective image and its mask; the manifest line follows when all three lie."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from fmas import __version__
from fmas.candidates import candidate_row, chosen_fields, encode_candidate
from fmas.config import WriteConfig
from fmas.controls import intact_surface
from fmas.files import AtomicWriter
from fmas.images import encode_png, pixel_sha256
from fmas.pair_files import PairFiles
from fmas.samples import Candidate, Pair, Sample
from fmas.stages import Resources
from fmas.types import Fingerprint, RGBImage

if TYPE_CHECKING:
    from pathlib import Path

    from fmas.layout import OutputLayout

__all__ = ["WriteStage", "rejection_rows"]


class WriteStage:
    """Writes finished pairs.

    Args:
        layout: Where things lie.
        temporary: Folder for files on their way.
        config: Compression.
        object_name: The product in words.
        components: Kind -> name, version and digest, as rows hold them.
        band: The intensity band, as rows hold it.
    """

    name = "write"
    resources = Resources()
    batch_size = 1

    def __init__(
        self,
        layout: OutputLayout,
        temporary: Path,
        config: WriteConfig,
        *,
        object_name: str,
        components: Mapping[str, Mapping[str, str]],
        band: tuple[float, float],
    ) -> None:
        self._layout = layout
        self._temporary = temporary
        self._config = config
        self._object = object_name
        self._components = components
        self._band = band
        self._files = PairFiles(layout, temporary, config.compress_level)

    def setup(self) -> None:
        """Nothing to load."""

    def fingerprint(self) -> Fingerprint:
        """Return the file options."""
        return Fingerprint(self.name, "1", self._config.identity())

    def process(self, batch: Sequence[Sample]) -> list[Sample]:
        """Write each sample's pairs and drop its pixels."""
        return [self._write_sample(sample).without_pixels() for sample in batch]

    def _write_sample(self, sample: Sample) -> Sample:
        if sample.image is None:
            return sample
        if sample.held_out:
            return replace(sample, pairs=tuple(self._write_held_out(sample, pair) for pair in sample.pairs))
        if not any(pair.chosen for pair in sample.active):
            return sample
        twin = self._layout.normal(sample.source.index)
        content = encode_png(sample.image, compress_level=self._config.compress_level)
        AtomicWriter(self._temporary).write(self._layout.dataset / twin, content)
        digest, size = hashlib.sha256(content).hexdigest(), len(content)
        normal_sha256 = pixel_sha256(sample.image)
        for pair in sample.active:
            if pair.chosen is not None:
                row = self._control_row(sample, pair) if pair.control else self._row(sample, pair)
                row |= {"normal_file_name": twin, "normal_sha256": normal_sha256}
                write = self._write_control if pair.control else self._write_pair
                written = write(sample.image, pair, row)
                written = replace(written, files={**written.files, twin: digest}, sizes={**written.sizes, twin: size})
                sample = sample.with_pair(written)
        return sample

    def _write_pair(self, photograph: RGBImage, pair: Pair, row: Mapping[str, object]) -> Pair:
        kept = self._keep_candidates(pair)  # first: when the manifest line is written, all that it names is there
        chosen = _chosen(pair)
        written = self._files.write_pair(photograph, row, chosen.box, chosen.image, chosen.mask)
        return replace(pair, files=written.files, sizes=written.sizes, row=written.row, kept=kept)

    def _write_control(self, photograph: RGBImage, pair: Pair, row: Mapping[str, object]) -> Pair:
        """Write a control as a normal image, without text, because none below ``train`` has any."""
        chosen, composite = _chosen(pair), photograph.copy()
        composite[chosen.box.slices][chosen.mask] = chosen.image[chosen.mask]
        row = dict(sorted({**row, "image_sha256": pixel_sha256(composite)}.items()))
        content = encode_png(composite, compress_level=self._config.compress_level)
        written = self._files.write(row, {str(row["file_name"]): content})
        return replace(pair, files=written.files, sizes=written.sizes, row=written.row)

    def _keep_candidates(self, pair: Pair) -> dict[str, str]:
        """Write every accepted candidate, if that is wanted, and return path relative to ``OUT`` -> SHA-256."""
        if not self._config.keep_candidates:
            return {}
        kept, writer = {}, AtomicWriter(self._temporary)
        for candidate in pair.candidates:
            content = encode_candidate(candidate, compress_level=self._config.compress_level)
            name = self._layout.candidate(pair.stem, candidate.index)
            writer.write(self._layout.out / name, content)
            kept[name] = hashlib.sha256(content).hexdigest()
        return kept

    def _write_held_out(self, sample: Sample, pair: Pair) -> Pair:
        if sample.image is None:
            return pair
        name = self._layout.held_out(pair.stem)
        row = self._source_row(sample) | {
            "stem": pair.stem,
            "file_name": name,
            "mask_file_name": None,
            "normal_file_name": None,
            "defect": "good",
            "image_sha256": pixel_sha256(sample.image),
        }
        row = dict(sorted(row.items()))
        written = self._files.write(row, {name: self._files.encode(sample.image, row)})
        return replace(pair, files=written.files, sizes=written.sizes, row=written.row)

    def _source_row(self, sample: Sample) -> dict[str, object]:
        height, width = sample.image.shape[:2] if sample.image is not None else (0, 0)
        return {
            "category": self._layout.category,
            "object": self._object,
            "source": sample.source.relative,
            "source_sha256": sample.source_sha256,
            "width": width,
            "height": height,
            "fmas_version": __version__,
        }

    def _control_row(self, sample: Sample, pair: Pair) -> dict[str, object]:
        chosen = _chosen(pair)
        if pair.defect is None:
            raise ValueError(f"expected a control in the place of a defect, got control {pair.stem} without one")
        surface = intact_surface(pair.defect, self._object)
        return self._placed_row(sample, pair) | {
            "control": True,
            "file_name": self._layout.control(sample.source.index),
            "mask_file_name": None,
            "defect": "good",
            "prompt": surface.prompt,
            "negative_prompt": surface.negative_prompt,
            "seed": chosen.seed,
            "candidate": chosen.index,
            "attempt": chosen.attempt,
            "score": chosen.score,
            "mask_area": int(np.count_nonzero(chosen.mask)),
        }

    def _row(self, sample: Sample, pair: Pair) -> dict[str, object]:
        defect, chosen = pair.defect, _chosen(pair)
        if defect is None:
            raise ValueError(f"expected a placed pair, got pair {pair.stem} without a defect")
        return self._placed_row(sample, pair) | {
            "pair": pair.index,
            "generation": pair.generation,
            "defect": pair.defect_slug,
            "defect_name": defect.name,
            "kind": defect.kind.value,
            "planned_severity": defect.severity,
            "prompt": defect.prompt,
            "negative_prompt": defect.negative_prompt,
            **chosen_fields(candidate_row(chosen)),
            "band": list(self._band),
            "candidates": [candidate_row(candidate) for candidate in pair.candidates],
        }

    def _placed_row(self, sample: Sample, pair: Pair) -> dict[str, object]:
        """Return what the rows of pairs and of controls share."""
        region, foreground = pair.region, sample.foreground
        if region is None or foreground is None:
            raise ValueError(f"expected a placed pair, got pair {pair.stem} without region or foreground")
        return self._source_row(sample) | {
            "stem": pair.stem,
            "rejections": rejection_rows(pair),
            "region_shape": region.shape,
            "region_box": [region.box.left, region.box.top, region.box.right, region.box.bottom],
            "region_area": int(np.count_nonzero(region.mask)),
            "foreground_kind": foreground.kind,
            "foreground_confidence": round(float(foreground.confidence), 6),
            "foreground_area": int(np.count_nonzero(foreground.mask)),
            "components": {kind: dict(component) for kind, component in self._components.items()},
        }


def _chosen(pair: Pair) -> Candidate:
    if pair.chosen is None:
        raise ValueError(f"expected a pair with a chosen candidate, got pair {pair.stem} without one")
    return pair.chosen


def rejection_rows(pair: Pair) -> list[dict[str, object]]:
    """Return a pair's rejections as rows and manifest lines hold them."""
    return [
        {"candidate": item.candidate, "attempt": item.attempt, "seed": item.seed, "reason": item.reason.value}
        for item in pair.rejections
    ]
