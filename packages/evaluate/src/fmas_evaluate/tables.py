"""The two CSV files that name images: image scores, as ``fmas inspect`` writes them, and VisA's split."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator
from pathlib import Path

from fmas_evaluate.errors import InvalidInput
from fmas_evaluate.files import normal_form, printable
from fmas_evaluate.layouts import Found, ImageFiles, find_maps, with_problems

__all__ = ["find_split_samples", "read_scores"]


class _Names:
    """Finds the map that a path in a table means; either may have folders in front that the other lacks."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(names)
        self._ends: dict[str, set[str]] = {}
        for name in self._names:
            for end in _ends(name):
                self._ends.setdefault(end, set()).add(name)

    def find(self, path: str) -> str | None:
        """Return the only name that fits, with the longest common end; ``None`` if there is none or more than one."""
        whole = _clean(normal_form(path.replace("\\", "/")))
        spellings = (whole, _without_ending(whole))
        for end in (end for text in spellings for end in _ends(text)):
            if end in self._names:
                return end
        for text in spellings:
            longer = self._ends.get(text, set())
            if len(longer) == 1:
                return next(iter(longer))
        return None


def _clean(path: str) -> str:
    return "/".join(part for part in path.split("/") if part not in ("", "."))


def _without_ending(path: str) -> str:
    folder, slash, name = path.rpartition("/")
    stem = name.rpartition(".")[0]
    return folder + slash + (stem or name)


def _ends(name: str) -> Iterator[str]:
    """Yield ``a/b/c``, ``b/c``, ``c``."""
    parts = name.split("/")
    for start in range(len(parts)):
        yield "/".join(parts[start:])


def read_scores(path: Path, names: Iterable[str]) -> dict[str, float]:
    """Return the score of every image.

    Args:
        path: CSV with the columns ``path`` and ``score``; others, such as ``verdict``, are not read.
        names: Of the maps, as ``ImageFiles`` has them.

    Returns:
        Name -> score, larger is more anomalous.

    Raises:
        InvalidInput: If a map has no row, a row no map, two rows the same map, or a score is no number; all are listed.
        OSError: If the file cannot be read.
    """
    wanted = list(names)
    known = _Names(wanted)
    scores: dict[str, float] = {}
    problems: dict[str, list[str]] = {
        key: []
        for key in ("rows without a map", "maps without a row", "rows of the same map", "scores that are no number")
    }
    for line, row in _rows(path, ("path", "score")):
        where = f"line {line}: {printable(row['path'])}"
        name = known.find(row["path"])
        score = _number(row["score"])
        if score is None:
            problems["scores that are no number"].append(f"{where}: {printable(row['score'])}")
        if name is None:
            problems["rows without a map"].append(where)
        elif name in scores:
            problems["rows of the same map"].append(where)
        else:
            scores[name] = math.nan if score is None else score
    problems["maps without a row"] = [printable(name) for name in wanted if name not in scores]
    if any(problems.values()):
        raise with_problems(
            f"one row path,score in {printable(path)} for every map", problems, "write both by the same run"
        )
    return scores


def find_split_samples(maps: Path, split: Path) -> Found:
    """Pair every map with its mask by VisA's table: ``object,split,label,image,mask``, of which ``test`` rows count.

    Args:
        maps: Folder of score maps, named as the images: ``<object>/Data/Images/Anomaly/000.tiff``; leading folders may
            be missing where the rest is unique.
        split: The table; its paths are relative to its own folder or to the one above, as in VisA's ``split_csv``.

    Raises:
        InvalidInput: If the table is another one, or a map, row or mask is missing; all of them are listed.
        OSError: If a file cannot be read.
    """
    found, ignored = find_maps(maps)
    known = _Names(found)
    samples: dict[str, ImageFiles] = {}
    problems: dict[str, list[str]] = {
        key: []
        for key in ("rows without a map", "maps without a row", "rows of the same map", "masks that are missing")
    }
    for line, row in _rows(split, ("object", "split", "label", "image", "mask")):
        if row["split"].strip().lower() != "test":
            continue
        where = f"line {line}: {printable(row['image'])}"
        name = known.find(row["image"])
        defective = row["label"].strip().lower() != "normal"
        mask = _below(split, row["mask"]) if defective else None
        if defective and mask is None:
            problems["masks that are missing"].append(f"line {line}: {printable(row['mask']) or '(no path)'}")
        if name is None:
            problems["rows without a map"].append(where)
        elif name in samples:
            problems["rows of the same map"].append(where)
        else:
            defect = "anomaly" if defective else "good"
            samples[name] = ImageFiles(name, row["object"].strip(), defect, found[name], mask, defective)
    problems["maps without a row"] = [printable(name) for name in found if name not in samples]
    if any(problems.values()):
        raise with_problems(
            f"a map for every test row of {printable(split)}, and its mask", problems, "evaluate what belongs together"
        )
    return Found(tuple(samples[name] for name in sorted(samples)), ignored, any_value=True)


def _below(table: Path, mask: str) -> Path | None:
    relative = mask.strip().replace("\\", "/")
    if not relative:
        return None
    return next((one for base in (table.parent, table.parent.parent) if (one := base / relative).is_file()), None)


def _rows(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield line number and the wanted columns of every row.

    Raises:
        InvalidInput: If it is no CSV in UTF-8 with these columns.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, skipinitialspace=True)
            header = [(name or "").strip().lower() for name in reader.fieldnames or ()]
            if not set(columns) <= set(header):
                got = printable(",".join(header)) or "nothing"
                raise InvalidInput(
                    f"expected a table with the columns {','.join(columns)} in {printable(path)}, got {got}; add the "
                    "header line"
                )
            reader.fieldnames = header
            for row in reader:
                if any(row.get(name) is None for name in columns):
                    raise InvalidInput(
                        f"expected {len(header)} columns in line {reader.line_num} of {printable(path)}, got fewer; "
                        "put names with commas in quotes"
                    )
                yield reader.line_num, {name: row[name] for name in columns}
    except (UnicodeDecodeError, csv.Error) as error:
        raise InvalidInput(
            f"expected a CSV file in UTF-8, got {printable(path)}, which is none ({error}); write it again"
        ) from error


def _number(text: str) -> float | None:
    try:
        score = float(text)
    except ValueError:
        return None
    return None if math.isnan(score) else score
