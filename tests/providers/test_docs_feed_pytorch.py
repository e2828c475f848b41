"""The recipe of docs/how-to/feed-other-trainers.md for plain PyTorch runs, and learns."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fmas import RunConfig, synthesize
from fmas.demo_photographs import write_demo_photographs

pytest.importorskip("torch")

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "feed-other-trainers.md"


def test_the_recipe_runs_and_learns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch

    ((code),) = re.findall(
        r"^<!-- pytorch -->\n```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
    )
    monkeypatch.chdir(tmp_path)
    photographs = write_demo_photographs(tmp_path / "photographs")
    summary = synthesize(RunConfig(images=photographs, out=tmp_path / "out", object="magnetic tile", candidates=1))
    assert summary.failed == 0
    torch.manual_seed(0)
    said: dict[str, object] = {"__name__": "__main__"}
    exec(compile(code, PAGE.name, "exec"), said)  # noqa: S102 (our own page)
    lines = capsys.readouterr().out.splitlines()
    losses = [float(line.split()[2]) for line in lines if re.match(r"epoch \d: \d+\.\d{3} on photographs", line)]
    assert len(losses) == len(lines) == 3
    assert losses[-1] < losses[0]
    training, validation = said["training"], said["validation"]
    sources = [{row["source"] for row in part.rows} for part in (training, validation)]  # type: ignore[attr-defined]
    assert not sources[0] & sources[1]
    assert sources[1]
