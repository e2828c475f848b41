from __future__ import annotations

import errno
from pathlib import Path

import pytest

from fmas.errors import OutputError
from fmas.files import AtomicWriter


def test_write_creates_folders_and_leaves_nothing_behind(tmp_path):
    writer = AtomicWriter(tmp_path / "tmp")
    writer.write(tmp_path / "a/b/c.png", b"one")
    writer.write(tmp_path / "a/b/c.png", b"two")
    assert (tmp_path / "a/b/c.png").read_bytes() == b"two"
    assert list((tmp_path / "tmp").iterdir()) == []


def test_write_text_is_utf8_with_unix_line_ends(tmp_path):
    AtomicWriter(tmp_path / "tmp").write_text(tmp_path / "a.txt", "ü\n")
    assert (tmp_path / "a.txt").read_bytes() == b"\xc3\xbc\n"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_full_disk_keeps_the_old_file(tmp_path, monkeypatch, code):
    writer = AtomicWriter(tmp_path / "tmp")
    writer.write(tmp_path / "a.txt", b"old")

    def replace(self, target):
        raise OSError(code, "No space left on device")

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(OutputError, match=r"full disk .*finished images are kept"):
        writer.write(tmp_path / "a.txt", b"new")
    assert (tmp_path / "a.txt").read_bytes() == b"old"
    assert list((tmp_path / "tmp").iterdir()) == []


def test_target_that_is_a_folder_is_one_clear_error(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(OutputError, match=r"expected to write .*a, got .*choose another --out"):
        AtomicWriter(tmp_path / "tmp").write(tmp_path / "a", b"x")


def test_a_failing_block_leaves_the_old_file(tmp_path):
    writer = AtomicWriter(tmp_path / "tmp")
    writer.write(tmp_path / "a.txt", b"old")
    with pytest.raises(RuntimeError), writer.stream(tmp_path / "a.txt") as file:
        file.write(b"half")
        raise RuntimeError
    assert (tmp_path / "a.txt").read_bytes() == b"old"
    assert list((tmp_path / "tmp").iterdir()) == []


def test_nothing_half_written_ever_lies_beside_the_target(tmp_path):
    """Loaders glob the folders of a data set; a temporary file there would be read as an image."""
    with AtomicWriter(tmp_path / "tmp").stream(tmp_path / "data/a.png") as file:
        file.write(b"x")
        assert list((tmp_path / "data").glob("*")) == []
        assert len(list((tmp_path / "tmp").iterdir())) == 1


def test_the_target_is_moved_into_place_not_written(tmp_path):
    """A reader that has the old file open must go on reading the old bytes."""
    writer = AtomicWriter(tmp_path / "tmp")
    writer.write(tmp_path / "a.txt", b"old")
    with (tmp_path / "a.txt").open("rb") as reader:
        writer.write(tmp_path / "a.txt", b"new")
        assert reader.read() == b"old"


def test_two_writers_in_one_folder_do_not_share_names(tmp_path):
    one, other = AtomicWriter(tmp_path / "tmp"), AtomicWriter(tmp_path / "tmp")
    with one.stream(tmp_path / "a") as first, other.stream(tmp_path / "b") as second:
        first.write(b"1")
        second.write(b"2")
    assert ((tmp_path / "a").read_bytes(), (tmp_path / "b").read_bytes()) == (b"1", b"2")
