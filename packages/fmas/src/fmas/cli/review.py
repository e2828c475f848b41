"""``fmas review``: look at what a run made and drop what is no good; the next ``fmas run`` makes others."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import sys
import threading
from pathlib import Path
from typing import Annotated

import typer

from fmas.cli.options import JsonOption
from fmas.cli.outcome import print_json, reported_errors

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("review")(review)


def review(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The output folder of fmas run.")],
    port: Annotated[
        int, typer.Option("--port", metavar="N", min=0, max=65535, help="Port on 127.0.0.1. (default: any free one)")
    ] = 0,
    no_open: Annotated[bool, typer.Option("--no-open", help="Do not open a browser.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Serve the report's page on 127.0.0.1, with keep and drop by keyboard, until Ctrl-C.

    Decisions are written to OUT/decisions.jsonl at once. Running the same fmas run again makes another picture in the
    place of every dropped one.
    """
    with reported_errors():
        from fmas.review import ReviewServer

        with ReviewServer(out, port=port) as server:
            _announce(server.url, out, as_json=as_json)
            if not no_open:
                _open(server.url)
            # A terminated review ends as an interrupted one does. Set before the server looks at what it replaces.
            signal.signal(signal.SIGTERM, signal.default_int_handler)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            with contextlib.suppress(KeyboardInterrupt):  # the usual end
                server.serve()
        _tell_what_is_next(out)


def _announce(url: str, out: Path, *, as_json: bool) -> None:
    if as_json:
        print_json({"url": url, "out": str(out), "decisions": str(out / "decisions.jsonl")})
    else:
        typer.echo(url)
        typer.echo("press Ctrl-C to end; every decision is saved at once", err=True)
    sys.stdout.flush()


def _open(url: str) -> None:
    """Open a browser, if there is a screen to open it on: a text browser would take the terminal away."""
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return
    import webbrowser

    threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()


def _tell_what_is_next(out: Path) -> None:
    from fmas.refill import dropped_pictures
    from fmas.report.rows import read_overview

    dropped = dropped_pictures(read_overview(out).layout)
    if dropped:
        typer.echo(
            f"{dropped} dropped: run the same fmas run --out {shlex.quote(str(out))} again to make others", err=True
        )
    else:
        typer.echo("nothing is dropped", err=True)
