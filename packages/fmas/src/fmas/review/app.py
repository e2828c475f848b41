"""What the review answers: the page, its pictures, and decisions."""

from __future__ import annotations

import errno
import html
import itertools
import json
import re
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from fmas.decisions import LONGEST_NOTE, Decision, DecisionLog, Verdict
from fmas.errors import FmasError, ImageError, OutputError
from fmas.layout import OutputLayout, image_stem
from fmas.options import explain
from fmas.report.page import ReviewMode, page_chunks
from fmas.report.rows import read_overview
from fmas.review.guard import Guard
from fmas.review.index import ReviewIndex
from fmas.review.pictures import KINDS, PictureError, picture_bytes

__all__ = ["review_app"]

_LARGEST_BODY = 16_384  # bytes; a decision with the longest note is below 10,000
_STEM = re.compile(r"[0-9]{6,7}")
_VERSION = re.compile(r"[0-9a-f]{16}")
_POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">')
_BLOCK = 262_144  # characters
_LONGEST_HEAD = 20_000  # characters of the page before its policy
_NO_MAX_PIXELS = 200_000_000


class _Asked(BaseModel):
    """What the page posts."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    stem: int = Field(ge=0)
    image_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    verdict: Verdict
    note: str = Field(default="", max_length=LONGEST_NOTE)


class _RefusedError(Exception):
    """A decision is not taken.

    Attributes:
        status: The answer's status.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class _Review:
    """The handlers, and what they share.

    Attributes:
        layout: Where things lie.
        index: What there is to look at.
        decisions: Where decisions go.
        token: What the page sends back with every decision.
        digest: Of the run's identity: which data set this is.
        max_pixels: Larger files are not decoded.
    """

    layout: OutputLayout
    index: ReviewIndex
    decisions: DecisionLog
    token: str
    digest: str
    max_pixels: int

    def page(self, _: Request) -> Response:
        """Answer the page as the folder is now; a run may be adding to it."""
        try:
            chunks = page_chunks(read_overview(self.layout.out), review=ReviewMode(self.token))
            policy, chunks = _policy_of(chunks)
        except FmasError as error:
            return PlainTextResponse(f"{error}\n", status_code=503)
        headers = {"Content-Security-Policy": f"{policy}; frame-ancestors 'none'"}
        return StreamingResponse(_blocks(chunks), media_type="text/html", headers=headers)

    def session(self, _: Request) -> Response:
        """Answer the token: a page that was open while the server was restarted goes on with the new one.

        The digest tells it whether this is still the data set that it shows: the next server may be another review's.
        """
        return JSONResponse({"token": self.token, "digest": self.digest})

    def picture(self, request: Request) -> Response:
        """Answer a picture of the data set; the address holds a number and a word, never a path."""
        stem, kind = request.path_params["stem"], request.path_params["kind"]
        wanted = request.query_params.get("v", "")
        if not _STEM.fullmatch(stem) or stem != image_stem(int(stem)) or kind not in KINDS:
            return _error(404, "there is no such picture")
        try:
            picture = self.index.picture(int(stem))
            if picture is None or not picture.image_sha256.startswith(wanted) or not _VERSION.fullmatch(wanted):
                return _error(404, "this picture is not there any more; load the page anew")
            tag = f'"{kind}-{picture.image_sha256}"'
            headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
            if request.headers.get("if-none-match") == tag:
                return Response(status_code=304, headers=headers)
            content, media_type = picture_bytes(self.layout.dataset, picture, kind, max_pixels=self.max_pixels)
        except (PictureError, ImageError) as error:
            return _error(404, str(error))
        except OutputError as error:
            return _error(500, str(error))
        return Response(content, media_type=media_type, headers=headers)

    def decided(self, _: Request) -> Response:
        """Answer what was decided about every picture, by whichever reviewer."""
        try:
            decisions = self.index.decisions()
        except OutputError as error:
            return _error(500, str(error))
        return JSONResponse(
            {
                image_stem(one.stem): {"image_sha256": one.image_sha256, "verdict": one.verdict, "note": one.note}
                for one in decisions
            }
        )

    async def decide(self, request: Request) -> Response:
        """Save a decision; it is on the disk when the answer says so."""
        try:
            asked = await self._asked(request)
            await run_in_threadpool(self._save, asked)
        except _RefusedError as error:
            return _error(error.status, str(error))
        except OutputError as error:
            cause = error.__cause__
            is_full = isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT)
            return _error(507 if is_full else 500, str(error))
        except ClientDisconnect:
            return Response(status_code=400)  # nobody reads it
        return JSONResponse({"saved": True})

    async def _asked(self, request: Request) -> _Asked:
        token = request.headers.get("x-fmas-token", "")
        if not secrets.compare_digest(token.encode(), self.token.encode()):
            raise _RefusedError(403, "expected this review's token, got another; load the page anew")
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise _RefusedError(415, "expected application/json, got something else")
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > _LARGEST_BODY:
                raise _RefusedError(413, f"expected a decision of at most {_LARGEST_BODY} bytes, got a larger one")
        try:
            return _Asked.model_validate(json.loads(body))
        except ValidationError as error:
            raise _RefusedError(400, f"expected a decision, got {explain(error, _Asked)}") from error
        except (ValueError, RecursionError) as error:
            raise _RefusedError(400, "expected a decision in JSON, got something else") from error

    def _save(self, asked: _Asked) -> None:
        picture = self.index.picture(asked.stem)
        if picture is None or picture.image_sha256 != asked.image_sha256:
            raise _RefusedError(409, "this picture is not there any more, so nothing was decided; load the page anew")
        if picture.held_out:
            raise _RefusedError(409, "this is a photograph of a good part that nobody painted; it is always kept")
        self.decisions.append(Decision(asked.stem, asked.image_sha256, asked.verdict, asked.note))


