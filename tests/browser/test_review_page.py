"""``fmas review`` in a real Chromium: keys, decisions, reload, two tabs, a killed server, strangers."""

from __future__ import annotations

import errno
import http.server
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fmas import RunConfig, synthesize
from fmas.decisions import read_decisions
from fmas.layout import OutputLayout
from fmas.manifest import ManifestIndex
from fmas.review import ReviewServer

if os.environ.get("FMAS_BROWSER_REQUIRED") != "1":
    pytest.importorskip("playwright", reason="needs playwright (nox -s browser)")

from playwright.sync_api import Browser, Page, expect

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
    "--host-resolver-rules=MAP evil.example 127.0.0.1, MAP * ~NOTFOUND , EXCLUDE 127.0.0.1, EXCLUDE localhost",
)
HOSTILE = "<img src=x onerror=document.title='broken'></script><script>document.title='broken'</script>"
PAIRS = 6


@pytest.fixture(scope="module")
def chromium(browser: Browser) -> Iterator[Browser]:
    """Return another browser, in which a stranger's name leads to this machine."""
    chromium = browser.browser_type.launch(executable_path=CHROMIUM, args=list(QUIET))
    yield chromium
    chromium.close()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    folder = tmp_path_factory.mktemp("reviewed")
    (folder / "in").mkdir()
    generator = np.random.default_rng(11)
    for number in range(PAIRS):
        pixels = np.clip(generator.normal(120, 8, (120, 160, 1)), 0, 255).astype(np.uint8).repeat(3, axis=2)
        Image.fromarray(pixels).save(folder / "in" / f"part{number}.png")
    defects = folder / "defects.json"
    defects.write_text(json.dumps([{"name": HOSTILE, "prompt": HOSTILE, "kind": "scratch"}]), encoding="utf-8")
    config = RunConfig.model_validate(
        {
            "images": folder / "in",
            "out": folder / "out",
            "object": "plate",
            "candidates": 1,
            "llm": {"name": "builtin", "defects": str(defects)},
        }
    )
    assert synthesize(config).counts.pairs == PAIRS
    return config


@pytest.fixture
def config(finished: RunConfig, tmp_path: Path) -> RunConfig:
    shutil.copytree(finished.out, tmp_path / "out")
    return finished.model_copy(update={"out": tmp_path / "out"})


@contextmanager
def serving(out: Path, log: Callable[[str], None] = lambda _: None, port: int = 0) -> Iterator[ReviewServer]:
    with ReviewServer(out, port=port, log=log) as server:
        thread = threading.Thread(target=server.serve)
        thread.start()
        try:
            yield server
        finally:
            server.stop()
            thread.join(timeout=30)


@pytest.fixture
def refused() -> list[str]:
    return []


@pytest.fixture
def server(config: RunConfig, refused: list[str]) -> Iterator[ReviewServer]:
    with serving(config.out, refused.append) as server:
        yield server


@pytest.fixture
def open_page(chromium) -> Iterator[Callable[[str], Page]]:
    """Return a function that opens an address in a new tab; an error in a page fails the test."""
    errors: list[str] = []
    context = chromium.new_context(viewport={"width": 1300, "height": 900})

    def open_page(url: str) -> Page:
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(url)
        return page

    yield open_page
    context.close()
    assert errors == []


def verdicts(out: Path) -> dict[int, str]:
    decisions, entries = read_decisions(OutputLayout(out, "plate")), ManifestIndex(out / "manifest").entries()
    found = {entry.stem: decisions.verdict(entry.stem, (entry.row or {}).get("image_sha256")) for entry in entries}
    return {stem: verdict for stem, verdict in found.items() if verdict != "undecided"}


def wait_for_lines(page: Page, out: Path, number: int) -> None:
    for _ in range(100):
        if (out / "decisions.jsonl").exists() and (out / "decisions.jsonl").read_bytes().count(b"\n") >= number:
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"expected {number} saved decisions")


def saving(page: Page, words: str) -> None:
    expect(page.locator("#saving")).to_contain_text(words)


def ready(page: Page) -> Page:
    saving(page, f"of {PAIRS} reviewed")
    return page


