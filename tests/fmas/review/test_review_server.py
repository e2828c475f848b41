"""The review's server: what it answers, whom it refuses, and that a saved decision is on the disk."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import socket
import threading
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image

from fmas import synthesize
from fmas.decisions import read_decisions
from fmas.errors import OutputError, UsageError
from fmas.review import ReviewServer

STRICT = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}


def stored(out: Path) -> list[dict[str, object]]:
    path = out / "decisions.jsonl"
    return [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []


def address(visitor, stem: int, kind: str) -> str:
    return f"/pictures/{stem:06d}/{kind}?v={str(visitor.row(stem)['image_sha256'])[:16]}"


def pairs(visitor) -> list[int]:
    return [stem for stem in range(5) if visitor.row(stem)["defect"] != "good"]


def held_out(visitor) -> int:
    return next(stem for stem in range(5) if visitor.row(stem)["defect"] == "good")


def test_decision_is_on_the_disk_when_the_answer_says_so(visitor, out, layout):
    stem = pairs(visitor)[1]
    answer = visitor.decide(stem, "drop")
    assert (answer.status, answer.json()) == (200, {"saved": True})
    assert [(line["stem"], line["verdict"]) for line in stored(out)] == [(stem, "drop")]
    assert visitor.decide(stem, "undecided").status == 200
    assert visitor.decide(stem, "keep").status == 200
    sha256 = visitor.row(stem)["image_sha256"]
    assert read_decisions(layout).verdict(stem, sha256) == "keep"
    assert visitor.get("/decisions").json() == {f"{stem:06d}": {"image_sha256": sha256, "verdict": "keep", "note": ""}}


def test_note_is_kept(visitor, out):
    stem = pairs(visitor)[0]
    note = 'too faint </script> "quoted" 🙂'
    content = {"stem": stem, "image_sha256": visitor.row(stem)["image_sha256"], "verdict": "drop", "note": note}
    assert visitor.post(content).status == 200
    assert stored(out)[0]["note"] == note
    assert visitor.get("/decisions").json()[f"{stem:06d}"]["note"] == note


def test_two_reviewers_see_what_the_other_decided(out, serve):
    with serve(out) as one, serve(out) as other:
        first, second = pairs(one)[:2]
        one.decide(first, "drop")
        other.decide(second, "keep")
        assert one.get("/decisions").json() == other.get("/decisions").json()
        assert len(one.get("/decisions").json()) == 2


def test_many_decisions_at_once_are_all_kept(visitor, out):
    stems, token = pairs(visitor), visitor.token()

    def decide(stem):
        for verdict in ("drop", "keep") * 5:
            assert visitor.decide(stem, verdict, X_FMAS_Token=token).status == 200

    threads = [threading.Thread(target=decide, args=(stem,)) for stem in stems]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(stored(out)) == 10 * len(stems)
    assert {one["verdict"] for one in visitor.get("/decisions").json().values()} == {"keep"}


def test_restarted_server_knows_everything_and_the_page_that_stayed_open_can_go_on(out, serve):
    with serve(out) as before:
        stem, port, token = pairs(before)[0], before.server.port, before.token()
        before.decide(stem, "drop")
    with serve(out, port=port) as after:
        assert after.get("/decisions").json()[f"{stem:06d}"]["verdict"] == "drop"
        refused = after.decide(stem, "keep", X_FMAS_Token=token)
        assert (refused.status, refused.json()["saved"]) == (403, False)
        assert after.decide(stem, "keep").status == 200


@pytest.mark.parametrize("kind", ["normal", "result", "mask"])
def test_pictures_are_the_files_of_the_data_set(visitor, layout, kind):
    stem = pairs(visitor)[0]
    field = {"normal": "normal_file_name", "result": "file_name", "mask": "mask_file_name"}[kind]
    answer = visitor.get(address(visitor, stem, kind))
    assert (answer.status, answer.headers["content-type"]) == (200, "image/png")
    assert answer.body == (layout.dataset / visitor.row(stem)[field]).read_bytes()
    again = visitor.get(address(visitor, stem, kind), If_None_Match=answer.headers["etag"])
    assert (again.status, again.body) == (304, b"")


def test_thumbs_are_small_versions(visitor, layout):
    stem = pairs(visitor)[0]
    answer = visitor.get(address(visitor, stem, "thumb-result"))
    assert (answer.status, answer.headers["content-type"]) == (200, "image/webp")
    small = np.asarray(Image.open(io.BytesIO(answer.body)).convert("RGB")).astype(int)
    whole = np.asarray(Image.open(layout.dataset / visitor.row(stem)["file_name"])).astype(int)
    assert small.shape == whole.shape  # never enlarged
    assert np.abs(small - whole).mean() < 8
    assert answer.headers["etag"] != visitor.get(address(visitor, stem, "result")).headers["etag"]


@pytest.mark.parametrize(
    "path",
    [
        "/pictures/../../../etc/passwd/result?v=0",
        "/pictures/..%2f..%2f..%2fetc%2fpasswd/result?v=0",
        "/pictures/000000/..%2f..%2f..%2frun.json?v=0",
        "/pictures/0/result?v={version}",
        "/pictures/000000/anything?v={version}",
        "/pictures/000000/result",
        "/pictures/000000/result?v=",
        "/pictures/000000/result?v=0000000000000000",
        "/pictures/000099/result?v={version}",
        "/pictures/\u0660\u0660\u0660\u0660\u0660\u0660/result?v={version}",
        "/pictures/999999999999999999999/result?v={version}",
        "/dataset/plate/metadata.jsonl",
        "/decisions.jsonl",
        "/run.json",
    ],
)
def test_nothing_but_the_named_pictures_is_served(visitor, path):
    version = str(visitor.row(0)["image_sha256"])[:16]
    answer = visitor.get(quote(path.format(version=version), safe="/%?=.."))
    assert answer.status == 404
    assert b"root:" not in answer.body
    assert b"identity" not in answer.body


def test_picture_that_is_not_what_was_recorded_is_not_shown(visitor, layout, tmp_path):
    first, second, third = pairs(visitor)[:3]
    files = [layout.dataset / visitor.row(stem)["file_name"] for stem in (first, second, third)]
    addresses = [address(visitor, stem, "result") for stem in (first, second, third)]
    files[0].write_bytes(files[1].read_bytes())
    content = files[1].read_bytes()
    files[1].unlink()
    (tmp_path / "elsewhere.png").write_bytes(content)
    files[1].symlink_to(tmp_path / "elsewhere.png")  # the right bytes, but not of the data set
    files[2].unlink()
    answers = [visitor.get(one) for one in addresses]
    assert [answer.status for answer in answers] == [404, 404, 404]
    assert "is not what was recorded" in answers[0].json()["error"]
    assert "no such picture in the data set" in answers[1].json()["error"]
    assert "No such file" in answers[2].json()["error"]


def test_hostile_manifest_line_names_no_file_outside(visitor, out):
    path = out / "manifest/shard-1-of-1.jsonl"
    stem = pairs(visitor)[0]
    line = next(one for one in path.read_text("utf-8").splitlines() if json.loads(one)["stem"] == stem)
    content = json.loads(line)
    content["row"]["defect"] = "../../../../etc"
    content["row"]["file_name"] = "/etc/passwd"
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(content) + "\n")
    version = content["row"]["image_sha256"][:16]
    assert visitor.get(f"/pictures/{stem:06d}/result?v={version}").status == 404


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "127.0.0.1.evil.example:{port}", None]
)
@pytest.mark.parametrize("path", ["/", "/decisions", "/session", "/pictures/000000/result"])
def test_wrong_host_is_refused_and_logged(visitor, host, path):
    host = host and host.format(port=visitor.server.port)
    answer = visitor.get(path, Host=host)
    assert answer.status in (400, 403)  # a request without any Host is none at all for HTTP/1.1
    if host is not None:
        assert answer.status == 403
        assert visitor.refused == [f"refused 'GET' {path!r}: the Host {host!r}"]
    assert b"token" not in answer.body


def test_localhost_is_this_machine_too(visitor):
    answer = visitor.get("/session", Host=f"localhost:{visitor.server.port}")
    assert answer.status == 200
    assert sorted(answer.json()) == ["digest", "token"]
    stem, name = pairs(visitor)[0], f"localhost:{visitor.server.port}"
    assert visitor.decide(stem, "keep", Host=name, Origin=f"http://{name}").status == 200


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", "https://127.0.0.1:{port}", "http://127.0.0.1:1", "http://localhost:{port}", None],
)
def test_wrong_origin_decides_nothing(visitor, out, origin):
    origin = origin and origin.format(port=visitor.server.port)
    answer = visitor.decide(pairs(visitor)[0], "drop", Origin=origin)
    assert (answer.status, answer.json()["saved"]) == (403, False)
    assert stored(out) == []
    assert visitor.refused == [f"refused 'POST' '/decisions': the Origin {origin or ''!r}"]


def test_what_strangers_send_is_logged_on_one_short_line(visitor):
    visitor.get("/%0a%1b[2Jforged", Host="evil\x7f" + "x" * 500)
    assert len(visitor.refused) == 1
    assert visitor.refused[0].isprintable()
    assert len(visitor.refused[0]) < 250


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_other_sites_get_no_picture(visitor, site):
    stem = pairs(visitor)[0]
    assert visitor.get(address(visitor, stem, "result"), Sec_Fetch_Site=site).status == 403
    assert visitor.get("/decisions", Sec_Fetch_Site=site).status == 403
    assert visitor.get(address(visitor, stem, "result"), Origin="http://evil.example").status == 403
    assert visitor.get(address(visitor, stem, "result"), Sec_Fetch_Site="same-origin").status == 200


def test_every_answer_has_the_strict_headers(visitor):
    stem = pairs(visitor)[0]
    answers = [
        visitor.get("/decisions"),
        visitor.get("/nothing"),
        visitor.get("/", Host="evil.example"),
        visitor.ask("DELETE", "/decisions", Origin=f"http://{visitor.host}"),
        visitor.decide(stem, "keep"),
        visitor.get(address(visitor, stem, "result")),
    ]
    assert [answer.status for answer in answers] == [200, 404, 403, 405, 200, 200]
    for answer in answers:
        assert answer.headers.items() >= STRICT.items()
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert "server" not in answer.headers
    assert [answer.headers["cache-control"] for answer in answers] == ["no-store"] * 5 + ["private, no-cache"]


def test_page_states_its_policy_and_holds_the_token(visitor):
    answer = visitor.get("/")
    assert (answer.status, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert policy.endswith("frame-ancestors 'none'")
    assert "connect-src 'self'" in policy
    assert "unsafe" not in policy
    assert visitor.token().encode() in answer.body
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("content", "status", "words"),
    [
        (b"", 400, "in JSON"),
        (b"{", 400, "in JSON"),
        (b"\xff\xfe", 400, "in JSON"),
        (b"[" * 10_000, 400, "in JSON"),
        ([], 400, "expected a decision"),
        ({"stem": 0}, 400, "expected a decision"),
        ({"stem": "0", "image_sha256": "0" * 64, "verdict": "drop"}, 400, "stem"),
        ({"stem": True, "image_sha256": "0" * 64, "verdict": "drop"}, 400, "stem"),
        ({"stem": -1, "image_sha256": "0" * 64, "verdict": "drop"}, 400, "stem"),
        ({"stem": 0, "image_sha256": "../../etc", "verdict": "drop"}, 400, "image_sha256"),
        ({"stem": 0, "image_sha256": "0" * 64, "verdict": "delete"}, 400, "verdict"),
        ({"stem": 0, "image_sha256": "0" * 64, "verdict": "drop", "path": "x"}, 400, "path"),
        ({"stem": 0, "image_sha256": "0" * 64, "verdict": "drop", "note": "x" * 2001}, 400, "note"),
        ({"stem": 0, "image_sha256": "0" * 64, "verdict": "drop"}, 409, "not there any more"),
        ({"stem": 10**30, "image_sha256": "0" * 64, "verdict": "drop"}, 409, "not there any more"),
        (b" " * 20_000, 413, "at most 16384 bytes"),
    ],
)
def test_what_is_no_decision_is_refused(visitor, out, content, status, words):
    answer = visitor.post(content)
    assert (answer.status, answer.json()["saved"]) == (status, False)
    assert words in answer.json()["error"]
    assert stored(out) == []


def test_other_types_and_methods_are_refused(visitor, out):
    stem = pairs(visitor)[0]
    for kind in ("text/plain", "application/x-www-form-urlencoded", None):
        assert visitor.decide(stem, "drop", Content_Type=kind).status == 415
    assert visitor.decide(stem, "drop", X_FMAS_Token=None).status == 403
    assert visitor.decide(stem, "drop", X_FMAS_Token="\xe4nother").status == 403  # noqa: S106
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS"):
        answer = visitor.ask(method, "/decisions", b"{}", Origin=f"http://{visitor.host}")
        assert answer.status == 405
    assert stored(out) == []


def test_held_out_photograph_cannot_be_dropped(visitor, out):
    answer = visitor.decide(held_out(visitor), "drop")
    assert answer.status == 409
    assert "a good part that nobody painted" in answer.json()["error"]
    assert stored(out) == []


@pytest.mark.parametrize(
    ("number", "status", "words"), [(errno.ENOSPC, 507, "a full disk"), (errno.EROFS, 500, "only")]
)
def test_decision_that_cannot_be_written_is_told_and_nothing_is_lost(visitor, out, monkeypatch, number, status, words):
    first, second = pairs(visitor)[:2]
    visitor.decide(first, "drop")
    before = (out / "decisions.jsonl").read_bytes()
    real = os.write

    def write(descriptor, data):
        if data.startswith(b'{"stem":'):
            real(descriptor, data[:20])
            raise OSError(number, os.strerror(number))
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", write)
    answer = visitor.decide(second, "drop")
    assert (answer.status, answer.json()["saved"]) == (status, False)
    assert words in answer.json()["error"]
    assert (out / "decisions.jsonl").read_bytes() == before
    monkeypatch.undo()
    assert visitor.decide(second, "drop").status == 200
    assert len(stored(out)) == 2


def test_foreign_line_is_told_and_left_alone(visitor, out):
    path = out / "decisions.jsonl"
    path.write_text("I dropped number 3\n", encoding="utf-8")
    answer = visitor.get("/decisions")
    assert answer.status == 500
    assert "line 1" in answer.json()["error"]
    assert path.read_text(encoding="utf-8") == "I dropped number 3\n"


def test_refilled_place_starts_undecided_and_the_old_picture_is_gone(visitor, config):
    stem = pairs(visitor)[0]
    old, old_address = visitor.row(stem)["image_sha256"], address(visitor, stem, "result")
    visitor.decide(stem, "drop")
    assert synthesize(config).refilled == 1
    assert visitor.row(stem)["image_sha256"] != old
    assert visitor.get(old_address).status == 404
    stale = visitor.post({"stem": stem, "image_sha256": old, "verdict": "keep"})
    assert (stale.status, stale.json()["saved"]) == (409, False)
    assert visitor.get(address(visitor, stem, "result")).status == 200
    assert visitor.get("/decisions").json()[f"{stem:06d}"]["image_sha256"] == old  # which the page compares
    visitor.decide(stem, "keep")
    assert visitor.get("/decisions").json()[f"{stem:06d}"]["verdict"] == "keep"


def test_pictures_that_a_run_adds_are_found(finished_run, tmp_path, serve):
    config = finished_run.model_copy(update={"out": tmp_path / "growing", "limit": 1})
    synthesize(config)
    with serve(config.out) as visitor:
        assert visitor.get("/pictures/000003/result?v=0000000000000000").status == 404
        synthesize(config.model_copy(update={"limit": None}))
        for stem in pairs(visitor):
            assert visitor.get(address(visitor, stem, "result")).status == 200


def test_listens_on_this_machine_only(visitor):
    with socket.socket() as other:
        other.settimeout(2)
        with pytest.raises(OSError):  # noqa: PT011 (refused or unreachable, by system)
            other.connect(("127.0.0.2", visitor.server.port))


def test_no_connection_outlives_the_server_not_even_one_whose_question_never_ends(serve, out):
    with socket.socket() as other:
        other.settimeout(10)
        with serve(out) as visitor:
            other.connect(("127.0.0.1", visitor.server.port))
            lines = (f"Host: {visitor.host}", f"Origin: http://{visitor.host}", f"X-FMAS-Token: {visitor.token()}")
            content = ("Content-Type: application/json", "Content-Length: 100", "", "{")
            other.sendall("\r\n".join(("POST /decisions HTTP/1.1", *lines, *content)).encode())
            with pytest.raises(TimeoutError):  # the server waits for the rest
                other.settimeout(0.3)
                other.recv(1)
        other.settimeout(10)
        with contextlib.suppress(ConnectionResetError):
            assert other.recv(1) == b""  # no TimeoutError: it has ended


def test_taken_port_and_wrong_folder_are_refused(visitor, out, tmp_path):
    with pytest.raises(UsageError, match=r"expected to listen on 127.0.0.1:\d+, got .*; choose another --port"):
        ReviewServer(out, port=visitor.server.port)
    with pytest.raises(UsageError, match="expected a port from 0 to 65535, got 70000"):
        ReviewServer(out, port=70000)
    with pytest.raises(UsageError, match="expected the output folder"):
        ReviewServer(tmp_path / "nothing")


def test_unreadable_manifest_is_told(visitor, out):
    with (out / "manifest/shard-1-of-1.jsonl").open("a", encoding="utf-8") as file:
        file.write("no line of ours\n")
    assert visitor.get("/").status == 503
    assert "remove that line" in visitor.get("/").body.decode()
    assert visitor.get("/pictures/000000/result?v=0000000000000000").status == 500
    with pytest.raises(OutputError):
        ReviewServer(out)
