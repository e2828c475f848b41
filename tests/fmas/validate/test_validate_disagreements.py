"""Where two records disagree, the keys and both values are named."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmas.images import encode_png
from fmas.validate.wording import counted, differing_values


def edit_first_row(forgery, change) -> None:
    def edit(lines):
        row = json.loads(lines[0])
        change(row)
        return [json.dumps(row, ensure_ascii=False, sort_keys=True) + "\n", *lines[1:]]

    forgery.edit_metadata(edit)


def test_edited_value_is_named(forgery):
    row = forgery.lines[0]["row"]
    edit_first_row(forgery, lambda row: row.update(prompt="a dragon", severity=0.75))
    (told,) = forgery.told("metadata")
    assert told == (
        f"dataset/test_part/metadata.jsonl:1: expected prompt {row['prompt']!r}, severity {row['severity']} as in the "
        f"manifest for stem {row['stem']}, got prompt 'a dragon', severity 0.75; "
        "run the same fmas run again, it writes this file anew [metadata]"
    )


def test_missing_and_further_keys_are_named(forgery):
    kind = forgery.lines[0]["row"]["kind"]
    edit_first_row(forgery, lambda row: (row.pop("kind"), row.update(colour="red")))
    (told,) = forgery.told("metadata")
    assert f"expected no colour, kind {kind!r} as in the manifest" in told
    assert "got colour 'red', no kind;" in told


def test_many_keys_are_counted(forgery):
    edit_first_row(forgery, lambda row: row.update(a=1, b=2, c=3, d=4, e=5))
    (told,) = forgery.told("metadata")
    assert "got a 1, b 2, c 3 and 2 more keys;" in told


def test_other_spelling_is_told_as_such(forgery):
    forgery.edit_metadata(
        lambda lines: [json.dumps(json.loads(lines[0]), indent=None).replace(": ", ":") + "\n", *lines[1:]]
    )
    (told,) = forgery.told("metadata")
    assert "expected one line with sorted keys as in the manifest" in told
    assert "got the same values in another spelling;" in told


def test_edited_failure_is_named(forgery):
    failure = {"stage": "inpaint", "reason": "rejected", "message": "m"}
    line = {"stem": 900, "source": "zzz.png", "status": "failed", "files": {}, "sizes": {}, "row": None}
    line |= {"candidates": {}, "generation": 0}
    forgery.lines.append(line | {"failure": failure, "rejections": [], "written": 1})
    forgery.write_lines()
    listed = {"stem": 900, "source": "zzz.png", **failure, "rejections": []} | {"reason": "bad luck"}
    (forgery.out / "failures.jsonl").write_text(json.dumps(listed) + "\n")
    (told,) = forgery.told("failures")
    assert "expected reason 'rejected' as in the manifest for stem 900, got reason 'bad luck';" in told


def test_wrong_counts_are_named(forgery):
    counts = json.loads((forgery.out / "run.json").read_text())["counts"]
    forgery.edit_json("run.json", lambda content: content["counts"].update(pairs=99, more=1))
    (told,) = forgery.told("counts")
    assert f"expected counts as in the manifest, no more, pairs {counts['pairs']}, got more 1, pairs 99;" in told


def test_text_of_another_row_is_named(forgery):
    row = forgery.pairs[0]["row"]
    text = json.dumps(row | {"score": 0.5}, ensure_ascii=False, sort_keys=True)
    forgery.path("image").write_bytes(encode_png(forgery.pixels("image"), text={"fmas": text}))
    (told,) = forgery.told("png-text")
    assert f"expected score {row['score']} in the iTXt chunk 'fmas' as in the row, got score 0.5;" in told


@pytest.mark.parametrize(("text", "found"), [("x", "something else"), ("[]", "another value")])
def test_text_that_is_no_row(forgery, text, found):
    forgery.path("image").write_bytes(encode_png(forgery.pixels("image"), text={"fmas": text}))
    (told,) = forgery.told("png-text")
    assert f"expected an object in JSON in the iTXt chunk 'fmas' as in the row, got {found};" in told


def test_different_rejections_are_shown(forgery):
    forgery.pairs[0]["rejections"] = [{"candidate": 0, "attempt": 0, "seed": 0, "reason": "black"}]
    forgery.seal()
    (told,) = forgery.told("row-fields")
    assert "expected rejections [{'candidate': 0, " in told
    assert "in the row as in its line, got rejections [];" in told


def test_piece_of_a_secret_is_not_shown(forgery, monkeypatch):
    secret = "sk-" + "0123456789" * 10
    monkeypatch.setenv("SOME_API_KEY", secret)
    edit_first_row(forgery, lambda row: row.update(prompt=f"a crack {secret}", colour=[secret]))
    (told,) = forgery.told("metadata")
    assert "<SOME_API_KEY>" in told
    assert "0123" not in told


def test_long_values_are_shown_where_they_differ():
    wanted, found = {"a": "x" * 500 + "here" + "y" * 500}, {"a": "x" * 500 + "THERE" + "y" * 500}
    differing = differing_values(wanted, found)
    assert differing is not None
    for phrase, word in zip(differing, ("here", "THERE"), strict=True):
        assert word in phrase
        assert phrase.startswith("a …x")
        assert phrase.endswith("y…")
        assert len(phrase) < 70


@pytest.mark.parametrize(("number", "phrase"), [(0, "0 pairs"), (1, "1 pair"), (2, "2 pairs")])
def test_counted(number, phrase):
    assert counted(number, "pair") == phrase


def test_one_and_one_point_zero_differ():
    assert differing_values({"a": 1}, {"a": 1.0}) == ("a 1", "a 1.0")


values = st.none() | st.integers() | st.text(max_size=200) | st.floats()
records = st.dictionaries(st.text(max_size=5), values, max_size=5)


@given(records, records)
def test_records_differ_exactly_if_their_json_does(one, other):
    differing = differing_values(one, other)
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (differing is None) == same
    if differing is not None:
        assert differing[0] != differing[1]
        assert all(len(phrase) < 3 * 80 + 30 for phrase in differing)
