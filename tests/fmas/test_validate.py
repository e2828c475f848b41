"""Every rule of ``fmas validate`` fires, on its own wherever rules can be told apart."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import struct
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import fmas.validate
from fmas.errors import ImageError, OutputError, UsageError
from fmas.images import decode_png, encode_png, pixel_sha256
from fmas.pipeline import synthesize
from fmas.seeds import SampleSeeds
from fmas.validate import Rule, validate_output
from fmas.validate.problems import ProblemLog
from fmas.validate.reading import UnreadableError, read_regular

CATEGORY = "test_part"


class Forgery:
    """A finished output that can be damaged, and whose damage can be covered up by making every record match it."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.dataset = out / "dataset" / CATEGORY
        self.manifest = out / "manifest" / "shard-1-of-1.jsonl"
        self.lines = [json.loads(line) for line in self.manifest.read_text().splitlines()]

    @property
    def pairs(self) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["row"] is not None and line["row"]["defect"] != "good"]

    @property
    def held_out(self) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["row"] is not None and line["row"]["defect"] == "good"]

    def name(self, kind: str, number: int = 0) -> str:
        """Return a file's name: kind is image, mask, twin or held_out."""
        if kind == "held_out":
            return self.held_out[number]["row"]["file_name"]
        field = {"image": "file_name", "mask": "mask_file_name", "twin": "normal_file_name"}[kind]
        return self.pairs[number]["row"][field]

    def path(self, kind: str, number: int = 0) -> Path:
        return self.dataset / self.name(kind, number)

    def pixels(self, kind: str, number: int = 0) -> np.ndarray:
        path = self.path(kind, number)
        return decode_png(path.read_bytes(), what=str(path))[0]

    def paint(self, kind: str, pixels: np.ndarray, number: int = 0) -> None:
        """Replace a file's pixels and keep its text."""
        path = self.path(kind, number)
        texts = decode_png(path.read_bytes(), what=str(path))[2]
        path.write_bytes(encode_png(pixels, text=texts))

    def anywhere(self, number: int = 0) -> None:
        """Let the row's region be the whole image, so that a mask may lie anywhere."""
        row = self.pairs[number]["row"]
        row |= {"region_box": [0, 0, row["width"], row["height"]], "region_area": row["width"] * row["height"]}

    def seal(self, *, pixel_hashes: bool = True, text: bool = True) -> None:
        """Cover up: recompute hashes, areas, texts, manifest and metadata from what the files hold now."""
        for line in self.lines:
            row = line["row"]
            if row is None:
                continue
            if pixel_hashes:
                self._recompute(row)
            if text:
                self._embed(row)
            for name in line["files"]:
                if (self.dataset / name).is_file():
                    line["files"][name] = hashlib.sha256((self.dataset / name).read_bytes()).hexdigest()
        self.write_lines()
        rows = [line["row"] for line in sorted(self.lines, key=lambda line: line["stem"]) if line["row"] is not None]
        (self.dataset / "metadata.jsonl").write_text("".join(row_text(row) + "\n" for row in rows))

    def write_lines(self) -> None:
        self.manifest.write_text("".join(json.dumps(line) + "\n" for line in self.lines))

    def _recompute(self, row: dict[str, Any]) -> None:
        fields = {"image_sha256": "file_name", "mask_sha256": "mask_file_name", "normal_sha256": "normal_file_name"}
        for field, name in fields.items():
            if field not in row or not (self.dataset / str(row[name])).is_file():
                continue
            try:
                pixels, _, _ = decode_png((self.dataset / row[name]).read_bytes(), what=name)
            except ImageError:
                continue
            if field == "mask_sha256":
                row["mask_area"] = int(np.count_nonzero(pixels))
                pixels = pixels != 0
            row[field] = pixel_sha256(pixels)

    def _embed(self, row: Mapping[str, Any]) -> None:
        path = self.dataset / row["file_name"]
        if not path.is_file():
            return
        content = path.read_bytes()
        try:
            pixels, _, texts = decode_png(content, what=str(path))
        except ImageError:
            return
        if content[24:26] == b"\x08\x02" and texts != {"fmas": row_text(row)}:
            path.write_bytes(encode_png(pixels, text={"fmas": row_text(row)}))

    def edit_json(self, name: str, change: Callable[[Any], object]) -> None:
        path = self.out / name
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))

    def edit_identity(self, **changes: object) -> None:
        """Change the run's identity and its digest."""

        def change(content: dict[str, Any]) -> None:
            content["identity"] |= changes
            canonical = json.dumps(content["identity"], sort_keys=True)
            content["digest"] = hashlib.sha256(canonical.encode()).hexdigest()

        self.edit_json("run.json", change)

    def edit_config(self, **changes: object) -> None:
        path = self.out / "config.resolved.yaml"
        path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | changes))

    def edit_metadata(self, change: Callable[[list[str]], list[str]]) -> None:
        path = self.dataset / "metadata.jsonl"
        path.write_text("".join(change(path.read_text().splitlines(keepends=True))))


