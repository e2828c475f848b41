"""The walk over ``OUT/dataset``: nothing may lie there that the manifest does not name."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fmas.layout import DEFECT_FOLDER
from fmas.validate.problems import ProblemLog
from fmas.validate.remedies import DELETE, MOVE_AWAY, PUT_COPY, RERUN, Remedy
from fmas.validate.rules import Rule

__all__ = ["DatasetTree", "ListedFiles"]

_LISTED = re.compile(r"(?:test/([a-z0-9_]+)/|(ground_truth)/([a-z0-9_]+)/|(train)/good/)(\d{6,})(_mask)?\.png")
_TOP_FOLDERS = ("ground_truth", "test", "train")
_TOP_FILES = ("README.md", "metadata.jsonl")
_SWEEP = Remedy("run the same fmas run again, or delete it", needs_run=True, otherwise="delete it")


@dataclass(frozen=True, slots=True)
class _Found:
    name: str
    kind: Literal["link", "folder", "file", "other"]


class ListedFiles:
    """The files that the manifest names, kept as numbers and shared words."""

    def __init__(self) -> None:
        self._images: dict[int, str] = {}
        self._masks: dict[int, str] = {}
        self._twins: set[int] = set()
        self._others: set[str] = set()

    def add(self, names: Iterable[str]) -> None:
        """Add paths relative to the category's folder."""
        for name in names:
            match _parsed(name):
                case ("train", _, stem):
                    self._twins.add(stem)
                case ("test", folder, stem) if stem not in self._images:
                    self._images[stem] = sys.intern(folder)
                case ("ground_truth", folder, stem) if stem not in self._masks:
                    self._masks[stem] = sys.intern(folder)
                case _:
                    self._others.add(name)

    def __contains__(self, name: str) -> bool:
        match _parsed(name):
            case ("train", _, stem) if stem in self._twins:
                return True
            case ("test", folder, stem) if self._images.get(stem) == folder:
                return True
            case ("ground_truth", folder, stem) if self._masks.get(stem) == folder:
                return True
        return name in self._others

    def folder_of(self, stem: int) -> str | None:
        """Return the folder below ``test`` that a stem is listed in."""
        return self._images.get(stem)


def _parsed(name: str) -> tuple[Literal["train", "test", "ground_truth"], str, int] | None:
    """Return top folder, defect and stem of a regular name, ``None`` for any other."""
    match = _LISTED.fullmatch(name)
    if match is None or bool(match[2]) != bool(match[6]) or match[5] != f"{int(match[5]):06d}":
        return None
    if match[4]:
        return "train", "good", int(match[5])
    return ("ground_truth", match[3], int(match[5])) if match[2] else ("test", match[1], int(match[5]))


