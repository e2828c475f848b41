"""The recipes of docs/how-to/feed-other-trainers.md for anomalib and Hugging Face datasets run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

datasets = pytest.importorskip("datasets", reason="datasets is not installed; run `nox -s interop`")
pytest.importorskip("anomalib", reason="anomalib is not installed; run `nox -s interop`")

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "feed-other-trainers.md"
RECIPES = re.findall(
    r"^<!-- interop -->\n```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
)
PROMISED = {
    "anomalib": (r"^\(4, 3, \d+, \d+\) to learn from, (\d+) to test with$", r"^(\d+) test pictures with a mask$"),
    "datasets": (r"^(\d+) pairs to learn from, (\d+) of other photographs$", r"^\w+ \(64, 64\) \(0, 255\)$"),
}


def recipe(library: str) -> str:
    (found,) = [code for code in RECIPES if f"from {library}" in code]
    return found


@pytest.mark.parametrize("library", PROMISED)
def test_a_recipe_runs_and_says_what_it_has(
    library: str,
    held_out: object,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    folder: Path = held_out.folder  # type: ignore[attr-defined]  # conftest's Written
    pairs = len(held_out.pairs)  # type: ignore[attr-defined]
    monkeypatch.chdir(folder.parents[2])
    exec(compile(recipe(library), f"{PAGE.name}, {library}", "exec"), {"__name__": "__main__"})  # noqa: S102 (our own page)
    said = capsys.readouterr().out.splitlines()
    matches = [[match for line in said if (match := re.match(pattern, line))] for pattern in PROMISED[library]]
    assert all(matches), said
    if library == "datasets":
        learnt, validated = map(int, matches[0][0].groups())
        assert learnt + validated == pairs
        assert validated > 0
    else:
        assert int(matches[1][0][1]) == pairs
        assert int(matches[0][0][1]) == pairs + len(held_out.held_out)  # type: ignore[attr-defined]
