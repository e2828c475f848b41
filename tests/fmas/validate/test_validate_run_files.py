"""Damages to what says what the run was and did: run.json, configuration, plan, manifest, what follows from it."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from typing import Any

import pytest

Damage = Callable[[Any], object]
CASES: list[tuple[str, Damage, set[str]]] = []


def case(*rules: str) -> Callable[[Damage], Damage]:
    """Register a damage and the rules that must be found broken, no others."""

    def register(damage: Damage) -> Damage:
        CASES.append((damage.__name__, damage, set(rules)))
        return damage

    return register


@case("run-file")
def run_file_missing(f):
    (f.out / "run.json").unlink()


@case("run-file")
def run_file_garbage(f):
    (f.out / "run.json").write_bytes(b"\xff{")


@case("run-file")
def run_file_of_another_shape(f):
    (f.out / "run.json").write_text("[]")


@case("run-file")
def run_file_nested_too_deeply(f):
    (f.out / "run.json").write_text("[" * 100_000)


@case("run-file")
def identity_changed(f):
    f.edit_json("run.json", lambda content: content["identity"].update(seed=7))


@case("run-file")
def identity_incomplete(f):
    f.edit_identity(seed="seven")


@case("run-file")
def run_file_is_a_folder(f):
    (f.out / "run.json").unlink()
    (f.out / "run.json").mkdir()


@case("run-file")
def run_file_is_a_pipe(f):
    (f.out / "run.json").unlink()
    os.mkfifo(f.out / "run.json")


@case("usage")
def usage_that_no_line_says(f):
    f.edit_json("run.json", lambda content: content.update(usage={"llm": {"calls": 3}}))


@case("usage")
def lines_that_were_not_added_up(f):
    (f.out / "usage.jsonl").write_text('{"kind": "inpainter", "usage": {"calls": 2}, "written": 1}\n')


@case("config", "seed", "holdout")
def run_file_of_another_run(f):
    f.edit_identity(seed=99)


@case("config")
def config_missing(f):
    (f.out / "config.resolved.yaml").unlink()


@case("config")
def config_garbage(f):
    (f.out / "config.resolved.yaml").write_text("a: [b")


@case("config")
def config_not_allowed(f):
    f.edit_config(candidates=-1)


@case("config")
def config_of_another_run(f):
    f.edit_config(seed=5)


@case("plan")
def plan_missing(f):
    (f.out / "plan.json").unlink()


@case("plan")
def plan_garbage(f):
    (f.out / "plan.json").write_text("{}")


@case("plan")
def plan_edited(f):
    f.edit_json("plan.json", lambda content: content["defects"][0].update(prompt="another"))


@case("manifest")
def manifest_missing(f):
    shutil.rmtree(f.out / "manifest")


@case("manifest")
def manifest_torn(f):
    f.manifest.write_bytes(f.manifest.read_bytes()[:-20])


@case("manifest")
def manifest_garbage(f):
    f.manifest.write_bytes(b"garbage\n" + f.manifest.read_bytes())


@case("manifest")
def manifest_is_a_folder(f):
    (f.manifest.parent / "shard-2-of-2.jsonl").mkdir()


@case("manifest")
def manifest_done_without_row(f):
    f.lines[0]["row"] = None
    f.write_lines()


@case("manifest")
def manifest_done_without_files(f):
    f.lines[0]["files"] = {}
    f.write_lines()


@case("manifest")
def manifest_failed_without_reason(f):
    f.lines[0] |= {"status": "failed", "row": None, "files": {}, "failure": {}}
    f.write_lines()


@case("manifest")
def manifest_failed_with_files(f):
    f.lines[0] |= {"status": "failed", "failure": {"stage": "a", "reason": "b", "message": "c"}}
    f.write_lines()


@case("manifest")
def manifest_negative_stem(f):
    f.lines[0]["stem"] = -1
    f.write_lines()


@case("manifest")
def manifest_infinite_stem(f):
    f.lines[0]["stem"] = float("inf")
    f.write_lines()


@case("manifest")
def manifest_without_a_size(f):
    del f.lines[0]["sizes"][f.name("image")]
    f.lines[0]["sizes"]["test/other.png"] = 1
    f.write_lines()


@case("manifest")
def manifest_rejection_without_reason(f):
    f.lines[0]["rejections"] = [{}]
    f.write_lines()


@case("manifest")
def manifest_nested_too_deeply(f):
    f.manifest.write_text("[" * 100_000 + "\n" + f.manifest.read_text())


@case("manifest-source")
def source_changed_between_pairs(f):
    f.pairs[1]["row"]["source_sha256"] = "0" * 64
    f.seal()


@case("manifest-source", "seed", "holdout")
def sources_swapped(f):
    stems = sorted({line["source"] for line in f.lines})
    swapped = dict(zip(stems, reversed(stems), strict=True))
    for line in f.lines:
        line["source"] = line["row"]["source"] = swapped[line["source"]]
    f.seal()


@case("manifest-source", "seed")
def pair_number_of_another_stem(f):
    f.pairs[0]["row"]["pair"] = 1
    f.seal()


@case("manifest-source", "row-fields")
def source_of_another_line(f):
    f.pairs[1]["source"] = "zzz.png"
    f.seal()


@case("counts")
def counts_missing(f):
    f.edit_json("run.json", lambda content: content.pop("counts"))


@case("counts")
def counts_wrong(f):
    f.edit_json("run.json", lambda content: content["counts"].update(pairs=99))


@case("counts")
def counts_too_many(f):
    f.edit_json("run.json", lambda content: content["counts"].update(more=1))


@case("failures")
def failures_missing(f):
    (f.out / "failures.jsonl").unlink()


@case("failures")
def failure_that_is_none(f):
    (f.out / "failures.jsonl").write_text('{"stem": 0}\n')


@case("failures", "counts")
def failure_not_listed(f):
    failure = {"stage": "inpaint", "reason": "rejected", "message": "m"}
    f.lines.append({"stem": 900, "source": "zzz.png", "status": "failed", "files": {}, "row": None, "failure": failure})
    f.lines[-1] |= {"rejections": [], "candidates": {}, "generation": 0, "written": 1, "sizes": {}}
    f.write_lines()


@case("decisions")
def decision_that_is_none(f):
    (f.out / "decisions.jsonl").write_text('{"stem": 0}\n')


@case("decisions")
def decisions_that_are_a_folder(f):
    (f.out / "decisions.jsonl").mkdir()


@case("metadata")
def metadata_missing(f):
    (f.dataset / "metadata.jsonl").unlink()


@case("metadata")
def metadata_row_missing(f):
    f.edit_metadata(lambda lines: lines[:1] + lines[2:])


@case("metadata")
def metadata_last_row_missing(f):
    f.edit_metadata(lambda lines: lines[:-1])


@case("metadata")
def metadata_row_twice(f):
    f.edit_metadata(lambda lines: [lines[0], *lines])


@case("metadata")
def metadata_last_row_twice(f):
    f.edit_metadata(lambda lines: [*lines, lines[-1]])


@case("metadata")
def metadata_reordered(f):
    f.edit_metadata(lambda lines: [lines[1], lines[0], *lines[2:]])


@case("metadata")
def metadata_edited(f):
    f.edit_metadata(lambda lines: [lines[0].replace("test part", "best part"), *lines[1:]])


@case("metadata")
def metadata_with_garbage(f):
    f.edit_metadata(lambda lines: ["garbage\n", *lines[1:]])


@case("metadata")
def metadata_without_last_line_end(f):
    f.edit_metadata(lambda lines: [*lines[:-1], lines[-1].rstrip("\n")])


@case("card")
def card_missing(f):
    (f.dataset / "README.md").unlink()


@case("card")
def card_without_front_matter(f):
    (f.dataset / "README.md").write_text("# Synthetic defects\n")


@case("card")
def card_without_data_files(f):
    (f.dataset / "README.md").write_text("---\nconfigs: [3, {data_files: [x]}]\n---\n# Synthetic defects\n")


@case("card")
def card_of_other_rows(f):
    path = f.dataset / "README.md"
    path.write_text(re.sub("[0-9a-f]{64}", "0" * 64, path.read_text()))


@case("card")
def card_not_text(f):
    (f.dataset / "README.md").write_bytes(b"---\n\xff\n---\n")


@case("card")
def card_not_yaml(f):
    (f.dataset / "README.md").write_bytes(b"---\na: [\n---\n")


@pytest.mark.parametrize(("damage", "rules"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_damage_is_found_by_its_rule(forgery, damage, rules):
    forgery.expect(damage, rules)
