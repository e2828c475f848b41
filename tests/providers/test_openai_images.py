"""OpenAI's image model as painter, by the real SDK, against a server on this machine that reads what was sent."""

from __future__ import annotations

import base64
import email
import io
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from PIL import Image

from fmas.errors import ComponentError, ConfigError
from fmas.testing import check_inpainter
from fmas.types import Defect, InpaintJob

pytest.importorskip("openai", reason="needs the SDK: pip install 'fmas-providers[openai]'")

from fmas_providers.llm.backoff import Backoff
from fmas_providers.openai.images import OpenAIImages, create
from fmas_providers.openai.options import OpenAIImagesOptions


class ImageServer:
    """Paints the mask's hole red, or answers with ``status`` and ``body``."""

    def __init__(self):
        self.asked, self.status, self.body, self.lock = [], 200, None, threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                content = self.rfile.read(int(self.headers["Content-Length"]))
                message = email.message_from_bytes(
                    b"Content-Type: " + self.headers["Content-Type"].encode() + b"\r\n\r\n" + content
                )
                fields = {part.get_param("name", header="content-disposition"): part for part in message.get_payload()}
                with server.lock:
                    server.asked.append(
                        (self.path, {name: part.get_payload(decode=True) for name, part in fields.items()})
                    )
                body = server.body or server.paint(fields)
                self.send_response(server.status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"

    def paint(self, fields):
        picture = np.array(Image.open(io.BytesIO(fields["image"].get_payload(decode=True))).convert("RGB"))
        mask = np.array(Image.open(io.BytesIO(fields["mask"].get_payload(decode=True))))
        picture[mask[..., 3] == 0] = (250, 10, 10)
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, "PNG")
        return json.dumps({"created": 1, "data": [{"b64_json": base64.b64encode(buffer.getvalue()).decode()}]}).encode()


@pytest.fixture
def server():
    server = ImageServer()
    thread = threading.Thread(target=server.http.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server
    server.http.shutdown()
    server.http.server_close()
    thread.join()


def painter(server, **options):
    return OpenAIImages(
        OpenAIImagesOptions(base_url=server.url, size=256, **options), backoff=Backoff(0.0, sleep=lambda _: None)
    )


def job(height=90, width=150):
    image = np.random.default_rng(1).integers(60, 120, (height, width, 3), dtype=np.uint8)
    region = np.zeros((height, width), bool)
    region[20:60, 30:100] = True
    return InpaintJob(
        image, region, np.ones_like(region), Defect(name="rust", prompt="a rust spot", negative_prompt="text"), 3
    )


def test_conformance(server):
    check_inpainter(painter(server), seeds_differ=False)


def test_the_hole_is_painted_where_the_region_is(server):
    wanted = job()
    (painted,) = painter(server).inpaint([wanted])
    red = (painted[..., 0] > 180) & (painted[..., 1] < 90)
    assert painted.shape == wanted.image.shape
    assert (red & wanted.region).sum() / (red | wanted.region).sum() > 0.9


def test_the_request(server):
    painter(server, quality="high", model="some-painter").inpaint([job()])
    ((path, fields),) = server.asked
    assert path == "/v1/images/edits"
    assert (fields["model"], fields["size"], fields["quality"], fields["n"]) == (
        b"some-painter",
        b"256x256",
        b"high",
        b"1",
    )
    assert fields["prompt"].startswith(b"a rust spot. Change only the transparent part")
    assert fields["prompt"].endswith(b"Avoid: text.")
    with Image.open(io.BytesIO(fields["mask"])) as mask:
        assert (mask.mode, mask.size) == ("RGBA", (256, 256))


def test_every_job_gets_its_own_answer_in_order(server):
    jobs = [job(60 + number, 120) for number in range(6)]
    assert [one.shape[0] for one in painter(server).inpaint(jobs)] == [60, 61, 62, 63, 64, 65]


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (401, b'{"error": {"message": "bad key"}}', "set OPENAI_API_KEY to a valid key"),
        (429, b"{}", "raise inpainter.patience"),
        (200, b'{"created": 1, "data": []}', "an answer without a picture"),
        (200, b'{"created": 1, "data": [{"b64_json": "####"}]}', "check inpainter.model"),
        (200, b'{"created": 1, "data": [{"b64_json": "aGVsbG8="}]}', "cannot identify image"),
    ],
)
def test_what_goes_wrong_is_said(server, status, body, message):
    server.status, server.body = status, body
    with pytest.raises(ComponentError, match=message):
        painter(server).inpaint([job()])


def test_without_a_key():
    with pytest.raises(ConfigError, match="environment variable OPENAI_API_KEY"):
        create({})
