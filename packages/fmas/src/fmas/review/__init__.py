"""``fmas review``: the report's page on 127.0.0.1, with keep and drop.

Imported by the command only: it brings Starlette and uvicorn along.
"""

from __future__ import annotations

from fmas.review.server import ReviewServer

__all__ = ["ReviewServer"]
