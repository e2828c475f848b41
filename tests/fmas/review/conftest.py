"""A real server on 127.0.0.1, and what a browser would send it."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fmas import RunConfig, synthesize
from fmas.layout import OutputLayout
from fmas.manifest import ManifestIndex
from fmas.review import ReviewServer


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> object:
        return json.loads(self.body)


@dataclass
class Visitor:
    """Talks to a server as the review's own page does; any header can be replaced, or left out with ``None``."""

    server: ReviewServer
    out: Path
    refused: list[str] = field(default_factory=list)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server.port}"

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str | None) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        sent = {"Host": self.host} | named
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in sent.items():
                if value is not None:
                    connection.putheader(name, value)
            if body or method == "POST":
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body or None)
            answer = connection.getresponse()
            return Answer(answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str | None) -> Answer:
        return self.ask("GET", path, **headers)

    def token(self) -> str:
        return str(self.get("/session").json()["token"])

    def post(self, content: object, **headers: str | None) -> Answer:
        usual = {"Origin": f"http://{self.host}", "Content_Type": "application/json", "X_FMAS_Token": self.token()}
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        return self.ask("POST", "/decisions", body, **(usual | headers))

    def row(self, stem: int) -> dict[str, object]:
        entry = ManifestIndex(self.out / "manifest").entry(stem)
        assert entry is not None and entry.row is not None
        return dict(entry.row)

    def decide(self, stem: int, verdict: str, **headers: str | None) -> Answer:
        content = {"stem": stem, "image_sha256": self.row(stem)["image_sha256"], "verdict": verdict}
        return self.post(content, **headers)


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    """A small data set with a held-out photograph, made once; copy it before changing it."""
    folder = tmp_path_factory.mktemp("reviewed")
    (folder / "in").mkdir()
    generator = np.random.default_rng(3)
    for number in range(5):
        pixels = np.clip(generator.normal(120, 9, (72, 96, 1)), 0, 255).astype(np.uint8).repeat(3, axis=2)
        Image.fromarray(pixels).save(folder / "in" / f"{number}.png")
    config = RunConfig(images=folder / "in", out=folder / "out", object="plate", candidates=1, seed=2, holdout_good=0.2)
    assert synthesize(config).counts.held_out == 1
    return config


@pytest.fixture
def config(finished_run: RunConfig, tmp_path: Path) -> RunConfig:
    import shutil

    shutil.copytree(finished_run.out, tmp_path / "out")
    return finished_run.model_copy(update={"out": tmp_path / "out"})


@pytest.fixture
def out(config: RunConfig) -> Path:
    return config.out


@pytest.fixture
def layout(out: Path) -> OutputLayout:
    return OutputLayout(out, "plate")


@contextlib.contextmanager
def serving(out: Path, port: int = 0) -> Iterator[Visitor]:
    refused: list[str] = []
    with ReviewServer(out, port=port, log=refused.append) as server:
        thread = threading.Thread(target=server.serve)
        thread.start()
        try:
            yield Visitor(server, out, refused)
        finally:
            server.stop()
            thread.join(timeout=30)
            assert not thread.is_alive()


@pytest.fixture
def serve() -> Callable[..., contextlib.AbstractContextManager[Visitor]]:
    return serving


@pytest.fixture
def visitor(out: Path) -> Iterator[Visitor]:
    with serving(out) as visitor:
        yield visitor
