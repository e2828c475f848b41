"""The guarantees of a run, with components that are simple enough to know the answer."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from pydantic import ValidationError

from fmas.errors import ComponentError, OutputError, PlanError, UsageError
from fmas.pipeline import synthesize
from fmas.planning import store_plan
from fmas.write import PNG_TEXT_KEY


def tree(out):
    """Return relative path -> bytes of everything in the data set."""
    root = out / "dataset"
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def rows(out):
    lines = (out / "dataset/test_part/metadata.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


@pytest.fixture
def run(fakes, make_registry, make_config):
    def go(**settings):
        config = make_config(**settings)
        return config.out, synthesize(config, registry=make_registry(fakes))

    return go


def test_output_has_the_designed_layout(run):
    out, summary = run()
    assert (summary.made, summary.kept, summary.failed, summary.exit_code) == (6, 0, 0, 0)
    files = set(tree(out))
    for row in rows(out):
        stem = f"{row['stem']:06d}"
        assert row["normal_file_name"] == f"train/good/{stem}.png"
        assert row["file_name"] == f"test/{row['defect']}/{stem}.png"
        assert row["mask_file_name"] == f"ground_truth/{row['defect']}/{stem}_mask.png"
        files -= {f"test_part/{row[key]}" for key in ("normal_file_name", "file_name", "mask_file_name")}
    assert files == {"test_part/README.md", "test_part/metadata.jsonl"}
    assert {path.name for path in out.iterdir()} == {
        ".tmp", "config.resolved.yaml", "dataset", "failures.jsonl", "manifest", "plan.json", "run.json",
    }  # fmt: skip
    assert (out / "failures.jsonl").read_bytes() == b""


def test_images_and_masks_are_as_promised(run, photographs):
    out, _ = run()
    root = out / "dataset/test_part"
    for row in rows(out):
        source = Image.open(photographs / row["source"])
        normal, synthetic = Image.open(root / row["normal_file_name"]), Image.open(root / row["file_name"])
        mask = Image.open(root / row["mask_file_name"])
        assert (normal.mode, synthetic.mode, mask.mode) == ("RGB", "RGB", "L")
        assert normal.size == synthetic.size == mask.size == source.size == (row["width"], row["height"])
        assert (np.asarray(normal) == np.asarray(source)).all()
        inside = np.asarray(mask)
        assert set(np.unique(inside)) == {0, 255}
        changed = np.abs(np.asarray(normal).astype(int) - np.asarray(synthetic)).max(axis=2)
        assert (changed[inside == 0] == 0).all()
        assert (changed[inside == 255] >= 1).mean() >= 0.9
        assert changed.max() >= 8
        assert row["mask_area"] == (inside == 255).sum()


def test_image_carries_its_row(run):
    out, _ = run(holdout_good=0.4)
    for row in rows(out):
        with Image.open(out / "dataset/test_part" / row["file_name"]) as image:  # held-out ones as well
            image.load()
            assert json.loads(image.text[PNG_TEXT_KEY]) == row


def test_same_seed_same_bytes_other_seed_other_bytes(run, tmp_path):
    one, _ = run()
    two, _ = run(out=tmp_path / "two")
    other, _ = run(out=tmp_path / "other", seed=1)
    assert tree(one) == tree(two)
    assert tree(one) != tree(other)


def test_shards_share_one_output(run, tmp_path):
    whole, _ = run(per_image=2)
    for shard in ("3/3", "1/3", "2/3"):
        sharded, summary = run(out=tmp_path / "sharded", per_image=2, shard=shard)
        assert summary.made == 4
    assert tree(whole) == tree(sharded)


def test_limit_takes_the_first_and_a_later_run_the_rest(run, tmp_path):
    out, summary = run(limit=2)
    assert summary.made == 2
    assert [row["source"] for row in rows(out)] == ["part_0.png", "part_1.png"]
    out, summary = run()
    assert (summary.made, summary.kept) == (4, 2)
    whole, _ = run(out=tmp_path / "whole")
    assert tree(out) == tree(whole)


def test_rerun_redoes_nothing(run, fakes):
    run()
    fakes["inpainter"].batches.clear()
    fakes["llm"].asked.clear()
    _out, summary = run()
    assert (summary.made, summary.kept) == (0, 6)
    assert fakes["inpainter"].batches == []
    assert fakes["llm"].asked == []


def test_lost_file_is_made_again(run, fakes):
    out, _ = run()
    before = tree(out)
    (out / "dataset/test_part" / rows(out)[2]["mask_file_name"]).unlink()
    _, summary = run()
    assert (summary.made, summary.kept) == (1, 5)
    assert tree(out) == before


def test_leftovers_of_a_killed_run_are_swept(run):
    out, _ = run()
    before = tree(out)
    root = out / "dataset/test_part"
    (root / "test/dent").mkdir()
    shutil.copy(root / rows(out)[0]["file_name"], root / "test/dent/000000.png")
    (root / "ground_truth/dent").mkdir()
    shutil.copy(root / rows(out)[0]["mask_file_name"], root / "ground_truth/dent/000000_mask.png")
    (out / ".tmp/shard-1-of-1").mkdir()
    (out / ".tmp/shard-1-of-1/99-0.part").write_bytes(b"half")
    run()
    assert tree(out) == before
    assert not (root / "test/dent").exists()
    assert not (out / ".tmp/shard-1-of-1").exists()


def test_foreign_files_are_left_for_the_validator(run):
    out, _ = run()
    stray = out / "dataset/test_part/test/notes.txt"
    stray.write_text("mine", encoding="utf-8")
    run()
    assert stray.read_text(encoding="utf-8") == "mine"


def test_bad_images_fail_alone_and_leave_gaps(run, photographs, tmp_path):
    clean, _ = run(out=tmp_path / "clean")
    good = {row["source"]: row for row in rows(clean)}
    (photographs / "part_2.png").write_bytes(b"not a picture")
    (photographs / "part_4.png").write_bytes(b"")
    out, summary = run()
    assert (summary.made, summary.failed, summary.exit_code) == (4, 2, 3)
    assert [row["stem"] for row in rows(out)] == [0, 1, 3, 5]
    assert all(row == good[row["source"]] for row in rows(out))
    failures = [json.loads(line) for line in (out / "failures.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [(failure["source"], failure["stage"], failure["reason"]) for failure in failures] == [
        ("part_2.png", "segment", "ImageError"),
        ("part_4.png", "segment", "ImageError"),
    ]


def test_failures_name_the_photograph_as_the_data_set_does(run, photographs):
    (photographs / "part_2.png").write_bytes(b"not a picture")
    out, _ = run()
    listed = (out / "failures.jsonl").read_text(encoding="utf-8")
    assert "'part_2.png'" in listed
    assert str(photographs) not in listed


def test_failed_image_is_tried_again_and_mended(run, photographs):
    content = (photographs / "part_2.png").read_bytes()
    (photographs / "part_2.png").write_bytes(b"not a picture")
    run()
    (photographs / "part_2.png").write_bytes(content)
    out, summary = run()
    assert (summary.made, summary.kept, summary.failed, summary.exit_code) == (1, 5, 0, 0)
    assert (out / "failures.jsonl").read_bytes() == b""
    assert len(rows(out)) == 6


def test_held_out_photographs_are_written_as_they_are(run, photographs):
    out, summary = run(holdout_good=0.5, per_image=2)
    held = [row for row in rows(out) if row["defect"] == "good"]
    assert 0 < len(held) < 6
    assert summary.counts.held_out == len(held)
    for row in held:
        pixels = np.asarray(Image.open(out / "dataset/test_part" / row["file_name"]))
        assert (pixels == np.asarray(Image.open(photographs / row["source"]))).all()
        assert row["file_name"].startswith("test/good/")
        assert not (out / f"dataset/test_part/train/good/{row['stem'] // 2:06d}.png").exists()
    stems = [row["stem"] for row in rows(out)]
    assert len(stems) == len(set(stems))


def test_border_defects_are_placed_too(run, fakes):
    from fmas.types import Defect, DefectKind

    fakes["llm"].defects = [Defect(name="fray", prompt="a frayed edge", kind=DefectKind.FRAY)]
    _, summary = run()
    assert (summary.made, summary.failed) == (6, 0)


def test_photograph_without_room_is_a_listed_failure(run, photographs):
    image = np.full((64, 64, 3), 5, np.uint8)
    image[np.arange(64), np.arange(64)] = 200
    Image.fromarray(image).save(photographs / "part_0.png")
    _, summary = run(region={"min_overlap": 0.95, "redraws": 3, "area": [0.5, 1.0]}, limit=1)
    assert summary.counts.failures == {"no_region": 1}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 1}, "seed was 0, now 1"),
        ({"candidates": 3}, "candidates was 2, now 3"),
        ({"region": {"shape": "blob"}}, "region.shape was rectangle, now blob"),
        ({"per_image": 2}, "per_image was 1, now 2"),
        ({"category": "other"}, "category was test_part, now other"),
    ],
)
def test_output_of_another_configuration_is_refused(run, change, message):
    out, _ = run()
    before = tree(out)
    with pytest.raises(OutputError, match=message):
        run(**change)
    assert tree(out) == before


def test_changed_list_of_photographs_is_refused(run, photographs):
    run()
    shutil.copy(photographs / "part_0.png", photographs / "new.png")
    with pytest.raises(OutputError, match="the list of photographs has changed"):
        run()


def test_workers_shard_and_limit_are_no_part_of_the_identity(run):
    run(limit=1)
    run(shard="1/2")
    _, summary = run()
    assert summary.made + summary.kept == 6


def test_changed_libraries_are_noted(run):
    out, summary = run(limit=1)
    assert summary.notes == ()
    content = json.loads((out / "run.json").read_text(encoding="utf-8"))
    content["libraries"]["numpy"] = "1.0"
    (out / "run.json").write_text(json.dumps(content), encoding="utf-8")
    _, summary = run()
    assert len(summary.notes) == 1
    assert "numpy was 1.0, now " in summary.notes[0]
    assert run()[1].notes == ()


def test_more_pairs_than_six_digits_are_refused(run, tmp_path, monkeypatch):
    monkeypatch.setattr("fmas.work._MOST_STEMS", 11)
    with pytest.raises(UsageError, match="expected at most 11 pairs in one data set, got 6 photographs times 2"):
        run(per_image=2)
    assert not (tmp_path / "out").exists()


def test_workers_stop_before_the_sweep_whatever_ends_the_run(make_config, photographs):
    """Regression: workers went on writing after an error in the loop, and left files without manifest lines."""
    from fmas.validate import validate_output

    for number in range(6, 30):
        shutil.copy(photographs / "part_0.png", photographs / f"part_{number:02d}.png")
    builtin = {kind: {"name": "builtin"} for kind in ("llm", "segmenter", "inpainter", "selector")}
    config = make_config(workers=2, **builtin)

    def stop(finished, total, failed):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        synthesize(config, progress=stop)
    assert validate_output(config.out).problems == ()


def test_card_names_every_key_of_a_row(run):
    """Hugging Face drops a key that the card does not name, without a word."""
    out, _ = run(holdout_good=0.4)
    _, front_matter, _ = (out / "dataset/test_part/README.md").read_text(encoding="utf-8").split("---\n", 2)
    features = [item["name"] for item in yaml.safe_load(front_matter)["configs"][0]["features"]]
    names = {"file_name": "image", "mask_file_name": "mask", "normal_file_name": "normal"}
    keys = {names.get(key, key) for row in rows(out) for key in row}
    assert set(features) == keys
    assert features[:3] == ["image", "mask", "normal"]


def test_unreadable_manifest_never_looks_like_an_empty_one(run, monkeypatch):
    """Regression: every image was swept away because the manifest's folder could not be listed."""
    out, _ = run()
    before = tree(out)
    real = Path.iterdir

    def iterdir(self):
        if self.name == "manifest":
            raise PermissionError(13, "Permission denied")
        return real(self)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    with pytest.raises(OutputError, match=r"expected to read .*manifest, got Permission denied"):
        run()
    monkeypatch.setattr(Path, "iterdir", real)
    assert tree(out) == before


