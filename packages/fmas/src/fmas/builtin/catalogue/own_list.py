"""The user's own list of defects, read from a YAML or JSON file and checked entry by entry."""

from __future__ import annotations

import json
from pathlib import Path

import yaml
from pydantic import ValidationError

from fmas.errors import ConfigError
from fmas.options import explain
from fmas.types import Defect

__all__ = ["read_defects"]

_MOST_BYTES = 1 << 20  # a list of 200 defects takes about 0.1 MB
_MOST_DEFECTS = 200  # as many as a plan may hold
_EXAMPLE = "write a list of entries with name and prompt, e.g. [{name: scratch, prompt: 'a scratch on {object}'}]"


def read_defects(path: Path) -> tuple[Defect, ...]:
    """Return the defects that ``path`` lists.

    The file holds a list of entries with the fields of :class:`fmas.types.Defect`, or a mapping with that list under
    ``defects``. ``{object}`` in a prompt stands for the product's name. A key ``source``, as the catalogue's own files
    have it, may say where an entry comes from.

    Raises:
        ConfigError: If the file cannot be read, is too large, is no such list, or an entry is wrong; the message names
            file, entry and key.
    """
    entries = _parse(path, _read(path))
    if isinstance(entries, dict) and set(entries) == {"defects"}:
        entries = entries["defects"]
    if not isinstance(entries, list):
        raise ConfigError(f"expected a list of defects in {path}, got {_kind(entries)}; {_EXAMPLE}")
    if not 1 <= len(entries) <= _MOST_DEFECTS:
        raise ConfigError(f"expected 1 to {_MOST_DEFECTS} defects in {path}, got {len(entries)}; {_EXAMPLE}")
    return tuple(_defect(entry, f"{path}, entry {number}") for number, entry in enumerate(entries, start=1))


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(_MOST_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"expected a readable file of defects, got {path}: {reason}; correct llm.defects") from error
    if len(raw) > _MOST_BYTES:
        raise ConfigError(f"expected at most {_MOST_BYTES} bytes in {path}, got more; is this a list of defects?")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"expected UTF-8 text in {path}, got byte {error.start} that is not; save it as UTF-8"
        ) from error


def _parse(path: Path, text: str) -> object:
    language = "JSON" if path.suffix.lower() == ".json" else "YAML"
    try:
        return json.loads(text) if language == "JSON" else yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(
            f"expected {language} in {path}, got text that is none ({reason}); correct the file"
        ) from error


def _defect(entry: object, where: str) -> Defect:
    if not isinstance(entry, dict):
        raise ConfigError(f"expected a mapping at {where}, got {_kind(entry)}; {_EXAMPLE}")
    for key, value in entry.items():
        # Also keeps nested aliases, which may stand for gigabytes, out of any message.
        if not isinstance(key, str) or isinstance(value, (dict, list, set)):
            raise ConfigError(f"expected plain values at {where}, got {_kind(value)} under {key!r}; {_EXAMPLE}")
    try:
        return Defect.model_validate({key: value for key, value in entry.items() if key != "source"})
    except ValidationError as error:
        raise ConfigError(explain(error, Defect, section=where)) from error


def _kind(value: object) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"
