from __future__ import annotations

import json
import threading
import time
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fmas.errors import OutputError
from fmas.manifest import ManifestEntry, ManifestIndex, ManifestWriter


def entry(stem, status="done", **changes):
    values = {
        "stem": stem,
        "source": f"ü/{stem}.png",
        "status": status,
        "files": {"test/a/x.png": "00"} if status == "done" else {},
        "row": {"defect": "a", "prompt": "line\nbreak \u2028 sep"} if status == "done" else None,
        "failure": None if status == "done" else {"stage": "s", "reason": "r", "message": "m"},
        "rejections": (),
    }
    return ManifestEntry(**values | changes)


def failed(stem, message):
    return entry(stem, "failed", failure={"stage": "s", "reason": "r", "message": message})


def entries_in(folder):
    """Return the lines that count, without the moment they were written."""
    return [replace(item, written=0) for item in ManifestIndex(folder).entries()]


def write(folder, entries, shard=(1, 1)):
    with ManifestWriter(folder, shard) as manifest:
        for item in entries:
            manifest.append(item)


def test_lines_come_back_by_stem(tmp_path):
    write(tmp_path, [entry(3), entry(1), entry(2, "failed")])
    assert entries_in(tmp_path) == [entry(1), entry(2, "failed"), entry(3)]


def test_last_line_of_a_stem_wins(tmp_path):
    write(tmp_path, [entry(1, "failed"), entry(2)])
    write(tmp_path, [entry(1), entry(2, "failed")])
    assert entries_in(tmp_path) == [entry(1), entry(2, "failed")]


@pytest.mark.parametrize("shards", [((1, 1), (1, 2)), ((1, 2), (1, 1))])
def test_newest_line_counts_in_whichever_file_it_stands(tmp_path, shards):
    write(tmp_path, [entry(1)], shard=shards[0])
    write(tmp_path, [entry(1, "failed")], shard=shards[1])
    assert [item.status for item in ManifestIndex(tmp_path).entries()] == ["failed"]
    write(tmp_path, [entry(1)], shard=shards[0])
    assert [item.status for item in ManifestIndex(tmp_path).entries()] == ["done"]


def test_missing_folder_is_an_empty_manifest(tmp_path):
    assert list(ManifestIndex(tmp_path / "none").entries()) == []


@settings(max_examples=60, deadline=None)
@given(cut=st.integers(0, 2000))
def test_any_kill_while_writing_loses_at_most_the_last_line(tmp_path_factory, cut):
    folder = tmp_path_factory.mktemp("manifest")
    write(folder, [entry(stem) for stem in range(4)])
    path = folder / "shard-1-of-1.jsonl"
    whole = path.read_bytes()
    cut = min(cut, len(whole))
    path.write_bytes(whole[:cut])
    complete = whole[:cut].count(b"\n")
    assert [item.stem for item in ManifestIndex(folder).entries()] == list(range(complete))
    write(folder, [entry(9)])
    assert [item.stem for item in ManifestIndex(folder).entries()] == [*range(complete), 9]
    assert path.read_bytes().count(b"\n") == complete + 1


@pytest.mark.parametrize("line", [b"{}\n", b"not json\n", b'{"stem":1,"source":"a","status":"maybe"}\n', b"[1]\n"])
def test_foreign_line_is_an_error_that_names_the_place(tmp_path, line):
    write(tmp_path, [entry(1)])
    path = tmp_path / "shard-1-of-1.jsonl"
    size = path.stat().st_size
    path.write_bytes(path.read_bytes() + line)
    with pytest.raises(OutputError, match=rf"shard-1-of-1.jsonl at byte {size}: .*remove that line and run again"):
        ManifestIndex(tmp_path)


def test_line_of_another_version_is_not_to_be_removed(tmp_path):
    write(tmp_path, [entry(1)])
    path = tmp_path / "shard-1-of-1.jsonl"
    content = json.loads(path.read_bytes())
    del content["generation"], content["candidates"]
    path.write_text(json.dumps(content) + "\n", encoding="utf-8")
    expected = (
        r"expected a manifest line, got one of another version of fmas, without candidates, generation; go on with "
        r"that version, or choose another --out"
    )
    with pytest.raises(OutputError, match=expected):
        ManifestIndex(tmp_path)


