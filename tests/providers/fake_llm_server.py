"""A server on 127.0.0.1 that speaks Responses, chat completions and Messages, keeps what it was asked, and fails on
demand in every way a service fails."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

DEFECTS = {
    "defects": [
        {
            "name": "deep scratch",
            "kind": "scratch",
            "prompt": "a deep scratch in brushed steel, macro photograph",
            "negative_prompt": "cartoon, text",
            "severity": 0.7,
        },
        {
            "name": "rust spot",
            "kind": "stain",
            "prompt": "a small rust spot on steel",
            "negative_prompt": "",
            "severity": 0.3,
        },
    ]
}


@dataclass
class Answer:
    """One reply to come.

    Attributes:
        content: What the model says; a mapping is turned into JSON.
        status: HTTP status.
        headers: Further headers.
        usage: ``None`` leaves it out, as many servers do.
        refusal: The model's refusal.
        cut: Whether the answer is cut off for its length.
        raw: Sent as the whole body instead of what the protocol wants.
        delay: Seconds before anything is sent.
    """

    content: Mapping[str, object] | list[object] | str = field(default_factory=lambda: DEFECTS)
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    usage: tuple[int, int] | None = (100, 50)
    refusal: str = ""
    cut: bool = False
    raw: bytes | None = None
    delay: float = 0.0


@dataclass
class Asked:
    path: str
    headers: dict[str, str]
    body: dict[str, object]


class FakeServer:
    """Answers in the order of ``answers``; the last one goes on for ever."""

    def __init__(self) -> None:
        self.answers: list[Answer] = [Answer()]
        self.asked: list[Asked] = []
        self._lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                answer = server._next(Asked(self.path, headers, json.loads(body)))
                time.sleep(answer.delay)
                content = answer.raw if answer.raw is not None else server._content(self.path, answer)
                try:
                    self.send_response(answer.status)
                    for name, value in {"Content-Type": "application/json", **answer.headers}.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content)
                except (BrokenPipeError, ConnectionResetError):
                    pass  # the client ran out of patience, as the test wants

            def log_message(self, *_: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._http.server_port}"

    def _next(self, asked: Asked) -> Answer:
        with self._lock:
            self.asked.append(asked)
            return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def _content(self, path: str, answer: Answer) -> bytes:
        if answer.status != 200:
            error = {"error": {"message": "the service says no", "type": "error", "code": None}, "type": "error"}
            return json.dumps(error).encode()
        text = answer.content if isinstance(answer.content, str) else json.dumps(answer.content)
        speak = {"/v1/responses": _responses, "/v1/chat/completions": _chat, "/v1/messages": _messages}[path]
        return json.dumps(speak(text, answer)).encode()

    @contextmanager
    def running(self) -> Iterator[FakeServer]:
        thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._http.shutdown()
            self._http.server_close()
            thread.join()


def _responses(text: str, answer: Answer) -> dict[str, object]:
    part = {"type": "refusal", "refusal": answer.refusal} if answer.refusal else {"type": "output_text", "text": text}
    reply: dict[str, object] = {
        "id": "r",
        "output": [{"type": "message", "role": "assistant", "content": [part]}],
    }
    if answer.cut:
        reply |= {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    if answer.usage:
        reply["usage"] = {"input_tokens": answer.usage[0], "output_tokens": answer.usage[1], "total_tokens": 0}
    return reply


def _chat(text: str, answer: Answer) -> dict[str, object]:
    message = {"role": "assistant", "content": None if answer.refusal else text}
    if answer.refusal:
        message["refusal"] = answer.refusal
    reply: dict[str, object] = {"choices": [{"message": message, "finish_reason": "length" if answer.cut else "stop"}]}
    if answer.usage:
        reply["usage"] = {"prompt_tokens": answer.usage[0], "completion_tokens": answer.usage[1], "total_tokens": 0}
    return reply


def _messages(text: str, answer: Answer) -> dict[str, object]:
    reply: dict[str, object] = {"type": "message", "content": [{"type": "text", "text": answer.refusal or text}]}
    if answer.refusal or answer.cut:
        reply["stop_reason"] = "refusal" if answer.refusal else "max_tokens"
    if answer.usage:
        reply["usage"] = {"input_tokens": answer.usage[0], "output_tokens": answer.usage[1]}
    return reply
