"""``fmas plan``: what it asks, shows and stores."""

from __future__ import annotations

import json

import pytest


def test_plan_is_shown_stored_and_used(fmas, tiles, tmp_path):
    result = fmas("plan", "--object", "magnetic tile", "--out", "out")
    assert result.exit_code == 0, result.output
    assert "crack  (crack, severity" in result.stdout
    stored = json.loads((tmp_path / "out/plan.json").read_text(encoding="utf-8"))
    assert json.loads(fmas("plan", "--object", "magnetic tile", "--out", "out", "--json").stdout) == stored
    assert fmas("run", tiles, "--object", "magnetic tile", "--out", "out").exit_code == 0


def test_plan_options_reach_the_plan(fmas, tiles, tmp_path, monkeypatch):
    own = tmp_path / "mine.yaml"
    own.write_text("- {name: Delle, prompt: a shallow dent, kind: dent}\n", encoding="utf-8")
    assert fmas("plan", "--object", "tile", "--out", "a", "--defects", own).stdout.startswith("delle  (dent")
    unknown = fmas("plan", "--object", "tile", "--out", "b", "--llm", "nobody")
    assert unknown.exit_code == 2 and "nobody" in unknown.stderr


@pytest.mark.parametrize("given", [True, False])
def test_plan_shows_a_photograph_only_when_one_is_named(fmas, tiles, monkeypatch, given):
    asked = []

    def store_plan(config, *, with_reference):
        asked.append(with_reference)
        raise KeyboardInterrupt

    monkeypatch.setattr("fmas.planning.store_plan", store_plan)
    fmas("plan", "--object", "tile", "--out", "out", *(("--images", tiles) if given else ()))
    assert asked == [given]
