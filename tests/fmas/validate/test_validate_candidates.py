"""Damages to the candidates that a run kept beside the data set, which is sound."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fmas.images import decode_png, encode_png
from fmas.manifest import CHOOSING
from fmas.validate import validate_output

Damage = Callable[[Any], object]
CASES: list[tuple[str, Damage, set[str]]] = []


def case(*rules: str) -> Callable[[Damage], Damage]:
    """Register a damage and the rules that must be found broken, no others."""

    def register(damage: Damage) -> Damage:
        CASES.append((damage.__name__, damage, set(rules)))
        return damage

    return register


def name_of(f: Any, *, chosen: bool) -> str:
    line = f.pairs[0]
    number = next(
        item["candidate"]
        for item in line["row"]["candidates"]
        if (item["candidate"] == line["row"]["candidate"]) == chosen
    )
    return f"candidates/{line['stem']:06d}/{number}.png"


def repaint(f: Any, change: Callable[[np.ndarray], np.ndarray], *, chosen: bool) -> None:
    """Change the pixels of a kept candidate and let the manifest record the new file."""
    name = name_of(f, chosen=chosen)
    pixels = change(decode_png((f.out / name).read_bytes(), what=name)[0])
    (f.out / name).write_bytes(encode_png(pixels))
    f.pairs[0]["candidates"][name] = hashlib.sha256((f.out / name).read_bytes()).hexdigest()
    f.write_lines()


def with_pixel(value: tuple[int, ...], place: tuple[int, int]) -> Callable[[np.ndarray], np.ndarray]:
    def change(pixels: np.ndarray) -> np.ndarray:
        pixels[place] = value
        return pixels

    return change


@case("kept-candidates")
def one_missing(f):
    (f.out / name_of(f, chosen=False)).unlink()


@case("kept-candidates")
def one_changed(f):
    (f.out / name_of(f, chosen=False)).write_bytes(b"changed")


@case("kept-candidates")
def no_picture(f):
    name = name_of(f, chosen=False)
    (f.out / name).write_bytes(b"no picture")
    f.pairs[0]["candidates"][name] = hashlib.sha256(b"no picture").hexdigest()
    f.write_lines()


@case("kept-candidates")
def without_alpha(f):
    repaint(f, lambda pixels: np.ascontiguousarray(pixels[:, :, :3]), chosen=False)


@case("kept-candidates")
def of_another_size(f):
    repaint(f, lambda pixels: pixels[1:], chosen=False)


@case("kept-candidates")
def half_transparent(f):
    repaint(f, with_pixel((9, 9, 9, 128), (2, 2)), chosen=False)


@case("kept-candidates")
def larger_mask_than_the_row_says(f):
    f.pairs[0]["row"]["candidates"][1 - f.pairs[0]["row"]["candidate"]]["mask_area"] -= 1
    f.seal()


@case("kept-candidates")
def box_larger_than_its_mask(f):
    def change(pixels):
        pixels[0, :, 3] = 0
        return pixels

    repaint(f, change, chosen=False)


@case("kept-candidates")
def photograph_changed_beside_the_mask(f):
    row = f.pairs[0]["row"]
    other = row["candidates"][1 - row["candidate"]]
    other["mask_area"] -= 1

    def change(pixels):
        pixels[3, 3] = pixels[3, 3] ^ np.array([1, 0, 0, 255], np.uint8)
        return pixels

    repaint(f, change, chosen=False)
    f.seal()


@case("kept-candidates")
def chosen_one_of_other_pixels(f):
    repaint(f, lambda pixels: pixels ^ np.array([1, 0, 0, 0], np.uint8), chosen=True)


@case("kept-candidates")
def chosen_one_of_another_mask(f):
    repaint(
        f,
        lambda pixels: pixels & np.where(np.arange(pixels.size) == 223, 0, 255).astype(np.uint8).reshape(pixels.shape),
        chosen=True,
    )


@case("kept-candidates")
def manifest_without_one(f):
    f.pairs[0]["candidates"].pop(name_of(f, chosen=False))
    f.write_lines()


@case("kept-candidates")
def manifest_with_a_file_elsewhere(f):
    f.pairs[0]["candidates"]["../../etc/hostname"] = "0" * 64
    f.write_lines()


@pytest.mark.parametrize(("damage", "rules"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_damage_is_found_by_its_rule(forgery, damage, rules):
    forgery.expect(damage, rules)


def test_missing_folders_are_a_note(forgery):
    shutil.rmtree(forgery.out / "candidates")
    report = validate_output(forgery.out)
    assert report.ok
    number = len(forgery.pairs)
    assert report.notes == (
        f"the candidates of {number} pairs are not there any more; fmas select cannot choose these anew",
    )


def test_a_run_that_keeps_none_has_nothing_to_note(run, tmp_path):
    out, _ = run(write={"keep_candidates": False})
    assert not (out / "candidates").exists()
    report = validate_output(out)
    assert (report.problems, report.notes) == ((), ())


def test_unlisted_candidates_are_a_note(forgery):
    (forgery.out / "candidates" / "900000").mkdir()
    (forgery.out / "candidates" / "900000" / "0.png").write_bytes(b"")
    (forgery.out / "candidates" / "notes.txt").write_text("mine")
    report = validate_output(forgery.out)
    assert report.ok
    assert [note.partition(",")[0] for note in report.notes] == ["1 candidate that no manifest line names"]


def test_a_choice_stopped_in_the_middle_is_told_with_its_pair(forgery):
    line = forgery.pairs[0]
    failure = {"stage": "choose", "reason": CHOOSING, "message": "m"}
    torn = line | {"status": "failed", "row": None, "files": {}, "sizes": {}, "candidates": {}, "failure": failure}
    forgery.manifest.write_text(
        forgery.manifest.read_text() + json.dumps(torn | {"written": line["written"] + 1}) + "\n"
    )
    (told,) = forgery.told("choice")
    assert f"for stem {line['stem']}, got one that was stopped in the middle; run the same fmas select again" in told
