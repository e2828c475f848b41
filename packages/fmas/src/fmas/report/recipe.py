"""The command that makes a pair again, as somebody would type it where the run was started."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path, PurePath

import yaml

from fmas.layout import OutputLayout

__all__ = ["LIMIT", "ROUNDS", "remake_commands"]

LIMIT = "{limit}"
"""Stands in the commands for how many photographs have to be gone through until the pair is made."""

ROUNDS = "{rounds}"
"""Stands for 0 up to the pair's generation: each run makes the next picture of a place whose picture was dropped."""


def remake_commands(layout: OutputLayout) -> dict[str, str]:
    """Return the commands for a pair as it was first made (``first``) and for one that fills a dropped place.

    Paths are those that the run was given; of an absolute one only the last part, because a report is sent around and
    nobody needs to know where somebody keeps their files.
    """
    settings = _settings(layout.config)
    images = _shown_path(settings.get("images"), "IMAGES")
    out = _shown_path(settings.get("out"), "OUT")
    again = shlex.quote(f"{out}-again")
    images, quoted = shlex.quote(images), shlex.quote(out)
    shard = "" if settings.get("shard") in (None, [1, 1]) else " --shard 1/1"
    run = f"fmas run {images} --config {quoted}/config.resolved.yaml --out {again}{shard} --limit {LIMIT}"
    return {
        "first": f"mkdir {again} && cp {quoted}/plan.json {again}/ && {run}",
        "refilled": f"mkdir {again} && cp {quoted}/plan.json {quoted}/decisions.jsonl {again}/ && "
        f"for round in {ROUNDS}; do {run}; done",
    }


def _settings(path: Path) -> Mapping[str, object]:
    try:
        content = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, ValueError, yaml.YAMLError):  # the report does not depend on it
        return {}
    return content if isinstance(content, dict) else {}


def _shown_path(given: object, otherwise: str) -> str:
    if not isinstance(given, str) or not given:
        return otherwise
    path = PurePath(given)
    return f"/path/to/{path.name}" if path.is_absolute() or PurePath(given).drive else given
