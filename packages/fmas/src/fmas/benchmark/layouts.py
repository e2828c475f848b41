"""Which categories a data set folder holds, in the layout of MVTec AD or of VisA.

MVTec AD, one category or a folder of them::

    <category>/train/good/*  test/good/*  test/<kind>/*  ground_truth/<kind>/<stem>_mask.png

VisA, as its authors publish it::

    split_csv/1cls.csv       object,split,label,image,mask
    <object>/Data/Images/{Normal,Anomaly}/*  <object>/Data/Masks/Anomaly/*.png
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fmas.errors import UsageError, suggest
from fmas.sources import IMAGE_SUFFIXES

__all__ = ["Category", "TestImage", "read_category", "read_dataset"]

_VISA_SPLIT = Path("split_csv") / "1cls.csv"
_EXPECTED = (
    "expected the layout of MVTec AD (<category>/train/good, <category>/test/<kind>, "
    "<category>/ground_truth/<kind>/<stem>_mask.png; or one such category) or of VisA (split_csv/1cls.csv beside "
    "<object>/Data)"
)


@dataclass(frozen=True, slots=True)
class TestImage:
    """One real photograph that is inspected; nothing is learnt from it.

    Attributes:
        relative: Its path below the category's ``test``, POSIX.
        kind: The defect's folder name, or ``good``.
        truth: The defect's mask; ``None`` for a good part.
    """

    __test__ = False  # no test, whatever pytest makes of the name

    relative: str
    kind: str
    truth: Path | None

    @property
    def defective(self) -> bool:
        """Whether it shows a defect."""
        return self.truth is not None


@dataclass(frozen=True, slots=True)
class Category:
    """One product.

    Attributes:
        name: Its folder's name.
        train: Folder of photographs of good parts.
        test: Folder of folders of photographs, ``good`` and one for each kind of defect.
        images: What lies below ``test``, sorted by path.
        photographs: How many photographs ``train`` holds.
    """

    name: str
    train: Path
    test: Path
    images: tuple[TestImage, ...]
    photographs: int

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of defects, sorted."""
        return tuple(sorted({image.kind for image in self.images if image.defective}))

    def digest(self) -> str:
        """Return a SHA-256, 64 hex digits, over names and sizes of all files: another data set has another one."""
        digest = hashlib.sha256()
        files = [*_images_below(self.train), *(self.test / image.relative for image in self.images)]
        for path in [*files, *(image.truth for image in self.images if image.truth is not None)]:
            digest.update(f"{path.parent.name}/{path.name}\0{path.stat().st_size}\0".encode(errors="backslashreplace"))
        return digest.hexdigest()


def read_dataset(dataset: Path, *, only: Sequence[str] = (), staging: Path) -> tuple[Category, ...]:
    """Find the categories of a data set.

    Args:
        dataset: Its folder.
        only: Names of the categories wanted; all by default.
        staging: A folder of ours for what has to be put in order first (VisA).

    Returns:
        At least one category, sorted by name.

    Raises:
        UsageError: If it has neither layout, a wanted category is missing, or a category cannot be measured.
    """
    if not dataset.is_dir():
        raise UsageError(f"expected a data set folder, got {str(dataset)!r}, which is no folder; check the path")
    if (dataset / _VISA_SPLIT).is_file():
        from fmas.benchmark.visa import stage_visa, visa_objects

        names = _wanted(visa_objects(dataset / _VISA_SPLIT), only, dataset)
        return tuple(read_category(stage_visa(dataset, name, staging), name=name) for name in names)
    if _is_category(dataset):
        name = dataset.resolve().name
        _wanted([name], only, dataset)
        return (read_category(dataset, name=name),)
    found = {folder.name: folder for folder in _folders(dataset) if _is_category(folder)}
    if not found:
        raise UsageError(f"{_EXPECTED}, got {str(dataset)!r} with {_what_is_there(dataset)}; {_advice(dataset)}")
    return tuple(read_category(found[name], name=name) for name in _wanted(found, only, dataset))


def read_category(folder: Path, *, name: str) -> Category:
    """Read one category in the layout of MVTec AD.

    Raises:
        UsageError: If it cannot be measured: no good or no defective test image, or a mask is missing.
    """
    train, test = folder / "train" / "good", folder / "test"
    images: list[TestImage] = []
    missing: list[str] = []
    for kind in _folders(test):
        for path in _images_below(kind):
            if kind.name == "good":
                truth = None
            else:
                inside = path.parent.relative_to(test)
                truth = folder / "ground_truth" / inside / f"{path.stem}_mask.png"
                if not truth.is_file():
                    missing.append(str(truth))
            images.append(TestImage(path.relative_to(test).as_posix(), kind.name, truth))
    if missing:
        raise UsageError(
            f"expected a mask for every defective test image of {name!r}, got none for {len(missing)} of them, e.g. "
            f"{missing[0]!r}; add the masks or move these images away"
        )
    defective = sum(image.defective for image in images)
    if not defective or defective == len(images):
        raise UsageError(
            f"expected good and defective test images in {str(test)!r}, got {len(images) - defective} good and "
            f"{defective} defective ones; without both, nothing can be measured"
        )
    photographs = len(_images_below(train))
    if not photographs:
        raise UsageError(f"expected photographs of good parts in {str(train)!r}, got none; there is nothing to learn")
    return Category(name, train, test, tuple(sorted(images, key=lambda image: image.relative)), photographs)


def _is_category(folder: Path) -> bool:
    return (folder / "train" / "good").is_dir() and (folder / "test").is_dir()


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _images_below(folder: Path) -> list[Path]:
    found = []
    for where, _, names in os.walk(folder):
        found += [Path(where, n) for n in names if n.lower().endswith(IMAGE_SUFFIXES) and not n.startswith(".")]
    return sorted(found)


def _wanted(found: Iterable[str], only: Sequence[str], dataset: Path) -> list[str]:
    names = sorted(found)
    for name in only:
        if name not in names:
            raise UsageError(f"expected a category of {str(dataset)!r}, got {name!r}; {suggest(name, names)}")
    return [name for name in names if not only or name in only]


def _what_is_there(dataset: Path) -> str:
    names = sorted(path.name + ("/" if path.is_dir() else "") for path in dataset.iterdir())
    return ", ".join(names[:8]) + (" …" if len(names) > 8 else "") if names else "nothing in it"


def _advice(dataset: Path) -> str:
    if any((folder / "Data" / "Images").is_dir() for folder in [dataset, *_folders(dataset)]):
        return "this looks like VisA without split_csv/1cls.csv: fetch its split_csv folder too and name VisA's root"
    if (dataset / "good").is_dir():
        return "name the folder above, the one that holds train and test"
    return "arrange your images so, or name another folder"
