"""The files that follow from the manifest: ``metadata.jsonl``, ``failures.jsonl``, ``README.md``."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, TypeAlias

import yaml

from fmas.manifest import ManifestEntry
from fmas.validate.line_text import disagreement, row_line
from fmas.validate.manifest_lines import ManifestLines
from fmas.validate.problems import ProblemLog
from fmas.validate.reading import UnreadableError, open_regular, parse_json, read_regular
from fmas.validate.remedies import REWRITE
from fmas.validate.rules import Rule

__all__ = ["check_card", "check_failures", "check_metadata"]

_Difference: TypeAlias = Callable[[bytes, ManifestEntry], tuple[str, str] | None]
"""What a line should say of its entry and what it says instead, ``None`` if it says what it should."""

_DATA_FILES = frozenset({"metadata.jsonl", "test/**", "ground_truth/**", "train/**"})


def check_metadata(out: Path, category: str, manifest: ManifestLines, log: ProblemLog) -> None:
    """Check that ``metadata.jsonl`` holds the rows of the finished lines, by stem, each once, in the same words."""

    def difference(line: bytes, entry: ManifestEntry) -> tuple[str, str] | None:
        row = entry.row or {}
        if line == row_line(row).encode("utf-8", "surrogatepass"):
            return None
        return disagreement(row, line, show=log.shown)

    done = (entry for entry in manifest.entries() if entry.status == "done")
    _LineComparison(out, f"dataset/{category}/metadata.jsonl", Rule.METADATA, log).run(done, difference)


def check_failures(out: Path, manifest: ManifestLines, log: ProblemLog) -> None:
    """Check that ``failures.jsonl`` lists the failed lines, by stem, each once."""

    def difference(line: bytes, entry: ManifestEntry) -> tuple[str, str] | None:
        wanted = {"stem": entry.stem, "source": entry.source, **(entry.failure or {})}
        wanted |= {"rejections": list(entry.rejections)}
        return None if parse_json(line) == wanted else disagreement(wanted, line, show=log.shown)

    failed = (entry for entry in manifest.entries() if entry.status == "failed")
    _LineComparison(out, "failures.jsonl", Rule.FAILURES, log).run(failed, difference)


def check_card(out: Path, category: str, manifest: ManifestLines, log: ProblemLog) -> None:
    """Check that ``README.md`` tells Hugging Face where the rows and the images are, and speaks of these rows."""
    name = f"dataset/{category}/README.md"
    try:
        text = read_regular(out / name).decode()
        front_matter = _front_matter(text)
        paths = _data_files(yaml.safe_load(front_matter))
    except UnreadableError as error:
        log.add_unreadable(Rule.CARD, name, "a data set card", error, REWRITE)
        return
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        log.add(Rule.CARD, name, f"expected a data set card with YAML front matter, got {error}", REWRITE)
        return
    missing = sorted(_DATA_FILES - paths)
    if missing:
        message = f"expected data_files with {', '.join(sorted(_DATA_FILES))}, got none for {', '.join(missing)}"
        log.add(Rule.CARD, name, message, REWRITE)
        return
    # A process that dies between the two files leaves the card of other rows.
    digest = hashlib.sha256()
    for entry in manifest.entries():
        if entry.status == "done":
            digest.update(row_line(entry.row or {}).encode("utf-8", "surrogatepass") + b"\n")
    if digest.hexdigest() not in front_matter:
        message = f"expected the SHA-256 {digest.hexdigest()[:12]}… of metadata.jsonl in it, got none or another"
        log.add(Rule.CARD, name, message, REWRITE)


def _front_matter(text: str) -> str:
    """Return the YAML between the first two lines of three dashes.

    Raises:
        ValueError: If the text does not begin with it.
    """
    head, *rest = text.split("\n---\n", 1)
    if not rest or not head.startswith("---\n"):
        raise ValueError("none")
    return head.removeprefix("---\n")


def _data_files(content: object) -> set[str]:
    """Return every path that the default configuration names, whatever shape the front matter has."""
    paths: set[str] = set()
    configs = content.get("configs") if isinstance(content, dict) else None
    for config in configs if isinstance(configs, list) else []:
        splits = config.get("data_files") if isinstance(config, dict) else None
        for split in splits if isinstance(splits, list) else []:
            path = split.get("path") if isinstance(split, dict) else None
            paths.update(str(item) for item in (path if isinstance(path, list) else [path]))
    return paths


class _LineComparison:
    """Walks along a file of JSON lines and the entries that it must hold, both by stem, in constant memory."""

    def __init__(self, out: Path, name: str, rule: Rule, log: ProblemLog) -> None:
        self._path = out / name
        self._name = name
        self._rule = rule
        self._log = log

    def run(self, entries: Iterator[ManifestEntry], difference: _Difference) -> None:
        """Report every line that is missing, out of place or different."""
        try:
            with open_regular(self._path) as file:
                self._walk(file, entries, difference)
        except UnreadableError as error:
            self._log.add_unreadable(self._rule, self._name, "a file of JSON lines", error, REWRITE)

    def _walk(self, file: BinaryIO, entries: Iterator[ManifestEntry], difference: _Difference) -> None:
        entry = next(entries, None)
        for number, line in enumerate(file, start=1):
            where = f"{self._name}:{number}"
            if not line.endswith(b"\n"):
                self._complain(where, "expected a line end, got a torn line")
            stem = _stem_of(line)
            while entry is not None and stem is not None and entry.stem < stem:
                self._complain(where, f"expected stem {entry.stem} before stem {stem}, got no line of it")
                entry = next(entries, None)
            if stem is None:
                self._complain(where, "expected a JSON object with a stem, got something else")
                entry = next(entries, None)  # take it for the line that should stand here
            elif entry is None or stem < entry.stem:
                self._complain(where, f"expected one line per stem, by stem, got a further one of stem {stem}")
            else:
                told = difference(line.removesuffix(b"\n"), entry)
                if told is not None:
                    self._complain(where, f"expected {told[0]} as in the manifest for stem {stem}, got {told[1]}")
                entry = next(entries, None)
        while entry is not None:
            self._complain(self._name, f"expected a line of stem {entry.stem}, got none")
            entry = next(entries, None)

    def _complain(self, where: str, message: str) -> None:
        self._log.add(self._rule, where, message, REWRITE)


def _stem_of(line: bytes) -> int | None:
    try:
        content = parse_json(line)
    except ValueError:
        return None
    stem = content.get("stem") if isinstance(content, dict) else None
    return stem if isinstance(stem, int) else None
