"""The recipes of docs/how-to/read-the-output.md run, on outputs with and without held-out photographs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

datasets = pytest.importorskip("datasets", reason="datasets is not installed; run `nox -s interop`")
pytest.importorskip("anomalib", reason="anomalib is not installed; run `nox -s interop`")

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "read-the-output.md"
RECIPES = re.findall(
    r"^<!-- interop -->\n```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
)


def test_there_is_something_to_check() -> None:
    readers = ("MVTecAD(", "Folder(", "load_dataset(", "sorted(root.glob", "Dataset)")
    assert [reader for reader in readers if not any(reader in recipe for recipe in RECIPES)] == []


@pytest.mark.parametrize("number", range(len(RECIPES)))
def test_a_recipe_runs(number: int, written: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.chdir(written.folder.parents[2])
    assert written.folder.relative_to(Path.cwd()) == Path("out/dataset/magnetic_tile")

    exec(compile(RECIPES[number], f"{PAGE.name}, recipe {number}", "exec"), {"__name__": "__main__"})  # noqa: S102 (our own page)
