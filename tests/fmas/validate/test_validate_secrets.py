"""No secret stands in a file unnoticed, and none is shown."""

from __future__ import annotations

import json
import os

import pytest

from fmas.decisions import Decision
from fmas.validate import Rule, validate_output

UNSPEAKABLE = 'sk-"quoted"&ümläut-0123456789'


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("report.html", f"<p>{UNSPEAKABLE}</p>"),
        ("report.html", "<p>sk-&quot;quoted&quot;&amp;ümläut-0123456789</p>"),
        ("decisions.jsonl", Decision(0, "0" * 64, "keep", UNSPEAKABLE).to_line().decode()),
        ("cache/answer.json", json.dumps({"key": UNSPEAKABLE}, ensure_ascii=False)),
        ("notes.md", "x" * (2**20 - 10) + UNSPEAKABLE),
    ],
)
def test_secret_in_a_text_file(forgery, monkeypatch, name, text):
    monkeypatch.setenv("SOME_API_KEY", UNSPEAKABLE)
    (forgery.out / name).parent.mkdir(exist_ok=True)
    (forgery.out / name).write_text(text)
    (problem,) = validate_output(forgery.out).problems
    assert (problem.rule, problem.path) == (Rule.SECRET, name)
    assert "SOME_API_KEY" in problem.message
    assert UNSPEAKABLE not in str(problem)


@pytest.mark.parametrize(("variable", "value"), [("SOME_TOKEN", "short"), ("SOME_KEY", UNSPEAKABLE)])
def test_what_is_no_secret(forgery, monkeypatch, variable, value):
    monkeypatch.setenv(variable, value)
    (forgery.out / "report.html").write_text(f"short {UNSPEAKABLE}")
    assert forgery.broken() == set()


def test_messages_never_quote_a_secret(forgery, monkeypatch):
    monkeypatch.setenv("SOME_SECRET", UNSPEAKABLE)
    forgery.pairs[0]["row"]["prompt"] = UNSPEAKABLE
    forgery.seal()
    report = validate_output(forgery.out)
    assert {"secret", "planned-defect"} == {str(problem.rule) for problem in report.problems}
    assert "quoted" not in json.dumps(report.to_json(), ensure_ascii=False)


def test_unreadable_text_file_does_not_stop_the_search_for_secrets(forgery, monkeypatch):
    monkeypatch.setenv("SOME_API_KEY", UNSPEAKABLE)
    os.mkfifo(forgery.out / "a.json")
    (forgery.out / "b.json").write_text(json.dumps(UNSPEAKABLE))
    assert [(str(p.rule), p.path) for p in validate_output(forgery.out).problems] == [("secret", "b.json")]
