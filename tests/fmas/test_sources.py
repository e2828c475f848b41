"""Which files become sources, in which order, and what is said when there is none."""

from __future__ import annotations

import json
import os
import random
import string
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmas.errors import UsageError
from fmas.sources import Source, find_sources, scan_sources, source_list_digest


def touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def relatives(root: Path, **options: Path | None) -> list[str]:
    return [source.relative for source in find_sources(root, **options)]


def refused(root: Path, **options: Path | None) -> str:
    with pytest.raises(UsageError) as caught:
        find_sources(root, **options)
    message = str(caught.value)
    assert message.startswith("expected ")
    assert ", got " in message
    assert ";" in message
    assert "\n" not in message
    return message


def test_every_known_suffix_in_nested_folders_and_nothing_else(tmp_path: Path) -> None:
    wanted = ["a.png", "b.JPG", "c.jpeg", "d.bmp", "e.Tif", "f.tiff", "g.WebP", "sub/deep/h.png", "no image inside.png"]
    touch(tmp_path, *wanted, "README.txt", "Thumbs.db", ".DS_Store", "sub/._h.png", ".cache/x.png", "png", "i.png.txt")
    scan = scan_sources(tmp_path)
    assert [source.relative for source in scan.sources] == sorted(wanted)
    assert [source.index for source in scan.sources] == list(range(len(wanted)))
    assert all(source.path == tmp_path / source.relative for source in scan.sources)
    assert scan.ignored == (".DS_Store", "README.txt", "Thumbs.db", "i.png.txt", "png", "sub/._h.png")
    assert find_sources(tmp_path) == scan.sources


def test_order_is_by_code_point_of_the_relative_path(tmp_path: Path) -> None:
    expected = ["10.png", "9.png", "B.png", "a-1.png", "a.png", "a/z.png", "b.png", "e\u0301.png", "\xe9.png", "😀.png"]
    touch(tmp_path, *reversed(expected))
    assert relatives(tmp_path) == expected


def test_order_depends_neither_on_creation_nor_on_the_locale(tmp_path: Path) -> None:
    names = [f"{letter}{digit}.png" for letter in "aBcä" for digit in "019"]
    for seed in range(3):
        folder = tmp_path / str(seed)
        random.Random(seed).shuffle(names)
        touch(folder, *names)
        assert relatives(folder) == sorted(names)
    code = (
        "import json, locale, pathlib, sys; locale.setlocale(locale.LC_ALL, ''); from fmas.sources import find_sources;"
        "print(json.dumps([source.relative for source in find_sources(pathlib.Path(sys.argv[1]))]))"
    )
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    command = [sys.executable, "-c", code, str(tmp_path / "0")]
    assert json.loads(subprocess.run(command, env=environment, capture_output=True, check=True).stdout) == sorted(names)


def test_spelling_of_names_is_kept(tmp_path: Path) -> None:
    decomposed = unicodedata.normalize("NFD", "é.png")
    touch(tmp_path, decomposed)
    assert relatives(tmp_path) == [decomposed]


@pytest.mark.skipif(sys.platform != "linux", reason="other file systems refuse such names")
def test_name_that_is_not_utf8_stays_readable_and_can_be_written_to_json(tmp_path: Path) -> None:
    raw = os.path.join(os.fsencode(tmp_path), b"sub\xe4")  # noqa: PTH118 - pathlib takes no bytes
    os.mkdir(raw)  # noqa: PTH102
    with open(os.path.join(raw, b"t\xff.png"), "wb") as file:  # noqa: PTH118, PTH123
        file.write(b"content")
    (source,) = find_sources(tmp_path)
    assert source.relative == "sub\\udce4/t\\udcff.png"
    assert json.dumps(source.relative, ensure_ascii=False).encode("utf-8")
    assert source.path.read_bytes() == b"content"
    assert len(source_list_digest([source])) == 64
    (tmp_path / "sub\\udce4").mkdir()
    touch(tmp_path, "sub\\udce4/t\\udcff.png")
    assert "rename one" in refused(tmp_path)


def test_line_break_in_a_name_keeps_the_message_on_one_line(tmp_path: Path) -> None:
    refused(tmp_path / "a\nb")


def test_one_file(tmp_path: Path) -> None:
    touch(tmp_path, "part.PNG", "other.png", "notes.txt", ".hidden.png")
    scan = scan_sources(tmp_path / "part.PNG")
    assert scan.sources == (Source(0, tmp_path / "part.PNG", "part.PNG"),)
    assert scan.ignored == ()
    assert "expected an image file" in refused(tmp_path / "notes.txt")
    assert "expected an image file" in refused(tmp_path / ".hidden.png")


