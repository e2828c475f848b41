"""Removing what a killed run left half done: image files and candidates without a manifest line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from fmas.config import RunConfig
from fmas.layout import CONTROL_STEM, DEFECT_FOLDER, STEM, OutputLayout
from fmas.manifest import ManifestIndex

__all__ = ["sweep_unlisted"]

_CANDIDATE = re.compile(r"\d+\.png")


def sweep_unlisted(layout: OutputLayout, config: RunConfig) -> None:
    """Delete the images and candidates of this shard's sources that no manifest line names, and folders left empty.

    Files of other shards are not touched: those may be written right now. Neither is anything we would not have
    written; ``fmas validate`` points at it.

    Args:
        layout: Where things lie.
        config: Says which sources are this shard's.
    """
    index = ManifestIndex(layout.manifest)
    listed: set[str] = set()
    kept: set[str] = set()
    for entry in (*index.entries(), *index.interrupted()):  # an interrupted choice needs the files it began with
        listed.update(entry.files)
        kept.update(entry.candidates)
    shard, shards = config.shard
    for name, source_index in _our_files(layout, config.per_image):
        if name not in listed and source_index % shards == shard - 1:
            (layout.dataset / name).unlink(missing_ok=True)
    for folder in [*layout.dataset.glob("test/*"), *layout.dataset.glob("ground_truth/*")]:
        if folder.is_dir() and not any(folder.iterdir()):
            try:
                folder.rmdir()
            except OSError:
                continue  # another shard has just put a file there
    for path in sorted(layout.candidates.glob("*/*.png")):
        stem, name = path.parent.name, path.relative_to(layout.out).as_posix()
        ours = STEM.fullmatch(stem) and _CANDIDATE.fullmatch(path.name)
        if ours and name not in kept and int(stem) // config.per_image % shards == shard - 1:
            path.unlink(missing_ok=True)
            with suppress(OSError):  # there are others
                path.parent.rmdir()


def _our_files(layout: OutputLayout, per_image: int) -> Iterator[tuple[str, int]]:
    """Yield the relative path and the source's index of every file named as we name them."""
    for path in sorted(layout.dataset.glob("*/*/*.png")):
        top, folder = path.parent.parent.name, path.parent.name
        stem = path.stem.removesuffix("_mask") if top == "ground_truth" else path.stem
        if not STEM.fullmatch(stem) or not (folder == "good" or DEFECT_FOLDER.fullmatch(folder)):
            continue
        if top == "train" and folder == "good":
            yield _relative(layout, path), int(stem) % CONTROL_STEM
        elif top in ("test", "ground_truth"):
            yield _relative(layout, path), int(stem) // per_image


def _relative(layout: OutputLayout, path: Path) -> str:
    return path.relative_to(layout.dataset).as_posix()
