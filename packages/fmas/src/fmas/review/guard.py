"""Who may talk to the review: the page that it served itself, and nobody else.

A server on 127.0.0.1 can be reached by every page that the reviewer's browser has open. Three things keep them out:

- ``Host`` must be our address. A name that an attacker's DNS server points at 127.0.0.1 ("DNS rebinding") is another.
- ``Origin``, which browsers send with every request that can change something, must be that same address.
- A request that another site caused, as ``Sec-Fetch-Site`` tells, gets no picture and no decision.
"""

from __future__ import annotations

from collections.abc import Callable

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["Guard"]

_HEADERS = {
    "Cache-Control": "no-store",
    # For everything but the page, which brings its own: even an error's text may load and run nothing.
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_LONGEST_SHOWN = 100


class Guard:
    """Refuses strangers and adds the headers that every answer carries.

    Args:
        app: What to guard.
        port: Where the server listens; part of every allowed ``Host`` and ``Origin``.
        log: Told of every refused request, in one line.
    """

    def __init__(self, app: ASGIApp, *, port: int, log: Callable[[str], None]) -> None:
        self._app = app
        self._log = log
        self._hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost")}
        if port == 80:  # browsers leave it out
            self._hosts |= {"127.0.0.1", "localhost"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        headers = Headers(scope=scope)
        refusal = self._refusal(scope["method"], scope["path"], headers)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    answer.setdefault(name, value)
            await send(message)

        if refusal is None:
            await self._app(scope, receive, send_with_headers)
            return
        self._log(f"refused {_shown(scope['method'])} {_shown(scope['path'])}: {refusal}")
        error = f"expected a request of the review's own page, got {refusal}; open the address that fmas review printed"
        await JSONResponse({"saved": False, "error": error}, status_code=403)(scope, receive, send_with_headers)

    def _refusal(self, method: str, path: str, headers: Headers) -> str | None:
        """Return what is wrong with who asks, ``None`` if nothing is."""
        hosts, origins = headers.getlist("host"), headers.getlist("origin")
        if len(hosts) != 1 or hosts[0].lower() not in self._hosts:
            return f"the Host {_shown(', '.join(hosts))}"
        if origins != [f"http://{hosts[0].lower()}"] and (origins or method not in ("GET", "HEAD")):
            return f"the Origin {_shown(', '.join(origins))}"
        site = headers.get("sec-fetch-site", "none")
        if path != "/" and site not in ("same-origin", "none"):  # the page itself may be opened from a link
            return f"a {_shown(site)} request"
        return None


def _shown(text: str) -> str:
    """Return what a stranger sent, short and on one line."""
    return ascii(text[:_LONGEST_SHOWN])