def test_full_disk_leaves_no_half_line(tmp_path, monkeypatch):
    with ManifestWriter(tmp_path, (1, 1)) as manifest:
        manifest.append(entry(1))
        real = manifest._file

        class Full:
            def tell(self):
                return real.tell()

            def write(self, content):
                return real.write(content[: len(content) // 2])

            def truncate(self, size):
                real.truncate(size)

            def close(self):
                real.close()

        monkeypatch.setattr(manifest, "_file", Full())
        with pytest.raises(OutputError, match="full disk"):
            manifest.append(entry(2))
    assert entries_in(tmp_path) == [entry(1)]
    assert (tmp_path / "shard-1-of-1.jsonl").read_bytes().endswith(b"\n")


def test_a_line_is_in_the_systems_hands_when_append_returns(tmp_path):
    """SIGKILL takes what is still in a buffer of the process."""
    with ManifestWriter(tmp_path, (1, 1)) as manifest:
        manifest.append(entry(1))
        assert [item.stem for item in ManifestIndex(tmp_path).entries()] == [1]  # read while the writer is still open


def test_the_last_of_two_failures_is_told_even_after_a_finished_pair_was_lost(tmp_path):
    with ManifestWriter(tmp_path, (1, 1)) as manifest:
        manifest.append(entry(1))
        manifest.append(failed(1, "first"))
    with ManifestWriter(tmp_path, (1, 2)) as manifest:
        manifest.append(failed(1, "second"))
    (only,) = ManifestIndex(tmp_path).entries()
    assert only.failure["message"] == "second"


def test_what_is_written_later_counts_as_later_whatever_the_clocks_say(tmp_path, monkeypatch):
    monkeypatch.setattr(time, "time_ns", lambda: 9_000)  # another machine, whose clock is ahead
    with ManifestWriter(tmp_path, (1, 2)) as manifest:
        manifest.append(failed(1, "first"))
        manifest.append(failed(2, "x" * 200_000))  # longer than what is read at once
    with (tmp_path / "shard-1-of-2.jsonl").open("ab") as file:
        file.write(b'{"stem":3,"torn')
    monkeypatch.setattr(time, "time_ns", lambda: 1_000)
    with ManifestWriter(tmp_path, (1, 1)) as manifest:
        manifest.append(failed(1, "second"))
        manifest.append(failed(1, "third"))
    messages = {item.stem: item.failure["message"] for item in ManifestIndex(tmp_path).entries()}
    assert messages[1] == "third"
    assert [item.written for item in ManifestIndex(tmp_path).entries()] == [9_003, 9_001]


def test_foreign_last_line_does_not_keep_a_writer_from_opening(tmp_path):
    (tmp_path / "shard-1-of-2.jsonl").write_bytes(b"no line of ours\n")
    (tmp_path / "shard-2-of-2.jsonl").write_bytes(b"")
    with ManifestWriter(tmp_path, (1, 1)) as manifest:
        manifest.append(entry(1))
    assert (tmp_path / "shard-1-of-1.jsonl").read_bytes().count(b"\n") == 1


def test_several_threads_may_append(tmp_path):
    with ManifestWriter(tmp_path, (1, 1)) as manifest:
        threads = [
            threading.Thread(target=lambda first=first: [manifest.append(entry(first + n)) for n in range(50)])
            for first in (0, 100, 200)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    found = list(ManifestIndex(tmp_path).entries())
    assert len(found) == 150
    assert len({item.written for item in found}) == 150


def test_index_takes_in_what_is_appended_later(tmp_path):
    index = ManifestIndex(tmp_path)
    assert index.entry(1) is None
    with ManifestWriter(tmp_path, (1, 2)) as manifest:
        manifest.append(entry(1))
        index.refresh()
        assert index.entry(1).stem == 1
        manifest.append(failed(1, "later"))
        with (tmp_path / "shard-1-of-2.jsonl").open("ab") as file:
            line = entry(4).to_line().encode() + b"\n"
            file.write(line[:30])
            file.flush()
            index.refresh()
            assert index.entry(4) is None  # half a line
            file.write(line[30:])
    with ManifestWriter(tmp_path, (2, 2)) as manifest:
        manifest.append(entry(2))
    index.refresh()
    assert index.entry(1).status == "failed"
    assert (index.entry(2).stem, index.entry(4).stem) == (2, 4)
    (tmp_path / "shard-1-of-2.jsonl").write_bytes(b"x" * 5000)
    with pytest.raises(OutputError, match="changed while it was read"):
        index.entry(1)
