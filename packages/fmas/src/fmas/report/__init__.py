"""One self-contained page to look at what a run made."""

from __future__ import annotations

from fmas.report.page import ReviewMode, page_chunks, write_report
from fmas.report.rows import Overview, read_overview

__all__ = ["Overview", "ReviewMode", "page_chunks", "read_overview", "write_report"]