def test_keys_decide_and_every_decision_is_on_the_disk(server, config, open_page):
    page = ready(open_page(server.url))
    page.keyboard.press("j")
    page.keyboard.press("x")
    saving(page, f"1 of {PAIRS} reviewed · 0 kept · 1 dropped")
    page.keyboard.press("a")
    saving(page, f"2 of {PAIRS} reviewed · 1 kept · 1 dropped")
    page.keyboard.press("x")
    saving(page, "1 kept · 2 dropped")
    page.keyboard.press("u")
    saving(page, f"2 of {PAIRS} reviewed · 1 kept · 1 dropped")
    expect(page.get_by_role("alert").filter(has_text="not saved")).to_have_count(0)
    wait_for_lines(page, config.out, 4)
    assert sorted(verdicts(config.out).values()) == ["drop", "keep"]
    lines = (config.out / "decisions.jsonl").read_bytes().splitlines()
    assert [json.loads(line)["verdict"] for line in lines] == ["drop", "keep", "drop", "undecided"]
    before = verdicts(config.out)
    page.reload()
    saving(page, f"2 of {PAIRS} reviewed · 1 kept · 1 dropped")
    assert verdicts(config.out) == before


def test_what_was_decided_while_the_server_was_away_is_saved_in_full_and_in_order(config, open_page):
    with serving(config.out) as server:
        page = ready(open_page(server.url))
    page.keyboard.press("j")
    for key in ("x", "u", "a", "u", "x"):  # of one pair, faster than any server answers
        page.keyboard.press(key)
    saving(page, "5 decisions not saved yet")
    saving(page, f"start it again with --port {server.port}")
    with serving(config.out, port=server.port):
        page.get_by_role("button", name="Try now").click()
        expect(page.locator("#saving")).not_to_contain_text("not saved yet", timeout=20_000)
    lines = (config.out / "decisions.jsonl").read_bytes().splitlines()
    assert [json.loads(line)["verdict"] for line in lines] == ["drop", "undecided", "keep", "undecided", "drop"]
    assert len({json.loads(line)["stem"] for line in lines}) == 1


def test_what_a_closed_tab_could_not_save_another_one_saves(config, open_page):
    with serving(config.out) as server:
        one, other = ready(open_page(server.url)), ready(open_page(server.url))
    for page, moves, key in ((one, 1, "x"), (other, 2, "a")):
        page.bring_to_front()
        for _ in range(moves):
            page.keyboard.press("j")
        page.keyboard.press(key)
        saving(page, "1 decision not saved yet")
    one.close()
    other.close()
    with serving(config.out, port=server.port):
        last = ready(open_page(server.url))
        saving(last, "1 kept · 1 dropped")
        expect(last.locator("#saving")).not_to_contain_text("not saved yet", timeout=20_000)
        wait_for_lines(last, config.out, 2)
        assert sorted(verdicts(config.out).values()) == ["drop", "keep"]


def test_review_of_another_data_set_at_the_same_address_gets_no_decision(config, open_page, tmp_path):
    shutil.copytree(config.out, tmp_path / "another")
    run = tmp_path / "another" / "run.json"
    run.write_text(json.dumps(json.loads(run.read_text("utf-8")) | {"digest": "f" * 64}), encoding="utf-8")
    with serving(config.out) as server:
        page = ready(open_page(server.url))
    with serving(tmp_path / "another", port=server.port):
        page.keyboard.press("j")
        page.keyboard.press("x")
        saving(page, "1 decision not saved yet: another data set is under review at this address now")
    with serving(config.out, port=server.port):
        page.get_by_role("button", name="Try now").click()
        expect(page.locator("#saving")).not_to_contain_text("not saved yet", timeout=20_000)
        assert not (tmp_path / "another" / "decisions.jsonl").exists()
        assert list(verdicts(config.out).values()) == ["drop"]


def test_two_tabs_see_each_other_and_overwrite_nothing(server, config, open_page):
    one, other = ready(open_page(server.url)), ready(open_page(server.url))
    one.bring_to_front()
    one.keyboard.press("j")
    one.keyboard.press("x")
    wait_for_lines(one, config.out, 1)
    saving(one, "0 kept · 1 dropped")
    other.bring_to_front()
    other.reload()
    saving(other, "0 kept · 1 dropped")
    for _ in range(PAIRS):
        other.keyboard.press("j")
    other.keyboard.press("a")
    wait_for_lines(other, config.out, 2)
    saving(other, "1 kept · 1 dropped")
    one.reload()
    saving(one, "1 kept · 1 dropped")
    assert sorted(verdicts(config.out).values()) == ["drop", "keep"]


