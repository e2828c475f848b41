"""The guard between training and test pictures: nothing that a model learns from may be what it is measured on.

Pictures are compared by their pixels, decoded and turned upright, so a photograph that was saved again as PNG is found,
as is one under another name. The bytes of files are compared, too. A picture that was resized, cropped or compressed
again is another one to this guard.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from fmas.errors import ImageError, UsageError
from fmas.images import pixel_sha256, read_image
from fmas.sources import Source, scan_sources

__all__ = ["HoldoutReport", "refuse_held_out"]

_MOST_SHOWN = 3
_THREADS = 4  # decoding and hashing let go of the interpreter; more would hold as many photographs in memory


@dataclass(frozen=True, slots=True)
class HoldoutReport:
    """What was compared.

    Attributes:
        compared: Pictures of the held-out folders that were read.
        unreadable: Those that were not, as ``path: reason``.
    """

    compared: int
    unreadable: tuple[str, ...] = ()

    def notes(self) -> tuple[str, ...]:
        """Return what the user should know."""
        if not self.unreadable:
            return ()
        number = len(self.unreadable)
        return (
            f"{number} {'file' if number == 1 else 'files'} of the held-out folders could not be read, so not "
            f"compared, e.g. {self.unreadable[0]}",
        )


def refuse_held_out(rows: Iterable[Mapping[str, object]], folders: Sequence[Path]) -> HoldoutReport:
    """Refuse training pictures that occur in folders kept for tests.

    Args:
        rows: Rows of the pictures to train and validate with, controls included. What counts are the digests in them:
            of the normal and the synthetic picture's pixels, and of the photograph's file.
        folders: Every image below them is held out.

    Returns:
        What was compared.

    Raises:
        UsageError: If a picture occurs on both sides, or a folder holds no image.
    """
    known = _known_digests(rows)
    hits: list[str] = []
    unreadable: list[str] = []
    compared = total = 0
    for folder in folders:
        for source, digests in _digests(scan_sources(folder).sources):
            if isinstance(digests, str):
                unreadable.append(digests)
                continue
            compared += 1
            trained = next((known[one] for one in digests if one in known), None)
            if trained is not None:
                total += 1
                hits.extend([f"{source.path} is {trained}"] if len(hits) < _MOST_SHOWN else [])
    if total:
        more = f" and {total - len(hits)} more" if total > len(hits) else ""
        raise UsageError(
            f"expected held-out pictures that nothing was made of, got {total} that would be trained on: "
            f"{'; '.join(hits)}{more}; take them out of the photographs and run fmas run again, or name the test "
            "pictures alone for --holdout"
        )
    return HoldoutReport(compared, tuple(unreadable))


def _known_digests(rows: Iterable[Mapping[str, object]]) -> dict[str, str]:
    """Return digest -> what has it, in words."""
    known: dict[str, str] = {}
    for row in rows:
        for key, name in (
            ("normal_sha256", row.get("normal_file_name")),
            ("image_sha256", row.get("file_name")),
            ("source_sha256", f"the photograph {row.get('source')}"),
        ):
            digest = row.get(key)
            if isinstance(digest, str):
                known.setdefault(digest, str(name))
    return known


def _digests(sources: Sequence[Source]) -> Iterator[tuple[Source, tuple[str, str] | str]]:
    """Yield for each source the digests of its pixels and its file, or why it cannot be read."""
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="holdout") as pool:
        yield from zip(sources, pool.map(_digest, sources), strict=True)


def _digest(source: Source) -> tuple[str, str] | str:
    try:
        pixels, sha256 = read_image(source.path, min_side=1, shown_as=source.relative)
    except ImageError as error:
        return f"{source.path}: {error}"
    return pixel_sha256(pixels), sha256
