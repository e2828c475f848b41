"""Needs torch and torchmetrics, which the usual test environment does not have."""

from __future__ import annotations

import os
import pickle
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fmas_evaluate.errors import InvalidInput
from fmas_evaluate.evaluator import Evaluator

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("torchmetrics", reason="torchmetrics is not installed")

from fmas_evaluate.torchmetrics_wrapper import AnomalyMetrics  # noqa: E402

BINS = 2**12
NAMES = ["image_auroc", "pixel_auroc", "average_precision", "f1_max", "aupro", "aupro@0.05"]
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:torchmetrics.*", "ignore:The ``compute`` method")


def some_batch(seed: int, dtype: Any = None) -> tuple[Any, Any]:
    generator = torch.Generator().manual_seed(seed)
    masks = torch.rand(4, 16, 12, generator=generator) < 0.2
    masks[0] = False
    maps = 60 * torch.randn(4, 16, 12, generator=generator) + 100 + 40 * masks
    return maps.clip(0, 255).to(dtype or torch.float32), masks


def metric_of(*seeds: int, **arguments: Any) -> AnomalyMetrics:
    metric = AnomalyMetrics((0.3, 0.05), bins=BINS, **arguments)
    for seed in seeds:
        metric.update(*some_batch(seed))
    return metric


def evaluated(*seeds: int) -> Any:
    evaluator = Evaluator((0.3, 0.05), mode="histogram", bins=BINS)
    for seed in seeds:
        evaluator.update(*some_batch(seed))
    return evaluator.compute()


def test_equals_the_evaluator_in_histogram_mode() -> None:
    metric, expected = metric_of(1, 2), evaluated(1, 2)
    found = metric.compute()
    assert list(found) == NAMES
    for name in NAMES[1:]:
        assert found[name].dtype == torch.float64 and found[name].ndim == 0
        assert found[name].item() == expected[name].value
        result = metric.evaluation()[name]
        assert (result.lower, result.upper, result.limit, result.threshold) == (
            expected[name].lower,
            expected[name].upper,
            expected[name].limit,
            expected[name].threshold,
        )
        assert (result.n_images, result.n_pixels) == (8, 2 * 4 * 16 * 12) and result.n_regions > 10
    image = metric.evaluation().image_auroc
    assert image.lower <= expected.image_auroc <= image.upper  # exact there, counted in bins here


@pytest.mark.parametrize("dtype", ["uint8", "float16", "bfloat16", "float64"])
def test_batches_of_any_dtype_share_one_scale(dtype: str) -> None:
    metric = AnomalyMetrics()
    metric.update(*some_batch(1, getattr(torch, dtype)))
    evaluator = Evaluator()
    evaluator.update(*some_batch(1, getattr(torch, dtype)))
    assert metric.evaluation()["aupro"].exact is (dtype != "float64")
    metric.update(*some_batch(2))
    evaluator.update(*some_batch(2))
    exact = evaluator.compute()
    for name, result in metric.evaluation().items():
        assert result.lower <= exact[name] <= result.upper


def test_labels_and_image_scores_are_taken() -> None:
    metric = AnomalyMetrics(bins=BINS)
    maps, masks = some_batch(3)
    with pytest.warns(RuntimeWarning, match="labelled good"):
        metric.update(maps, masks, labels=torch.tensor([0, 0, 1, 1]), image_scores=torch.tensor([0.1, 0.5, 0.2, 0.9]))
    assert metric.compute()["image_auroc"].item() == 0.75


