"""``fmas benchmark`` as a function."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence

from fmas.benchmark.cells import BenchmarkRequest
from fmas.benchmark.finished import machine
from fmas.benchmark.folder import BenchmarkFolder
from fmas.benchmark.layouts import read_dataset
from fmas.benchmark.page import write_page
from fmas.benchmark.results import Json, collect_results
from fmas.benchmark.ruler import Ruler
from fmas.benchmark.runner import CellProgress, run_cells
from fmas.benchmark.steps import ChildProcesses, RunStep
from fmas.benchmark.tables import csv_table, markdown

__all__ = ["run_benchmark"]


def run_benchmark(
    request: BenchmarkRequest,
    *,
    ruler: Ruler,
    command: Sequence[str],
    run_step: RunStep | None = None,
    progress: CellProgress | None = None,
) -> Json:
    """Run every cell that is not finished, and write tables and page; what ``fmas benchmark`` calls.

    Args:
        request: What to do.
        ruler: Who measures.
        command: The arguments of ``fmas``, for the record.
        run_step: Runs one command; by default in a child process.
        progress: Told after each cell.

    Returns:
        What ``results.json`` holds.

    Raises:
        UsageError: If the data set is in no known layout or cannot be measured.
        OutputError: If the folder cannot be used: another benchmark's, locked, full.
    """
    folder = BenchmarkFolder(request.out)
    # Jobs share the cores; a single one is left to the libraries, which know the machine better than we do.
    threads = max(1, (os.cpu_count() or 1) // request.jobs) if request.jobs > 1 else None
    with folder.locked():
        categories = read_dataset(request.dataset, only=request.only, staging=folder.staging)
        folder.claim(request, categories)
        children = ChildProcesses(threads=threads)
        try:
            states = run_cells(
                request,
                categories,
                run_step=run_step if run_step is not None else children,
                ruler=ruler,
                threads=threads,
                progress=progress,
            )
        finally:
            children.stop()
        about = machine(threads=threads, device=request.device)
        results = collect_results(request, categories, states, ruler=ruler, command=command, machine=about)
        text = json.dumps(results, indent=2, ensure_ascii=False, allow_nan=False)
        folder.writer.write_text(request.out / "results.json", text + "\n")
        folder.writer.write_text(request.out / "results.csv", csv_table(results))
        folder.writer.write_text(request.out / "results.md", markdown(results))
        write_page(request.out / "index.html", results, categories, states, request)
    return results