def test_folder_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    assert "does not exist" in refused(tmp_path / "nowhere")
    assert "does not exist" in refused(Path("a\0b"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_pipes_are_no_sources(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    assert "is neither" in refused(tmp_path / "pipe.png")
    touch(tmp_path, "a.png")
    scan = scan_sources(tmp_path)
    assert [source.relative for source in scan.sources] == ["a.png"]
    assert scan.ignored == ("pipe.png",)


def test_no_image(tmp_path: Path) -> None:
    assert "got 0 other files" in refused(tmp_path)
    touch(tmp_path, "a.txt", "b/c.pdf")
    assert "got 2 other files" in refused(tmp_path)


def test_unreadable_subfolder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "a.png", "locked/b.png")
    listing = os.scandir

    def scandir(path: Path) -> object:  # tests may run as root, to whom nothing is unreadable
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied", str(path))
        return listing(path)

    monkeypatch.setattr(os, "scandir", scandir)
    message = refused(tmp_path)
    assert "Permission denied" in message
    assert "locked" in message


def test_own_output_is_never_a_source(tmp_path: Path) -> None:
    out = tmp_path / "out"
    touch(tmp_path, "a.png", "nested/out/b.png")
    assert relatives(tmp_path, exclude=out) == ["a.png", "nested/out/b.png"]  # before the first run
    touch(out, "dataset/x/train/good/000000.png")
    assert relatives(tmp_path, exclude=out) == ["a.png", "nested/out/b.png"]
    assert relatives(tmp_path, exclude=None) == ["a.png", "nested/out/b.png", "out/dataset/x/train/good/000000.png"]
    assert relatives(tmp_path, exclude=tmp_path / "nested" / ".." / "out") == ["a.png", "nested/out/b.png"]


def test_output_of_earlier_runs_is_skipped(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "old/config.resolved.yaml", "old/dataset/x/train/good/000000.png")
    assert relatives(tmp_path) == ["a.png"]
    # Asked for by name it is taken: somebody may well start from the good twins of an earlier run.
    assert relatives(tmp_path / "old") == ["dataset/x/train/good/000000.png"]


def test_images_inside_the_output_folder_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "out/in/a.png")
    assert "outside the output folder" in refused(tmp_path / "out" / "in", exclude=tmp_path / "out")
    assert "outside the output folder" in refused(tmp_path / "out", exclude=tmp_path / "out")


@pytest.mark.skipif(sys.platform == "win32", reason="links need privileges there")
def test_links_are_followed_once_and_never_into_the_output(tmp_path: Path) -> None:
    images, elsewhere, out = tmp_path / "images", tmp_path / "elsewhere", tmp_path / "images" / "out"
    touch(tmp_path, "images/z/a.png", "elsewhere/b.png", "elsewhere/more/c.png", "images/out/dataset/d.png")
    (images / "file.png").symlink_to(elsewhere / "b.png")
    (images / "folder").symlink_to(elsewhere)
    (images / "z" / "up").symlink_to(images)  # a loop
    (images / "again").symlink_to(images / "z")  # a second way to a folder inside
    (images / "self.png").symlink_to(images / "self.png")
    (images / "selfdir").symlink_to(images / "selfdir")
    (images / "dead.png").symlink_to(tmp_path / "nothing.png")
    (images / "ours.png").symlink_to(out / "dataset" / "d.png")
    (images / "oursdir").symlink_to(out / "dataset")
    scan = scan_sources(images, exclude=out)
    expected = ["dead.png", "file.png", "folder/b.png", "folder/more/c.png", "self.png", "z/a.png"]
    assert [source.relative for source in scan.sources] == expected
    assert scan.ignored == ("selfdir",)
    (tmp_path / "entry").symlink_to(images)
    assert relatives(tmp_path / "entry", exclude=out) == expected


def test_digest_tells_lists_apart(tmp_path: Path) -> None:
    def digest(*names: str) -> str:
        return source_list_digest([Source(k, tmp_path / name, name) for k, name in enumerate(names)])

    assert digest("a.png", "b.png") == digest("a.png", "b.png")
    distinct = [digest(), digest("a.png"), digest("a.png", "b.png"), digest("b.png", "a.png"), digest("a.pngb.png")]
    assert len(set(distinct)) == len(distinct)
    assert digest("a.png") == "cc8441e869352159743de605fb99a24be0d0450ecf6db48d1d2cc32de594080b"


NAME = st.text(alphabet=string.ascii_letters + "é😀 -_", min_size=1, max_size=4)


@given(st.lists(NAME, unique=True, min_size=1, max_size=6), st.lists(NAME, unique=True, max_size=6))
def test_digest_is_injective(one: list[str], other: list[str]) -> None:
    digests = [source_list_digest([Source(k, Path(name), name) for k, name in enumerate(x)]) for x in (one, other)]
    assert (digests[0] == digests[1]) == (one == other)
