"""The rules that ``fmas validate`` checks: a short name, which scripts may rely on, and one sentence each."""

from __future__ import annotations

from enum import StrEnum
from typing import Self

__all__ = ["Rule"]


class Rule(StrEnum):
    """One rule; its value is its name, :attr:`description` says what must hold.

    Attributes:
        description: One sentence without a full stop.
    """

    description: str

    def __new__(cls, slug: str, description: str) -> Self:
        """Make a member that equals its slug."""
        member = str.__new__(cls, slug)
        member._value_ = slug
        member.description = description
        return member

    # The run.
    RUN_FILE = "run-file", "run.json is there, complete, and its digest is that of the identity it states"
    CONFIG = "config", "config.resolved.yaml is a usable configuration and agrees with run.json"
    PLAN = "plan", "plan.json is a usable plan, and the one that run.json names"
    MANIFEST = "manifest", "Every line of every manifest file is a whole, well-formed line"
    FINISHED = "finished", "At least one pair or held-out photograph is finished"
    MANIFEST_SOURCE = "manifest-source", "Every stem belongs to its source: sources are numbered in sorted order"
    COUNTS = "counts", "The counts in run.json are those of the manifest"
    USAGE = "usage", "usage in run.json is the sum of the lines of usage.jsonl"
    FAILURES = "failures", "failures.jsonl lists exactly the failed lines of the manifest, by stem"
    DECISIONS = "decisions", "Every line of decisions.jsonl, where there is one, is a reviewer's decision"
    METADATA = "metadata", "metadata.jsonl holds exactly the rows of the finished lines, by stem, each once"
    CARD = "card", "README.md names the data files and the SHA-256 of metadata.jsonl in its front matter"
    SECRET = "secret", "No value of a *_API_KEY, *_TOKEN or *_SECRET environment variable stands in a text file"

    # The tree below OUT/dataset.
    CATEGORY_FOLDER = "category-folder", "dataset holds exactly the run's category folder and nothing else"
    TOP_LEVEL = "top-level", "The category folder holds README.md, metadata.jsonl, train, test, ground_truth only"
    ONLY_PNG = "only-png", "Every file below train, test and ground_truth is a .png"
    TRAIN_GOOD_ONLY = "train-good-only", "train holds the folder good and nothing else: never train/<defect>"
    DEFECT_FOLDER = "defect-folder", "Folders of test and ground_truth match [a-z0-9_]+; good is for test only"
    FOLDERS = "folders", "No folder is empty or nested deeper than its kind, and every one can be read"
    STEM = "stem", "File names are NNNNNN.png, masks NNNNNN_mask.png, with at least six digits"
    STEM_UNIQUE = "stem-unique", "A stem occurs once below test"
    CASE_COLLISION = "case-collision", "No two paths differ only in the case of letters"
    SYMLINK = "symlink", "No symbolic link lies below dataset"
    EXTRA_FILE = "extra-file", "Every image file is one that the manifest names"

    # The files of one finished line.
    MISSING_FILE = "missing-file", "Every file that the manifest names is there"
    FILE_KIND = "file-kind", "Every file below dataset is a regular, readable file of a sensible size"
    EMPTY_FILE = "empty-file", "No file has zero bytes"
    FILE_NAMES = "file-names", "The manifest and the row name exactly the files that stem and defect ask for"
    FILE_SHA256 = "file-sha256", "Every file's SHA-256 and size are those that the manifest recorded"
    PNG = "png", "Every image is one whole PNG without chunks that loaders read differently (tRNS, eXIf, acTL, …)"
    IMAGE_MODE = "image-mode", "Images are 8-bit RGB"
    MASK_MODE = "mask-mode", "Masks are 8-bit grey (mode L)"
    MASK_VALUES = "mask-values", "Mask values are exactly 0 and 255"
    MASK_EMPTY = "mask-empty", "No mask is empty"
    SIZE = "size", "Image, twin, mask and row agree on width and height"

    # What the pixels say.
    UNTOUCHED = "untouched", "Outside its mask every image equals its train/good twin bit for bit"
    CHANGED_SHARE = "changed-share", "At least 90 % of a mask's pixels changed by at least one grey level"
    LARGEST_CHANGE = "largest-change", "The largest change is at least 8 grey levels"
    COMPONENT_PEAK = "component-peak", "Every 8-connected component of a mask reaches the row's high_threshold"
    MASK_REGION = "mask-region", "The mask lies inside the row's region_box and is no larger than region_area"
    SATURATED = "saturated", "A defect is not all pure black or pure white where the twin is not"

    # The rows.
    ROW_FIELDS = "row-fields", "Every row has all its fields, well-formed, and is its manifest line's"
    PROVENANCE = "provenance", "Object, category, version and components are the run's"
    CHOICE = "choice", "Every pair is chosen for the band of run.json: no fmas select was stopped before its end"
    PIXEL_SHA256 = "pixel-sha256", "image_sha256, mask_sha256 and normal_sha256 are those of the decoded pixels"
    MASK_AREA = "mask-area", "mask_area is the number of mask pixels"
    THRESHOLDS = "thresholds", "noise_floor is at least 4, high_threshold at least 8 and twice the noise floor"
    PLANNED_DEFECT = "planned-defect", "Defect, kind, planned severity and prompts are one of plan.json's defects"
    CANDIDATES = (
        "candidates",
        "The chosen candidate is the scored one nearest to the middle of the band, each counted once, within the "
        "run's limits",
    )
    SEVERITY = "severity", "Every candidate's severity follows from the planned one and paint.severity_spread"
    KEPT_CANDIDATES = (
        "kept-candidates",
        "Every kept candidate is the recorded RGBA PNG of its mask's box, and the chosen one what the data set shows",
    )
    SEED = "seed", "Every candidate's seed follows from run seed, category, source, pair, candidate and attempt"
    CONTROL = (
        "control",
        "Every negative control is one that the run's seed and controls choose, differs from its twin, and only in "
        "mask_area pixels of its region_box",
    )
    HOLDOUT = "holdout", "test/good holds exactly the sources that the run's seed and holdout_good choose"
    PNG_TEXT = "png-text", "The iTXt chunk fmas of every image below test is its row of metadata.jsonl"
