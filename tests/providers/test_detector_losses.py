"""The loss of ``unet``: which way it pushes, and that nothing to mark is no special case."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from fmas_providers.detectors.unet.losses import defect_loss  # noqa: E402


def masks(count: int = 2, side: int = 12, *, defective: int = 1) -> torch.Tensor:
    made = torch.zeros(count, side, side)
    made[:defective, 3:6, 4:8] = 1
    return made


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**16), defective=st.integers(0, 3))
def test_finite_and_not_negative(seed: int, defective: int) -> None:
    logits = torch.from_numpy(np.random.default_rng(seed).normal(0, 20, (3, 12, 12)).astype(np.float32))
    loss = defect_loss(logits.requires_grad_(), masks(3, defective=defective))
    assert loss.shape == ()
    assert float(loss.detach()) >= 0
    loss.backward()
    assert logits.grad is not None
    assert bool(torch.isfinite(logits.grad).all())


@pytest.mark.parametrize("defective", [0, 1, 2])
def test_the_truth_costs_next_to_nothing(defective: int) -> None:
    truth = masks(defective=defective)
    assert float(defect_loss(40 * truth - 20, truth)) < 0.01
    assert float(defect_loss(20 - 40 * truth, truth)) > 1


def test_pixels_are_pushed_towards_the_truth() -> None:
    logits, truth = torch.zeros(2, 12, 12, requires_grad=True), masks()
    defect_loss(logits, truth).backward()
    assert logits.grad is not None
    assert bool((logits.grad[truth > 0] < 0).all())
    assert bool((logits.grad[truth == 0] > 0).all())


def test_a_small_defect_weighs_as_much_as_all_the_rest() -> None:
    truth = torch.zeros(1, 64, 64)
    truth[0, 5, 5] = 1
    missed, invented = torch.full((1, 64, 64), -8.0), 16 * truth - 8
    invented[0, 40, 40] = 8.0
    assert float(defect_loss(missed, truth)) > 2 * float(defect_loss(invented, truth))


def test_half_precision_is_computed_in_single() -> None:
    logits, truth = torch.randn(2, 12, 12), masks()
    loss = defect_loss(logits.half(), truth)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, defect_loss(logits.half().float(), truth))
