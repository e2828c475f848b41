"""The files that follow from the manifest: ``metadata.jsonl``, the data set card, ``failures.jsonl``, ``run.json``.

They are rewritten at the end of every run, also of an interrupted one. What lies below ``dataset`` depends on the
finished pairs alone: no time, no host, no absolute path, so that the same pairs give the same bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from fmas.errors import OutputError
from fmas.layout import OutputLayout
from fmas.manifest import ManifestEntry, ManifestIndex
from fmas.output import OpenOutput, read_run_file
from fmas.pair_files import row_text
from fmas.refill import dropped_pictures
from fmas.usage import read_usage
from fmas.versions import library_versions

__all__ = ["DatasetCounts", "write_derived_files"]


@dataclass(slots=True)
class DatasetCounts:
    """What a data set holds.

    Attributes:
        pairs: Finished pairs.
        held_out: Good photographs in ``test/good``.
        controls: Negative controls in ``train/good``.
        failed: Pairs that could not be made.
        defects: Defect folder -> finished pairs.
        rejects: Reason -> rejected candidates, of finished and failed pairs.
        failures: Reason -> failed pairs.
    """

    pairs: int = 0
    held_out: int = 0
    controls: int = 0
    failed: int = 0
    defects: Counter[str] = field(default_factory=Counter)
    rejects: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)

    def add(self, entry: ManifestEntry) -> None:
        """Count one manifest line."""
        self.rejects.update(str(rejection["reason"]) for rejection in entry.rejections)
        if entry.failure is not None:
            self.failed += 1
            self.failures[entry.failure["reason"]] += 1
        elif entry.row is not None and entry.row.get("control"):
            self.controls += 1
        elif entry.row is not None and entry.row["defect"] == "good":
            self.held_out += 1
        elif entry.row is not None:
            self.pairs += 1
            self.defects[str(entry.row["defect"])] += 1

    def to_json(self) -> dict[str, object]:
        """Return the counts as JSON values, sorted."""
        return {
            "pairs": self.pairs,
            "held_out": self.held_out,
            "controls": self.controls,
            "failed": self.failed,
            "defects": dict(sorted(self.defects.items())),
            "rejects": dict(sorted(self.rejects.items())),
            "failures": dict(sorted(self.failures.items())),
        }


def write_derived_files(output: OpenOutput) -> DatasetCounts:
    """Rewrite every derived file from the manifests of all shards.

    Raises:
        OutputError: If a file cannot be written.
    """
    with output.exclusive():
        # Read inside the lock: the shard that gets it last sees the lines of all that finished before.
        index = ManifestIndex(output.layout.manifest)
        counts = DatasetCounts()
        for entry in index.entries():
            counts.add(entry)
        writer = output.writer
        with writer.stream(output.layout.failures) as file:
            file.writelines(_failure_line(entry) for entry in index.entries() if entry.failure is not None)
        first = _representative_row(index)
        if first is not None:
            digest = hashlib.sha256()
            with writer.stream(output.layout.metadata) as file:
                for row in (entry.row for entry in index.entries() if entry.row is not None):
                    line = row_text(row).encode() + b"\n"
                    digest.update(line)
                    file.write(line)
            writer.write_text(output.layout.card, _card(output.layout, counts, first, digest.hexdigest()))
        run = read_run_file(output.layout)
        if run is None:
            raise OutputError(f"expected {output.layout.run}, which is gone; run the same command again")
        dropped = {"dropped_and_still_there": dropped_pictures(output.layout)}
        run |= {"counts": counts.to_json(), "review": dropped, "usage": read_usage(output.layout)}
        run |= {"libraries": library_versions()}
        writer.write_text(output.layout.run, json.dumps(run, indent=2, ensure_ascii=False) + "\n")
    return counts


def _representative_row(index: ManifestIndex) -> Mapping[str, object] | None:
    """Return the first row that names its components, else the first row: a held-out photograph has no components."""
    held_out = None
    for entry in index.entries():
        if entry.row is not None and "components" in entry.row:
            return entry.row
        held_out = held_out or entry.row
    return held_out


def _failure_line(entry: ManifestEntry) -> bytes:
    failure = dict(entry.failure or {})
    content = {"stem": entry.stem, "source": entry.source, **failure, "rejections": list(entry.rejections)}
    return json.dumps(content, ensure_ascii=False).encode() + b"\n"


def _card(layout: OutputLayout, counts: DatasetCounts, first: Mapping[str, object], digest: str) -> str:
    """Return the data set card; its front matter tells Hugging Face where the rows are."""
    components = first.get("components") or {}
    table = "\n".join(f"| `{name}` | {number} |" for name, number in sorted(counts.defects.items()))
    made_by = "\n".join(
        f"- {kind}: `{component['name']}` {component['version']}"
        for kind, component in sorted(components.items() if isinstance(components, dict) else [])
    )
    return _CARD.format(
        category=layout.category,
        object=" ".join(str(first["object"]).split()).replace('"', "'"),
        pairs=counts.pairs,
        held_out=counts.held_out,
        table=table,
        made_by=made_by,
        version=first["fmas_version"],
        digest=digest,
        control_feature="\n  - {name: control, dtype: bool}" if counts.controls else "",
        controls=_CONTROLS.format(controls=counts.controls) if counts.controls else "",
    )


_CONTROLS = """\
- `train/good/1NNNNNN.png`: {controls} negative controls: intact surface, painted in the place and shape of a defect by
  the same inpainter, so that a detector cannot take its traces for a defect. Their rows say `control: true`.
