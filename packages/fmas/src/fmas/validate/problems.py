"""What a validation finds, collected as it goes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fmas.validate.rules import Rule

__all__ = ["Problem", "ProblemLog", "ValidationReport", "printable"]

_LONGEST_MESSAGE = 500


@dataclass(frozen=True, slots=True)
class Problem:
    """One broken rule.

    Attributes:
        rule: Which, by its short name.
        path: POSIX path relative to OUT.
        message: One line: what was expected, what was found, what to do. Never holds a secret.
    """

    rule: Rule
    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message} [{self.rule}]"

    def to_json(self) -> dict[str, str]:
        """Return the problem as JSON values."""
        return {"rule": self.rule.value, "path": self.path, "message": self.message}


@dataclass(frozen=True, slots=True)
class ValidationReport:
    """The end of a validation.

    Attributes:
        problems: Every broken rule, in the order of the check; empty if all is well.
        pairs: Finished pairs that the manifest names.
        held_out: Held-out good photographs that it names.
        files: Files found below ``OUT/dataset``.
        notes: What breaks no rule and is still worth knowing, one line each.
    """

    problems: tuple[Problem, ...]
    pairs: int
    held_out: int
    files: int
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether every rule holds."""
        return not self.problems

    def to_json(self) -> dict[str, object]:
        """Return the report as JSON values."""
        return {
            "ok": self.ok,
            "pairs": self.pairs,
            "held_out": self.held_out,
            "files": self.files,
            "problems": [problem.to_json() for problem in self.problems],
            "notes": list(self.notes),
        }


class ProblemLog:
    """Collects problems; makes every message one printable line without secrets.

    Args:
        secrets: Environment variable -> value that must never be shown.
    """

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self.secrets = dict(secrets)
        self._problems: list[Problem] = []

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What was found so far."""
        return tuple(self._problems)

    def add(self, rule: Rule, path: str, message: str) -> None:
        """Keep a problem.

        Args:
            rule: The broken rule.
            path: Relative to OUT; may hold anything that a file system allows.
            message: Expected, got, what to do; may quote content of broken files.
        """
        line = self._redacted(message)
        if len(line) > _LONGEST_MESSAGE:
            line = line[: _LONGEST_MESSAGE - 1] + "…"
        self._problems.append(Problem(rule, printable(self._redacted(path)), printable(line)))

    def _redacted(self, text: str) -> str:
        for name, value in self.secrets.items():
            text = text.replace(value, f"<{name}>").replace(ascii(value)[1:-1], f"<{name}>")
        return text


def printable(text: str) -> str:
    """Escape line breaks, control characters and bytes that are no text."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )
