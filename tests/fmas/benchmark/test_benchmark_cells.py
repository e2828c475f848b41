"""The commands that make a cell."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fmas.benchmark.cells import BenchmarkRequest, Cell, Step, shown_command, synthesis_step
from fmas.benchmark.layouts import Category, read_dataset
from fmas.benchmark.variants import VARIANTS
from fmas.errors import UsageError

BY_NAME = {variant.name: variant for variant in VARIANTS}


@pytest.fixture
def category(dataset: Path, tmp_path: Path) -> Category:
    return read_dataset(dataset, staging=tmp_path)[0]


def pairs(step: Step) -> list[tuple[str, str]]:
    return list(zip(step.arguments, step.arguments[1:], strict=False))


def test_a_cell_trains_and_inspects(category: Category, request_of: Callable[..., BenchmarkRequest]) -> None:
    request = request_of(steps=50, device="cpu")
    train, inspect = Cell(category, BY_NAME["unet-scars+wdam"], 1).steps(request)
    folder = request.out / "tiles" / "seed-1" / "unet-scars+wdam"

    assert train.arguments[:2] == ("train", str(request.out / "tiles" / "seed-1" / "pairs"))
    for pair in (
        ("--out", str(folder / "model")),
        ("--detector", "unet"),
        ("--seed", "1"),
        ("--holdout", str(category.test)),
        ("--set", "anomalies=scars"),
        ("--set", "wdam=true"),
        ("--steps", "50"),
        ("--device", "cpu"),
    ):
        assert pair in pairs(train)
    assert inspect.arguments[:3] == ("inspect", str(folder / "model"), str(category.test))
    assert ("--device", "cpu") in pairs(inspect)
    assert "--explain" in inspect.arguments


def test_only_wdam_is_explained(category: Category, request_of: Callable[..., BenchmarkRequest]) -> None:
    _, inspect = Cell(category, BY_NAME["unet-fmas"], 0).steps(request_of())
    assert "--explain" not in inspect.arguments


def test_settings_go_where_they_belong(category: Category, request_of: Callable[..., BenchmarkRequest]) -> None:
    request = request_of(settings=("detector.batch_size=4", "unet.width=8", "cutpaste.side=64", "region.shape=blob"))
    unet = pairs(Cell(category, BY_NAME["unet-fmas"], 0).steps(request)[0])
    cutpaste = pairs(Cell(category, BY_NAME["cutpaste"], 0).steps(request)[0])
    run = pairs(synthesis_step(request, category, 0))

    assert [("--set", "batch_size=4") in step for step in (unet, cutpaste, run)] == [True, True, False]
    assert [("--set", "width=8") in step for step in (unet, cutpaste, run)] == [True, False, False]
    assert [("--set", "side=64") in step for step in (unet, cutpaste, run)] == [False, True, False]
    assert [("--set", "region.shape=blob") in step for step in (unet, cutpaste, run)] == [False, False, True]


@pytest.mark.parametrize(("photographs", "per_image"), [(1, "10"), (160, "3"), (299, "2"), (450, "1"), (9000, "1")])
def test_small_sets_get_more_pairs_of_each_photograph(
    category: Category, request_of: Callable[..., BenchmarkRequest], photographs: int, per_image: str
) -> None:
    category = Category(category.name, category.train, category.test, category.images, photographs)
    assert ("--per-image", per_image) in pairs(synthesis_step(request_of(), category, 0))


def test_the_number_of_pairs_can_be_set(category: Category, request_of: Callable[..., BenchmarkRequest]) -> None:
    step = synthesis_step(request_of(settings=("per_image=7",)), category, 0)
    assert "--per-image" not in step.arguments
    assert ("--set", "per_image=7") in pairs(step)


def test_the_product_is_the_category_unless_said(
    category: Category, request_of: Callable[..., BenchmarkRequest]
) -> None:
    category = Category("metal_nut", category.train, category.test, category.images, 4)
    assert ("--object", "metal nut") in pairs(synthesis_step(request_of(), category, 0))
    assert ("--object", "steel nut") in pairs(synthesis_step(request_of(product="steel nut"), category, 0))


def test_pairs_with_some_failed_photographs_will_do(
    category: Category, request_of: Callable[..., BenchmarkRequest]
) -> None:
    assert synthesis_step(request_of(), category, 0).accepted == {0, 3}
    train, _ = Cell(category, BY_NAME["cutpaste"], 0).steps(request_of())
    assert train.accepted == {0}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"seeds": 0}, "--seeds of at least 1"),
        ({"jobs": 0}, "--jobs of at least 1"),
        ({"steps": -1}, "--steps of at least 1"),
        ({"settings": ("width",)}, "expected KEY=VALUE"),
        ({"settings": ("unet.seed=3",)}, "use --seeds"),
        ({"settings": ("detector.wdam=false",)}, "what the variants differ in"),
        ({"settings": ("out=x",)}, "given by the data set"),
    ],
)
def test_what_makes_no_sense_is_refused(
    request_of: Callable[..., BenchmarkRequest], given: dict[str, object], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        request_of(**given)


def test_a_command_can_be_typed() -> None:
    assert shown_command(("run", "a b", "--object", "nut")) == "fmas run 'a b' --object nut"
