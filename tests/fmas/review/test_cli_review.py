"""``fmas review`` as a command: what it prints, how it ends."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from fmas.manifest import ManifestIndex

COMMAND = (sys.executable, "-m", "fmas", "review")


@contextmanager
def reviewing(*arguments: object, **environment: str) -> Iterator[subprocess.Popen[str]]:
    command = [*COMMAND, *(str(argument) for argument in arguments)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment}
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=30)


def ask(url: str, method: str, path: str, content: object = None, **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    try:
        connection.request(method, path, None if content is None else json.dumps(content), headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def printed(process: subprocess.Popen[str]) -> dict[str, str]:
    assert process.stdout is not None
    text = ""
    for line in process.stdout:
        text += line
        if line == "}\n":
            break
    return json.loads(text)


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ends_cleanly_and_says_what_is_next(out: Path, number: signal.Signals) -> None:
    rows = [entry.row for entry in ManifestIndex(out / "manifest").entries()]
    row = next(row for row in rows if row is not None and row["defect"] != "good")
    with reviewing(out, "--no-open", "--json") as process:
        url = printed(process)["url"]
        assert url.startswith("http://127.0.0.1:")
        token = json.loads(ask(url, "GET", "/session")[1])["token"]
        content = {"stem": row["stem"], "image_sha256": row["image_sha256"], "verdict": "drop"}
        headers = {"Origin": url.rstrip("/"), "Content-Type": "application/json", "X-FMAS-Token": token}
        assert ask(url, "POST", "/decisions", content, **headers) == (200, b'{"saved":true}')
        assert ask(url, "GET", "/", Host="evil.example")[0] == 403
        process.send_signal(number)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors
    assert "refused 'GET' '/': the Host 'evil.example'" in errors.splitlines()
    assert f"1 dropped: run the same fmas run --out {out} again to make others" in errors
    assert "Traceback" not in errors
    assert token not in errors


def test_killed_server_has_kept_every_decision(out: Path, layout) -> None:
    from fmas.decisions import read_decisions

    rows = [entry.row for entry in ManifestIndex(out / "manifest").entries()]
    pairs = [row for row in rows if row is not None and row["defect"] != "good"]
    with reviewing(out, "--no-open", "--json") as process:
        url = printed(process)["url"]
        token = json.loads(ask(url, "GET", "/session")[1])["token"]
        headers = {"Origin": url.rstrip("/"), "Content-Type": "application/json", "X-FMAS-Token": token}
        for row in pairs:
            content = {"stem": row["stem"], "image_sha256": row["image_sha256"], "verdict": "keep"}
            assert ask(url, "POST", "/decisions", content, **headers)[0] == 200
        process.kill()
    assert all(read_decisions(layout).verdict(row["stem"], row["image_sha256"]) == "keep" for row in pairs)


def test_what_cannot_be_reviewed_is_one_line(fmas, out: Path, tmp_path: Path) -> None:
    result = fmas("review", tmp_path / "nothing", "--no-open")
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert "expected the output folder of fmas run" in result.stderr
    (out / "manifest/shard-1-of-1.jsonl").write_text("{}\n", encoding="utf-8")
    result = fmas("review", out, "--no-open")
    assert result.exit_code == 1
    assert "remove that line" in result.stderr


def test_browser_is_opened_only_where_there_is_a_screen(monkeypatch) -> None:
    import threading
    import webbrowser

    from fmas.cli import review

    opened = threading.Event()
    monkeypatch.setattr(webbrowser, "open", lambda url: opened.set())
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    review._open("http://127.0.0.1:1/")
    assert not opened.wait(0.2)
    monkeypatch.setenv("DISPLAY", ":0")
    review._open("http://127.0.0.1:1/")
    assert opened.wait(5)


def test_no_other_command_imports_a_server() -> None:
    code = (
        "import sys; from fmas.cli.app import build_app; from fmas.plugins import load_plugins; "
        "build_app(load_plugins()); import fmas.pipeline, fmas.report, fmas.validate; "
        "print(sorted({'starlette', 'uvicorn', 'anyio'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