class DatasetTree:
    """Walks over the data set and reports what should not be there.

    Args:
        out: The output folder.
        log: Told of every problem.

    Attributes:
        files: Regular files met so far.
    """

    def __init__(self, out: Path, log: ProblemLog) -> None:
        self._out = out
        self._log = log
        self.files = 0

    def category(self, wanted: str | None, *, must_exist: bool = True) -> str | None:
        """Check what lies directly below ``dataset``.

        Args:
            wanted: The run's category; if unknown, the only folder is taken for it.
            must_exist: Whether anything was finished that must lie there.

        Returns:
            The category whose folder is there.
        """
        entries = self._entries("dataset")
        if entries is None:
            return None
        folders = [entry.name for entry in entries if entry.kind == "folder"]
        if wanted is None and len(folders) == 1:
            wanted = folders[0]
        shown = wanted or "one folder"
        if wanted not in folders and must_exist:
            found = ", ".join(folders) or "none"
            self._log.add(Rule.CATEGORY_FOLDER, "dataset", f"expected {shown} in it, got {found}", RERUN)
        for entry in entries:
            if entry.name != wanted and not self._is_link(entry, f"dataset/{entry.name}"):
                self.files += entry.kind == "file"
                self._log.add(
                    Rule.CATEGORY_FOLDER,
                    f"dataset/{entry.name}",
                    f"expected {shown} alone in dataset, got this as well",
                    MOVE_AWAY,
                )
        return wanted if wanted in folders else None

    def walk(self, category: str, listed: ListedFiles | None) -> None:
        """Check everything below the category's folder.

        Args:
            category: Its name.
            listed: What the manifest names; ``None`` if that is not known for sure, then unlisted files are let pass.
        """
        prefix = f"dataset/{category}"
        for entry in self._entries(prefix) or ():
            path = f"{prefix}/{entry.name}"
            if self._is_link(entry, path):
                continue
            if entry.kind == "folder" and entry.name in _TOP_FOLDERS:
                self._walk_kind(prefix, entry.name, listed)
            elif entry.kind == "file" and entry.name in _TOP_FILES:
                self.files += 1
            elif entry.name in _TOP_FILES:
                pass  # what lies there instead is told where the file is read
            elif entry.name in _TOP_FOLDERS:
                self.files += entry.kind == "file"
                self._log.add(Rule.FOLDERS, path, "expected a folder, got something else", MOVE_AWAY)
            elif entry.name.casefold() in {name.casefold() for name in (*_TOP_FOLDERS, *_TOP_FILES)}:
                self._log.add(
                    Rule.CASE_COLLISION,
                    path,
                    "expected names in their usual case, got another one",
                    Remedy("rename it"),
                )
            else:
                self.files += entry.kind == "file"
                message = f"expected {', '.join((*_TOP_FILES, *_TOP_FOLDERS))} only, got something else"
                self._log.add(Rule.TOP_LEVEL, path, message, MOVE_AWAY)

    def _walk_kind(self, prefix: str, top: str, listed: ListedFiles | None) -> None:
        entries = self._entries(f"{prefix}/{top}")
        if entries is None:
            return
        names = {entry.name for entry in entries}
        for entry in entries:
            path = f"{prefix}/{top}/{entry.name}"
            if self._is_link(entry, path):
                continue
            if entry.kind != "folder":
                self.files += entry.kind == "file"
                rule = Rule.EXTRA_FILE if entry.name.endswith(".png") else Rule.ONLY_PNG
                self._add(rule, path, "expected folders here, got a file")
            elif top == "train" and entry.name != "good":
                self._add(Rule.TRAIN_GOOD_ONLY, path, "expected the folder good alone in train, got this as well")
            elif entry.name != entry.name.lower() and entry.name.lower() in names:
                self._add(Rule.CASE_COLLISION, path, f"expected one folder, got {entry.name.lower()!r} as well")
            elif (entry.name == "good" and top != "ground_truth") or DEFECT_FOLDER.fullmatch(entry.name):
                self._walk_images(prefix, f"{top}/{entry.name}", listed)
            else:
                self._add(Rule.DEFECT_FOLDER, path, "expected a defect folder [a-z0-9_]+, got another name")
        if not entries:
            self._add(Rule.FOLDERS, f"{prefix}/{top}", "expected folders in it, got an empty one")

    def _walk_images(self, prefix: str, folder: str, listed: ListedFiles | None) -> None:
        entries = self._entries(f"{prefix}/{folder}")
        if entries is None:
            return
        for entry in entries:
            name, path = f"{folder}/{entry.name}", f"{prefix}/{folder}/{entry.name}"
            self.files += entry.kind == "file"
            if listed is not None and name in listed:
                continue  # what is wrong with it is told where its line is checked
            if self._is_link(entry, path):
                continue
            if entry.kind == "folder":
                self._add(Rule.FOLDERS, path, "expected images here, got a folder")
            elif entry.kind == "other":
                self._add(Rule.FILE_KIND, path, "expected a regular file, got something else")
            else:
                self._refuse_unlisted(name, path, listed)
        if not entries:
            self._add(Rule.FOLDERS, f"{prefix}/{folder}", "expected images in it, got an empty folder")

    def _refuse_unlisted(self, name: str, path: str, listed: ListedFiles | None) -> None:
        if listed is not None and name.casefold() in listed:
            self._add(Rule.CASE_COLLISION, path, f"expected one file, got {name.casefold()!r} as well")
        elif not name.endswith(".png"):
            self._add(Rule.ONLY_PNG, path, "expected PNG files only, got another one")
        elif (parsed := _parsed(name)) is None:
            self._add(Rule.STEM, path, "expected a name like 000000.png (masks: 000000_mask.png), got another one")
        elif listed is not None:
            top, folder, stem = parsed
            home = listed.folder_of(stem)
            if top == "test" and home is not None:
                message = f"expected stem {stem} once below test, got it in {home} and {folder}"
                self._add(Rule.STEM_UNIQUE, path, message)
            else:
                message = "expected files that the manifest names, got one that it does not"
                self._log.add(Rule.EXTRA_FILE, path, message, _SWEEP)

    def _entries(self, path: str) -> list[_Found] | None:
        """Return what lies in a folder, by name; ``None`` if it cannot be listed, which is reported."""
        try:
            with os.scandir(self._out / path) as listing:
                return sorted((_found(entry) for entry in listing), key=lambda found: found.name)
        except FileNotFoundError:
            return []
        except NotADirectoryError:
            self._log.add(Rule.FOLDERS, path, "expected a folder, got something else", MOVE_AWAY)
        except OSError as error:
            self._log.add_unreachable(path, error)
        return None

    def _is_link(self, entry: _Found, path: str) -> bool:
        if entry.kind == "link":
            self._log.add(Rule.SYMLINK, path, "expected files and folders, got a symbolic link", PUT_COPY)
            return True
        return False

    def _add(self, rule: Rule, path: str, message: str) -> None:
        self._log.add(rule, path, message, DELETE)


def _found(entry: os.DirEntry[str]) -> _Found:
    """Return name and kind; where the folder itself says the kind, a file need not be reachable.

    Raises:
        OSError: If it does not and the file is not.
    """
    if entry.is_symlink():
        return _Found(entry.name, "link")
    if entry.is_dir(follow_symlinks=False):
        return _Found(entry.name, "folder")
    return _Found(entry.name, "file" if entry.is_file(follow_symlinks=False) else "other")
