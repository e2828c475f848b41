"""Where everything lies in ``OUT``: the one place that knows names and folders.

::

    OUT/  config.resolved.yaml  plan.json  run.json  failures.jsonl  decisions.jsonl  usage.jsonl  report.html
          manifest/  candidates/  cache/  .tmp/
    OUT/dataset/<category>/  README.md  metadata.jsonl
        train/good/000000.png  test/<defect>/000000.png  ground_truth/<defect>/000000_mask.png
        test/good/000000.png   (only with --holdout-good)
        train/good/1000000.png (only with --controls)

Only PNG below ``train``, ``test`` and ``ground_truth``: loaders of this layout take every file they find.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

__all__ = ["CONTROL_STEM", "DEFECT_FOLDER", "STEM", "OutputLayout", "image_stem"]

STEM = re.compile(r"\d{6,}")
DEFECT_FOLDER = re.compile(r"(?!good$)[a-z0-9_]+")

CONTROL_STEM = 1_000_000
"""The number of the first photograph's negative control. Pairs and twins stay below: a data set has no more of them."""


def image_stem(number: int) -> str:
    """Return a number as file names carry it, ``%06d``."""
    return f"{number:06d}"


@dataclass(frozen=True, slots=True)
class OutputLayout:
    """The paths of one output folder.

    Attributes:
        out: The folder.
        category: The category's folder name.
    """

    out: Path
    category: str

    @property
    def config(self) -> Path:
        """The configuration after all layers."""
        return self.out / "config.resolved.yaml"

    @property
    def plan(self) -> Path:
        """What the LLM answered."""
        return self.out / "plan.json"

    @property
    def run(self) -> Path:
        """The run's identity, versions and counts."""
        return self.out / "run.json"

    @property
    def failures(self) -> Path:
        """What could not be made, one line each."""
        return self.out / "failures.jsonl"

    @property
    def decisions(self) -> Path:
        """What reviewers decided, one line each."""
        return self.out / "decisions.jsonl"

    @property
    def usage(self) -> Path:
        """What services were asked and what it cost, one line each time."""
        return self.out / "usage.jsonl"

    @property
    def cache(self) -> Path:
        """What was paid for and would be asked again in the same words: answers of a live LLM."""
        return self.out / "cache"

    @property
    def candidates(self) -> Path:
        """Every accepted candidate, one folder per pair; ``fmas select`` chooses from them."""
        return self.out / "candidates"

    @property
    def manifest(self) -> Path:
        """What was done, one file per shard, one line per pair."""
        return self.out / "manifest"

    @property
    def temporary(self) -> Path:
        """Files on their way, and locks; the only place for them."""
        return self.out / ".tmp"

    @property
    def report(self) -> Path:
        """The page to look at."""
        return self.out / "report.html"

    @property
    def dataset(self) -> Path:
        """The category's folder, the root that loaders are given."""
        return self.out / "dataset" / self.category

    @property
    def card(self) -> Path:
        """The data set card."""
        return self.dataset / "README.md"

    @property
    def metadata(self) -> Path:
        """One row per image."""
        return self.dataset / "metadata.jsonl"

    # Below: POSIX paths as rows and manifest lines hold them; candidates relative to `out`, all else to `dataset`.

    def candidate(self, stem: int, candidate: int) -> str:
        """Return where a candidate lies."""
        return f"candidates/{image_stem(stem)}/{candidate}.png"

    def normal(self, source_index: int) -> str:
        """Return where the good twin of a source lies."""
        return f"train/good/{image_stem(source_index)}.png"

    def control(self, source_index: int) -> str:
        """Return where the negative control of a source lies."""
        return f"train/good/{image_stem(CONTROL_STEM + source_index)}.png"

    def held_out(self, stem: int) -> str:
        """Return where a held-out good photograph lies."""
        return f"test/good/{image_stem(stem)}.png"

    def synthetic(self, defect: str, stem: int) -> str:
        """Return where a defective image lies."""
        return f"test/{defect}/{image_stem(stem)}.png"

    def mask(self, defect: str, stem: int) -> str:
        """Return where its mask lies."""
        return f"ground_truth/{defect}/{image_stem(stem)}_mask.png"
