"""The folder of an inspection: whose it is, and that every photograph has places of its own."""

from __future__ import annotations

import errno
import json
import threading
import unicodedata
from pathlib import Path

import pytest
from filelock import FileLock

from fmas.errors import OutputError, UsageError
from fmas.inspection_files import InspectionFolder, refuse_shared_places
from fmas.sources import Source
from fmas.versions import library_versions

IDENTITY = {"model": "abc", "threshold": 0.5, "options": {}}


def sources(*names: str) -> list[Source]:
    return [Source(index, Path(name), name) for index, name in enumerate(sorted(names))]


@pytest.fixture
def folder(tmp_path):
    return InspectionFolder(tmp_path / "out")


def test_places(folder):
    assert folder.map_of("a/b.c.png") == folder.out / "maps/a/b.c.tiff"
    assert folder.overlay_of("b.JPEG") == folder.out / "overlays/b.png"
    assert folder.map_of("dir.with.dots/x.png") == folder.out / "maps/dir.with.dots/x.tiff"


def test_new_folder_is_claimed_and_entered_again(folder):
    with folder.opened(IDENTITY) as before:
        assert before == {}
        assert json.loads(folder.about.read_bytes()) == {
            "format": "fmas-inspection",
            "identity": IDENTITY,
            "finished": False,
            "libraries": library_versions(),  # an inspection that is killed here says by which it was begun
        }
    with folder.opened(IDENTITY) as before:
        assert before["finished"] is False


def test_another_inspection_is_named(folder):
    with folder.opened(IDENTITY):
        pass
    with (
        pytest.raises(OutputError, match=r"another one: model was abc, now def; options.gate was None, now False;"),
        folder.opened(IDENTITY | {"model": "def", "options": {"gate": False}}),
    ):
        pass


@pytest.mark.parametrize(
    "content", [b"{", b"[]", b'{"format": "other", "identity": {}}', b'{"format": "fmas-inspection"}']
)
def test_foreign_inspection_json(folder, content):
    folder.out.mkdir()
    folder.about.write_bytes(content)
    with (
        pytest.raises(OutputError, match=r"as fmas inspect writes it, got .*; choose"),
        folder.opened({}),
    ):
        pass


def test_folder_with_other_things_is_refused(folder):
    folder.out.mkdir()
    (folder.out / "holiday.jpg").touch()
    (folder.out / "thesis.tex").touch()
    with pytest.raises(OutputError, match=r"holds 'holiday.jpg' and 1 more; choose another --out"), folder.opened({}):
        pass
    assert sorted(path.name for path in folder.out.iterdir()) == ["holiday.jpg", "thesis.tex"]


def test_file_in_its_place_is_refused(folder):
    folder.out.write_text("a file", encoding="utf-8")
    with pytest.raises(OutputError, match="expected a folder for --out, got the file"), folder.opened({}):
        pass


def test_two_at_a_time_are_refused(folder):
    entered = []
    with folder.opened(IDENTITY):

        def other() -> None:
            with pytest.raises(OutputError, match="another fmas inspect is doing it"), folder.opened(IDENTITY):
                pass
            entered.append(True)

        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert entered == [True]
    with folder.opened(IDENTITY):
        pass


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.EROFS, "Read-only file system"), "Read-only file system"),
        (NotImplementedError(), "a file system with file locks"),
    ],
)
def test_folder_without_locks_or_rights(folder, monkeypatch, error, message):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(FileLock, "acquire", fail)
    with pytest.raises(OutputError, match=message), folder.opened(IDENTITY):
        pass


def test_unreadable_about(folder):
    folder.about.mkdir(parents=True)
    with pytest.raises(OutputError, match=r"expected to read .*inspection\.json"), folder.opened(IDENTITY):
        pass


def test_leftovers_of_a_killed_process_go(folder):
    parts = folder.temporary / "parts"
    parts.mkdir(parents=True)
    (parts / "half.part").touch()
    with folder.opened(IDENTITY):
        assert not (parts / "half.part").exists()


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("a.png", "a.jpg"), "'a.jpg' and 'a.png'"),
        (("x/a.PNG", "x/a.png"), "'x/a.PNG' and 'x/a.png'"),
        (
            (unicodedata.normalize("NFC", "ä.png"), unicodedata.normalize("NFD", "ä.jpg")),
            "names differ without their endings",
        ),
        (("a.png", "a.tiff/b.png"), "'a.png' and the folder 'a.tiff'"),
        (("a.bmp", "a.png/b/c.png"), "'a.bmp' and the folder 'a.png'"),
        (tuple(f"{n}.{ending}" for n in range(7) for ending in ("png", "jpg")), "and 2 more; rename"),
    ],
)
def test_shared_places_are_refused(names, message):
    with pytest.raises(UsageError, match=message):
        refuse_shared_places(sources(*names))


def test_distinct_places_are_not(folder):
    names = sources("a.png", "b/a.png", "a/a.jpg", "a.b.png", "a.b.c.png", "A.png.png", "tiff/a.tiff")
    refuse_shared_places(names)
    assert len({folder.map_of(source.relative) for source in names}) == len(names)