def start(out: Path, port: int) -> tuple[subprocess.Popen[str], str]:
    command = [sys.executable, "-m", "fmas", "review", str(out), "--no-open", "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)


def test_killed_server_loses_nothing_and_the_open_page_goes_on_with_the_next(config, open_page):
    process, url = start(config.out, 0)
    try:
        page = ready(open_page(url))
        page.keyboard.press("j")
        page.keyboard.press("x")
        saving(page, "0 kept · 1 dropped")
        wait_for_lines(page, config.out, 1)
        kill(process)
        page.keyboard.press("a")
        saving(page, "not saved yet")
        saving(page, "1 kept · 1 dropped")  # shown, and marked
        assert list(verdicts(config.out).values()) == ["drop"]
        process, again = start(config.out, int(url.rstrip("/").rpartition(":")[2]))
        assert again == url
        page.get_by_role("button", name="Try now").click()
        expect(page.locator("#saving")).not_to_contain_text("not saved yet", timeout=20_000)
        assert sorted(verdicts(config.out).values()) == ["drop", "keep"]
        page.reload()
        saving(page, "1 kept · 1 dropped")
    finally:
        kill(process)


def test_server_that_hangs_is_told_and_the_decision_is_saved_when_it_goes_on(config, open_page):
    process, url = start(config.out, 0)
    try:
        page = ready(open_page(url))
        process.send_signal(signal.SIGSTOP)
        page.keyboard.press("j")
        page.keyboard.press("x")
        expect(page.locator("#saving")).to_contain_text(
            "1 decision not saved yet: the server does not answer", timeout=20_000
        )
        page.keyboard.press("u")
        page.keyboard.press("a")  # the same pair, kept after all: what the server takes last must be the last word
        process.send_signal(signal.SIGCONT)
        expect(page.locator("#saving")).not_to_contain_text("not saved yet", timeout=20_000)
        assert list(verdicts(config.out).values()) == ["keep"]
    finally:
        kill(process)


def test_decision_made_while_no_server_ran_survives_even_a_reload(config, open_page):
    process, url = start(config.out, 0)
    try:
        page = ready(open_page(url))
        kill(process)
        page.keyboard.press("j")
        page.keyboard.press("x")
        saving(page, "not saved yet")
        process, _ = start(config.out, int(url.rstrip("/").rpartition(":")[2]))
        page.on("dialog", lambda dialog: dialog.accept())
        page.reload()
        saving(page, "0 kept · 1 dropped")
        expect(page.locator("#saving")).not_to_contain_text("not saved yet", timeout=20_000)
        assert list(verdicts(config.out).values()) == ["drop"]
    finally:
        kill(process)


def test_full_disk_is_told_and_the_decision_is_saved_when_there_is_room(server, config, open_page, monkeypatch):
    page = ready(open_page(server.url))
    real = os.write

    def full(descriptor: int, data: bytes) -> int:
        if data.startswith(b'{"stem":'):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", full)
    page.keyboard.press("j")
    page.keyboard.press("x")
    saving(page, "1 decision not saved yet")
    saving(page, "a full disk")
    assert verdicts(config.out) == {}
    monkeypatch.undo()
    expect(page.locator("#saving")).not_to_contain_text("not saved yet", timeout=20_000)
    assert list(verdicts(config.out).values()) == ["drop"]


def test_dropped_picture_is_refilled_and_the_new_one_is_undecided(server, config, open_page):
    page = ready(open_page(server.url))
    page.keyboard.press("j")
    page.keyboard.press("x")
    saving(page, "0 kept · 1 dropped")
    wait_for_lines(page, config.out, 1)
    stem = next(iter(verdicts(config.out)))
    assert synthesize(config).refilled == 1
    page.keyboard.press("u")  # about the picture that is gone
    saving(page, "the picture is another one by now")
    saving(page, f"0 of {PAIRS} reviewed · 0 kept · 0 dropped")
    with page.expect_response("**/decisions") as answer:
        page.keyboard.press("a")  # the page shows the old picture still
    assert answer.value.status == 409
    saving(page, f"0 of {PAIRS} reviewed · 0 kept · 0 dropped")
    page.get_by_role("button", name="Load the page anew").click()
    saving(page, f"0 of {PAIRS} reviewed · 0 kept · 0 dropped")
    row = ManifestIndex(config.out / "manifest").entry(stem).row
    assert row["generation"] == 1
    assert verdicts(config.out) == {}


def test_page_asks_its_own_server_alone_and_hostile_names_do_nothing(server, open_page, chromium):
    context = chromium.new_context()
    page = context.new_page()
    asked: list[str] = []
    consoles: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: consoles.append(message.text))
    page.goto(server.url)
    ready(page)
    page.keyboard.press("j")
    page.keyboard.press("z")
    page.wait_for_timeout(1000)
    assert all(re.match(rf"(?:{re.escape(server.url)}|data:|blob:)", url) for url in asked)
    assert any("/pictures/" in url for url in asked)
    assert consoles == []
    assert "broken" not in page.title()
    assert page.locator("img[src='x']").count() == 0
    context.close()