"""


# The columns are named because Hugging Face infers them from the first 10 MB of metadata.jsonl alone: a list that is
# always empty there, such as `rejections`, would break on the first value after. They must be all keys of a row,
# without YAML anchors: the loader consumes what it reads. `image` comes first: the first image column gets `file_name`.
# The digest tells two runs of one category apart: Hugging Face caches under the folder's name and the front matter.
_CARD = """\
---
pretty_name: "Synthetic defects: {category}"
task_categories:
- image-segmentation
tags:
- anomaly-detection
- industrial-inspection
- synthetic
configs:
- config_name: default
  description: "sha256 of metadata.jsonl: {digest}"
  data_files:
  - split: test
    path:
    - metadata.jsonl
    - test/**
    - ground_truth/**
    - train/**
  features:
  - {{name: image, dtype: image}}
  - {{name: mask, dtype: image}}
  - {{name: normal, dtype: image}}
  - {{name: category, dtype: string}}
  - {{name: object, dtype: string}}
  - {{name: defect, dtype: string}}{control_feature}
  - {{name: defect_name, dtype: string}}
  - {{name: kind, dtype: string}}
  - {{name: severity, dtype: float64}}
  - {{name: planned_severity, dtype: float64}}
  - {{name: prompt, dtype: string}}
  - {{name: negative_prompt, dtype: string}}
  - {{name: width, dtype: int64}}
  - {{name: height, dtype: int64}}
  - {{name: mask_area, dtype: int64}}
  - {{name: stem, dtype: int64}}
  - {{name: pair, dtype: int64}}
  - {{name: generation, dtype: int64}}
  - {{name: seed, dtype: int64}}
  - {{name: candidate, dtype: int64}}
  - {{name: attempt, dtype: int64}}
  - {{name: score, dtype: float64}}
  - {{name: band, list: float64}}
  - name: candidates
    list:
    - {{name: candidate, dtype: int64}}
    - {{name: attempt, dtype: int64}}
    - {{name: seed, dtype: int64}}
    - {{name: severity, dtype: float64}}
    - {{name: score, dtype: float64}}
    - {{name: box, list: int64}}
    - {{name: mask_area, dtype: int64}}
    - {{name: noise_floor, dtype: int64}}
    - {{name: high, dtype: int64}}
  - name: rejections
    list:
    - {{name: candidate, dtype: int64}}
    - {{name: attempt, dtype: int64}}
    - {{name: seed, dtype: int64}}
    - {{name: reason, dtype: string}}
  - {{name: noise_floor, dtype: int64}}
  - {{name: high_threshold, dtype: int64}}
  - {{name: region_shape, dtype: string}}
  - {{name: region_box, list: int64}}
  - {{name: region_area, dtype: int64}}
  - {{name: foreground_kind, dtype: string}}
  - {{name: foreground_confidence, dtype: float64}}
  - {{name: foreground_area, dtype: int64}}
  - name: components
    struct:
    - name: llm
      struct: [{{name: name, dtype: string}}, {{name: version, dtype: string}}, {{name: digest, dtype: string}}]
    - name: segmenter
      struct: [{{name: name, dtype: string}}, {{name: version, dtype: string}}, {{name: digest, dtype: string}}]
    - name: inpainter
      struct: [{{name: name, dtype: string}}, {{name: version, dtype: string}}, {{name: digest, dtype: string}}]
    - name: selector
      struct: [{{name: name, dtype: string}}, {{name: version, dtype: string}}, {{name: digest, dtype: string}}]
  - {{name: source, dtype: string}}
  - {{name: source_sha256, dtype: string}}
  - {{name: image_sha256, dtype: string}}
  - {{name: mask_sha256, dtype: string}}
  - {{name: normal_sha256, dtype: string}}
  - {{name: fmas_version, dtype: string}}
---

# Synthetic defects: {category}

{pairs} pairs of a photograph of a good part ({object}) and the same photograph with one synthetic defect, each with a
pixel mask. Held-out good photographs: {held_out}.

**The defects are not real.** They were painted into photographs of good parts by the components below. Use them to
train or to debug a detector; measure it on real defects.

| defect | pairs |
|---|---|
{table}

## Layout

- `train/good/NNNNNN.png`: the photographs, decoded to 8-bit RGB, EXIF rotation applied.
- `test/<defect>/NNNNNN.png`: the same with a defect. Outside the mask every pixel is that of its `train/good` twin.
{controls}- `ground_truth/<defect>/NNNNNN_mask.png`: 255 where the defect changed the picture, 0 elsewhere.
- `metadata.jsonl`: one row per image of `test/`, with its twin, mask, prompt, seed and scores; the same row is in the
  image's iTXt chunk `fmas`.

The mask is computed from the difference between the two pictures, not copied from the region that was painted in. A
texture that was painted anew counts as changed.

## Made by

fmas {version}

{made_by}
"""
