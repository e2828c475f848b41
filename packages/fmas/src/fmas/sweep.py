"""Removing what a killed run left half done: image files without a manifest line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from fmas.config import RunConfig
from fmas.layout import DEFECT_FOLDER, STEM, OutputLayout
from fmas.manifest import ManifestIndex

__all__ = ["sweep_unlisted"]


def sweep_unlisted(layout: OutputLayout, config: RunConfig) -> None:
    """Delete the image files of this shard's sources that no manifest line names, and folders left empty.

    Files of other shards are not touched: those may be written right now. Neither is anything we would not have
    written; ``fmas validate`` points at it.

    Args:
        layout: Where things lie.
        config: Says which sources are this shard's.
    """
    listed = {name for entry in ManifestIndex(layout.manifest).entries() for name in entry.files}
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


def _our_files(layout: OutputLayout, per_image: int) -> Iterator[tuple[str, int]]:
    """Yield the relative path and the source's index of every file named as we name them."""
    for path in sorted(layout.dataset.glob("*/*/*.png")):
        top, folder = path.parent.parent.name, path.parent.name
        stem = path.stem.removesuffix("_mask") if top == "ground_truth" else path.stem
        if not STEM.fullmatch(stem) or not (folder == "good" or DEFECT_FOLDER.fullmatch(folder)):
            continue
        if top == "train" and folder == "good":
            yield _relative(layout, path), int(stem)
        elif top in ("test", "ground_truth"):
            yield _relative(layout, path), int(stem) // per_image


def _relative(layout: OutputLayout, path: Path) -> str:
    return path.relative_to(layout.dataset).as_posix()
