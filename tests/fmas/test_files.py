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