def row_text(row: Mapping[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False, sort_keys=True)


@pytest.fixture(scope="module")
def workshop(tmp_path_factory):
    """Return the folder where the finished output is kept for the whole module."""
    return tmp_path_factory.mktemp("workshop") / "out"


@pytest.fixture
def finished(workshop, fakes, make_registry, make_config):
    """Return an output with two pairs per photograph and held-out good photographs; not to be changed."""
    if not workshop.exists():
        synthesize(make_config(out=workshop, per_image=2, holdout_good=0.4, seed=1), registry=make_registry(fakes))
    return workshop


@pytest.fixture
def forgery(finished, tmp_path):
    return Forgery(Path(shutil.copytree(finished, tmp_path / "copy")))


def broken(out: Path) -> set[str]:
    return {str(problem.rule) for problem in validate_output(out).problems}


def test_finished_output_is_ok(finished, forgery):
    report = validate_output(finished)
    assert report.problems == ()
    assert report.ok
    assert (report.pairs, report.held_out) == (len(forgery.pairs), len(forgery.held_out))
    assert report.pairs >= 4
    assert report.held_out >= 2
    assert report.files == sum(path.is_file() for path in (finished / "dataset").rglob("*"))
    assert report.notes == ()


def test_sealing_an_untouched_output_changes_nothing(forgery):
    before = {path: path.read_bytes() for path in forgery.dataset.rglob("*") if path.is_file()}
    forgery.seal()
    assert {path: path.read_bytes() for path in forgery.dataset.rglob("*") if path.is_file()} == before
    assert broken(forgery.out) == set()


@pytest.mark.parametrize(
    "settings_", [{"per_image": 3}, {"per_image": 1, "candidates": 1}, {"holdout_good": 0.4}, {"limit": 2}]
)
def test_other_runs_are_ok(settings_, fakes, make_registry, make_config):
    config = make_config(**settings_)
    summary = synthesize(config, registry=make_registry(fakes))
    report = validate_output(config.out)
    assert report.problems == ()
    assert report.pairs == summary.counts.pairs
    assert report.held_out == summary.counts.held_out


def test_shards_are_ok(fakes, make_registry, make_config):
    for shard in ("1/2", "2/2"):
        config = make_config(shard=shard)
        synthesize(config, registry=make_registry(fakes))
    assert validate_output(config.out).problems == ()


def test_run_with_failures_and_redrawn_candidates_is_ok(fakes, make_registry, make_config):
    willing = type(fakes["inpainter"])()

    def paint(job):
        if "stain" in job.defect.name or job.seed % 3 == 0:
            return np.zeros_like(job.image)
        return willing.inpaint([job])[0]

    fakes["inpainter"].paint = paint
    config = make_config(per_image=2)
    summary = synthesize(config, registry=make_registry(fakes))
    assert summary.counts.failed > 0
    assert summary.counts.pairs > 0
    assert any(line["status"] == "done" and line["rejections"] for line in Forgery(config.out).lines)
    assert validate_output(config.out).problems == ()


def test_rerun_after_a_failure_is_ok(fakes, make_registry, make_config):
    fakes["inpainter"].paint = lambda job: np.zeros_like(job.image)
    config = make_config()
    assert synthesize(config, registry=make_registry(fakes)).counts.failed == 6
    assert broken(config.out) == {"category-folder"}  # nothing was made
    fakes["inpainter"].paint = None
    synthesize(config, registry=make_registry(fakes))
    assert validate_output(config.out).problems == ()


def test_identical_second_line_is_ok(forgery):
    """Somebody deleted an image, and the rerun made the same again."""
    forgery.lines.append(forgery.lines[0])
    forgery.write_lines()
    assert broken(forgery.out) == set()


# --- one damage per rule -------------------------------------------------------------------------------------------

Damage = Callable[[Forgery], object]
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
    f.lines[-1] |= {"rejections": [], "written": 1}
    f.write_lines()


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
def card_not_text(f):
    (f.dataset / "README.md").write_bytes(b"---\n\xff\n---\n")


@case("card")
def card_not_yaml(f):
    (f.dataset / "README.md").write_bytes(b"---\na: [\n---\n")


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


@case("missing-file")
def image_missing(f):
    f.path("image").unlink()


@case("missing-file")
def mask_missing(f):
    f.path("mask").unlink()


@case("missing-file")
def twin_missing(f):
    f.path("twin").unlink()


@case("missing-file")
def held_out_missing(f):
    f.path("held_out").unlink()


@case("missing-file")
def files_of_a_line_missing(f):
    for kind in ("image", "mask"):
        f.path(kind).unlink()


@case("missing-file", "extra-file")
def image_renamed(f):
    f.path("image").rename(f.path("image").with_name("900000.png"))


@case("file-kind")
def image_is_a_folder(f):
    f.path("image").unlink()
    f.path("image").mkdir()


@case("file-kind")
def pipe_instead_of_a_mask(f):
    f.path("mask").unlink()
    os.mkfifo(f.path("mask"))


@case("file-kind")
def pipe_among_images(f):
    os.mkfifo(f.path("image").with_name("900000.png"))


@case("empty-file")
def image_of_zero_bytes(f):
    f.path("image").write_bytes(b"")


@case("file-names")
def row_names_another_file(f):
    f.pairs[0]["row"]["file_name"] = f.pairs[0]["row"]["file_name"].replace("00000", "0000")
    f.seal(text=False)


@case("file-names")
def row_names_a_file_elsewhere(f):
    f.pairs[0]["row"]["normal_file_name"] = "../../../../etc/hostname"
    f.seal(pixel_hashes=False, text=False)


@case("file-names", "extra-file")
def line_names_another_file(f):
    files = f.pairs[0]["files"]
    name = f.pairs[0]["row"]["file_name"]
    files[name.replace("/0", "/9")] = files.pop(name)
    f.path("image").rename(f.dataset / name.replace("/0", "/8"))
    f.write_lines()


@case("file-sha256")
def pixel_changed_outside_the_mask(f):
    pixels = f.pixels("image")
    row, column = np.argwhere(f.pixels("mask") == 0)[0]
    pixels[row, column, 1] ^= 1
    f.paint("image", pixels)


@case("file-sha256")
def recompressed(f):
    pixels, _, texts = decode_png(f.path("image").read_bytes(), what="")
    f.path("image").write_bytes(encode_png(pixels, text=texts, compress_level=0))


@case("file-sha256")
def image_cut_short(f):
    f.path("image").write_bytes(f.path("image").read_bytes()[:-30])


@case("png")
def image_cut_short_and_sealed(f):
    f.path("image").write_bytes(f.path("image").read_bytes()[:-30])
    f.seal()


@case("png")
def bytes_behind_the_image(f):
    f.path("mask").write_bytes(f.path("mask").read_bytes() + b"x")
    f.seal()


@case("png")
def jpeg_by_the_name_of_png(f):
    Image.fromarray(f.pixels("image")).save(f.path("image"), "JPEG")
    f.seal()


@case("png")
def image_to_be_rotated(f):
    insert_chunk(f.path("twin"), b"eXIf", b"MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0")
    f.seal()


@case("png")
def image_with_a_transparent_colour(f):
    insert_chunk(f.path("held_out"), b"tRNS", b"\0\1\0\2\0\3")
    f.seal()


@case("png")
def mask_with_a_time(f):
    insert_chunk(f.path("mask"), b"tIME", b"\x07\xea\1\1\0\0\0")
    f.seal()


def insert_chunk(path: Path, kind: bytes, content: bytes) -> None:
    """Insert a chunk behind IHDR."""
    chunk = struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
    png = path.read_bytes()
    path.write_bytes(png[:33] + chunk + png[33:])


@case("image-mode")
def image_with_alpha(f):
    Image.fromarray(f.pixels("image")).convert("RGBA").save(f.path("image"))
    f.seal()


@case("image-mode")
def grey_twin(f):
    Image.fromarray(f.pixels("twin")).convert("L").save(f.path("twin"))
    f.seal()


@case("image-mode")
def held_out_with_16_bits(f):
    """Pillow reads 16-bit RGB as if it had 8; other readers do not."""
    height, width = f.pixels("held_out").shape[:2]
    rows = b"".join(b"\0" + f.pixels("held_out")[row].astype(">u2").tobytes() for row in range(height))
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    png = b"".join(struct.pack(">I", len(c)) + k + c + struct.pack(">I", zlib.crc32(k + c)) for k, c in chunks)
    f.path("held_out").write_bytes(b"\x89PNG\r\n\x1a\n" + png)
    f.seal()


@case("mask-mode")
def mask_in_colour(f):
    f.paint("mask", np.repeat(f.pixels("mask")[..., np.newaxis], 3, axis=2))
    f.seal()


@case("mask-mode")
def mask_of_one_bit(f):
    Image.fromarray(f.pixels("mask")).convert("1").save(f.path("mask"))
    f.seal()


@case("mask-values")
def mask_with_grey(f):
    mask = f.pixels("mask")
    mask[mask == 255] = 254
    f.paint("mask", mask)
    f.seal()


@case("mask-empty")
def mask_emptied(f):
    f.paint("mask", np.zeros_like(f.pixels("mask")))
    f.seal()


@case("size")
def mask_of_another_size(f):
    f.paint("mask", np.pad(f.pixels("mask"), ((0, 1), (0, 0))))
    f.seal()


@case("size")
def row_of_another_size(f):
    f.pairs[0]["row"]["width"] += 1
    f.seal()


@case("size")
def held_out_of_another_size(f):
    f.paint("held_out", f.pixels("held_out")[1:])
    f.seal()


@case("untouched")
def pixel_changed_outside_the_mask_and_sealed(f):
    pixels = f.pixels("image")
    row, column = np.argwhere(f.pixels("mask") == 0)[-1]
    pixels[row, column, 2] ^= 1
    f.paint("image", pixels)
    f.seal()


@case("untouched")
def pixel_taken_out_of_the_mask(f):
    mask = f.pixels("mask")
    row, column = np.argwhere(mask)[0]
    mask[row, column] = 0
    f.paint("mask", mask)
    f.seal()


@case("changed-share")
def mask_wider_than_the_change(f):
    mask = f.pixels("mask") > 0
    rows, columns = np.nonzero(mask)
    mask[max(rows.min() - 9, 0) : rows.max() + 10, max(columns.min() - 9, 0) : columns.max() + 10] = True
    f.paint("mask", mask)
    f.anywhere()
    f.seal()


@case("largest-change", "component-peak")
def change_too_weak(f):
    pixels, mask = f.pixels("twin"), f.pixels("mask") > 0
    pixels[mask] ^= 4
    f.paint("image", pixels)
    f.seal()


@case("component-peak")
def second_component_too_weak(f):
    pixels, mask = f.pixels("image"), f.pixels("mask")
    corner = (slice(0, 3), slice(0, 3)) if not mask[:6, :6].any() else (slice(-3, None), slice(-3, None))
    pixels[corner] ^= 4
    mask[corner] = 255
    f.paint("image", pixels)
    f.paint("mask", mask)
    f.anywhere()
    f.seal()


@case("saturated")
def defect_all_black(f):
    pixels = f.pixels("image")
    pixels[f.pixels("mask") > 0] = 0
    f.paint("image", pixels)
    f.seal()


@case("mask-region")
def mask_outside_the_region(f):
    row = f.pairs[0]["row"]
    row["region_box"][0] += 1
    f.seal()


@case("mask-region")
def mask_larger_than_the_region(f):
    f.pairs[0]["row"]["region_area"] = f.pairs[0]["row"]["mask_area"] - 1
    f.seal()


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


@case("provenance")
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
    row, files = f.pairs[0]["row"], f.pairs[0]["files"]
    for field in ("file_name", "mask_file_name"):
        old, new = row[field], row[field].replace(row["defect"], "unheard_of")
        (f.dataset / new).parent.mkdir(exist_ok=True)
        (f.dataset / old).rename(f.dataset / new)
        row[field], files[new] = new, files.pop(old)
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
    row["seed"] = chosen["seed"] = SampleSeeds(1, CATEGORY, row["source"], row["pair"]).candidate(row["candidate"], 1)
    f.seal()


@case("candidates")
def too_many_candidates(f):
    row = f.pairs[0]["row"]
    seed = SampleSeeds(1, CATEGORY, row["source"], row["pair"]).candidate(2, 0)
    row["candidates"].append({"candidate": 2, "attempt": 0, "seed": seed, "score": 0.5})
    f.seal()


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
    text = row_text(f.pairs[0]["row"])
    f.path("image").write_bytes(encode_png(f.pixels("image"), text={"fmas": text, "comment": "mine"}))
    f.seal(text=False)


@pytest.mark.parametrize(("damage", "rules"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_damage_is_found_by_its_rule_alone(forgery, damage, rules):
    damage(forgery)
    problems = validate_output(forgery.out).problems
    assert {str(problem.rule) for problem in problems} == rules, [str(problem) for problem in problems]
    for problem in problems:
        assert problem.message.startswith("expected ")
        assert ", got " in problem.message
        assert "; " in problem.message
        assert "\n" not in str(problem)
        assert str(problem) == f"{problem.path}: {problem.message} [{problem.rule}]"


def test_every_rule_has_a_damage():
    elsewhere = {"secret"}
    assert {rule for _, _, rules in CASES for rule in rules} | elsewhere == {rule.value for rule in Rule}


def test_every_rule_can_be_shown_alone():
    """A rule that only ever fires beside another one may be fired by the other's mistake."""
    together = {"largest-change"}  # a change below 8 levels is below every high_threshold too
    alone = {next(iter(rules)) for _, _, rules in CASES if len(rules) == 1}
    assert {rule.value for rule in Rule} - alone == together | {"secret"}


def test_the_docstring_lists_every_rule():
    listed = re.findall(r"^\* ``([a-z0-9-]+)``: (.+?)\.$", unwrapped(fmas.validate.__doc__ or ""), re.MULTILINE)
    assert listed == [(rule.value, rule.description) for rule in Rule]


def unwrapped(text: str) -> str:
    return re.sub(r"\n  +", " ", text)


def test_swapped_masks_are_found(forgery):
    first, second = (forgery.path("mask", number) for number in (0, 1))
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)
    assert broken(forgery.out) == {"file-sha256"}
    forgery.seal()
    assert "untouched" in broken(forgery.out)


def test_every_problem_of_an_image_is_told(forgery):
    """One damaged image does not hide the next."""
    forgery.path("image", 0).unlink()
    forgery.path("mask", 1).write_bytes(b"")
    report = validate_output(forgery.out)
    assert [(str(problem.rule), problem.path) for problem in report.problems] == [
        ("missing-file", f"dataset/{CATEGORY}/{forgery.name('image', 0)}"),
        ("empty-file", f"dataset/{CATEGORY}/{forgery.name('mask', 1)}"),
    ]


def test_manifest_that_changes_meanwhile_is_told(forgery):
    def empty_it(_finished, _total):
        forgery.manifest.write_bytes(b"")

    assert "manifest" in {str(p.rule) for p in validate_output(forgery.out, progress=empty_it).problems}


def test_the_newest_line_counts_in_whichever_file_it_stands(forgery):
    failure = {"stage": "inpaint", "reason": "rejected", "message": "m"}
    lost = forgery.lines[0] | {"status": "failed", "files": {}, "row": None, "failure": failure}
    other = forgery.manifest.parent / "shard-2-of-2.jsonl"
    other.write_text(json.dumps(lost | {"written": lost["written"] - 1}) + "\n")
    assert broken(forgery.out) == set()
    other.write_text(json.dumps(lost | {"written": lost["written"] + 1}) + "\n")
    assert {"extra-file", "metadata", "failures", "counts"} <= broken(forgery.out)


# --- secrets -------------------------------------------------------------------------------------------------------

UNSPEAKABLE = 'sk-"quoted"&ümläut-0123456789'


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("report.html", f"<p>{UNSPEAKABLE}</p>"),
        ("report.html", "<p>sk-&quot;quoted&quot;&amp;ümläut-0123456789</p>"),
        ("decisions.jsonl", json.dumps({"key": UNSPEAKABLE})),
        ("cache/answer.json", json.dumps({"key": UNSPEAKABLE}, ensure_ascii=False)),
        ("notes.md", "x" * (2**20 - 10) + UNSPEAKABLE),
    ],
)
def test_secret_in_a_text_file(forgery, monkeypatch, name, text):
    monkeypatch.setenv("SOME_API_KEY", UNSPEAKABLE)
    (forgery.out / name).parent.mkdir(exist_ok=True)
    (forgery.out / name).write_text(text)
    (problem,) = validate_output(forgery.out).problems
    assert (problem.rule, problem.path) == (Rule.SECRET, name)
    assert "SOME_API_KEY" in problem.message
    assert UNSPEAKABLE not in str(problem)


