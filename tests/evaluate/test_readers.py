"""Readers: every format gives the stored values; what is broken or holds the wrong thing is named."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fmas_evaluate import extras
from fmas_evaluate.errors import InvalidInput
from fmas_evaluate.extras import MissingExtra
from fmas_evaluate.readers import read_map, read_mask

MAP = np.random.default_rng(3).normal(size=(9, 7)).astype(np.float32)


def pillow() -> Any:
    return pytest.importorskip("PIL.Image", reason="needs pillow (extra cli)")


def tifffile() -> Any:
    return pytest.importorskip("tifffile", reason="needs tifffile (extra cli)")


def tiff(**options: object) -> Callable[[Path], None]:
    return lambda path: tifffile().imwrite(path, MAP, **options)


WRITERS: dict[str, Callable[[Path], None]] = {
    "plain.tiff": tiff(),
    "big_endian.tif": tiff(byteorder=">"),
    "deflated.TIFF": tiff(compression="zlib"),
    "lzw.tiff": lambda path: pillow().fromarray(MAP).save(path, compression="tiff_lzw"),
    "plain.npy": lambda path: np.save(path, MAP),
    "fortran.npy": lambda path: np.save(path, np.asfortranarray(MAP)),
    "leading_axis.npy": lambda path: np.save(path, MAP[None]),
    "last_axis.npy": lambda path: np.save(path, MAP[..., None]),
    "plain.npz": lambda path: np.savez(path, MAP),
    "packed.npz": lambda path: np.savez_compressed(path, anomaly=MAP),
}


@pytest.fixture(params=WRITERS)
def written(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / request.param
    WRITERS[request.param](path)
    return path


def test_floats_come_back_bit_for_bit(written: Path) -> None:
    found = read_map(written)
    assert found.dtype == np.float32
    assert np.array_equal(found, MAP)


def test_npy_is_mapped_and_not_read(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", MAP)
    found = read_map(tmp_path / "a.npy")
    while not isinstance(found, np.memmap) and found.base is not None:
        found = found.base
    assert isinstance(found, np.memmap)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("ending", ["png", "tiff"])
def test_integers_keep_their_width(tmp_path: Path, dtype: type, ending: str) -> None:
    image = pillow()
    values = np.arange(63).reshape(9, 7).astype(dtype) * (np.iinfo(dtype).max // 63)
    if ending == "tiff":
        tifffile().imwrite(tmp_path / "a.tiff", values)
    else:
        image.fromarray(values).save(tmp_path / "a.png")
    found = read_map(tmp_path / f"a.{ending}")
    assert found.dtype == dtype
    assert np.array_equal(found, values)


@pytest.mark.parametrize("name", [name for name in WRITERS if "axis" not in name and name != "fortran.npy"])
def test_a_file_cut_anywhere_is_refused_or_whole(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    WRITERS[name](path)
    content = path.read_bytes()
    messages = []
    for length in range(0, len(content), 3):
        path.write_bytes(content[:length])
        try:
            found = read_map(path)
        except InvalidInput as error:
            messages.append(str(error))
        else:
            assert np.array_equal(found, MAP)
    assert len(messages) >= len(content) // 3 - 2
    assert [message for message in messages if str(path) not in message or "\n" in message] == []


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damaged_bytes_never_escape_as_another_error(written: Path, data: st.DataObject) -> None:
    content = bytearray(written.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    damaged = written.with_name(f"damaged_{written.name}")
    damaged.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # numpy.memmap may leave a file to the garbage collector
        try:
            found = read_map(damaged)
        except InvalidInput as error:
            message = str(error)
        else:
            message = damaged.name if found.ndim == 2 else ""
    assert damaged.name in message


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.npy", np.zeros((2, 3, 4), np.float32), r"expected one plane \(H, W\), got shape \(2, 3, 4\)"),
        ("a.npy", np.zeros(5, np.float32), r"expected one plane \(H, W\), got shape \(5,\)"),
        ("a.npy", np.zeros((0, 4), np.float32), r"expected at least one pixel, got shape \(0, 4\)"),
        ("a.npy", np.zeros((2, 2), complex), "expected integer or float scores, got complex128"),
        ("a.npy", np.zeros((2, 2), bool), "expected integer or float scores, got bool"),
        ("a.npy", np.array([["a", "b"]]), "expected integer or float scores, got <U1"),
    ],
)
def test_arrays_that_are_no_map(tmp_path: Path, name: str, content: np.ndarray, message: str) -> None:
    np.save(tmp_path / name, content)
    with pytest.raises(InvalidInput, match=rf"a\.npy: {message}"):
        read_map(tmp_path / name)


def test_a_pickle_is_not_opened(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([[object()]]), allow_pickle=True)
    with pytest.raises(
        InvalidInput, match=r"expected a whole NPY file with a score map.*Array can't be memory-mapped|allow_pickle"
    ):
        read_map(tmp_path / "a.npy")


@pytest.mark.parametrize("arrays", [{}, {"a": MAP, "b": MAP}])
def test_an_npz_holds_one_array(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(InvalidInput, match=r"expected one array in the NPZ file, got [02] \((none|a, b)\)"):
        read_map(tmp_path / "a.npz")


def test_a_tiff_holds_one_grey_page(tmp_path: Path) -> None:
    tifffile().imwrite(tmp_path / "pages.tiff", np.stack([MAP] * 3), photometric="minisblack", metadata=None)
    with pytest.raises(InvalidInput, match=r"pages\.tiff: expected one page, got 3"):
        read_map(tmp_path / "pages.tiff")
    tifffile().imwrite(tmp_path / "rgb.tiff", np.zeros((4, 5, 3), np.uint8), photometric="rgb")
    with pytest.raises(InvalidInput, match=r"rgb\.tiff: expected one grey channel, got 3 of RGB"):
        read_map(tmp_path / "rgb.tiff")


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "LA"])
def test_a_picture_of_a_map_is_no_map(tmp_path: Path, mode: str) -> None:
    pillow().new(mode, (5, 4)).save(tmp_path / "a.png")
    with pytest.raises(InvalidInput, match=rf"a\.png: expected one grey channel, got {mode}; save the scores"):
        read_map(tmp_path / "a.png")


def test_a_missing_file_is_a_system_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_map(tmp_path / "a.npy")


def test_a_picture_too_large_for_pillow_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = pillow()
    image.new("L", (50, 50)).save(tmp_path / "a.png")
    monkeypatch.setattr(image, "MAX_IMAGE_PIXELS", 1500)  # above it pillow warns, which is not for the user
    assert read_map(tmp_path / "a.png").shape == (50, 50)
    monkeypatch.setattr(image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(InvalidInput, match="save it as NPY or TIFF"):
        read_map(tmp_path / "a.png")


MASK = np.arange(63).reshape(9, 7) % 5 == 0


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "RGBA", "P", "LA"])
@pytest.mark.parametrize("ending", ["png", "bmp"])
def test_grey_masks_in_any_dress(tmp_path: Path, mode: str, ending: str) -> None:
    if ending == "bmp" and mode in ("LA", "RGBA"):
        pytest.skip("BMP has no transparency")
    pillow().fromarray((MASK * 255).astype(np.uint8)).convert(mode).save(tmp_path / f"a.{ending}")
    found = read_mask(tmp_path / f"a.{ending}")
    assert np.array_equal(found != 0, MASK)
    assert set(np.unique(found).tolist()) in ({0, 255}, {False, True})


def test_a_palette_is_looked_up_and_not_taken_for_numbers(tmp_path: Path) -> None:
    picture = pillow().fromarray(MASK.astype(np.uint8), mode=None)
    picture.putpalette([255, 255, 255, 0, 0, 0])  # 0 is white, 1 is black
    picture.save(tmp_path / "a.png")
    assert np.array_equal(read_mask(tmp_path / "a.png") == 0, MASK)


def test_colours_need_a_threshold(tmp_path: Path) -> None:
    pixels = np.zeros((9, 7, 3), np.uint8)
    pixels[MASK] = (128, 0, 0)
    pillow().fromarray(pixels).save(tmp_path / "a.png")
    with pytest.raises(InvalidInput, match=r"expected a grey mask, got colours; .* --mask-threshold 0"):
        read_mask(tmp_path / "a.png")
    assert np.array_equal(read_mask(tmp_path / "a.png", colours=True), MASK * 128)


def test_transparent_and_unknown_masks_are_refused(tmp_path: Path) -> None:
    pillow().new("RGBA", (4, 4)).save(tmp_path / "a.png")
    with pytest.raises(InvalidInput, match="got a transparent one"):
        read_mask(tmp_path / "a.png", colours=True)
    pillow().new("CMYK", (4, 4)).save(tmp_path / "b.tif")
    with pytest.raises(InvalidInput, match="expected one grey channel"):
        read_mask(tmp_path / "b.tif")


@pytest.mark.parametrize(("name", "module"), [("a.png", "pillow"), ("a.tiff", "tifffile")])
def test_a_missing_library_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, module: str
) -> None:
    def missing(wanted: str) -> None:
        raise ModuleNotFoundError(f"No module named {wanted!r}", name=wanted)

    monkeypatch.setattr(extras.importlib, "import_module", missing)
    with pytest.raises(
        MissingExtra, match=rf"expected {module} to read .*{name}.*: pip install 'fmas-evaluate\[cli\]'$"
    ):
        read_map(tmp_path / name)


def test_a_library_that_is_broken_itself_is_not_called_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(wanted: str) -> None:
        raise ModuleNotFoundError("No module named 'zlib_ng'", name="zlib_ng")

    monkeypatch.setattr(extras.importlib, "import_module", broken)
    with pytest.raises(ModuleNotFoundError, match="zlib_ng") as caught:
        extras.extra_module("tifffile", purpose="to read")
    assert not isinstance(caught.value, MissingExtra)
