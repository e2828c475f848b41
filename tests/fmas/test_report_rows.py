"""What the report reads: output folders that are none, hold nothing, or were edited by hand are refused in one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from fmas import synthesize
from fmas.errors import FmasError, OutputError, UsageError
from fmas.report import write_report


@pytest.fixture
def run(
    fakes: dict[str, object], make_registry: Callable[..., object], make_config: Callable[..., object]
) -> Callable[..., Path]:
    """Run the pipeline on the photographs and return the output folder."""

    def make(**settings: object) -> Path:
        config = make_config(**settings)
        synthesize(config, registry=make_registry(fakes))
        return config.out

    return make


def edit_manifest(out: Path, change: Callable[[dict[str, object]], dict[str, object]]) -> None:
    (path,) = (out / "manifest").iterdir()
    entries = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    path.write_text("".join(json.dumps(entry | {"row": change(entry["row"])}) + "\n" for entry in entries), "utf-8")


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.mkdir()], ids=["missing", "empty"])
def test_folder_that_is_no_output_is_wrong_usage(tmp_path: Path, make: Callable[[Path], object]) -> None:
    make(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match=r"without a run\.json; name the right folder, or run: fmas run"):
        write_report(tmp_path / "elsewhere")


def test_file_in_place_of_the_output_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("file")
    with pytest.raises(FmasError, match=r"^expected .*elsewhere.*Not a directory|without a run\.json"):
        write_report(tmp_path / "elsewhere")


def test_output_without_pairs_is_refused_and_no_page_written(run: Callable[..., Path], photographs: Path) -> None:
    for path in photographs.iterdir():
        path.write_bytes(b"no image")
    out = run()
    with pytest.raises(OutputError, match=r"at least one finished pair in .*, got none; see .*failures\.jsonl"):
        write_report(out)
    assert not (out / "report.html").exists()


@pytest.mark.parametrize("category", ["../photographs", 7, None])
def test_category_that_no_run_writes(run: Callable[..., Path], category: object) -> None:
    out = run(limit=1)
    content = json.loads((out / "run.json").read_text("utf-8"))
    content["identity"]["category"] = category
    (out / "run.json").write_text(json.dumps(content), "utf-8")
    with pytest.raises(OutputError, match="expected a category's folder name"):
        write_report(out)


def test_row_that_no_run_writes(run: Callable[..., Path]) -> None:
    out = run(limit=1)
    edit_manifest(out, lambda row: row | {"region_box": "somewhere"})
    with pytest.raises(OutputError, match=r"expected the row of pair 000000 .* region_box"):
        write_report(out)
