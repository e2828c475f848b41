"""How commands end: one line for an error, the documented exit code, JSON or text for a result."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from fmas.errors import FmasError, UsageError

__all__ = ["EXIT_FAILED", "EXIT_INTERRUPTED", "EXIT_USAGE", "print_json", "reported_errors"]

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


@contextmanager
def reported_errors(*, interrupted: str = "interrupted") -> Iterator[None]:
    """Turn errors meant for the user into one line on stderr and the exit code; anything else is a bug and shows.

    Args:
        interrupted: What to say after Ctrl-C.
    """
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        raise  # the reader has seen enough; Typer ends quietly
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        typer.echo(f"error: expected to read and write files, got {error.strerror or error}{where}; check it", err=True)
        raise typer.Exit(EXIT_FAILED) from error
    except FmasError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(EXIT_USAGE if isinstance(error, UsageError) else EXIT_FAILED) from error
    except KeyboardInterrupt as error:
        typer.echo(interrupted, err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from error


def print_json(content: object) -> None:
    """Print a result as JSON on stdout."""
    unicode = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    sys.stdout.write(json.dumps(content, indent=2, ensure_ascii=not unicode) + "\n")
