"""Whatever the files hold, a validation ends in a report."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fmas.validate import Rule, validate_output
from fmas.validate.problems import ProblemLog
from fmas.validate.remedies import RERUN

relaxed = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)


def test_messages_are_short_printable_lines():
    log = ProblemLog(Path(), {})
    log.add(Rule.STEM, "a\nb\udc80", "expected x, got " + "y\x1b" * 1000, RERUN)
    (problem,) = log.problems
    assert problem.path == "a\\nb\\udc80"
    assert str(problem).isprintable()
    assert problem.message.endswith("…; run the same fmas run again")  # however long the rest is
    assert len(problem.message) < 1600


def test_a_problem_is_told_once():
    log = ProblemLog(Path(), {})
    for number in (1, 2, 1):
        log.add(Rule.STEM, "a", f"expected x, got {number}", RERUN)
    assert [problem.message.split(";")[0] for problem in log.problems] == ["expected x, got 1", "expected x, got 2"]


@relaxed
@given(st.integers(0, 10**6), st.floats(0, 1, exclude_max=True), st.integers(1, 255))
def test_any_changed_byte_of_an_image_or_of_metadata_is_found(forgery, which, where, change):
    files = sorted(path for path in forgery.dataset.rglob("*") if path.is_file() and path.name != "README.md")
    path = files[which % len(files)]
    before = path.read_bytes()
    changed = bytearray(before)
    changed[int(where * len(before))] ^= change
    path.write_bytes(changed)
    try:
        assert forgery.broken() != set()
    finally:
        path.write_bytes(before)


@relaxed
@given(st.data())
def test_no_content_of_any_file_raises(forgery, data):
    files = sorted(path for path in forgery.out.rglob("*") if path.is_file())
    path = data.draw(st.sampled_from(files), label="file")
    before = path.read_bytes()
    pieces = st.sampled_from([b"", before[: len(before) // 2], b"{}\n", b"[]\n", b"null\n", b'{"stem":0}\n', b"---\n"])
    path.write_bytes(
        b"".join(data.draw(st.lists(st.one_of(st.binary(max_size=50), pieces), max_size=4), label="content"))
    )
    try:
        validate_output(forgery.out)
    finally:
        path.write_bytes(before)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner, max_size=3)
)


@relaxed
@given(st.data(), json_values)
def test_no_value_of_any_field_of_a_manifest_line_passes_or_raises(forgery, data, value):
    lines = json.loads(json.dumps(forgery.lines))
    line = data.draw(st.sampled_from(lines), label="line")
    target = data.draw(st.sampled_from([line, line["row"]]), label="part")
    field = data.draw(st.sampled_from(sorted(target)), label="field")
    if target[field] == value or (field == "stem" and str(value) == str(target[field])):
        return
    target[field] = value
    if field == "written":  # any number will do
        target[field] = str(value)
    forgery.manifest.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert forgery.broken() != set()


@relaxed
@given(st.data(), json_values)
def test_no_value_of_any_field_of_run_json_raises(forgery, data, value):
    before = (forgery.out / "run.json").read_bytes()
    field = data.draw(st.sampled_from(sorted(json.loads(before)["identity"])))
    forgery.edit_identity(**{field: value})
    try:
        validate_output(forgery.out)
    finally:
        (forgery.out / "run.json").write_bytes(before)
