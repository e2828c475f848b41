"""Files: found through links, named safely, written whole or not at all."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmas_evaluate.errors import InvalidInput
from fmas_evaluate.files import files_below, normal_form, printable, write_result


def names(folder: Path, *suffixes: str) -> list[str]:
    return [path.as_posix() for path in files_below(folder, suffixes)[0]]


def test_finds_wanted_files_whatever_the_case_of_their_ending(tmp_path: Path) -> None:
    for name in ("b.TIFF", "a/c.tiff", "a/note.txt", ".hidden.tiff", ".cache/d.tiff", "._b.tiff"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert files_below(tmp_path, (".tiff",)) == ([PurePosixPath("a/c.tiff"), PurePosixPath("b.TIFF")], 1)


def test_follows_links_and_survives_a_circle(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.npy").touch()
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / "linked").symlink_to(tmp_path / "real", target_is_directory=True)
    (tmp_path / "real" / "round").symlink_to(tmp_path / "maps", target_is_directory=True)
    assert names(tmp_path / "maps", ".npy") == ["linked/a.npy"]


def test_a_folder_is_expected(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"expected a folder, got .*missing; check the path"):
        files_below(tmp_path / "missing", (".npy",))


@pytest.mark.skipif(os.geteuid() == 0 if hasattr(os, "geteuid") else True, reason="root reads everything")
def test_a_folder_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "shut").mkdir(mode=0)
    with pytest.raises(PermissionError):
        files_below(tmp_path, (".npy",))


@given(st.text())
def test_what_is_printed_cannot_steer_a_terminal(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    if text.isprintable():
        assert shown == text


def test_hostile_names_are_escaped() -> None:
    assert printable("a\x1b[31m\nb\u202egnp\udcff") == r"a\x1b[31m\nb\u202egnp\udcff"


def test_both_spellings_of_an_umlaut_are_one_name() -> None:
    assert normal_form("ä") == normal_form("a\u0308")


def test_a_result_appears_whole(tmp_path: Path) -> None:
    target = tmp_path / "result.csv"
    write_result(str(target), b"old")
    write_result(str(target), b"new")
    assert target.read_bytes() == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["result.csv"]


def test_a_failed_write_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "result.csv"
    target.write_bytes(b"old")

    def full(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device", str(self))

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space left") as caught:
        write_result(str(target), b"new")
    assert caught.value.filename == str(target)
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["result.csv"]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real.csv").touch()
    (tmp_path / "link.csv").symlink_to(tmp_path / "real.csv")
    write_result(str(tmp_path / "link.csv"), b"new")
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "real.csv").read_bytes() == b"new"


def test_a_device_is_written_to(tmp_path: Path) -> None:
    write_result(os.devnull, b"new")
    assert not Path(os.devnull).is_file()


def test_a_folder_is_no_target(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="expected a file to write, got the folder"):
        write_result(str(tmp_path), b"new")


def test_standard_output_as_bytes_or_text(
    capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_result("-", "ä\n".encode())
    assert capfdbinary.readouterr().out == "ä\n".encode()
    replaced = io.StringIO()
    monkeypatch.setattr(sys, "stdout", replaced)
    write_result("-", "ä\n".encode())
    assert replaced.getvalue() == "ä\n"
