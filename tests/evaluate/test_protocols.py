from __future__ import annotations

import math

import numpy as np
import pytest

from fmas_evaluate import aupro, average_precision, image_auroc, pixel_auroc
from fmas_evaluate.errors import InvalidInput
from fmas_evaluate.protocols import PROTOCOLS, ProtocolResult, protocol
from fmas_evaluate.published import rd4ad_area
from fmas_evaluate.samples import take_apart

PRO_PROTOCOLS = ("mvtec_ad", "mvtec_ad2", "mvtec_3d_sampled", "rd4ad")


def dataset(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    masks = np.zeros((10, 32, 32), dtype=bool)
    for mask in masks[:6]:
        top, left, height, width = rng.integers(2, 14, 4)
        mask[top : top + height, left : left + width] = True
    return rng.normal(size=masks.shape) + masks * rng.uniform(0.5, 2.5, (10, 1, 1)), masks


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_number_stands_beside_the_exact_one(name: str) -> None:
    maps, masks = dataset()
    results = protocol(name, maps, masks)
    labels = masks.any(axis=(1, 2))
    exact = {
        "aupro": float(aupro(maps, masks, max_fpr=0.05 if name == "mvtec_ad2" else 0.3)),
        "aupro_pooled": float(aupro(maps, masks)),
        "pixel_auroc": float(pixel_auroc(maps, masks)),
        "pixel_aupr": float(average_precision(maps, masks)),
        "image_auroc": image_auroc(maps.max(axis=(1, 2)), labels),
        "image_aupr": float(average_precision(maps.max(axis=(1, 2))[:, None, None], labels[:, None, None])),
    }
    for measure, result in results.items():
        assert result.exact == pytest.approx(exact[measure], abs=1e-12)
        assert result.gap == result.value - result.exact
        assert result.note


def test_all_thresholds_leave_no_gap_and_sampled_ones_do() -> None:
    maps, masks = dataset()
    gaps = {name: abs(protocol(name, maps, masks)["aupro"].gap) for name in PRO_PROTOCOLS}
    assert gaps["mvtec_ad"] < 1e-7 and gaps["mvtec_ad2"] < 1e-7
    assert 1e-5 < gaps["mvtec_3d_sampled"] < 0.02
    assert gaps["rd4ad"] > 1e-3
    visa = protocol("visa", maps, masks)
    assert 1e-7 < abs(visa["pixel_auroc"].gap) < 1e-3 and 1e-7 < abs(visa["pixel_aupr"].gap) < 5e-3
    assert visa["image_auroc"].gap == 0.0


def test_rd4ad_is_the_mean_over_defective_images_and_pooled_beside_it() -> None:
    maps, masks = dataset(1)
    results = protocol("rd4ad", maps, masks)
    single = [rd4ad_area(take_apart(maps[i : i + 1], masks[i : i + 1])) for i in range(6)]
    assert results["aupro"].value == pytest.approx(np.mean(single), abs=1e-12)
    assert results["aupro_pooled"].value == rd4ad_area(take_apart(maps, masks))


def test_a_number_is_printed_as_the_published_code_prints_it() -> None:
    results = protocol("rd4ad", *dataset(2))
    assert results["aupro"].printed == round(results["aupro"].value, 3) != results["aupro"].value
    assert results["aupro_pooled"].printed == results["aupro_pooled"].value
    assert ProtocolResult(0.123456, 0.12, 4, "").printed == 0.1235
    assert protocol("visa", *dataset(2))["pixel_aupr"].decimals == 4


def test_labels_and_image_scores_of_the_caller() -> None:
    maps, masks = dataset(3)
    labels = np.array([mask.any() for mask in masks]) | (np.arange(10) == 1)
    assert protocol("mvtec_ad", maps, masks, labels=labels, image_scores=labels * 1.0)["image_auroc"].value == 1.0
    visa = protocol("visa", maps, masks, labels=labels, image_scores=labels * 1.0)
    assert visa["image_aupr"].value == visa["image_aupr"].exact == 1.0


@pytest.mark.parametrize("dtype", ["float16", "float32", "uint8"])
def test_other_dtypes_and_ragged_sizes(dtype: str) -> None:
    rng = np.random.default_rng(4)
    masks = [rng.random(shape) < 0.2 for shape in ((9, 7), (20, 5), (6, 6))]
    maps = [(rng.random(mask.shape) * 50 + mask * 20).astype(dtype) for mask in masks]
    for name in PROTOCOLS:
        for result in protocol(name, maps, masks).values():
            assert 0 <= result.exact <= 1 or (result.note and math.isnan(result.exact))  # no good image here


def test_infinite_scores_keep_the_exact_curves_defined() -> None:
    maps, masks = dataset(5)
    maps[0, 0, 0], maps[1, 20:, :] = np.inf, -np.inf
    assert abs(protocol("mvtec_ad", maps, masks)["aupro"].gap) < 1e-7


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(
        InvalidInput, match="expected one of mvtec_ad, mvtec_ad2, mvtec_3d_sampled, rd4ad, visa, got 'x'"
    ):
        protocol("x", *dataset())


@pytest.mark.parametrize(("value", "counts"), [(True, "8 defect and 0 normal"), (False, "0 defect and 8 normal")])
def test_one_kind_of_pixel_only_is_refused(value: bool, counts: str) -> None:
    with pytest.raises(InvalidInput, match=f"expected defect and normal pixels, got {counts}"):
        protocol("mvtec_ad", np.zeros((2, 2, 2)), np.full((2, 2, 2), value))
