"""What a validation finds, collected as it goes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fmas.validate.reading import UnreadableError, closed_folder
from fmas.validate.remedies import CHECK_PERMISSIONS, Remedy, remedy_for
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
        out: The output folder.
        secrets: Environment variable -> value that must never be shown.
    """

    def __init__(self, out: Path, secrets: Mapping[str, str]) -> None:
        self._out = out
        self.secrets = dict(secrets)
        self._found: dict[tuple[Rule, str, str, Remedy], None] = {}
        self._blocker: str | None = None

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What was found so far, each once; what to do depends on what else was found."""
        return tuple(
            Problem(rule, printable(self._redacted(path)), self._line(message, remedy.told(self._blocker_of(path))))
            for rule, path, message, remedy in self._found
        )

    def add(self, rule: Rule, path: str, message: str, remedy: Remedy) -> None:
        """Keep a problem; the same one again is not kept twice.

        Args:
            rule: The broken rule.
            path: Relative to OUT; may hold anything that a file system allows.
            message: Expected and got; may quote content of broken files.
            remedy: What to do.
        """
        self._found[rule, path, message, remedy] = None

    def add_unreadable(self, rule: Rule, name: str, wanted: str, error: UnreadableError, if_missing: Remedy) -> None:
        """Keep the problem that a file cannot be read.

        Args:
            rule: The broken rule.
            name: The file, relative to OUT.
            wanted: What it should have been.
            error: Why it cannot be read.
            if_missing: What to do if it is missing.
        """
        denied = error.__cause__ if error.cause == "denied" else None
        if isinstance(denied, OSError) and closed_folder(self._out, name) != name:
            self.add_unreachable(name, denied)
        else:
            self.add(rule, name, f"expected {wanted}, got {error}", remedy_for(error, if_missing))

    def add_unreachable(self, name: str, error: OSError) -> None:
        """Keep the problem that a folder lets nobody through to ``name``, relative to OUT, or cannot be listed."""
        message = f"expected a readable folder, got one that cannot be read ({error.strerror or error})"
        self.add(Rule.FOLDERS, closed_folder(self._out, name), message, CHECK_PERMISSIONS)

    def block(self, name: str) -> None:
        """Remember a file without which ``fmas run`` refuses to go on, so that nobody is told to run it."""
        self._blocker = self._blocker or name

    def _blocker_of(self, path: str) -> str | None:
        """Return what stands in the way of mending ``path`` by a rerun; what is wrong with the blocker is its own."""
        return None if self._blocker is None or path.startswith(self._blocker) else self._blocker

    def shown(self, value: object) -> str:
        """Return a value as messages show it, without secrets: of a shortened text only a piece could be known."""
        return repr(self._redacted(value)) if isinstance(value, str) else self._redacted(repr(value))

    def _line(self, message: str, advice: str) -> str:
        line, room = self._redacted(message), _LONGEST_MESSAGE - len(advice)
        if len(line) > room:
            line = line[: room - 1] + "…"
        return printable(f"{line}; {self._redacted(advice)}")

    def _redacted(self, text: str) -> str:
        for name, value in self.secrets.items():
            text = text.replace(value, f"<{name}>").replace(ascii(value)[1:-1], f"<{name}>")
        return text


def printable(text: str) -> str:
    """Escape line breaks, control characters and bytes that are no text."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )
