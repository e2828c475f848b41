"""The GPU benchmark, as far as it goes without one."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

import wdam

SCRIPT = Path(__file__).parents[2] / "packages" / "wdam" / "benchmarks" / "bench_gpu.py"
pytestmark = pytest.mark.skipif(not SCRIPT.exists(), reason="the benchmarks are not part of the wheel")


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    spec = importlib.util.spec_from_file_location("wdam_bench_gpu", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU: it would measure")
def test_without_a_gpu_nothing_is_measured(tmp_path):
    out = tmp_path / "gpu.json"
    done = subprocess.run(
        [sys.executable, "-W", "error", str(SCRIPT), "--out", str(out)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "no CUDA device here: nothing was measured, nothing written\n"
    assert not out.exists()


def test_the_naive_baseline_computes_the_same(bench):
    torch.manual_seed(0)
    module = wdam.WDAM(6, backend="torch")
    x = torch.randn(3, 6, 8, 10)
    torch.testing.assert_close(bench.NaiveWDAM(module)(x), module(x), rtol=1e-5, atol=1e-5)


def test_the_library_baseline_computes_the_same(bench):
    torch.manual_seed(0)
    module = wdam.WDAM(6, backend="torch")
    x = torch.randn(3, 6, 8, 10)

    def split(x):
        low, details = wdam.dwt2(x)
        return [low, *details]

    library = bench.LibraryWDAM(module, split, lambda bands: wdam.idwt2((bands[0], tuple(bands[1:]))))
    torch.testing.assert_close(library(x), module(x), rtol=1e-5, atol=1e-5)


def test_the_transforms_are_measured_in_both_directions(bench, monkeypatch):
    runs = []

    def timed(work, options):
        results = work()
        runs.append(tuple(tuple(result.shape) for result in results))
        return bench.Timing(float(len(runs)), 0.0, 0.0)

    monkeypatch.setattr(bench, "timed", timed)
    monkeypatch.setattr(bench, "peak", lambda work, size: float(size))
    rows = bench.transforms(torch.randn(2, 3, 8, 10), bench.Timing(2.0, 2.0, 2.0), None)
    assert [row.name for row in rows] == ["dwt2 haar", "idwt2 haar", "dwt2 db4", "idwt2 db4"]
    whole, bands, longer = ((2, 3, 8, 10),), ((2, 3, 4, 5),) * 4, ((2, 3, 7, 8),) * 4
    assert runs == [bands, whole, whole, bands, longer, whole, whole, longer]
    assert [row.forward_copies for row in rows] == [0.5, 1.5, 2.5, 3.5]
    assert [row.both_copies for row in rows] == [1.0, 2.0, 3.0, 4.0]
    assert [row.inference_memory for row in rows] == [4.0 * 480, 4.0 * 480, 4.0 * 480, 4.0 * 1344]


def test_a_table_leaves_unmeasured_cells_empty(bench):
    rows = [
        bench.Row("measured", bench.Timing(2.0, 1.0, 3.0), None, 1.6, None, 1.01),
        bench.Row("failed", note="OutOfMemoryError: 80 GiB"),
    ]
    lines = bench.table("float32", rows).splitlines()
    assert lines[-2] == "| measured | 1.60 |  | 1.01 |  |  |"
    assert lines[-1] == "| failed |  |  |  |  | OutOfMemoryError: 80 GiB |"
    assert json.loads(json.dumps([bench.asdict(row) for row in rows]))[1]["forward"] is None


def test_a_baseline_that_fails_costs_only_its_own_row(bench):
    def make():
        raise ModuleNotFoundError("No module named 'pkg_resources'\nbecause of | something")

    row = bench.measure("other", make, torch.zeros(1, 2, 4, 4), bench.Timing(1.0, 1.0, 1.0), None)
    assert row == bench.Row("other", note="ModuleNotFoundError: No module named 'pkg_resources'")
    assert bench.reason_of(RuntimeError("")) == "RuntimeError: "
    assert bench.reason_of(ValueError("a | b")) == "ValueError: a / b"