@pytest.mark.parametrize(("variable", "value"), [("SOME_TOKEN", "short"), ("SOME_KEY", UNSPEAKABLE)])
def test_what_is_no_secret(forgery, monkeypatch, variable, value):
    monkeypatch.setenv(variable, value)
    (forgery.out / "report.html").write_text(f"short {UNSPEAKABLE}")
    assert broken(forgery.out) == set()


def test_messages_never_quote_a_secret(forgery, monkeypatch):
    monkeypatch.setenv("SOME_SECRET", UNSPEAKABLE)
    forgery.pairs[0]["row"]["prompt"] = UNSPEAKABLE
    forgery.seal()
    report = validate_output(forgery.out)
    assert {"secret", "planned-defect"} == {str(problem.rule) for problem in report.problems}
    assert "quoted" not in json.dumps(report.to_json(), ensure_ascii=False)


def test_messages_are_short_printable_lines():
    log = ProblemLog({})
    log.add(Rule.STEM, "a\nb\udc80", "expected x, got " + "y\x1b" * 1000)
    (problem,) = log.problems
    assert problem.path == "a\\nb\\udc80"
    assert str(problem).isprintable()
    assert len(problem.message) < 1600


# --- what is no output, notes, hostile content ---------------------------------------------------------------------


def test_missing_folder(tmp_path):
    with pytest.raises(UsageError, match="expected the output folder of a run, got nothing"):
        validate_output(tmp_path / "nowhere")


