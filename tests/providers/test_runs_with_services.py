"""Whole runs with a service: what is paid for is counted, asked for once, and leaves no key anywhere."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fmas import RunConfig, synthesize
from fmas.planning import store_plan
from fmas.preview import preview_run
from fmas.validate import validate_output

pytest.importorskip("openai")

KEY = "sk-test-run-0123456789"


@pytest.fixture
def config(tmp_path: Path, fake_llm: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., RunConfig]:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    folder = tmp_path / "photographs"
    folder.mkdir()
    generator = np.random.default_rng(1)
    for number in range(3):
        grain = generator.normal(120, 8, (96, 128, 1)).repeat(3, axis=2)
        Image.fromarray(np.clip(grain, 0, 255).astype(np.uint8)).save(folder / f"{number}.png")

    def make(**llm: object) -> RunConfig:
        named = {"name": "openai", "base_url": f"{fake_llm.address}/v1", "price_input": 1.0, "price_output": 2.0}
        return RunConfig.model_validate(
            {"images": folder, "out": tmp_path / "out", "object": "metal screw", "candidates": 1, "llm": named | llm}
        )

    return make


def test_llm_is_asked_once_and_counted(config: Callable[..., RunConfig], fake_llm: Any) -> None:
    first = config()
    store_plan(first, with_reference=True)
    (first.out / "plan.json").unlink()
    assert preview_run(first)["llm_calls"] == 0
    assert preview_run(config(model="gpt-other"))["llm_calls"] == 1
    summary = synthesize(first)
    assert len(fake_llm.asked) == 1
    usage = json.loads((first.out / "run.json").read_text())["usage"]["llm"]
    assert usage == summary.usage["llm"]
    assert usage["calls"] == 1
    assert usage["cost_usd"] == pytest.approx((usage["input_tokens"] + 2 * usage["output_tokens"]) / 1e6)
    assert validate_output(first.out).problems == ()
    texts = [path.read_bytes() for path in first.out.rglob("*") if path.is_file()]
    assert not any(KEY.encode() in text for text in texts)


@pytest.mark.parametrize("service", ["openai", "anthropic"])
@pytest.mark.parametrize("status", [200, 401])
def test_no_output_holds_the_key_whoever_is_asked_and_whatever_it_answers(
    service: str, status: int, config: Callable[..., RunConfig], fake_llm: Any, tmp_path: Path
) -> None:
    """The command itself, in a process of its own, at a service that repeats the key in every answer."""
    pytest.importorskip(service)
    key = f"sk-{service}-0123456789"
    said = f"a flaw, whatever {key} means"
    plan = {"defects": [{"name": said, "prompt": said, "kind": "scratch", "negative_prompt": said, "severity": 0.5}]}
    body = json.dumps({"error": {"message": f"Incorrect API key provided: {key}"}}).encode()
    answers = importlib.import_module("fake_llm_server").Answer
    fake_llm.answers = [answers(content=plan) if status == 200 else answers(status=status, raw=body)]
    out = tmp_path / "said"
    command = [sys.executable, "-m", "fmas", "run", str(config().images), "--out", str(out), "--object", "screw"]
    base_url = f"{fake_llm.address}/v1" if service == "openai" else fake_llm.address
    done = subprocess.run(
        [*command, "--llm", service, "--set", f"llm.base_url={base_url}", "--candidates", "1", "--json"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=os.environ | {f"{service.upper()}_API_KEY": key},
    )
    assert len(fake_llm.asked) == 1, done.stderr
    assert key in json.dumps(fake_llm.asked[0].headers)
    assert done.returncode == (0 if status == 200 else 1), done.stderr
    written = {path.name: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert ("plan.json" in written) == (status == 200)
    everything = [done.stdout.encode(), done.stderr.encode(), *written.values(), *(name.encode() for name in written)]
    assert not any(key.encode() in text for text in everything)
