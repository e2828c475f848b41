"""What cannot be read is not missing."""

from __future__ import annotations

import io
import os
import re
import shutil
from pathlib import Path

import pytest

from fmas.errors import OutputError
from fmas.validate import Rule, validate_output
from fmas.validate.reading import UnreadableError, read_regular


def denied(path: object) -> PermissionError:
    return PermissionError(13, "Permission denied", str(path))


@pytest.fixture
def lock(monkeypatch):
    """Take permissions away as the system would, also from root, who runs tests in containers.

    ``x`` stands for entering a folder, ``r`` for listing it or reading a file.
    """

    def apply(locked: Path, taken: str) -> None:
        def refuse_to_enter(path: object) -> None:
            if "x" in taken and isinstance(path, (str, os.PathLike)) and locked in Path(path).parents:
                raise denied(path)

        def guarded(function, *, reads: bool):
            def call(path=".", *arguments, **options):
                refuse_to_enter(path)
                if reads and "r" in taken and isinstance(path, (str, os.PathLike)) and Path(path) == locked:
                    raise denied(path)
                return function(path, *arguments, **options)

            return call

        for name, reads in (("stat", False), ("lstat", False), ("scandir", True), ("listdir", True)):
            monkeypatch.setattr(os, name, guarded(getattr(os, name), reads=reads))
        monkeypatch.setattr(io, "open", guarded(io.open, reads=True))

    return apply


@pytest.mark.parametrize("taken", ["rx", "r", "x"])
@pytest.mark.parametrize(
    "folder",
    [
        "dataset",
        "dataset/test_part",
        "dataset/test_part/test",
        "dataset/test_part/test/hairline_crack",
        "dataset/test_part/train",
        "dataset/test_part/ground_truth/oil_stain",
        "manifest",
    ],
)
def test_closed_folder_alone_is_told(forgery, lock, folder, taken):
    assert (forgery.out / folder).is_dir()
    lock(forgery.out / folder, taken)
    (problem,) = validate_output(forgery.out).problems
    assert str(problem) == (
        f"{folder}: expected a readable folder, got one that cannot be read (Permission denied); "
        "check its permissions [folders]"
    )


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("run.json", "run-file"),
        ("plan.json", "plan"),
        ("config.resolved.yaml", "config"),
        ("failures.jsonl", "failures"),
        ("manifest/shard-1-of-1.jsonl", "manifest"),
        ("dataset/test_part/metadata.jsonl", "metadata"),
        ("dataset/test_part/README.md", "card"),
    ],
)
@pytest.mark.parametrize(
    ("state", "found", "advice"),
    [
        ("denied", "got one that cannot be read (Permission denied)", "; check its permissions"),
        ("folder", "got a folder", "; move it away and "),
        ("missing", "got no", "run again|restore (it|them) from a copy"),
    ],
)
def test_unreadable_is_not_missing(forgery, lock, name, rule, state, found, advice):
    path = forgery.out / name
    if state == "denied":
        lock(path, "r")
    else:
        path.unlink()
        if state == "folder":
            path.mkdir()
    (told,) = forgery.told(rule)
    assert found in told
    assert re.search(advice, told)


@pytest.mark.parametrize("kind", ["image", "mask", "twin", "held_out"])
def test_picture_that_cannot_be_read(forgery, lock, kind):
    lock(forgery.path(kind), "r")
    (problem,) = validate_output(forgery.out).problems
    assert problem.rule == Rule.FILE_KIND
    assert problem.message == (
        "expected an image file, got one that cannot be read (Permission denied); check its permissions"
    )


@pytest.mark.parametrize("taken", ["rx", "x"])
def test_output_folder_that_cannot_be_entered(forgery, lock, taken):
    lock(forgery.out, taken)
    with pytest.raises(OutputError, match="expected a readable folder, got Permission denied for ") as caught:
        validate_output(forgery.out)
    assert str(caught.value).endswith("; check its permissions")


def test_output_folder_that_cannot_be_listed_is_ok(forgery, lock):
    lock(forgery.out, "r")
    assert forgery.broken() == set()


def test_manifest_that_is_a_file(forgery):
    shutil.rmtree(forgery.out / "manifest")
    (forgery.out / "manifest").write_text("")
    (told,) = forgery.told("manifest")
    assert "expected a folder, got a file; restore the folder from a copy" in told


def test_dataset_that_is_a_file(forgery):
    shutil.rmtree(forgery.out / "dataset")
    (forgery.out / "dataset").write_text("")
    (told,) = forgery.told("folders")
    assert told == "dataset: expected a folder, got something else; move it elsewhere [folders]"


def test_broken_disk_is_told_as_such(forgery, monkeypatch):
    opened = io.open

    def fail(path, *arguments, **options):
        if path == forgery.path("image"):
            raise OSError(5, "Input/output error")
        return opened(path, *arguments, **options)

    monkeypatch.setattr(io, "open", fail)
    (told,) = forgery.told("file-kind")
    assert "(Input/output error)" in told


def test_file_that_is_too_large(tmp_path):
    (tmp_path / "file").write_bytes(b"12345")
    assert read_regular(tmp_path / "file", largest=5) == b"12345"
    with pytest.raises(UnreadableError, match="more than 4 bytes"):
        read_regular(tmp_path / "file", largest=4)
