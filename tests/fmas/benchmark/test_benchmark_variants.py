"""The columns of the ablation, the questions, and the authors' figures."""

from __future__ import annotations

import pytest

from fmas.benchmark.published import published_figures
from fmas.benchmark.variants import CONTRASTS, QUICK, VARIANTS, chosen_variants
from fmas.errors import UsageError

BY_NAME = {variant.name: variant for variant in VARIANTS}


@pytest.mark.parametrize("contrast", CONTRASTS, ids=lambda contrast: f"{contrast.variant}-{contrast.baseline}")
def test_every_question_is_about_one_option(contrast: object) -> None:
    variant, baseline = BY_NAME[contrast.variant], BY_NAME[contrast.baseline]  # type: ignore[attr-defined]
    changed = [key for key, value in variant.options.items() if baseline.options[key] != value]
    assert variant.detector == baseline.detector
    assert len(changed) == 1


def test_quick_is_the_four_of_unet() -> None:
    assert [variant.name for variant in chosen_variants((), quick=True)] == list(QUICK)
    assert {variant.detector for variant in chosen_variants((), quick=True)} == {"unet"}
    assert len(chosen_variants((), quick=False)) == 8


def test_names_win_over_quick_and_keep_the_tables_order() -> None:
    chosen = chosen_variants(("unet-fmas", "cutpaste"), quick=True)
    assert [variant.name for variant in chosen] == ["cutpaste", "unet-fmas"]


def test_an_unknown_variant_is_suggested_about() -> None:
    with pytest.raises(UsageError, match="did you mean 'unet-fmas'"):
        chosen_variants(("unet-fmsa",), quick=False)


def test_the_authors_figures_are_fractions_of_their_rows() -> None:
    assert published_figures("Metal Nut", "wdam") == {"image_auroc": 0.98, "pixel_auroc": 0.8436, "aupro": 0.6551}
    assert published_figures("bottle", "cutpaste")["aupro"] == pytest.approx(0.3984)


def test_there_are_no_figures_for_what_the_authors_did_not_do() -> None:
    assert published_figures("magnetic_tile", "wdam") == {}
    assert published_figures("bottle", None) == {}
    assert published_figures("average", "wdam") == {}  # not the mean of their rows
