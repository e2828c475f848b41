"""Layouts: every map gets its own mask, or everything that is wrong is listed at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fmas_evaluate.errors import InvalidInput
from fmas_evaluate.layouts import ImageFiles, find_maps, find_samples


@pytest.fixture
def touch(tmp_path: Path) -> Callable[..., tuple[Path, Path]]:
    """Return a function that makes empty files `maps/…` and `truth/…` and returns both folders."""

    def make(*paths: str) -> tuple[Path, Path]:
        for folder in ("maps", "truth"):
            (tmp_path / folder).mkdir(exist_ok=True)
        for path in paths:
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).touch()
        return tmp_path / "maps", tmp_path / "truth"

    return make


def described(files: tuple[ImageFiles, ...], truth: Path) -> dict[str, tuple[str, str, str | None, bool | None]]:
    return {
        one.name: (
            one.category,
            one.defect,
            None if one.truth_path is None else one.truth_path.relative_to(truth).as_posix(),
            one.defective,
        )
        for one in files
    }


def paired(folders: tuple[Path, Path]) -> dict[str, tuple[str, str, str | None, bool | None]]:
    return described(find_samples(*folders).samples, folders[1])


def test_the_layout_of_fmas(touch: Callable[..., tuple[Path, Path]]) -> None:
    folders = touch("maps/good/000.tiff", "maps/crack/000.tiff", "truth/crack/000_mask.png")
    assert paired(folders) == {
        "crack/000": ("", "crack", "crack/000_mask.png", True),
        "good/000": ("", "good", None, False),
    }


@pytest.mark.parametrize(
    ("map_file", "mask_file", "category"),
    [
        ("maps/test/crack/000.tiff", "truth/ground_truth/crack/000_mask.png", ""),
        ("maps/crack/000.tiff", "truth/ground_truth/crack/000_mask.png", ""),
        ("maps/test/crack/000.tiff", "truth/crack/000_mask.png", ""),
        ("maps/bottle/crack/000.tiff", "truth/bottle/ground_truth/crack/000_mask.png", "bottle"),
        ("maps/bottle/test/crack/000.tiff", "truth/bottle/ground_truth/crack/000_mask.png", "bottle"),
        ("maps/bottle/crack/000.tiff", "truth/bottle/crack/000_mask.png", "bottle"),
        ("maps/can/test_public/bad/000.tiff", "truth/can/test_public/ground_truth/bad/000_mask.png", "can"),
        ("maps/bagel/test/crack/000.npy", "truth/bagel/test/crack/gt/000.png", "bagel"),
        ("maps/a/b/crack/000.npz", "truth/a/b/crack/000.tif", "a/b"),
    ],
)
def test_where_a_mask_may_lie(
    touch: Callable[..., tuple[Path, Path]], map_file: str, mask_file: str, category: str
) -> None:
    folders = touch(map_file, mask_file)
    defect = Path(map_file).parent.name
    name = map_file.removeprefix("maps/").rpartition(".")[0]
    assert paired(folders) == {name: (category, defect, mask_file.removeprefix("truth/"), None)}


def test_flat_pairs_of_equal_stems(touch: Callable[..., tuple[Path, Path]]) -> None:
    folders = touch("maps/b.tiff", "maps/a.v2.PNG", "truth/a.v2.png", "truth/b.bmp")
    assert paired(folders) == {"a.v2": ("", "", "a.v2.png", None), "b": ("", "", "b.bmp", None)}


def test_photographs_beside_the_masks_are_no_masks(touch: Callable[..., tuple[Path, Path]]) -> None:
    maps, truth = touch("maps/crack/0.npy", "truth/crack/0.png", "truth/crack/0_mask.png", "maps/readme.txt")
    found = find_samples(maps, truth)
    assert described(found.samples, truth)["crack/0"][2] == "crack/0_mask.png"
    assert found.ignored == 2


def test_in_a_whole_data_set_only_the_truth_counts(touch: Callable[..., tuple[Path, Path]]) -> None:
    maps, truth = touch(
        "maps/crack/000.npy", "maps/good/000.npy",
        "truth/train/good/000.png", "truth/test/good/000.png", "truth/test/crack/000.png",
        "truth/ground_truth/crack/000_mask.png",
    )  # fmt: skip
    found = find_samples(maps, truth)
    assert [one.name for one in found.samples] == ["crack/000", "good/000"]
    assert found.ignored == 3


def test_a_mask_of_a_good_image_is_taken(touch: Callable[..., tuple[Path, Path]]) -> None:
    folders = touch("maps/good/0.npy", "truth/good/0.png")
    assert paired(folders) == {"good/0": ("", "good", "good/0.png", False)}


def test_everything_that_is_wrong_is_listed_at_once(touch: Callable[..., tuple[Path, Path]]) -> None:
    folders = touch(
        "maps/crack/0.npy", "maps/crack/1.npy", "maps/crack/2.npy", "maps/good/0.npy",
        "truth/crack/0_mask.png", "truth/crack/7_mask.png", "truth/dent/0_mask.png",
    )  # fmt: skip
    with pytest.raises(InvalidInput) as caught:
        find_samples(*folders)
    assert str(caught.value) == (
        "expected maps/<dir>/<stem>.tiff with truth/<dir>/<stem>_mask.png for every folder but `good`, got 2 maps "
        "without a mask, 2 masks without a map; add what is missing, or evaluate folders that belong together\n"
        "  maps without a mask:\n    crack/1\n    crack/2\n"
        "  masks without a map:\n    crack/7_mask.png\n    dent/0_mask.png"
    )


def test_where_nothing_belongs_together_the_list_is_short(touch: Callable[..., tuple[Path, Path]]) -> None:
    folders = touch(*(f"maps/a/{number}.npy" for number in range(50)), "truth/b/0_mask.png")
    with pytest.raises(InvalidInput, match=r"got 11 maps without a mask|and 40 more") as caught:
        find_samples(*folders)
    assert str(caught.value).count("\n") == 14


def test_case_is_not_guessed_but_pointed_at(touch: Callable[..., tuple[Path, Path]]) -> None:
    folders = touch("maps/crack/A1.npy", "truth/Crack/a1_mask.png")
    with pytest.raises(InvalidInput, match=r"crack/A1 \(Crack/a1_mask\.png differs in case\)"):
        find_samples(*folders)


def test_two_maps_of_one_name_are_refused(touch: Callable[..., tuple[Path, Path]]) -> None:
    maps, _ = touch("maps/crack/0.npy", "maps/crack/0.tiff", "maps/crack/0.png", "maps/crack/1.npy")
    with pytest.raises(InvalidInput, match=r"crack/0: 0\.npy and 0\.png and 0\.tiff") as caught:
        find_maps(maps)
    assert "crack/1" not in str(caught.value)


def test_two_masks_of_one_name_are_refused(touch: Callable[..., tuple[Path, Path]]) -> None:
    folders = touch("maps/crack/0.npy", "truth/crack/0_mask.png", "truth/crack/0_mask.tif")
    with pytest.raises(InvalidInput, match=r"crack/0_mask: 0_mask\.png and 0_mask\.tif"):
        find_samples(*folders)


def test_a_mask_has_one_owner(touch: Callable[..., tuple[Path, Path]]) -> None:
    folders = touch("maps/crack/0.npy", "maps/test/crack/0.npy", "truth/crack/0_mask.png")
    with pytest.raises(InvalidInput, match=r"masks of two maps:\n    crack/0_mask\.png: crack/0 and test/crack/0"):
        find_samples(*folders)


def test_no_map_at_all(touch: Callable[..., tuple[Path, Path]]) -> None:
    with pytest.raises(InvalidInput, match=r"expected score maps \(\.npy, .*\) in .*, got none; check --maps"):
        find_samples(*touch("maps/a.jpg"))


def test_composed_and_decomposed_names_meet(touch: Callable[..., tuple[Path, Path]]) -> None:
    folders = touch("maps/ka\u0308fer/\u00fc.npy", "truth/k\u00e4fer/u\u0308_mask.png")
    assert list(paired(folders)) == ["k\u00e4fer/\u00fc"]


def test_hostile_names_are_shown_escaped(touch: Callable[..., tuple[Path, Path]]) -> None:
    folders = touch("maps/a\x1b[2J\n/0.npy")
    with pytest.raises(InvalidInput) as caught:
        find_samples(*folders)
    assert r"a\x1b[2J\n/0" in str(caught.value)
    assert "\x1b" not in str(caught.value)


PLAIN = st.text(alphabet="abc 0.-_äß", min_size=1, max_size=5).filter(
    lambda text: text.strip(" .") == text and not text.endswith("_mask") and text not in ("gt", "good")
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sets(st.tuples(PLAIN, PLAIN), min_size=1, max_size=6))
def test_any_names_pair_with_themselves(tmp_path_factory: pytest.TempPathFactory, names: set[tuple[str, str]]) -> None:
    folder = tmp_path_factory.mktemp("names")
    for defect, stem in names:
        for path in (folder / "maps" / defect / f"{stem}.npy", folder / "truth" / defect / f"{stem}_mask.npy"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    found = find_samples(folder / "maps", folder / "truth").samples
    assert {(one.defect, one.map_path.stem) for one in found} == names
    assert all(
        one.truth_path is not None
        and one.truth_path.stem == f"{one.map_path.stem}_mask"
        and one.truth_path.parent.name == one.defect
        for one in found
    )
