"""``fmas-evaluate``: from folders to numbers; a user's mistake is one message and an exit code, never a traceback."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from fmas_evaluate.cli.arguments import parse
from fmas_evaluate.errors import EvaluateError
from fmas_evaluate.extras import MissingExtra

__all__ = ["main"]

_DONE, _FAILED, _USAGE, _INTERRUPTED = 0, 1, 2, 130


def main(arguments: Sequence[str] | None = None, *, program: str = "fmas-evaluate") -> int:
    """Run the command.

    Args:
        arguments: Without the program's name; ``None`` for the process's own.
        program: What messages call the command.

    Returns:
        The exit code: 0 done, 1 failed, 2 wrong usage, 130 interrupted.
    """
    try:
        options = parse(arguments, program=program)
    except SystemExit as leaving:  # argparse has said why
        return leaving.code if isinstance(leaving.code, int) else _USAGE
    try:
        with _said_on_stderr():
            from fmas_evaluate.cli.evaluation import run

            run(options)
            sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read has seen enough; Python would complain once more while it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return _FAILED
    except KeyboardInterrupt:
        _say("interrupted")
        return _INTERRUPTED
    except (EvaluateError, MissingExtra, OSError, MemoryError) as error:
        _say(f"error: {_message(error)}")
        return _FAILED
    return _DONE


def _message(error: BaseException) -> str:
    if isinstance(error, OSError):
        where = f" ({_shown(error.filename)})" if error.filename else ""
        return f"expected to read and write files, got {error.strerror or error}{where}; check it"
    if isinstance(error, MemoryError):
        return "expected enough memory, got too little; use --mode histogram, or leave --bootstrap and --compare away"
    return str(error)


@contextmanager
def _said_on_stderr() -> Iterator[None]:
    """Show warnings as lines for a user, not for a programmer."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", RuntimeWarning)
        said: set[str] = set()

        def show(message: Warning | str, *_: object, **__: object) -> None:
            if str(message) not in said:  # --bootstrap and --protocol find the same missing
                said.add(str(message))
                _say(f"warning: {message}")

        warnings.showwarning = show
        yield


def _say(text: str) -> None:
    encoding = sys.stderr.encoding or "utf-8"
    sys.stderr.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")


def _shown(name: object) -> str:
    from fmas_evaluate.files import printable

    return printable(os.fsdecode(name) if isinstance(name, bytes) else str(name))
