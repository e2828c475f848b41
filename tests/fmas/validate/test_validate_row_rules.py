"""Damages to rows, whose pictures are sound."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from fmas.images import encode_png
from fmas.seeds import SampleSeeds

Damage = Callable[[Any], object]
CASES: list[tuple[str, Damage, set[str]]] = []


def case(*rules: str) -> Callable[[Damage], Damage]:
    """Register a damage and the rules that must be found broken, no others."""

    def register(damage: Damage) -> Damage:
        CASES.append((damage.__name__, damage, set(rules)))
        return damage

    return register


@case("row-fields")
def row_without_prompt(f):
    del f.pairs[0]["row"]["prompt"]
    f.seal()


@case("row-fields", "metadata")
def row_of_another_stem(f):
    f.pairs[-1]["row"]["stem"] += 1
    f.seal()


@case("row-fields")
def row_of_another_category(f):
    f.held_out[0]["row"]["category"] = "other"
    f.seal()


@case("row-fields")
def region_larger_than_the_image(f):
    f.pairs[0]["row"]["region_area"] = 10**9
    f.seal()


@case("row-fields", "mask-region")
def region_outside_the_image(f):
    f.pairs[0]["row"]["region_box"] = [5, 5, 5, 10**6]
    f.seal()


@case("row-fields", "counts")
def rejection_in_the_line_alone(f):
    f.pairs[0]["rejections"] = [{"candidate": 0, "attempt": 0, "seed": 0, "reason": "black"}]
    f.seal()


@case("provenance")
def row_of_another_object(f):
    f.pairs[0]["row"]["object"] = "another part"
    f.seal()


@case("provenance")
def row_of_another_inpainter(f):
    f.pairs[0]["row"]["components"]["inpainter"]["version"] = "2"
    f.seal()


@case("choice")
def row_of_another_band(f):
    f.pairs[0]["row"]["band"] = [0.0, 1.0]
    f.seal()


@case("pixel-sha256")
def image_hash_of_other_pixels(f):
    f.pairs[0]["row"]["image_sha256"] = "0" * 64
    f.seal(pixel_hashes=False)


@case("pixel-sha256")
def mask_hash_of_other_pixels(f):
    f.pairs[0]["row"]["mask_sha256"] = "0" * 64
    f.seal(pixel_hashes=False)


@case("pixel-sha256")
def twin_hash_of_other_pixels(f):
    f.pairs[0]["row"]["normal_sha256"] = "0" * 64
    f.seal(pixel_hashes=False)


@case("pixel-sha256")
def held_out_hash_of_other_pixels(f):
    f.held_out[0]["row"]["image_sha256"] = "0" * 64
    f.seal(pixel_hashes=False)


@case("mask-area")
def mask_area_of_another_mask(f):
    f.pairs[0]["row"]["mask_area"] += 1
    f.seal(pixel_hashes=False)


@case("thresholds")
def noise_floor_too_low(f):
    f.pairs[0]["row"]["noise_floor"] = 3
    f.seal()


@case("thresholds")
def high_threshold_too_low(f):
    f.pairs[0]["row"]["high_threshold"] = 7
    f.seal()


@case("thresholds")
def high_threshold_below_twice_the_floor(f):
    f.pairs[0]["row"]["noise_floor"] = 5
    f.seal()


@case("planned-defect")
def prompt_nobody_planned(f):
    f.pairs[0]["row"]["prompt"] += "!"
    f.seal()


@case("planned-defect")
def kind_nobody_planned(f):
    f.pairs[0]["row"]["kind"] = "dent"
    f.seal()


@case("planned-defect", "counts")
def defect_nobody_planned(f):
    row, files, sizes = (f.pairs[0][part] for part in ("row", "files", "sizes"))
    for field in ("file_name", "mask_file_name"):
        old, new = row[field], row[field].replace(row["defect"], "unheard_of")
        (f.dataset / new).parent.mkdir(exist_ok=True)
        (f.dataset / old).rename(f.dataset / new)
        row[field], files[new], sizes[new] = new, files.pop(old), sizes.pop(old)
    row["defect"] = "unheard_of"
    f.seal()


@case("candidates")
def chosen_candidate_not_scored(f):
    f.pairs[0]["row"]["score"] += 0.25
    f.seal()


@case("candidates")
def candidate_counted_twice(f):
    candidates = f.pairs[0]["row"]["candidates"]
    candidates.append(dict(candidates[0]))
    f.seal()


@case("candidates")
def attempt_left_out(f):
    row = f.pairs[0]["row"]
    chosen = next(item for item in row["candidates"] if item["candidate"] == row["candidate"])
    row["attempt"] = chosen["attempt"] = 1
    row["seed"] = chosen["seed"] = SampleSeeds(1, f.category, row["source"], row["pair"]).candidate(row["candidate"], 1)
    f.seal()


@case("candidates")
def too_many_candidates(f):
    row = f.pairs[0]["row"]
    seed = SampleSeeds(1, f.category, row["source"], row["pair"]).candidate(2, 0)
    row["candidates"].append(row["candidates"][0] | {"candidate": 2, "seed": seed, "score": 0.5, "severity": 1.0})
    f.pairs[0]["candidates"] = {}
    f.seal()


@case("candidates")
def not_the_candidate_that_the_band_asks_for(f):
    row = f.pairs[0]["row"]
    chosen = next(item for item in row["candidates"] if item["candidate"] == row["candidate"])
    other = next(item for item in row["candidates"] if item["candidate"] != row["candidate"])
    row["score"] = chosen["score"] = 0.9
    other["score"] = sum(row["band"]) / 2
    f.seal()


@case("row-fields")
def candidate_beside_the_image(f):
    row = f.pairs[0]["row"]
    other = next(item for item in row["candidates"] if item["candidate"] != row["candidate"])
    other["box"] = [0, 0, row["width"] + 1, 5]
    f.pairs[0]["candidates"] = {}
    f.seal()


@case("row-fields")
def candidate_larger_than_its_box(f):
    row = f.pairs[0]["row"]
    other = next(item for item in row["candidates"] if item["candidate"] != row["candidate"])
    other["mask_area"] = row["width"] * row["height"] + 1
    f.pairs[0]["candidates"] = {}
    f.seal()


@case("severity")
def severity_of_another_spread(f):
    f.edit_identity(paint={"severity_spread": 0.3})
    f.edit_config(paint={"severity_spread": 0.3})


@case("seed")
def seed_of_another_sample(f):
    row = f.pairs[0]["row"]
    chosen = next(item for item in row["candidates"] if item["candidate"] == row["candidate"])
    row["seed"] = chosen["seed"] = chosen["seed"] + 1
    f.seal()


@case("holdout")
def held_out_without_holdout(f):
    f.edit_identity(holdout_good=0.0)
    f.edit_config(holdout_good=0.0)


@case("png-text")
def row_missing_in_the_image(f):
    f.path("image").write_bytes(encode_png(f.pixels("image")))
    f.seal(text=False)


@case("png-text")
def row_edited_after_the_image(f):
    f.pairs[0]["row"]["foreground_confidence"] = 0.5
    f.seal(text=False)


@case("png-text")
def further_text_in_the_image(f):
    text = json.dumps(f.pairs[0]["row"], ensure_ascii=False, sort_keys=True)
    f.path("image").write_bytes(encode_png(f.pixels("image"), text={"fmas": text, "comment": "mine"}))
    f.seal(text=False)


@pytest.mark.parametrize(("damage", "rules"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_damage_is_found_by_its_rule(forgery, damage, rules):
    forgery.expect(damage, rules)
