"""Stage 6: write the good twin, the defective image and its mask; the manifest line follows when all three lie."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from fmas import __version__
from fmas.config import WriteConfig
from fmas.files import AtomicWriter
from fmas.images import encode_png, pixel_sha256
from fmas.samples import Candidate, Pair, Sample
from fmas.stages import Resources
from fmas.types import BoolMask, Fingerprint, RGBImage

if TYPE_CHECKING:
    from pathlib import Path

    from fmas.layout import OutputLayout

__all__ = ["PNG_TEXT_KEY", "WriteStage", "rejection_rows", "row_text"]

PNG_TEXT_KEY = "fmas"
"""The iTXt keyword under which every image below ``test`` carries its metadata row as JSON."""


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

    def setup(self) -> None:
        """Nothing to load."""

    def fingerprint(self) -> Fingerprint:
        """Return the file options."""
        return Fingerprint(self.name, "1", self._config.model_dump(mode="json"))

    def process(self, batch: Sequence[Sample]) -> list[Sample]:
        """Write each sample's pairs and drop its pixels."""
        return [self._write_sample(sample).without_pixels() for sample in batch]

    def _write_sample(self, sample: Sample) -> Sample:
        if sample.image is None:
            return sample
        writer = AtomicWriter(self._temporary)
        if sample.held_out:
            return replace(sample, pairs=tuple(self._write_held_out(writer, sample, pair) for pair in sample.pairs))
        if not any(pair.chosen for pair in sample.active):
            return sample
        twin = self._layout.normal(sample.source.index)
        twin_digest, twin_size = self._write_png(writer, twin, sample.image)
        normal_sha256 = pixel_sha256(sample.image)
        for pair in sample.active:
            if pair.chosen is not None:
                row = self._row(sample, pair) | {"normal_file_name": twin, "normal_sha256": normal_sha256}
                written = self._write_pair(writer, sample.image, pair, row)
                written = replace(
                    written, files={**written.files, twin: twin_digest}, sizes={**written.sizes, twin: twin_size}
                )
                sample = sample.with_pair(written)
        return sample

    def _write_pair(self, writer: AtomicWriter, photograph: RGBImage, pair: Pair, row: dict[str, object]) -> Pair:
        chosen = _chosen(pair)
        image = photograph.copy()
        image[chosen.box.slices] = chosen.image
        mask = np.zeros(photograph.shape[:2], dtype=np.bool_)
        mask[chosen.box.slices] = chosen.mask
        image_name = self._layout.synthetic(pair.defect_slug, pair.stem)
        mask_name = self._layout.mask(pair.defect_slug, pair.stem)
        row |= {
            "file_name": image_name,
            "mask_file_name": mask_name,
            "mask_area": int(np.count_nonzero(mask)),
            "image_sha256": pixel_sha256(image),
            "mask_sha256": pixel_sha256(mask),
        }
        row = dict(sorted(row.items()))
        image_digest, image_size = self._write_png(writer, image_name, image, text={PNG_TEXT_KEY: row_text(row)})
        mask_digest, mask_size = self._write_png(writer, mask_name, mask)
        files = {image_name: image_digest, mask_name: mask_digest}
        return replace(pair, files=files, sizes={image_name: image_size, mask_name: mask_size}, row=row)

    def _write_held_out(self, writer: AtomicWriter, sample: Sample, pair: Pair) -> Pair:
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
        digest, size = self._write_png(writer, name, sample.image, text={PNG_TEXT_KEY: row_text(row)})
        return replace(pair, files={name: digest}, sizes={name: size}, row=dict(sorted(row.items())))

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

    def _row(self, sample: Sample, pair: Pair) -> dict[str, object]:
        defect, region, foreground, chosen = pair.defect, pair.region, sample.foreground, _chosen(pair)
        if defect is None or region is None or foreground is None:
            raise ValueError(f"expected a placed pair, got pair {pair.stem} without defect, region or foreground")
        candidates = [
            {"candidate": other.index, "attempt": other.attempt, "seed": other.seed, "score": other.score}
            for other in pair.candidates
        ]
        return self._source_row(sample) | {
            "stem": pair.stem,
            "pair": pair.index,
            "generation": pair.generation,
            "defect": pair.defect_slug,
            "defect_name": defect.name,
            "kind": defect.kind.value,
            "severity": defect.severity,
            "prompt": defect.prompt,
            "negative_prompt": defect.negative_prompt,
            "seed": chosen.seed,
            "candidate": chosen.index,
            "attempt": chosen.attempt,
            "score": chosen.score,
            "band": list(self._band),
            "candidates": candidates,
            "rejections": rejection_rows(pair),
            "noise_floor": chosen.noise_floor,
            "high_threshold": chosen.high,
            "region_shape": region.shape,
            "region_box": [region.box.left, region.box.top, region.box.right, region.box.bottom],
            "region_area": int(np.count_nonzero(region.mask)),
            "foreground_kind": foreground.kind,
            "foreground_confidence": round(float(foreground.confidence), 6),
            "foreground_area": int(np.count_nonzero(foreground.mask)),
            "components": {kind: dict(component) for kind, component in self._components.items()},
        }

    def _write_png(
        self, writer: AtomicWriter, name: str, pixels: RGBImage | BoolMask, text: Mapping[str, str] | None = None
    ) -> tuple[str, int]:
        """Write a PNG and return its SHA-256 and size in bytes."""
        content = encode_png(pixels, text=text, compress_level=self._config.compress_level)
        writer.write(self._layout.dataset / name, content)
        return hashlib.sha256(content).hexdigest(), len(content)


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


def row_text(row: Mapping[str, object]) -> str:
    """Return a metadata row as one line of JSON, the same in ``metadata.jsonl`` and in the image."""
    return json.dumps(row, ensure_ascii=False, allow_nan=False, sort_keys=True)
