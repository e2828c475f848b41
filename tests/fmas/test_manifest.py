from __future__ import annotations

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
