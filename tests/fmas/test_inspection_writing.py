"""Results into files, in threads: values bit for bit, order kept, bounded, and which errors end everything."""

from __future__ import annotations

import errno
import io
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

import fmas.inspection_writing as writing
from fmas.errors import OutputError
from fmas.inspection_files import InspectionFolder
from fmas.inspection_stream import Failed, Photograph, Scored
from fmas.inspection_writing import Inspected, ResultWriter, encode_map
from fmas.overlays import MapScale
from fmas.sources import Source

SCALE = MapScale(0.1, 0.2, 0.8)


def inspected(name: str, value: float = 0.5) -> Inspected:
    image = np.full((10, 12, 3), 90, dtype=np.uint8)
    photograph = Photograph(Source(0, Path(name), name), 5, 6, "ff", image)
    return Inspected(Scored(photograph, np.full((10, 12), value, dtype=np.float32), value), "anomalous")


@pytest.fixture
def folder(tmp_path):
    return InspectionFolder(tmp_path / "out")


@given(
    values=arrays.arrays(
        np.float32,
        arrays.array_shapes(min_dims=2, max_dims=2, max_side=40),
        elements=st.floats(allow_nan=False, allow_infinity=False, width=32),
    )
)
def test_maps_come_back_bit_for_bit(values):
    with Image.open(io.BytesIO(encode_map(values))) as picture:
        assert picture.mode == "F"
        assert np.asarray(picture).tobytes() == values.tobytes()
    assert encode_map(values) == encode_map(values)


@pytest.mark.parametrize(("floor", "compression"), [(0.0, "NONE"), (0.24, "NONE"), (0.26, "ADOBE_DEFLATE")])
def test_maps_are_read_by_tifffile_without_codecs(floor, compression):
    tifffile = pytest.importorskip("tifffile")
    values = np.maximum(np.random.default_rng(0).random((300, 200), dtype=np.float32), np.float32(floor))
    with tifffile.TiffFile(io.BytesIO(encode_map(values))) as tiff:
        assert len(tiff.pages) == 1 and tiff.pages[0].compression.name == compression
        assert (tiff.pages[0].asarray() == values).all()


def test_a_map_without_defects_is_small():
    assert len(encode_map(np.zeros((1000, 1000), dtype=np.float32))) < 100_000


def test_order_is_kept_whoever_finishes_first(folder, monkeypatch):
    encode = writing.encode_map

    def uneven(values):
        threading.Event().wait(0.02 if values[0, 0] == 0 else 0)
        return encode(values)

    monkeypatch.setattr(writing, "encode_map", uneven)
    names = [f"{number}.png" for number in range(12)]
    done = []
    with ResultWriter(folder, SCALE) as writer:
        for number, name in enumerate(names):
            done += writer.put(inspected(name, number % 2))
        done += writer.rest()
    assert [record.path for record in done] == names
    assert all(folder.map_of(name).is_file() and folder.overlay_of(name).is_file() for name in names)
    assert done[1].score == 1.0 and done[1].verdict == "anomalous" and done[1].sha256 == "ff"


def test_a_slow_disk_holds_everything_up(folder, monkeypatch):
    gate, writing_now = threading.Event(), []

    def blocked(values):
        writing_now.append(values)
        assert gate.wait(20)
        return b"map"

    monkeypatch.setattr(writing, "encode_map", blocked)
    accepted = []

    def feed() -> None:
        with ResultWriter(folder, None) as writer:
            for number in range(20):
                list(writer.put(inspected(f"{number}.png")))
                accepted.append(number)
            list(writer.rest())

    thread = threading.Thread(target=feed)
    thread.start()
    threading.Event().wait(0.3)
    held = len(accepted)
    gate.set()
    thread.join()
    assert held == writing._BEHIND
    assert len(accepted) == 20


def test_no_overlays_without_a_scale(folder):
    with ResultWriter(folder, None) as writer:
        list(writer.put(inspected("a.png")))
        list(writer.rest())
    assert folder.map_of("a.png").is_file() and not (folder.out / "overlays").exists()


def test_failure_removes_what_was_there(folder):
    source = Source(0, Path("a.png"), "a.png")
    with ResultWriter(folder, SCALE) as writer:
        done = [*writer.put(inspected("a.png")), *writer.rest()]
        done += [*writer.put(Failed(source, "read", "two\nlines", 3, 4)), *writer.rest()]
    assert [record.failed for record in done] == [False, True]
    assert done[1].stage == "read" and done[1].error == "two lines" and done[1].size == 3
    assert not folder.map_of("a.png").exists() and not folder.overlay_of("a.png").exists()


def test_a_name_too_long_fails_alone(folder):
    long = "x" * 251 + ".png"  # with .tiff it is a byte too long
    with ResultWriter(folder, SCALE) as writer:
        done = [*writer.put(inspected("a.png")), *writer.put(inspected(long)), *writer.put(inspected("b.png"))]
        done += writer.rest()
    assert [(record.path, record.stage) for record in done] == [("a.png", ""), (long, "write"), ("b.png", "")]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EIO])
def test_a_full_disk_ends_everything(folder, monkeypatch, number):
    replace = Path.replace

    def full(path, target):
        if Path(target).name == "b.png":
            raise OSError(number, "no")
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", full)
    done = []
    with ResultWriter(folder, SCALE) as writer, pytest.raises(OutputError):
        done += writer.put(inspected("a.png"))
        done += writer.put(inspected("b.png"))
        done.extend(writer.rest())
    assert [record.path for record in done] == ["a.png"]


def test_an_encoder_that_gives_nothing_fails_the_photograph(folder, monkeypatch):
    monkeypatch.setattr(writing.cv2, "imencode", lambda *_: (False, None))
    with ResultWriter(folder, None) as writer:
        done = [*writer.put(inspected("a.png")), *writer.rest()]
    assert [record.stage for record in done] == ["write"]
    assert "expected OpenCV to encode a TIFF" in done[0].error