def test_lost_manifest_is_refused(run):
    out, _ = run()
    before = tree(out)
    shutil.rmtree(out / "manifest")
    with pytest.raises(OutputError, match="which says what is finished, got images without it"):
        run()
    assert tree(out) == before


def test_torn_image_is_made_again(run):
    out, _ = run()
    before = tree(out)
    path = out / "dataset/test_part" / rows(out)[1]["file_name"]
    path.write_bytes(path.read_bytes()[:-100])
    _, summary = run()
    assert (summary.made, summary.kept) == (1, 5)
    assert tree(out) == before


def test_lost_configuration_file_is_written_again(run):
    out, _ = run()
    content = (out / "config.resolved.yaml").read_bytes()
    (out / "config.resolved.yaml").unlink()
    run()
    assert (out / "config.resolved.yaml").read_bytes() == content


def test_texture_gets_no_defect_that_needs_an_edge(run, fakes, photographs):
    from fmas.types import Defect, DefectKind

    fakes["llm"].defects = [
        Defect(name="fray", prompt="a frayed edge", kind=DefectKind.FRAY),
        Defect(name="stain", prompt="a stain", kind=DefectKind.STAIN),
    ]
    out, _ = run(per_image=6)
    kinds = {(row["foreground_kind"], row["kind"]) for row in rows(out)}
    assert kinds == {("texture", "stain"), ("object", "stain"), ("object", "fray")}


