"""A detector's two files: whole or refused, with what to do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from torch import nn  # noqa: E402

from fmas.errors import ModelError  # noqa: E402
from fmas_providers.detectors.weights_file import (  # noqa: E402
    ABOUT,
    WEIGHTS,
    load_network,
    read_about,
    read_tensors,
    save_detector,
)


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))


def saved(directory: Path) -> nn.Module:
    one = network().to(memory_format=torch.channels_last)
    save_detector(directory, one.state_dict(), {"detector": "unet", "version": "1", "more": [1, 2]})
    return one


def test_what_is_saved_is_read(tmp_path: Path) -> None:
    one, other = saved(tmp_path), network()
    assert sorted(path.name for path in tmp_path.iterdir()) == [ABOUT, WEIGHTS]
    assert read_about(tmp_path, detector="unet", version="1")["more"] == [1, 2]
    load_network(other, read_tensors(tmp_path), source=tmp_path)
    for name, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[name])


def test_tensors_that_share_memory_are_saved(tmp_path: Path) -> None:
    shared = torch.arange(4.0)
    save_detector(tmp_path, {"a": shared, "b": shared[:2]}, {})
    assert {name: value.tolist() for name, value in read_tensors(tmp_path).items()} == {"a": [0, 1, 2, 3], "b": [0, 1]}


def test_missing_files_are_told(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"expected a saved detector with detector.json in .*, got none; give the"):
        read_about(tmp_path, detector="unet", version="1")
    with pytest.raises(ModelError, match=r"expected the weights in .*, got no such file; copy the whole folder"):
        read_tensors(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b'{"detector": "unet"'])
def test_damaged_words_are_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / ABOUT).write_bytes(content)
    with pytest.raises(ModelError, match=r"expected a whole file in .*detector.json, got a damaged one"):
        read_about(tmp_path, detector="unet", version="1")


@pytest.mark.parametrize("content", ["[]", "{}", '{"detector": "cutpaste", "version": "1"}'])
def test_anothers_words_are_told(tmp_path: Path, content: str) -> None:
    (tmp_path / ABOUT).write_text(content)
    with pytest.raises(ModelError, match=r"expected .* of the detector 'unet', got one of .*; load it with"):
        read_about(tmp_path, detector="unet", version="1")


def test_another_version_is_told(tmp_path: Path) -> None:
    saved(tmp_path)
    with pytest.raises(ModelError, match=r"of version '2' of 'unet', got '1'; train again"):
        read_about(tmp_path, detector="unet", version="2")


def test_a_truncated_or_foreign_file_is_told(tmp_path: Path) -> None:
    saved(tmp_path)
    whole = (tmp_path / WEIGHTS).read_bytes()
    for content in (b"", whole[:7], whole[:-1], whole + b"more", b"PK\x03\x04 a pickle in a zip"):
        (tmp_path / WEIGHTS).write_bytes(content)
        with pytest.raises(ModelError, match=r"expected a whole file in .*, got a damaged one \(.+\); copy it again"):
            read_tensors(tmp_path)


def test_weights_of_another_network_are_told(tmp_path: Path) -> None:
    tensors = network().state_dict()
    first = next(iter(tensors))
    cases = {
        r"got 1 missing \(0.weight\) and 0 unknown;": {name: one for name, one in tensors.items() if name != first},
        r"got 0 missing and 5 unknown \(x0, x1, x2, ...\);": {**tensors, **{f"x{n}": torch.zeros(1) for n in range(5)}},
        r"0.weight as float32 \(4, 3, 3, 3\), got float32 \(4, 3, 1, 1\);": {**tensors, first: torch.zeros(4, 3, 1, 1)},
        r"0.weight as float32 \(4, 3, 3, 3\), got float64": {**tensors, first: tensors[first].double()},
        r"expected finite weights in .*, got 0.weight with others": {**tensors, first: tensors[first] / 0.0},
    }
    for message, wrong in cases.items():
        with pytest.raises(ModelError, match=message):
            load_network(network(), wrong, source=tmp_path)


def test_an_error_leaves_what_was_there(tmp_path: Path) -> None:
    saved(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ValueError, match="JSON compliant"):
        save_detector(tmp_path, {"x": torch.zeros(1)}, {"number": float("nan")})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert json.loads(before[ABOUT])["detector"] == "unet"
