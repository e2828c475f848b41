"""The server: on 127.0.0.1 only, for as long as the command runs."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Self

import uvicorn

from fmas.errors import UsageError
from fmas.report.rows import read_overview
from fmas.review.app import review_app

__all__ = ["ReviewServer"]

_ADDRESS = "127.0.0.1"
_SECONDS_TO_END = 2  # for answers on their way


class ReviewServer:
    """Serves one output folder; listens from the moment it is made.

    Args:
        out: The output folder of ``fmas run``.
        port: Where to listen; 0 takes a free port.
        log: Told of every refused request, in one line; stderr by default.

    Raises:
        UsageError: If ``out`` is no output folder or the port is taken.
        OutputError: If it holds no finished pair, or its decisions cannot be read.
    """

    def __init__(self, out: Path, *, port: int = 0, log: Callable[[str], None] | None = None) -> None:
        overview = read_overview(out)
        self._socket = _listening(port)
        self.port = int(self._socket.getsockname()[1])
        limit = overview.identity.get("max_pixels")
        app = review_app(
            overview.layout,
            port=self.port,
            token=secrets.token_urlsafe(32),
            digest=overview.digest,
            max_pixels=limit if isinstance(limit, int) else None,
            log=log or _to_stderr,
        )
        self._server = _Server(
            uvicorn.Config(
                app,
                access_log=False,
                http="h11",
                lifespan="off",
                log_config=None,
                loop="asyncio",
                proxy_headers=False,  # nobody stands in between whose word could be taken
                server_header=False,
                timeout_graceful_shutdown=_SECONDS_TO_END,
                ws="none",
            )
        )

    @property
    def url(self) -> str:
        """What to open in a browser on this machine."""
        return f"http://{_ADDRESS}:{self.port}/"

    def serve(self) -> None:
        """Answer until Ctrl-C or :meth:`stop`.

        Raises:
            KeyboardInterrupt: After Ctrl-C, when all is closed.
        """
        self._server.run(sockets=[self._socket])

    def stop(self) -> None:
        """End :meth:`serve`, from another thread."""
        self._server.should_exit = True

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Server(uvicorn.Server):
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End, and with it every connection: uvicorn leaves those open that do not end by themselves.

        Their other end does not read its answer, never finishes its question, or connected just now. The page behind
        such a connection would go on sending into it, and wait for an answer for as long as this process lives.
        """
        await super().shutdown(sockets)
        for connection in list(self.server_state.connections):
            if connection.transport is not None:
                connection.transport.abort()
        await asyncio.sleep(0)  # in which the event loop closes them


def _listening(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        # POSIX: a restart need not wait for old connections. Windows: the same word would let others take the port.
        option = socket.SO_REUSEADDR if os.name == "posix" else getattr(socket, "SO_EXCLUSIVEADDRUSE", None)
        if option is not None:
            listener.setsockopt(socket.SOL_SOCKET, option, 1)
        listener.bind((_ADDRESS, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise UsageError(
            f"expected to listen on {_ADDRESS}:{port}, got {error.strerror or error}; choose another --port, or leave "
            "it out"
        ) from error
    except OverflowError as error:
        listener.close()
        raise UsageError(f"expected a port from 0 to 65535, got {port}; leave --port out") from error
    return listener


def _to_stderr(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
