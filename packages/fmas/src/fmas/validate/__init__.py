"""The independent re-check of everything that a run promises, from the files in ``OUT`` alone.

The expectations come from the design, the manifest and the rows, not from the code that writes them. The rules:

* ``run-file``: run.json is there, complete, and its digest is that of the identity it states.
* ``config``: config.resolved.yaml is a usable configuration and agrees with run.json.
* ``plan``: plan.json is a usable plan, and the one that run.json names.
* ``manifest``: Every line of every manifest file is a whole, well-formed line.
* ``finished``: At least one pair or held-out photograph is finished.
* ``manifest-source``: Every stem belongs to its source: sources are numbered in sorted order.
* ``counts``: The counts in run.json are those of the manifest.
* ``usage``: usage in run.json is the sum of the lines of usage.jsonl.
* ``failures``: failures.jsonl lists exactly the failed lines of the manifest, by stem.
* ``decisions``: Every line of decisions.jsonl, where there is one, is a reviewer's decision.
* ``metadata``: metadata.jsonl holds exactly the rows of the finished lines, by stem, each once.
* ``card``: README.md names the data files and the SHA-256 of metadata.jsonl in its front matter.
* ``secret``: No value of a *_API_KEY, *_TOKEN or *_SECRET environment variable stands in a text file.
* ``category-folder``: dataset holds exactly the run's category folder and nothing else.
* ``top-level``: The category folder holds README.md, metadata.jsonl, train, test, ground_truth only.
* ``only-png``: Every file below train, test and ground_truth is a .png.
* ``train-good-only``: train holds the folder good and nothing else: never train/<defect>.
* ``defect-folder``: Folders of test and ground_truth match [a-z0-9_]+; good is for test only.
* ``folders``: No folder is empty or nested deeper than its kind, and every one can be read.
* ``stem``: File names are NNNNNN.png, masks NNNNNN_mask.png, with at least six digits.
* ``stem-unique``: A stem occurs once below test.
* ``case-collision``: No two paths differ only in the case of letters.
* ``symlink``: No symbolic link lies below dataset.
* ``extra-file``: Every image file is one that the manifest names.
* ``missing-file``: Every file that the manifest names is there.
* ``file-kind``: Every file below dataset is a regular, readable file of a sensible size.
* ``empty-file``: No file has zero bytes.
* ``file-names``: The manifest and the row name exactly the files that stem and defect ask for.
* ``file-sha256``: Every file's SHA-256 and size are those that the manifest recorded.
* ``png``: Every image is one whole PNG without chunks that loaders read differently (tRNS, eXIf, acTL, …).
* ``image-mode``: Images are 8-bit RGB.
* ``mask-mode``: Masks are 8-bit grey (mode L).
* ``mask-values``: Mask values are exactly 0 and 255.
* ``mask-empty``: No mask is empty.
* ``size``: Image, twin, mask and row agree on width and height.
* ``untouched``: Outside its mask every image equals its train/good twin bit for bit.
* ``changed-share``: At least 90 % of a mask's pixels changed by at least one grey level.
* ``largest-change``: The largest change is at least 8 grey levels.
* ``component-peak``: Every 8-connected component of a mask reaches the row's high_threshold.
* ``mask-region``: The mask lies inside the row's region_box and is no larger than region_area.
* ``saturated``: A defect is not all pure black or pure white where the twin is not.
* ``row-fields``: Every row has all its fields, well-formed, and is its manifest line's.
* ``provenance``: Object, category, version and components are the run's.
* ``choice``: Every pair is chosen for the band of run.json: no fmas select was stopped before its end.
* ``pixel-sha256``: image_sha256, mask_sha256 and normal_sha256 are those of the decoded pixels.
* ``mask-area``: mask_area is the number of mask pixels.
* ``thresholds``: noise_floor is at least 4, high_threshold at least 8 and twice the noise floor.
* ``planned-defect``: Defect, kind, planned severity and prompts are one of plan.json's defects.
* ``candidates``: The chosen candidate is the scored one nearest to the middle of the band, each counted once, within
  the run's limits.
* ``severity``: Every candidate's severity follows from the planned one and paint.severity_spread.
* ``kept-candidates``: Every kept candidate is the recorded RGBA PNG of its mask's box, and the chosen one what the data
  set shows.
* ``seed``: Every candidate's seed follows from run seed, category, source, pair, candidate and attempt.
* ``control``: Every negative control is one that the run's seed and controls choose, differs from its twin, and only in
  mask_area pixels of its region_box.
* ``holdout``: test/good holds exactly the sources that the run's seed and holdout_good choose.
* ``png-text``: The iTXt chunk fmas of every image below test is its row of metadata.jsonl.
"""

from __future__ import annotations

from fmas.validate.output import ValidationProgress, validate_output
from fmas.validate.problems import Problem, ValidationReport
from fmas.validate.rules import Rule

__all__ = ["Problem", "Rule", "ValidationProgress", "ValidationReport", "validate_output"]
