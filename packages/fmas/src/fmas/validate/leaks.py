"""Do values of secret environment variables stand in the text files of an output folder?"""

from __future__ import annotations

import html
import json
import os
from collections.abc import Iterator
from pathlib import Path

from fmas.validate.problems import ProblemLog
from fmas.validate.reading import UnreadableError, open_regular
from fmas.validate.remedies import Remedy
from fmas.validate.rules import Rule

__all__ = ["check_secrets"]

_TEXT_SUFFIXES = (".json", ".jsonl", ".yaml", ".yml", ".md", ".html", ".txt", ".csv", ".log", ".part")
_CHUNK = 2**20
_REVOKE = Remedy("delete the file, revoke the secret and report how it got there")


def check_secrets(out: Path, log: ProblemLog) -> None:
    """Search every text file below ``OUT`` for the secrets that ``log`` knows; the values are never shown."""
    if not log.secrets:
        return
    needles = {name: _spellings(value) for name, value in log.secrets.items()}
    for path, name in _text_files(out):
        try:
            for variable in sorted(_found(path, needles)):
                log.add(
                    Rule.SECRET,
                    name,
                    f"expected no secrets in files, got the value of the environment variable {variable}",
                    _REVOKE,
                )
        except UnreadableError:
            continue  # a file of ours that cannot be read is reported where it is needed


def _spellings(value: str) -> set[bytes]:
    """Return how a value would stand in plain text, JSON and HTML."""
    raw = value.encode("utf-8", "surrogateescape")
    texts = {json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1], html.escape(value)}
    return {raw} | {text.encode("utf-8", "surrogateescape") for text in texts}


def _text_files(out: Path) -> Iterator[tuple[Path, str]]:
    """Yield path and relative POSIX path; links to folders are not followed."""
    for folder, folders, files in os.walk(out):
        folders.sort()
        for file in sorted(files):
            if file.lower().endswith(_TEXT_SUFFIXES):
                path = Path(folder) / file
                yield path, path.relative_to(out).as_posix()


def _found(path: Path, needles: dict[str, set[bytes]]) -> set[str]:
    """Return the variables whose value stands in a file, which is read piece by piece."""
    overlap = max(len(spelling) for spellings in needles.values() for spelling in spellings) - 1
    found: set[str] = set()
    window = b""
    with open_regular(path) as file:
        while chunk := file.read(_CHUNK):
            window = window[-overlap:] + chunk
            found |= {name for name, spellings in needles.items() if any(spelling in window for spelling in spellings)}
    return found
