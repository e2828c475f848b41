"""``fmas run`` as a user meets it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import yaml
from PIL import Image


def test_run_prints_a_summary_and_where_to_go(fmas, tiles):
    result = fmas("run", tiles, "--object", "magnetic tile", "--out", "out")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("made 3, kept 0, failed 0 in ")
    assert "data set: out/dataset/magnetic_tile (3 pairs" in result.stdout.replace(os.sep, "/")
    assert "ignored: 1 files that are no images" in result.stdout
    assert result.stdout.rstrip().endswith("next: fmas validate out && fmas report out")
    assert "3 of 3 photographs" in result.stderr


def test_run_as_json_prints_nothing_else_on_stdout(fmas, tiles):
    result = fmas("run", tiles, "--out", "out", "--json")
    content = json.loads(result.stdout)
    assert (content["made"], content["kept"], content["failed"]) == (3, 0, 0)
    assert content["counts"]["pairs"] == 3
    assert content["dataset"].endswith("blue_tiles")
    again = json.loads(fmas("run", tiles, "--out", "out", "--json").stdout)
    assert (again["made"], again["kept"]) == (0, 3)


def test_given_options_are_written_down_with_the_output(fmas, tiles, tmp_path):
    options = {"object": "tile", "category": "T-1", "per_image": 2, "candidates": 3, "seed": 9, "limit": 2}
    given = [text for key, value in options.items() for text in (f"--{key.replace('_', '-')}", value)]
    result = fmas("run", tiles, "--out", "out", *given, "--shard", "1/2", "--set", "region.shape=ellipse")
    assert result.exit_code == 0, result.output
    config = yaml.safe_load((tmp_path / "out/config.resolved.yaml").read_text(encoding="utf-8"))
    assert {key: config[key] for key in options} == options
    assert (config["shard"], config["region"]["shape"]) == ([1, 2], "ellipse")


def test_own_defects(fmas, tiles, tmp_path):
    own = tmp_path / "mine.yaml"
    own.write_text("- {name: Delle, prompt: a shallow dent, kind: dent, severity: 0.8}\n", encoding="utf-8")
    result = fmas("run", tiles, "--out", "out", "--defects", own, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["counts"]["defects"] == {"delle": 3}


def test_dry_run_writes_nothing(fmas, tiles, tmp_path):
    result = fmas("run", tiles, "--out", "out", "--per-image", 2, "--dry-run", "--json")
    content = json.loads(result.stdout)
    assert content["photographs"] == 3
    assert content["pairs_to_make"] == 6
    assert content["candidates_to_paint"] == 24
    assert content["llm_calls"] == 1
    assert not (tmp_path / "out").exists()
    assert "pairs to make: 6" in fmas("run", tiles, "--out", "out", "--per-image", 2, "--dry-run").stdout
    fmas("run", tiles, "--out", "out", "--per-image", 2, "--limit", 1)
    content = json.loads(fmas("run", tiles, "--out", "out", "--per-image", 2, "--dry-run", "--json").stdout)
    assert (content["pairs_to_make"], content["finished_before"], content["llm_calls"]) == (4, 2, 0)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("run", "missing", "--out", "o"), 2, "missing"),
        (("run", "."), 2, "--out"),
        (("run", "Blue Tiles", "--out", "o", "--inpainter", "builtn"), 2, "did you mean 'builtin'?"),
        (("run", "Blue Tiles", "--out", "o", "--set", "sead=1"), 2, "did you mean 'seed'?"),
        (("run", "Blue Tiles", "--out", "o", "--shard", "3/2"), 2, "shards count from 1"),
        (("run", "Blue Tiles", "--out", "o", "--seed", "x"), 2, "--seed"),
        (("run", "Blue Tiles", "--out", "o", "--config", "none.yaml"), 2, "none.yaml"),
        (("run", "Blue Tiles", "--out", "o", "--defects", "none.yaml"), 2, "none.yaml"),
        (("run", "Blue Tiles", "--out", "o", "--balance", "crak=1"), 2, "did you mean 'crack'?"),
        (("run", "Blue Tiles", "--out", "o", "--balance", "scratch"), 2, "for example scratch=3,dent=1"),
        (("run", "Blue Tiles", "--out", "o", "--region-mask", "none.png"), 2, "none.png"),
        (("run", "Blue Tiles", "--out", "o", "--placement", "corner"), 2, "'anywhere', 'edge' or 'inside'"),
        (("run", "Blue Tiles", "--out", "Blue Tiles"), 2, "choose another --out"),
        (("run", "Blue Tiles", "--out", "."), 2, "choose another --out"),
        (("run", "Blue Tiles", "--out", "holiday"), 1, "holds 'photo.jpg'; choose another --out"),
        (("plan", "--out", "o"), 2, "expected --object TEXT"),
        (("frobnicate",), 2, "frobnicate"),
    ],
)
def test_mistakes_are_one_line_and_the_documented_code(fmas, tiles, tmp_path, arguments, code, message):
    (tmp_path / "holiday").mkdir()
    (tmp_path / "holiday/photo.jpg").write_bytes(b"mine")
    result = fmas(*arguments)
    assert result.exit_code == code, result.output
    assert message in result.stderr
    assert "Traceback" not in result.output
    assert result.stdout == ""
    if result.stderr.startswith("error:"):
        assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("--seed", 5), "seed was 0, now 5"),
        (("--object", "brick"), "got one for 'tile'; give the same --object"),
        (("--llm", "example-fixed"), "llm"),
    ],
)
def test_dry_run_refuses_what_the_run_would_refuse(fmas, tiles, change, message):
    base = ("run", tiles, "--out", "out")
    object_ = () if "--object" in change else ("--object", "tile")
    assert fmas(*base, "--object", "tile").exit_code == 0
    dry = fmas(*base, *object_, *change, "--dry-run")
    real = fmas(*base, *object_, *change)
    assert dry.exit_code == real.exit_code != 0
    assert dry.stderr == real.stderr
    assert message in dry.stderr


def test_dry_run_refuses_a_foreign_folder(fmas, tiles, tmp_path):
    (tmp_path / "holiday").mkdir()
    (tmp_path / "holiday/photo.jpg").write_bytes(b"mine")
    assert fmas("run", tiles, "--out", "holiday", "--dry-run").exit_code == 1


@pytest.mark.parametrize("arguments", [("run", "", "--out", "o"), ("run", ".", "--out", " "), ("plan", "--out", "")])
def test_blank_path_is_no_path(fmas, arguments):
    result = fmas(*arguments)
    assert result.exit_code == 2
    assert "is a shell variable unset?" in result.stderr.replace("\n", " ")


def test_errors_of_the_system_are_one_line(fmas, tiles, monkeypatch):
    def fails(*arguments, **options):
        raise PermissionError(13, "Permission denied", "/some/file")

    monkeypatch.setattr("fmas.pipeline.synthesize", fails)
    result = fmas("run", tiles, "--out", "out")
    assert result.exit_code == 1
    assert result.stderr == "error: expected to read and write files, got Permission denied (/some/file); check it\n"


def test_next_commands_can_be_pasted(fmas, tiles):
    result = fmas("run", tiles, "--out", "my out", "--limit", 1)
    assert result.stdout.rstrip().endswith("next: fmas validate 'my out' && fmas report 'my out'")


def test_path_beyond_ascii_is_warned_about(fmas, tiles):
    result = fmas("run", tiles, "--out", "größe", "--limit", 1)
    assert result.exit_code == 0
    assert "has characters beyond ASCII" in result.stderr
    assert "beyond ASCII" not in fmas("run", tiles, "--out", "out", "--limit", 1).stderr


def test_some_failed_is_3_and_all_failed_is_1(fmas, tiles):
    (tiles / "1.png").write_bytes(b"broken")
    result = fmas("run", tiles, "--out", "out")
    assert result.exit_code == 3
    assert "failed: ImageError 1; listed in" in result.stdout
    for name in ("0.png", "2.png"):
        (tiles / name).write_bytes(b"broken")
    assert fmas("run", tiles, "--out", "other").exit_code == 1


@pytest.fixture
def configured(fmas, monkeypatch):
    """Run `fmas run` up to the point where its configuration is complete, and return that."""
    seen = []

    def synthesize(config, **options):
        seen.append(config)
        raise KeyboardInterrupt

    monkeypatch.setattr("fmas.pipeline.synthesize", synthesize)

    def go(*arguments):
        result = fmas("run", "IMAGES", "--out", "out", *arguments)
        assert len(seen) == 1, result.output
        return seen.pop(), result

    return go


@pytest.mark.parametrize(
    ("option", "value", "key", "expected"),
    [
        ("--object", "tile", "object", "tile"), ("--category", "T-1", "category", "T-1"),
        ("--per-image", 2, "per_image", 2), ("--candidates", 3, "candidates", 3), ("--seed", 9, "seed", 9),
        ("--limit", 2, "limit", 2), ("--holdout-good", 0.1, "holdout_good", 0.1), ("--workers", 3, "workers", 3),
        ("--shard", "1/2", "shard", (1, 2)), ("--balance", "crack=1, dent=2", "balance", "crack=1,dent=2"),
    ],
)  # fmt: skip
def test_an_option_reaches_the_configuration(configured, option, value, key, expected):
    """Each value is another than the default: one that is not cannot show that it arrived."""
    config, _ = configured(option, value)
    assert getattr(config, key) == expected != type(config).model_fields[key].default


@pytest.mark.parametrize(
    ("option", "value", "key", "expected"),
    [
        ("--region-mask", "m.png", "mask", Path("m.png")), ("--avoid", "a", "avoid", Path("a")),
        ("--placement", "edge", "placement", "edge"),
    ],
)  # fmt: skip
def test_a_placement_option_reaches_the_configuration(configured, tmp_path, option, value, key, expected):
    (tmp_path / "fmas.yaml").write_text("region: {shape: blob, placement: inside, avoid: none}\n", encoding="utf-8")
    config, _ = configured(option, value)
    assert getattr(config.region, key) == expected
    assert config.region.shape == "blob"  # what the file says besides is kept


def test_balance_is_told_planned_and_made(fmas, tiles):
    run = ("run", tiles, "--out", "out", "--per-image", 4, "--candidates", 1, "--balance", "specks=2,fray=1")
    assert "defects to make: fray 4, specks 8" in fmas(*run, "--dry-run").stdout
    result = fmas(*run)
    assert result.exit_code == 0, result.output
    assert "balance: fray asked 33.3%, made 33.3% (4); specks asked 66.7%, made 66.7% (8)" in result.stdout
    assert "balance" not in fmas("run", tiles, "--out", "other", "--limit", 1).stdout


def test_a_mask_without_white_ends_the_run_before_anything_is_written(fmas, tiles, tmp_path):
    Image.new("L", (90, 80)).save(tmp_path / "mask.png")
    for extra in ((), ("--dry-run",)):
        result = fmas("run", tiles, "--out", "out", "--region-mask", "mask.png", *extra)
        assert result.exit_code == 2
        assert result.stderr.startswith("error: expected white (255) where a defect may be in region.mask mask.png")
        assert not (tmp_path / "out").exists()


def test_photographs_without_a_mask_are_noted(fmas, tiles, tmp_path):
    (tmp_path / "masks").mkdir()
    Image.new("1", (90, 80), 1).save(tmp_path / "masks/1.png")
    result = fmas("run", tiles, "--out", "out", "--region-mask", "masks", "--candidates", 1)
    assert result.exit_code == 3
    assert "note: region.mask masks has no mask for 2 of 3 photographs, which will fail" in result.stderr
    assert "failed: ImageError 2" in result.stdout


@pytest.mark.parametrize("kind", ["llm", "segmenter", "inpainter", "selector"])
def test_a_component_option_reaches_the_configuration(configured, kind):
    config, _ = configured(f"--{kind}", "other")
    assert getattr(config, kind).name == "other"


@pytest.mark.parametrize("kind", ["llm", "segmenter", "inpainter", "selector"])
def test_an_unknown_component_is_refused_by_its_kind(fmas, tiles, kind):
    result = fmas("run", tiles, "--out", "out", f"--{kind}", "nobody-brings-this")
    assert result.exit_code == 2
    assert f"expected the name of an installed {kind}, got 'nobody-brings-this'" in result.stderr


def test_ctrl_c_is_130_and_says_how_to_go_on(configured):
    _, result = configured()
    assert result.exit_code == 130
    assert result.stderr == "interrupted; everything finished is in out; run the same command to go on\n"


def test_command_line_beats_environment_beats_project_file(fmas, configured, tmp_path, monkeypatch):
    (tmp_path / "fmas.yaml").write_text("seed: 1\ncandidates: 1\nper_image: 5\n", encoding="utf-8")
    monkeypatch.setenv("FMAS_SEED", "2")
    monkeypatch.setenv("FMAS_CANDIDATES", "2")
    config, _ = configured("--seed", 3)
    assert (config.seed, config.candidates, config.per_image) == (3, 2, 5)
    config, _ = configured("--seed", 3, "--set", "seed=4")
    assert config.seed == 4


def test_dry_run_does_not_run(fmas, tiles, monkeypatch):
    monkeypatch.setattr("fmas.pipeline.synthesize", lambda *given, **options: pytest.fail("it ran"))
    assert fmas("run", tiles, "--out", "out", "--dry-run").exit_code == 0


def test_dry_run_counts_held_out_photographs_apart(fmas, tiles):
    content = json.loads(
        fmas("run", tiles, "--out", "out", "--per-image", 2, "--holdout-good", 0.999, "--dry-run", "--json").stdout
    )
    assert (content["held_out_good"], content["pairs_to_make"], content["candidates_to_paint"]) == (3, 0, 0)


def test_dry_run_refuses_more_pairs_than_six_digits(fmas, tiles, monkeypatch):
    monkeypatch.setattr("fmas.work._MOST_STEMS", 2)
    result = fmas("run", tiles, "--out", "out", "--dry-run")
    assert result.exit_code == 2
    assert "expected at most 2 pairs in one data set" in result.stderr


def test_rejects_are_summarised(fmas, tiles):
    result = fmas("run", tiles, "--out", "out", "--set", "refine.min_area=2000", "--set", "region.placements=1")
    assert "rejected candidates, painted again: too_small " in result.stdout


def test_changed_libraries_are_told_on_stderr(fmas, tiles, tmp_path):
    fmas("run", tiles, "--out", "out", "--limit", 1)
    path = tmp_path / "out/run.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["libraries"]["numpy"] = "1.0"
    path.write_text(json.dumps(content), encoding="utf-8")
    result = fmas("run", tiles, "--out", "out")
    assert "note: libraries have changed" in result.stderr
    assert "libraries" not in result.stdout


def test_exit_code_of_a_rerun_counts_what_is_kept(fmas, tiles):
    (tiles / "1.png").write_bytes(b"broken")
    assert fmas("run", tiles, "--out", "out").exit_code == 3
    again = fmas("run", tiles, "--out", "out")
    assert again.stdout.startswith("made 0, kept 2, failed 1 in ")
    assert again.exit_code == 3