def test_file_instead_of_a_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="got a file"):
        validate_output(tmp_path / "file")


def test_folder_that_is_no_output(tmp_path):
    (tmp_path / "plan.json").write_text("{}")
    with pytest.raises(OutputError, match=r"without run\.json"):
        validate_output(tmp_path)


def test_notes(finished, tmp_path):
    out = Path(shutil.copytree(finished, tmp_path / "Prüfling"))
    (out / ".tmp" / "shard-1-of-1").mkdir(parents=True)
    (out / ".tmp" / "shard-1-of-1" / "1-0.part").write_bytes(b"x")
    report = validate_output(out)
    assert report.ok
    assert [note.split(",")[0] for note in report.notes] == ["1 files in .tmp", "the path to this folder is not ASCII"]


def test_progress(finished, forgery):
    calls: list[tuple[int, int]] = []
    validate_output(finished, progress=lambda done, total: calls.append((done, total)))
    total = len(forgery.lines)
    assert calls == [(number, total) for number in range(1, total + 1)]


def test_memory_holds_one_pair_at_a_time(forgery, monkeypatch):
    """No decoded picture outlives its line, except the twin that the next line may share."""
    import weakref

    from fmas.validate import dataset_files

    alive: list[weakref.ref[np.ndarray]] = []
    decode = dataset_files.decode_png
    most = 0

    def counted(*args, **kwargs):
        nonlocal most
        result = decode(*args, **kwargs)
        alive.append(weakref.ref(result[0]))
        most = max(most, sum(ref() is not None for ref in alive))
        return result

    monkeypatch.setattr(dataset_files, "decode_png", counted)
    assert validate_output(forgery.out).ok
    assert len(alive) > 8
    assert most <= 3