def review_app(
    layout: OutputLayout, *, port: int, token: str, digest: str, max_pixels: int | None, log: Callable[[str], None]
) -> Guard:
    """Return the application.

    Args:
        layout: Where things lie.
        port: Where the server listens.
        token: What the page sends back with every decision.
        digest: Of the run's identity, as ``run.json`` holds it.
        max_pixels: Larger files are not decoded.
        log: Told of every refused request, in one line.

    Raises:
        OutputError: If the manifest cannot be read.
    """
    review = _Review(layout, ReviewIndex(layout), DecisionLog(layout), token, digest, max_pixels or _NO_MAX_PIXELS)
    routes = [
        Route("/", review.page, methods=["GET"]),
        Route("/session", review.session, methods=["GET"]),
        Route("/pictures/{stem}/{kind}", review.picture, methods=["GET"]),
        Route("/decisions", review.decided, methods=["GET"]),
        Route("/decisions", review.decide, methods=["POST"]),
    ]
    return Guard(Starlette(routes=routes), port=port, log=log)


def _policy_of(chunks: Iterator[str]) -> tuple[str, Iterator[str]]:
    """Return the content security policy that the page states for itself, and the whole page."""
    head = ""
    for chunk in chunks:
        head += str(chunk)  # Jinja's safe pieces would escape what stands before them
        if found := _POLICY.search(head):
            return html.unescape(found[1]), itertools.chain([head], chunks)
        if len(head) > _LONGEST_HEAD:
            break
    raise RuntimeError("expected a page with a content security policy, got one without; this is a bug in the template")


def _blocks(chunks: Iterator[str]) -> Iterator[bytes]:
    """Yield the page in few large blocks: each is handed from one thread to another."""
    block: list[str] = []
    length = 0
    for chunk in chunks:
        block.append(str(chunk))
        length += len(chunk)
        if length >= _BLOCK:
            yield "".join(block).encode(errors="backslashreplace")
            block, length = [], 0
    yield "".join(block).encode(errors="backslashreplace")


def _error(status: int, message: str) -> Response:
    return JSONResponse({"saved": False, "error": message}, status_code=status)
