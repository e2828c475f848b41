"""``fmas config show``: every setting and where it comes from."""

from __future__ import annotations

import json


def test_config_show_tells_origins(fmas, tmp_path, monkeypatch):
    (tmp_path / "fmas.yaml").write_text("seed: 4\nllm: {name: openai, model: m}\n", encoding="utf-8")
    monkeypatch.setenv("FMAS_CANDIDATES", "6")
    rows = json.loads(fmas("config", "show", "--set", "region.shape=blob", "--json").stdout)
    found = {row["key"]: (row["value"], row["origin"]) for row in rows}
    assert found["seed"] == (4, str(tmp_path / "fmas.yaml"))
    assert found["candidates"] == (6, "environment variable FMAS_CANDIDATES")
    assert found["region.shape"] == ("blob", "command line")
    assert found["llm.model"] == ("m", str(tmp_path / "fmas.yaml"))
    assert found["per_image"] == (1, "default")
    assert "environment" in fmas("config", "show").stdout


def test_config_show_reads_the_named_file(fmas, tmp_path):
    (tmp_path / "mine.yaml").write_text("seed: 8\n", encoding="utf-8")
    rows = json.loads(fmas("config", "show", "--config", "mine.yaml", "--json").stdout)
    assert {"key": "seed", "value": 8, "origin": "mine.yaml"} in rows