def test_folder_that_cannot_be_read(forgery, monkeypatch):
    scandir = os.scandir

    def refuse(folder):
        if Path(folder).name == "test":
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr("fmas.validate.tree.os.scandir", refuse)
    problems = validate_output(forgery.out).problems
    assert {problem.rule for problem in problems} == {Rule.FOLDERS}
    assert "Permission denied" in problems[0].message


def test_file_that_cannot_be_read(forgery, monkeypatch):
    opened = Path.open

    def refuse(path, *args, **kwargs):
        if path == forgery.path("image"):
            raise PermissionError(13, "Permission denied")
        return opened(path, *args, **kwargs)

    monkeypatch.setattr(Path, "open", refuse)
    (problem,) = validate_output(forgery.out).problems
    assert problem.rule == Rule.FILE_KIND
    assert "(Permission denied)" in problem.message


def test_file_that_is_too_large(tmp_path):
    (tmp_path / "file").write_bytes(b"12345")
    assert read_regular(tmp_path / "file", largest=5) == b"12345"
    with pytest.raises(UnreadableError, match="more than 4 bytes"):
        read_regular(tmp_path / "file", largest=4)


def test_unreadable_text_file_does_not_stop_the_search_for_secrets(forgery, monkeypatch):
    monkeypatch.setenv("SOME_API_KEY", UNSPEAKABLE)
    os.mkfifo(forgery.out / "a.json")
    (forgery.out / "b.json").write_text(json.dumps(UNSPEAKABLE))
    assert [(str(p.rule), p.path) for p in validate_output(forgery.out).problems] == [("secret", "b.json")]