def test_states_are_integers_that_add_up_to_the_whole_bit_for_bit() -> None:
    whole, first, second = metric_of(1, 2, 3), metric_of(1), metric_of(3, 2)
    assert len(whole._reductions) == 8
    added = AnomalyMetrics((0.3, 0.05), bins=BINS)
    for name in whole._reductions:
        assert getattr(whole, name).dtype == torch.int64
        getattr(added, name).copy_(getattr(first, name) + getattr(second, name))  # what dist_reduce_fx="sum" does
    first.merge_state(second)
    for metric in (added, first):
        for level in ("pixel", "image"):
            state, expected = metric._counted(level).state_dict(), whole._counted(level).state_dict()
            assert {
                name: list(map(int, value)) if hasattr(value, "dtype") else value for name, value in state.items()
            } == {name: list(map(int, value)) if hasattr(value, "dtype") else value for name, value in expected.items()}
        assert metric.evaluation() == whole.evaluation()


def test_forward_returns_the_batch_and_keeps_the_whole() -> None:
    metric = AnomalyMetrics((0.3, 0.05), bins=BINS)
    batch = {name: value.item() for name, value in metric(*some_batch(1)).items()}
    assert batch["aupro"] == evaluated(1)["aupro"].value
    assert metric(*some_batch(2))["aupro"].item() == evaluated(2)["aupro"].value
    assert metric.compute()["aupro"].item() == evaluated(1, 2)["aupro"].value


def test_reset_forgets() -> None:
    metric = metric_of(1)
    metric.reset()
    metric.update(*some_batch(2))
    assert metric.compute()["pixel_auroc"].item() == evaluated(2)["pixel_auroc"].value


def test_a_refused_batch_counts_for_nothing() -> None:
    metric = metric_of(1)
    before = metric.compute()
    maps, masks = some_batch(2)
    maps[3, 0, 0] = float("nan")
    with pytest.raises(InvalidInput, match="NaN in the map of image 3"):
        metric.update(maps, masks)
    metric._computed = None
    assert metric.compute() == before


def test_no_image_changes_nothing() -> None:
    metric = metric_of(1)
    metric.update([], [])
    assert metric.compute()["aupro"].item() == evaluated(1)["aupro"].value


def test_without_a_defect_metrics_are_nan_and_a_warning_says_why() -> None:
    metric = AnomalyMetrics(bins=BINS)
    maps, masks = some_batch(1)
    metric.update(maps, masks & False)
    with pytest.warns(RuntimeWarning, match=r"image_auroc not defined: .* got 0 defective and 4 good; pixel_auroc, "):
        found = metric.compute()
    assert all(value.isnan() for value in found.values())


def test_a_metric_survives_pickle() -> None:
    copied = pickle.loads(pickle.dumps(metric_of(1)))  # noqa: S301
    copied.update(*some_batch(2))
    assert copied.compute()["aupro"].item() == evaluated(1, 2)["aupro"].value


RANK = """
import sys
import torch
from fmas_evaluate.torchmetrics_wrapper import AnomalyMetrics

rank = int(sys.argv[1])
torch.distributed.init_process_group("gloo", init_method=sys.argv[2], rank=rank, world_size=2)
maps, masks = torch.load(sys.argv[3])
metric = AnomalyMetrics((0.3, 0.05), bins=2**12)
metric.update(maps[rank::2], masks[rank::2])
print({name: value.item() for name, value in metric.compute().items()})
with metric.sync_context():
    print(metric.evaluation().aupro.n_images)
torch.distributed.destroy_process_group()
"""


@pytest.mark.integration
def test_two_processes_agree_on_what_one_computes(tmp_path: Path) -> None:
    maps, masks = some_batch(5)
    torch.save((maps, masks), tmp_path / "batch.pt")
    (tmp_path / "rank.py").write_text(RANK)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    arguments = [address, str(tmp_path / "batch.pt")]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    ranks = [
        subprocess.Popen(
            [sys.executable, str(tmp_path / "rank.py"), str(rank), *arguments],
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for rank in range(2)
    ]
    printed = [process.communicate(timeout=120)[0].splitlines() for process in ranks]
    metric = AnomalyMetrics((0.3, 0.05), bins=BINS)
    metric.update(maps, masks)
    expected = {name: value.item() for name, value in metric.compute().items()}
    assert printed == [[str(expected), "4"]] * 2