def test_pictures_are_asked_for_a_few_at_a_time_and_all_are_drawn(server, open_page):
    page = open_page("about:blank")
    open_now: set[object] = set()
    most = [0]

    def began(request: object) -> None:
        open_now.add(request)
        most[0] = max(most[0], len(open_now))

    def ended(request: object) -> None:
        open_now.discard(request)

    page.on("request", lambda request: began(request) if "/pictures/" in request.url else None)
    page.on("requestfinished", ended)
    page.goto(f"{server.url}#layout=sheet")
    expect(page.locator("#list article.drawn")).to_have_count(PAIRS)
    assert 3 <= most[0] <= 12  # three files of three pairs, and what has just ended; of 18 in all


def test_another_name_for_this_machine_gets_nothing(server, refused, chromium):
    page = chromium.new_page()
    answer = page.goto(f"http://evil.example:{server.port}/")
    assert answer is not None and answer.status == 403
    assert "token" not in page.content()
    assert any("the Host 'evil.example" in line for line in refused)
    page.close()


@pytest.fixture
def stranger(server: ReviewServer, config: RunConfig) -> Iterator[str]:
    """Serve another site's page on this machine, which tries whatever a page can."""
    entry = next(ManifestIndex(config.out / "manifest").entries())
    row = entry.row or {}
    decision = json.dumps({"stem": entry.stem, "image_sha256": row["image_sha256"], "verdict": "drop"})
    picture = f"{server.url}pictures/{entry.stem:06d}/result?v={str(row['image_sha256'])[:16]}"
    html = f"""<!doctype html><iframe src="{server.url}"></iframe><img id="picture" src="{picture}">
    <form method="post" enctype="text/plain" action="{server.url}decisions"><input name='{decision}'></form>
    <script>
    const body = {json.dumps(decision)};
    const told = (promise) => promise.then((answer) => answer.text(), () => "refused");
    window.answers = Promise.all([
      told(fetch("{server.url}decisions", {{ method: "POST", body, headers: {{ "X-FMAS-Token": "guessed" }} }})),
      told(fetch("{server.url}decisions", {{ method: "POST", body, mode: "no-cors" }})),
      told(fetch("{server.url}session")),
      told(fetch("{server.url}")),
    ]);
    </script>"""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(html.encode())

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as site:
        thread = threading.Thread(target=site.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{site.server_port}/"
        site.shutdown()
        thread.join()


def test_page_of_another_site_can_neither_decide_nor_look(server, config, refused, stranger, chromium):
    page = chromium.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(stranger)
    answers = page.evaluate("() => window.answers")
    assert answers == ["refused"] * 4
    page.wait_for_function("() => document.getElementById('picture').complete")
    assert page.evaluate("() => document.getElementById('picture').naturalWidth") == 0
    assert not any("reviewed" in frame.content() for frame in page.frames)
    page.evaluate("() => document.forms[0].submit()")
    page.wait_for_url(f"{server.url}decisions")
    assert '"saved":false' in page.content()
    assert not (config.out / "decisions.jsonl").exists()
    assert any("the Origin" in line for line in refused)
    assert sum(url.startswith(server.url) for url in asked) >= 6  # every attempt was made
    page.close()