relaxed = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)


@relaxed
@given(st.integers(0, 10**6), st.floats(0, 1, exclude_max=True), st.integers(1, 255))
def test_any_changed_byte_of_an_image_or_of_metadata_is_found(forgery, which, where, change):
    files = sorted(path for path in forgery.dataset.rglob("*") if path.is_file() and path.name != "README.md")
    path = files[which % len(files)]
    before = path.read_bytes()
    changed = bytearray(before)
    changed[int(where * len(before))] ^= change
    path.write_bytes(changed)
    try:
        assert broken(forgery.out) != set()
    finally:
        path.write_bytes(before)


@relaxed
@given(st.data())
def test_no_content_of_any_file_raises(forgery, data):
    files = sorted(path for path in forgery.out.rglob("*") if path.is_file())
    path = data.draw(st.sampled_from(files), label="file")
    before = path.read_bytes()
    pieces = st.sampled_from([b"", before[: len(before) // 2], b"{}\n", b"[]\n", b"null\n", b'{"stem":0}\n', b"---\n"])
    path.write_bytes(
        b"".join(data.draw(st.lists(st.one_of(st.binary(max_size=50), pieces), max_size=4), label="content"))
    )
    try:
        validate_output(forgery.out)
    finally:
        path.write_bytes(before)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner, max_size=3)
)


@relaxed
@given(st.data(), json_values)
def test_no_value_of_any_field_of_a_manifest_line_passes_or_raises(forgery, data, value):
    lines = json.loads(json.dumps(forgery.lines))
    line = data.draw(st.sampled_from(lines), label="line")
    target = data.draw(st.sampled_from([line, line["row"]]), label="part")
    field = data.draw(st.sampled_from(sorted(target)), label="field")
    if target[field] == value or (field == "stem" and str(value) == str(target[field])):
        return
    target[field] = value
    forgery.manifest.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert broken(forgery.out) != set()


@relaxed
@given(st.data(), json_values)
def test_no_value_of_any_field_of_run_json_raises(forgery, data, value):
    before = (forgery.out / "run.json").read_bytes()
    field = data.draw(st.sampled_from(sorted(json.loads(before)["identity"])))
    forgery.edit_identity(**{field: value})
    try:
        validate_output(forgery.out)
    finally:
        (forgery.out / "run.json").write_bytes(before)
