"""Lets other people's libraries import beside a CPU build of torch, for the tests in this folder only.

torchvision's wheel is compiled against one particular torch. Beside another build its extension does not load, and then
importing it fails because the schema of ``torchvision::nms`` is unknown to torch; anomalib imports torchvision. Reading
data sets never runs such an operator, so declaring the schemas is enough here: no kernel is registered, and whatever
would call one fails loudly. On a machine with a matching build nothing is declared. None of this ships in a package.

The fixtures are data sets as `fmas run` leaves them; no test may change them.
"""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fmas import RunConfig, synthesize
from fmas.demo_photographs import write_demo_photographs

HERE = Path(__file__).parent


def _declare_missing_torchvision_operators() -> object | None:
    """Declare what torchvision's extension would have declared; the result must stay alive as long as torch does."""
    if importlib.util.find_spec("torchvision") is None:
        return None
    import torch

    try:
        import torchvision  # noqa: F401
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
    else:
        return None
    library = torch.library.Library("torchvision", "DEF")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return library


TORCHVISION_OPERATORS = _declare_missing_torchvision_operators()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark everything in this folder ``interop``, and let the foreign libraries warn: their warnings are not ours."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.interop)
            item.add_marker(pytest.mark.filterwarnings("ignore"))


@dataclass(frozen=True, slots=True)
class Written:
    """A data set that a run wrote.

    Attributes:
        folder: ``OUT/dataset/<category>``.
        rows: The rows of ``metadata.jsonl``.
    """

    folder: Path
    rows: tuple[dict[str, Any], ...]

    @property
    def pairs(self) -> tuple[dict[str, Any], ...]:
        return tuple(row for row in self.rows if row["defect"] != "good")

    @property
    def held_out(self) -> tuple[dict[str, Any], ...]:
        return tuple(row for row in self.rows if row["defect"] == "good")

    @property
    def defects(self) -> list[str]:
        return sorted({row["defect"] for row in self.pairs})


def write_data_set(folder: Path, **options: Any) -> Written:
    photographs = write_demo_photographs(folder / "photographs")
    for unwanted in sorted(photographs.iterdir())[8:]:
        unwanted.unlink()
    out = folder / "out"
    summary = synthesize(RunConfig(images=photographs, out=out, object="magnetic tile", candidates=2, **options))
    assert summary.failed == 0
    lines = (summary.dataset / "metadata.jsonl").read_bytes().splitlines()
    return Written(summary.dataset, tuple(json.loads(line) for line in lines))


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """One pair of each photograph."""
    written = write_data_set(tmp_path_factory.mktemp("plain"))
    assert (len(written.pairs), len(written.held_out)) == (8, 0)
    return written


@pytest.fixture(scope="session")
def held_out(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """Two pairs of each photograph, some photographs held out, and some candidates rejected, but not of every pair."""
    folder = tmp_path_factory.mktemp("held_out")
    written = write_data_set(folder, per_image=2, holdout_good=0.3, refine={"min_area": 60})
    assert len(written.pairs) + 2 * len(written.held_out) == 16
    assert len(written.held_out) >= 2
    assert {bool(row["rejections"]) for row in written.pairs} == {True, False}
    return written


@pytest.fixture(params=["plain", "held_out"])
def written(request: pytest.FixtureRequest) -> Written:
    """Each of the two data sets."""
    result: Written = request.getfixturevalue(request.param)
    return result
