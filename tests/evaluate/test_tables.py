"""Tables of image scores and VisA's split: rows find their maps, and everything that does not fit is listed."""

from __future__ import annotations

from pathlib import Path

import pytest

from fmas_evaluate.errors import InvalidInput
from fmas_evaluate.tables import find_split_samples, read_scores

NAMES = ["crack/000", "crack/001", "good/000", "part.v2"]


def table(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    path = folder / "scores.csv"
    path.write_text(text, encoding=encoding)
    return path


@pytest.mark.parametrize(
    "rows",
    [
        "path,score,verdict\ncrack/000.png,0.5,defect\ncrack/001.png,-2,good\ngood/000.png,inf,x\npart.v2.png,1e3,\n",
        "score,path\n0.5,test/crack/000\n-2,C:\\data\\crack\\001.JPG\ninf,./good/000.tiff\n1e3,/abs/part.v2\n",
        'Path , Score\n"crack/000.png", 0.5\ncrack/001.png,-2\ngood/000.png,inf\npart.v2,1e3\n',
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_rows_find_their_maps(tmp_path: Path, rows: str, encoding: str) -> None:
    found = read_scores(table(tmp_path, rows, encoding), NAMES)
    assert found == {"crack/000": 0.5, "crack/001": -2.0, "good/000": float("inf"), "part.v2": 1000.0}


def test_a_row_may_lack_the_folders_of_its_map(tmp_path: Path) -> None:
    assert read_scores(table(tmp_path, "path,score\n000.png,1\n"), ["bottle/crack/000"]) == {"bottle/crack/000": 1.0}


def test_an_ambiguous_row_finds_nothing(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="line 2: 000"):
        read_scores(table(tmp_path, "path,score\n000.png,1\n"), ["crack/000", "good/000"])


def test_everything_that_does_not_fit_is_listed(tmp_path: Path) -> None:
    rows = "path,score\ncrack/000.png,high\nother/000.png,1\ncrack/000.png,2\ngood/000.png,nan\n,3\n"
    with pytest.raises(InvalidInput) as caught:
        read_scores(table(tmp_path, rows), NAMES[:3])
    listing = str(caught.value).partition("\n")[2]
    assert listing == (
        "  rows without a map:\n    line 3: other/000.png\n    line 6: \n"
        "  maps without a row:\n    crack/001\n"
        "  rows of the same map:\n    line 4: crack/000.png\n"
        "  scores that are no number:\n    line 2: crack/000.png: high\n    line 5: good/000.png: nan"
    )


@pytest.mark.parametrize("text", ["", "name,value\na,1\n", "crack/000.png,0.5\n"])
def test_the_header_is_needed(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidInput, match=r"expected a table with the columns path,score in .*scores\.csv, got"):
        read_scores(table(tmp_path, text), NAMES)


def test_a_short_line_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"expected 2 columns in line 2 of .*, got fewer"):
        read_scores(table(tmp_path, "path,score\ncrack/000.png\n"), NAMES)


def test_what_is_no_text_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    path.write_bytes(b"path,score\n\xff\xfe,1\n")
    with pytest.raises(InvalidInput, match="expected a CSV file in UTF-8"):
        read_scores(path, NAMES)


SPLIT = (
    "object,split,label,image,mask\n"
    "candle,train,normal,candle/Data/Images/Normal/0001.JPG,\n"
    "candle,test,normal,candle/Data/Images/Normal/0000.JPG,\n"
    "candle,test,anomaly,candle/Data/Images/Anomaly/000.JPG,candle/Data/Masks/Anomaly/000.png\n"
    "fryum,test,anomaly,fryum/Data/Images/Anomaly/000.JPG,fryum/Data/Masks/Anomaly/000.png\n"
)


@pytest.fixture
def visa(tmp_path: Path) -> tuple[Path, Path]:
    """Return the folder of maps and the table of a data set as VisA has it."""
    split = tmp_path / "VisA" / "split_csv" / "1cls.csv"
    split.parent.mkdir(parents=True)
    split.write_text(SPLIT, encoding="utf-8")
    for category in ("candle", "fryum"):
        mask = tmp_path / "VisA" / category / "Data" / "Masks" / "Anomaly" / "000.png"
        mask.parent.mkdir(parents=True)
        mask.touch()
    maps = tmp_path / "maps"
    for name in ("candle/Data/Images/Normal/0000", "candle/Data/Images/Anomaly/000", "fryum/Data/Images/Anomaly/000"):
        (maps / name).parent.mkdir(parents=True, exist_ok=True)
        (maps / f"{name}.npy").touch()
    return maps, split


def test_visa(visa: tuple[Path, Path]) -> None:
    found = find_split_samples(*visa)
    assert found.any_value
    assert [(one.name, one.category, one.defect, one.defective) for one in found.samples] == [
        ("candle/Data/Images/Anomaly/000", "candle", "anomaly", True),
        ("candle/Data/Images/Normal/0000", "candle", "good", False),
        ("fryum/Data/Images/Anomaly/000", "fryum", "anomaly", True),
    ]
    assert [one.truth_path is not None for one in found.samples] == [True, False, True]


def test_visa_lists_what_is_missing(visa: tuple[Path, Path]) -> None:
    maps, split = visa
    (maps / "candle/Data/Images/Normal/0000.npy").rename(maps / "stray.npy")
    (split.parent.parent / "fryum/Data/Masks/Anomaly/000.png").unlink()
    split.write_text(SPLIT + SPLIT.splitlines()[3] + "\ncandle,test,anomaly,other.JPG,\n", encoding="utf-8")
    with pytest.raises(InvalidInput) as caught:
        find_split_samples(maps, split)
    listing = str(caught.value).partition("\n")[2]
    assert listing == (
        "  rows without a map:\n    line 3: candle/Data/Images/Normal/0000.JPG\n    line 7: other.JPG\n"
        "  maps without a row:\n    stray\n"
        "  rows of the same map:\n    line 6: candle/Data/Images/Anomaly/000.JPG\n"
        "  masks that are missing:\n    line 5: fryum/Data/Masks/Anomaly/000.png\n    line 7: (no path)"
    )
