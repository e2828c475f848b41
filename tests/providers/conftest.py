from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def fake_llm(monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """Return the running fake service; its module is importable as ``fake_llm_server``."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    server = importlib.import_module("fake_llm_server").FakeServer()
    with server.running():
        yield server


@pytest.fixture(autouse=True)
def no_real_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep this machine's keys and addresses out of every test."""
    for name in list(os.environ):
        if name.startswith(("OPENAI_", "ANTHROPIC_")):
            monkeypatch.delenv(name)