def test_foreign_folder_is_refused(run, tmp_path):
    out = tmp_path / "holiday"
    out.mkdir()
    (out / "photo.jpg").write_bytes(b"x")
    with pytest.raises(OutputError, match=r"holds 'photo\.jpg'; choose another --out"):
        run(out=out)
    assert [path.name for path in out.iterdir()] == ["photo.jpg"]


def test_file_as_output_is_refused(run, tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(OutputError, match="expected a folder for --out, got the file"):
        run(out=tmp_path / "file")


def test_damaged_run_file_is_refused(run):
    out, _ = run()
    (out / "run.json").write_text("{}", encoding="utf-8")
    with pytest.raises(OutputError, match=r"expected .*run\.json as fmas writes it"):
        run()


def test_two_runs_at_once_are_refused(run, fakes):
    def run_inside(job):
        with pytest.raises(OutputError, match="another fmas run is doing it"):
            run(limit=1)
        with pytest.raises(OutputError, match="another fmas run is writing shard 1/1"):
            run(shard="1/2")
        image = job.image.copy()
        image[job.region] = 250 - image[job.region]
        return image

    fakes["inpainter"].paint = run_inside
    _, summary = run(limit=1, candidates=1)
    assert summary.exit_code in (0, 1)


def test_plan_is_asked_for_once_and_kept(run, fakes):
    out, _ = run()
    assert len(fakes["llm"].asked) == 1
    assert fakes["llm"].asked[0].object == "test part"
    assert fakes["llm"].asked[0].reference.shape == (64, 96, 3)
    plan = json.loads((out / "plan.json").read_text(encoding="utf-8"))
    assert [defect["name"] for defect in plan["defects"]] == ["hairline crack", "oil stain"]


def test_edited_plan_is_used(run, make_config, make_registry, fakes):
    config = make_config()
    store_plan(config, with_reference=False, registry=make_registry(fakes))
    path = config.out / "plan.json"
    path.write_text(path.read_text(encoding="utf-8").replace("hairline crack", "Deep Crack"), encoding="utf-8")
    out, _ = run()
    assert {row["defect"] for row in rows(out)} == {"deep_crack", "oil_stain"}
    path.write_text(path.read_text(encoding="utf-8").replace("Deep Crack", "Deeper Crack"), encoding="utf-8")
    with pytest.raises(OutputError, match="the plan has changed"):
        run()


def test_plan_of_another_object_or_llm_is_refused(run):
    out, _ = run()
    path = out / "plan.json"
    content = path.read_text(encoding="utf-8")
    path.write_text(content.replace('"test part"', '"screw"'), encoding="utf-8")
    with pytest.raises(PlanError, match="got one for 'screw'; give the same --object"):
        run()
    path.write_text(content.replace('"fake"', '"openai"'), encoding="utf-8")
    with pytest.raises(PlanError, match="got one by the llm 'openai', not 'fake'; give --llm openai"):
        run()
    path.write_text(content.replace('"config": {}', '"config": {"model": "x"}'), encoding="utf-8")
    with pytest.raises(PlanError, match="with other options"):
        run()


def test_shards_of_a_live_llm_need_a_plan_first(fakes, make_registry, make_config):
    registry = make_registry(fakes, live=True)
    config = make_config(shard="2/2")
    with pytest.raises(PlanError, match="run: fmas plan --object 'test part' --llm fake --out"):
        synthesize(config, registry=registry)
    assert fakes["llm"].asked == []
    store_plan(make_config(), with_reference=True, registry=registry)
    assert synthesize(config, registry=registry).made == 3
    assert len(fakes["llm"].asked) == 1


def test_wrong_usage_writes_nothing(run, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(UsageError):
        run(images=tmp_path / "missing")
    with pytest.raises(UsageError, match=r"unknown|known"):
        run(inpainter={"name": "fakke"})
    with pytest.raises(ValidationError, match="set the variable that its SDK reads") as caught:
        run(llm={"name": "fake", "api_key": "sk-secret"})
    assert "sk-secret" not in str(caught.value)
    assert not out.exists()


def test_full_disk_stops_the_run_and_keeps_what_is_finished(run, monkeypatch, fakes):
    from fmas.files import AtomicWriter

    real, written = AtomicWriter.write, []

    def fill_up(self, path, content):
        written.append(path)
        if len(written) > 8:
            raise OutputError("expected room for it, got a full disk; free some space")
        real(self, path, content)

    monkeypatch.setattr(AtomicWriter, "write", fill_up)
    with pytest.raises(OutputError, match="full disk"):
        run()
    monkeypatch.setattr(AtomicWriter, "write", real)
    _, summary = run()
    assert summary.kept >= 1
    assert summary.made + summary.kept == 6


def test_ctrl_c_leaves_a_valid_data_set(run, fakes, tmp_path):
    calls = []

    def interrupt(job):
        calls.append(job)
        if len(calls) > 8:
            raise KeyboardInterrupt
        image = job.image.copy()
        image[job.region] = 255 - image[job.region]
        return image

    _whole, _ = run(out=tmp_path / "whole")
    fakes["inpainter"].paint = interrupt
    with pytest.raises(KeyboardInterrupt):
        run()
    out = tmp_path / "out"
    listed = {row[key] for row in rows(out) for key in ("file_name", "mask_file_name", "normal_file_name")}
    assert {name.removeprefix("test_part/") for name in tree(out)} == listed | {"README.md", "metadata.jsonl"}
    fakes["inpainter"].paint = None


def test_component_that_writes_into_its_input_fails_instead_of_corrupting(run, fakes):
    def vandal(job):
        job.image[...] = 0
        return job.image

    fakes["inpainter"].paint = vandal
    _, summary = run(limit=1)
    assert summary.counts.failures == {"ValueError": 1}


@pytest.mark.parametrize("victim", ["candidate", "mask"])
def test_selector_that_works_in_place_fails_instead_of_corrupting(run, fakes, monkeypatch, victim):
    def score(self, original, candidate, mask):
        {"candidate": candidate, "mask": mask}[victim][:] = 1
        return 0.2

    monkeypatch.setattr(type(fakes["selector"]), "score", score)
    _, summary = run()
    assert (summary.made, summary.counts.failures) == (0, {"ValueError": 6})


def test_segmenter_may_use_its_buffer_again(run, fakes, monkeypatch, tmp_path):
    from fmas.types import Foreground

    buffers = {}

    def segment(self, image):
        buffer = buffers.setdefault(image.shape[:2], np.zeros(image.shape[:2], bool))
        buffer[:] = image.max(axis=2) > 40
        buffer[: image.shape[0] // 2] &= len(buffers) % 2 == 0
        return Foreground(buffer, "object", 1.0)

    monkeypatch.setattr(type(fakes["segmenter"]), "segment", segment)
    out, _ = run(per_image=2)
    assert len(rows(out)) == 12


class UnshowableError(Exception):
    def __str__(self):
        raise RuntimeError


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (RuntimeError("bad \udcff byte"), "bad \\udcff byte"),
        (UnshowableError(), "UnshowableError"),
        (SystemExit(0), "0"),
        (RuntimeError("x" * 5000), "x" * 1000),
        (RuntimeError("401 for sk-live-1234567890"), "401 for <SOME_API_KEY>"),
    ],
    ids=["surrogate", "unshowable", "exit", "long", "secret"],
)
def test_whatever_a_component_raises_stays_with_its_photograph(run, fakes, monkeypatch, error, message):
    monkeypatch.setenv("SOME_API_KEY", "sk-live-1234567890")

    def paint(job):
        raise error

    fakes["inpainter"].paint = paint
    out, summary = run()
    assert (summary.made, summary.failed, summary.exit_code) == (0, 6, 1)
    failures = [json.loads(line) for line in (out / "failures.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {failure["message"] for failure in failures} == {message}


def test_changed_photograph_never_overwrites_the_twin_of_finished_pairs(run, photographs, fakes):
    def only_one(job):
        image = job.image.copy()
        if not job.seed % 2:
            image[job.region] = 255 - image[job.region]
        return image

    fakes["inpainter"].paint = only_one
    out, summary = run(per_image=3, candidates=1, refine={"attempts": 1}, region={"placements": 1})
    assert summary.made > 0
    assert summary.failed > 0
    before = tree(out)
    for path in sorted(photographs.iterdir())[1:-1]:
        image = np.asarray(Image.open(path)).copy()
        Image.fromarray(255 - image).save(path)
    fakes["inpainter"].paint = None
    with contextlib.suppress(OutputError):  # where the spot check saw one of them
        _, again = run(per_image=3, candidates=1, refine={"attempts": 1}, region={"placements": 1})
        assert again.counts.failures["ImageError"] > 0
    after = tree(out)
    assert {name: after[name] for name in before if "/train/" in name} == {
        name: content for name, content in before.items() if "/train/" in name
    }


def test_another_folder_with_the_same_names_is_refused(run, photographs):
    out, _ = run(limit=3)
    before = tree(out)
    for path in photographs.iterdir():
        Image.fromarray(np.full((64, 64, 3), 99, np.uint8)).save(path)
    with pytest.raises(OutputError, match=r"'part_0.png' has changed; restore them, or choose another --out"):
        run()
    assert tree(out) == before


def test_lost_plan_is_not_asked_for_again(run, fakes):
    out, _ = run(limit=2)
    (out / "plan.json").unlink()
    fakes["llm"].asked.clear()
    with pytest.raises(PlanError, match="which this run was made with and which is gone"):
        run()
    assert fakes["llm"].asked == []
    assert not (out / "plan.json").exists()


def test_live_llm_is_not_created_when_there_is_a_plan(fakes, make_registry, make_config):
    registry = make_registry(fakes, live=True)
    store_plan(make_config(), with_reference=False, registry=registry)

    class NoKey:
        def __getitem__(self, kind):
            if kind == "llm":
                raise RuntimeError("OPENAI_API_KEY is not set")
            return fakes[kind]

    registry = make_registry(NoKey(), live=True)
    assert synthesize(make_config(), registry=registry).made == 6


@pytest.mark.parametrize("bad", [{"path": Path("x")}, {"nan": float("nan")}, {1: {2}}])
def test_fingerprint_must_be_json(run, fakes, monkeypatch, bad):
    from fmas.types import Fingerprint

    monkeypatch.setattr(type(fakes["selector"]), "fingerprint", lambda self: Fingerprint("fake", "1", bad))
    with pytest.raises(ComponentError, match="expected JSON values in the fingerprint of the selector 'fake'"):
        run()
    monkeypatch.setattr(type(fakes["selector"]), "fingerprint", lambda self: {"name": "fake"})
    with pytest.raises(ComponentError, match="expected a Fingerprint from the selector 'fake', got dict"):
        run()


def test_llm_that_raises_is_one_line(run, fakes, monkeypatch):
    def plan(self, request):
        raise ConnectionError("no route\nto host")

    monkeypatch.setattr(type(fakes["llm"]), "plan", plan)
    with pytest.raises(PlanError, match="got ConnectionError: no route to host; mend that"):
        run()


@pytest.mark.parametrize("mask", ["empty", "size", "dtype"])
def test_segmenter_that_breaks_its_promise_is_a_listed_failure(run, fakes, mask, monkeypatch):
    from fmas.types import Foreground

    def segment(self, image):
        shape = image.shape[:2]
        broken = {
            "empty": np.zeros(shape, bool),
            "size": np.ones((3, 3), bool),
            "dtype": np.ones(shape, np.uint8),
        }[mask]
        return Foreground(broken, "object", 1.0)

    monkeypatch.setattr(type(fakes["segmenter"]), "segment", segment)
    _, summary = run(limit=1)
    assert summary.counts.failures == {"ComponentError": 1}


def test_no_secret_of_the_environment_reaches_a_file(run, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-this-must-not-appear")
    out, _ = run()
    for path in out.rglob("*"):
        if path.is_file():
            assert b"sk-this-must-not-appear" not in path.read_bytes()


def test_no_absolute_path_or_time_in_the_data_set(run, tmp_path):
    out, _ = run()
    for name, content in tree(out).items():
        assert os.fsencode(tmp_path) not in content, name
