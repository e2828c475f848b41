"""Which truth belongs to which score map, in the layouts of MVTec, of ``fmas`` and of flat folders."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from fmas_evaluate.errors import InvalidInput
from fmas_evaluate.files import files_below, normal_form, printable
from fmas_evaluate.readers import MAP_SUFFIXES, MASK_SUFFIXES

__all__ = ["GOOD", "Found", "ImageFiles", "find_maps", "find_samples", "with_problems"]

GOOD = "good"
_TRUTH_FOLDERS = frozenset({"gt", "ground_truth"})
_TEST_FOLDERS = frozenset({"test", "test_public"})


@dataclass(frozen=True, slots=True)
class ImageFiles:
    """One image to evaluate.

    Attributes:
        name: The map's path below its folder, ``/`` between, without ending.
        category: What kind of product it shows; empty where there is only one.
        defect: The folder it lies in, such as ``good`` or ``crack``; empty in a flat layout.
        map_path: The score map.
        truth_path: The mask; ``None`` for an image without defect.
        defective: Whether the layout says that it has a defect; ``None`` if only the mask can tell.
    """

    name: str
    category: str
    defect: str
    map_path: Path
    truth_path: Path | None
    defective: bool | None


@dataclass(frozen=True, slots=True)
class Found:
    """What two folders hold.

    Attributes:
        samples: Sorted by name.
        ignored: How many files are neither maps nor masks.
        any_value: Whether every mask value but 0 marks a defect, as in VisA, whose masks hold class numbers.
    """

    samples: tuple[ImageFiles, ...]
    ignored: int
    any_value: bool = False


def find_maps(folder: Path) -> tuple[dict[str, Path], int]:
    """Return name -> score map below a folder, sorted, and how many other files there are.

    Raises:
        InvalidInput: If there is none, or two have the same name and differ in their endings.
        OSError: If a folder cannot be read.
    """
    paths, ignored = files_below(folder, MAP_SUFFIXES)
    if not paths:
        endings = ", ".join(MAP_SUFFIXES)
        raise InvalidInput(f"expected score maps ({endings}) in {printable(folder)}, got none; check --maps")
    by_name: dict[str, list[PurePosixPath]] = defaultdict(list)
    for path in paths:
        by_name[normal_form(path.with_suffix("").as_posix())].append(path)
    doubles = [
        f"{printable(name)}: {' and '.join(printable(path.name) for path in found)}"
        for name, found in sorted(by_name.items())
        if len(found) > 1
    ]
    if doubles:
        raise with_problems("one score map per image", {"maps of the same name": doubles}, "keep one of each")
    return {name: folder / found[0] for name, found in sorted(by_name.items())}, ignored


def find_samples(maps: Path, truth: Path) -> Found:
    """Pair every map with its mask.

    ``maps/<dir>/<stem>.tiff`` belongs to ``truth/<dir>/<stem>_mask.png`` or to ``truth/<dir>/<stem>.png``. MVTec's
    folders ``test`` and ``ground_truth`` may stand in either path, folders of categories above ``<dir>`` in both. A
    folder ``good`` needs no mask.

    Args:
        maps: Folder of score maps.
        truth: Folder of masks, or of a whole data set with its masks in ``ground_truth`` or ``gt``.

    Raises:
        InvalidInput: If a mask is missing, or is there without a map, or belongs to two; all of them are listed.
        OSError: If a folder cannot be read.
    """
    found, ignored = find_maps(maps)
    masks, others = _masks_below(truth)
    samples: list[ImageFiles] = []
    owners: dict[PurePosixPath, str] = {}
    missing: list[str] = []
    doubles: list[str] = []
    for name, map_path in found.items():
        place = PurePosixPath(name)
        good = place.parent.name == GOOD
        mask = next((masks[one] for one in _candidates(place) if one in masks), None)
        if mask is None and not good:
            missing.append(f"{printable(name)}{_near_miss(place, masks)}")
            continue
        if mask is not None and mask in owners:
            doubles.append(f"{printable(mask.as_posix())}: {printable(owners[mask])} and {printable(name)}")
        elif mask is not None:
            owners[mask] = name
        parents = place.parent.parts
        samples.append(
            ImageFiles(
                name=name,
                category="/".join(part for part in parents[:-1] if part not in _TEST_FOLDERS),
                defect="" if parents[-1:] and parents[-1] in _TEST_FOLDERS else place.parent.name,
                map_path=map_path,
                truth_path=None if mask is None else truth / mask,
                defective=False if good else True if _has_good(found) else None,
            )
        )
    extra = [printable(path.as_posix()) for path in masks.values() if path not in owners]
    advice = "add what is missing, or evaluate folders that belong together"
    if missing and not owners:
        missing, extra = _few(missing), _few(extra)
        advice += "; with VisA, name its table (CSV) as the truth"
    problems = {
        "maps without a mask": missing,
        "masks without a map": list(dict.fromkeys(extra)),
        "masks of two maps": doubles,
    }
    if any(problems.values()):
        raise with_problems(
            "maps/<dir>/<stem>.tiff with truth/<dir>/<stem>_mask.png for every folder but `good`",
            problems,
            advice,
        )
    return Found(tuple(samples), ignored + others)


def with_problems(expected: str, problems: dict[str, list[str]], advice: str) -> InvalidInput:
    """Return one error that lists everything, a line each.

    Args:
        expected: What was expected.
        problems: Heading -> lines; empty ones are left out.
        advice: What to do.
    """
    counts = ", ".join(f"{len(lines)} {heading}" for heading, lines in problems.items() if lines)
    listing = "".join(
        f"\n  {heading}:" + "".join(f"\n    {line}" for line in lines) for heading, lines in problems.items() if lines
    )
    return InvalidInput(f"expected {expected}, got {counts}; {advice}{listing}")


def _has_good(names: Sequence[str] | dict[str, Path]) -> bool:
    """Return whether the folders say what is good, so that the others say what is not."""
    return any(PurePosixPath(name).parent.name == GOOD for name in names)


def _masks_below(truth: Path) -> tuple[dict[str, PurePosixPath], int]:
    """Return the name a mask answers to -> its path relative to ``truth``, and how many files are no masks."""
    paths, others = files_below(truth, MASK_SUFFIXES)
    inside = [path for path in paths if not _TRUTH_FOLDERS.isdisjoint(path.parent.parts)]
    if inside:  # a whole data set: what lies beside is photographs
        others += len(paths) - len(inside)
        paths = inside
    marked = {path.parent for path in paths if path.stem.endswith("_mask")}
    masks: dict[str, PurePosixPath] = {}
    doubles: list[str] = []
    for path in paths:
        if path.parent in marked and not path.stem.endswith("_mask"):
            others += 1  # a photograph beside its mask
            continue
        name = normal_form(path.with_suffix("").as_posix())
        if name in masks:
            doubles.append(f"{printable(name)}: {printable(masks[name].name)} and {printable(path.name)}")
        masks[name] = path
    if doubles:
        raise with_problems("one mask per image", {"masks of the same name": doubles}, "keep one of each")
    return masks, others


def _candidates(place: PurePosixPath) -> Iterator[str]:
    """Yield the names that a map's mask may have, most specific first."""
    parts = place.parent.parts
    folders = [parts]
    if any(part in _TEST_FOLDERS for part in parts):
        folders.append(tuple("ground_truth" if part in _TEST_FOLDERS else part for part in parts))
        folders.append(tuple(part for part in parts if part not in _TEST_FOLDERS))
    folders.append((*parts[:-1], "ground_truth", *parts[-1:]))
    folders.append((*parts, "gt"))
    for folder in folders:
        for stem in (f"{place.name}_mask", place.name):
            yield PurePosixPath(*folder, stem).as_posix()


def _near_miss(place: PurePosixPath, masks: dict[str, PurePosixPath]) -> str:
    """Return a remark if there is a mask whose name differs only in case."""
    wanted = {name.casefold() for name in _candidates(place)}
    for name, path in masks.items():
        if name.casefold() in wanted:
            return f" ({printable(path.as_posix())} differs in case)"
    return ""


def _few(lines: list[str], most: int = 10) -> list[str]:
    """Return the first lines: where nothing at all belongs together, all of them would say no more."""
    return lines if len(lines) <= most else [*lines[:most], f"and {len(lines) - most} more"]
