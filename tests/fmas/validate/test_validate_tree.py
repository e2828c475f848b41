"""Damages to the folders and to what lies in them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image

Damage = Callable[[Any], object]
CASES: list[tuple[str, Damage, set[str]]] = []


def case(*rules: str) -> Callable[[Damage], Damage]:
    """Register a damage and the rules that must be found broken, no others."""

    def register(damage: Damage) -> Damage:
        CASES.append((damage.__name__, damage, set(rules)))
        return damage

    return register


@case("category-folder")
def second_category(f):
    shutil.copytree(f.dataset, f.dataset.parent / "other")


@case("category-folder")
def category_renamed(f):
    f.dataset.rename(f.dataset.parent / "other")


@case("category-folder")
def dataset_missing(f):
    shutil.rmtree(f.dataset.parent)


@case("category-folder")
def file_beside_category(f):
    (f.dataset.parent / "note.txt").write_text("x")


@case("top-level")
def image_beside_folders(f):
    (f.dataset / "overview.png").write_bytes(b"x")


@case("top-level")
def further_folder(f):
    (f.dataset / "validation").mkdir()


@case("top-level")
def train_is_a_file_elsewhere(f):
    (f.dataset / "metadata.jsonl.bak").write_text("")


@case("only-png")
def text_among_images(f):
    (f.path("image").parent / ".DS_Store").write_bytes(b"x")


@case("only-png")
def text_among_defects(f):
    (f.dataset / "test" / "notes.txt").write_bytes(b"x")


@case("only-png")
def jpeg_among_images(f):
    Image.fromarray(f.pixels("image")).save(f.path("image").with_suffix(".jpg"))


@case("train-good-only")
def defect_folder_in_train(f):
    shutil.copytree(f.path("image").parent, f.dataset / "train" / f.path("image").parent.name)


@case("defect-folder")
def masks_of_good(f):
    (f.dataset / "ground_truth" / "good").mkdir()


@case("defect-folder")
def defect_folder_with_capitals_and_dash(f):
    (f.dataset / "test" / "Oil-Stain").mkdir()


@case("folders")
def empty_defect_folder(f):
    (f.dataset / "test" / "dent").mkdir()


@case("folders", "missing-file")
def top_folder_emptied(f):
    shutil.rmtree(f.dataset / "train")
    (f.dataset / "train").mkdir()


@case("folders", "missing-file")
def top_folder_is_a_file(f):
    shutil.rmtree(f.dataset / "train")
    (f.dataset / "train").write_text("")


@case("metadata", "card")
def top_files_are_folders(f):
    for name in ("metadata.jsonl", "README.md"):
        (f.dataset / name).unlink()
        (f.dataset / name).mkdir()


@case("folders")
def folder_among_images(f):
    (f.path("image").parent / "more").mkdir()


@case("stem")
def short_stem(f):
    shutil.copy(f.path("image"), f.path("image").with_name("12345.png"))


@case("stem")
def mask_name_without_suffix(f):
    shutil.copy(f.path("mask"), f.path("mask").with_name("900000.png"))


@case("stem")
def image_name_with_suffix(f):
    shutil.copy(f.path("image"), f.path("image").with_name("900000_mask.png"))


@case("stem")
def needless_zeros(f):
    shutil.copy(f.path("twin"), f.path("twin").with_name("0000000.png"))


@case("stem-unique")
def stem_in_two_defects(f):
    other = next(line["row"]["file_name"] for line in f.pairs if line["row"]["defect"] != f.pairs[0]["row"]["defect"])
    shutil.copy(f.path("image"), (f.dataset / other).parent)


@case("stem-unique")
def stem_of_a_pair_in_good(f):
    shutil.copy(f.path("image"), f.path("held_out").parent)


@case("case-collision")
def file_names_differ_in_case_only(f):
    shutil.copy(f.path("image"), f.path("image").with_suffix(".PNG"))


@case("case-collision")
def folders_differ_in_case_only(f):
    shutil.copytree(f.path("image").parent, f.path("image").parent.with_name(f.path("image").parent.name.upper()))


@case("case-collision")
def top_folders_differ_in_case_only(f):
    shutil.copytree(f.dataset / "test", f.dataset / "Test")


@case("symlink")
def image_is_a_link(f):
    shutil.move(f.path("image"), f.out / "elsewhere.png")
    f.path("image").symlink_to(f.out / "elsewhere.png")


@case("symlink")
def folder_is_a_link(f):
    (f.dataset / "test" / "dent").symlink_to(f.path("image").parent)


@case("symlink")
def link_that_leads_nowhere(f):
    (f.path("image").parent / "900000.png").symlink_to("nowhere")


@case("symlink")
def link_beside_category(f):
    (f.dataset.parent / "latest").symlink_to(f.dataset)


@case("symlink")
def link_among_defects(f):
    (f.dataset / "train" / "bad").symlink_to("good")


@case("symlink")
def link_beside_folders(f):
    (f.dataset / "val").symlink_to(f.dataset / "test")


@case("extra-file")
def extra_image(f):
    shutil.copy(f.path("image"), f.path("image").with_name("900000.png"))


@case("extra-file")
def extra_mask(f):
    shutil.copy(f.path("mask"), f.path("mask").with_name("900000_mask.png"))


@case("extra-file")
def held_out_photograph_in_train(f):
    index = f.held_out[0]["stem"] // 2
    shutil.copy(f.path("held_out"), f.dataset / "train" / "good" / f"{index:06d}.png")


@case("extra-file")
def image_among_defects(f):
    shutil.copy(f.path("image"), f.dataset / "test")


@pytest.mark.parametrize(("damage", "rules"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_damage_is_found_by_its_rule(forgery, damage, rules):
    forgery.expect(damage, rules)
