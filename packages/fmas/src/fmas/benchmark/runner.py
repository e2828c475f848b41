"""All cells of a benchmark: several at a time, each finished one kept, a failed one alone."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from fmas.benchmark.cells import BenchmarkRequest, Cell, pairs_folder, shown_command, synthesis_step
from fmas.benchmark.finished import CellResult, machine, read_result, write_result
from fmas.benchmark.layouts import Category
from fmas.benchmark.measuring import cell_images, draw_seed, measured_kinds, read_inspected
from fmas.benchmark.ruler import Ruler
from fmas.benchmark.steps import RunStep
from fmas.errors import FmasError
from fmas.files import AtomicWriter
from fmas.versions import library_versions

__all__ = ["CellProgress", "CellState", "all_cells", "run_cells"]

CellProgress: TypeAlias = Callable[[int, int, int], None]
"""Called with (cells finished or failed, cells in all, cells failed)."""


@dataclass(frozen=True, slots=True)
class CellState:
    """How a cell ended.

    Attributes:
        cell: Which.
        result: What it measured; ``None`` if it failed.
        reason: Why it failed, one line; empty if it did not.
    """

    cell: Cell
    result: CellResult | None
    reason: str = ""


def all_cells(request: BenchmarkRequest, categories: Sequence[Category]) -> list[Cell]:
    """Return every cell: category by category, seed by seed, so that a first seed of all variants is there early."""
    return [
        Cell(category, variant, seed)
        for category in categories
        for seed in range(request.seeds)
        for variant in request.variants
    ]


def run_cells(
    request: BenchmarkRequest,
    categories: Sequence[Category],
    *,
    run_step: RunStep,
    ruler: Ruler,
    threads: int | None = None,
    progress: CellProgress | None = None,
) -> list[CellState]:
    """Run what is not finished yet.

    Args:
        request: What to do.
        categories: The products.
        run_step: Runs a command; called from ``request.jobs`` threads.
        ruler: Who measures; called from one thread at a time.
        threads: Threads that ``run_step`` gives each command, for the record.
        progress: Told after each cell.

    Returns:
        One state per cell, in the order of :func:`all_cells`.
    """
    work = _Work(request, run_step, ruler, threads)
    cells = all_cells(request, categories)
    states: dict[int, CellState] = {}
    pool = ThreadPoolExecutor(request.jobs, thread_name_prefix="cell")
    try:
        waiting: dict[Future[CellState], int] = {pool.submit(work, cell): n for n, cell in enumerate(cells)}
        while waiting:
            # Woken now and then: Ctrl-C is heard only between two waits on some systems.
            done, _ = wait(waiting, timeout=0.5, return_when=FIRST_COMPLETED)
            for future in done:
                states[waiting.pop(future)] = future.result()
                if progress is not None:
                    progress(len(states), len(cells), sum(bool(state.reason) for state in states.values()))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return [states[number] for number in range(len(cells))]


class _Work:
    """Makes one cell after the other; shared by all threads."""

    def __init__(self, request: BenchmarkRequest, run_step: RunStep, ruler: Ruler, threads: int | None) -> None:
        self._request = request
        self._run_step = run_step
        self._ruler = ruler
        self._threads = threads
        self._measuring = threading.Lock()  # one set of maps in memory
        self._lock = threading.Lock()
        self._pairs: dict[Path, threading.Lock] = {}
        self._pairs_failed: dict[Path, str] = {}

    def __call__(self, cell: Cell) -> CellState:
        """Run what is missing of a cell."""
        folder = cell.folder(self._request.out)
        try:
            finished = read_result(folder)
            if finished is not None:
                return CellState(cell, finished)
            return self._made(cell, folder)
        except FmasError as error:
            return CellState(cell, None, str(error))
        except OSError as error:
            return CellState(cell, None, f"expected to read and write files, got {error}")

    def _made(self, cell: Cell, folder: Path) -> CellState:
        # Averages over seeds that this cell was part of before somebody deleted its result.
        shutil.rmtree(averages_folder(self._request.out, cell), ignore_errors=True)
        resumed = folder.exists()
        commands: list[str] = []
        pairs, reason = self._pairs_of(cell)
        seconds = {"synthesize": pairs["seconds"]} if pairs else {}
        if reason:
            return CellState(cell, None, f"synthesize: {reason}")
        commands += [pairs["command"]]
        for step in cell.steps(self._request):
            outcome = self._run_step(step, folder / "log.txt")
            if outcome.error:
                return CellState(cell, None, f"{step.name}: {outcome.error}")
            seconds[step.name] = outcome.seconds
            commands.append(shown_command(step.arguments))
        with self._measuring:
            started = time.monotonic()
            result = self._measured(cell, folder)
            seconds["measure"] = time.monotonic() - started
        about = {
            "commands": commands,
            "seconds": {name: round(value, 2) for name, value in seconds.items()},
            "resumed": resumed,
            "machine": machine(threads=self._threads, device=self._request.device),
            "versions": library_versions(),
        }
        result = replace(result, about={**result.about, **about})
        write_result(folder, cell, result)
        return CellState(cell, result)

    def _measured(self, cell: Cell, folder: Path) -> CellResult:
        category = cell.category
        inspected = read_inspected(folder / "inspection", category, explained=cell.variant.looks_through_wdam)
        false_alarms, found = inspected.rates(category)
        images = cell_images(category, inspected)
        sampled = self._ruler.sample(images, seed=draw_seed(category.name))
        kinds = {kind: part for kind, _, part in measured_kinds(category, images, self._ruler)}
        about = {
            "false_alarms": false_alarms,
            "found": found,
            "subbands": {
                name: inspected.mean_subbands(category, defective=defective)
                for name, defective in (("good", False), ("defective", True))
            },
            "training": _training_of(folder / "model" / "model.json"),
        }
        return CellResult(sampled, kinds, about)

    def _pairs_of(self, cell: Cell) -> tuple[dict[str, Any], str]:
        """Make the pairs of a category and seed once; whoever comes second waits."""
        folder = pairs_folder(self._request.out, cell.category, cell.seed)
        note = folder.with_name("pairs.json")
        with self._lock:
            lock = self._pairs.setdefault(folder, threading.Lock())
        with lock:
            if folder in self._pairs_failed:
                return {}, self._pairs_failed[folder]
            if note.is_file():
                return json.loads(note.read_bytes()), ""
            step = synthesis_step(self._request, cell.category, cell.seed)
            outcome = self._run_step(step, folder.with_name("pairs.log.txt"))
            if outcome.error:
                self._pairs_failed[folder] = outcome.error
                return {}, outcome.error
            content = {"command": shown_command(step.arguments), "seconds": outcome.seconds}
            AtomicWriter(folder.with_name(".tmp")).write_text(note, json.dumps(content, indent=2) + "\n")
            return content, ""


def averages_folder(out: Path, cell: Cell) -> Path:
    """Return where measures of a variant's averaged maps are kept."""
    return out / cell.category.name / "averaged" / cell.variant.name


def _training_of(about: Path) -> Mapping[str, Any]:
    """Return what the model says about its training; empty if it says nothing."""
    try:
        training = json.loads(about.read_bytes()).get("training", {})
    except (OSError, ValueError, AttributeError):
        return {}
    return training if isinstance(training, dict) else {}


def by_variant(states: Sequence[CellState], category: Category) -> Iterator[tuple[str, list[CellState]]]:
    """Yield each variant's cells of one category, by seed."""
    names = dict.fromkeys(state.cell.variant.name for state in states)
    for name in names:
        yield name, [s for s in states if s.cell.category is category and s.cell.variant.name == name]
