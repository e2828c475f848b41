"""What a problem says to do really helps: it is done here, by running again, and the output is sound afterwards."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fmas.errors import FmasError
from fmas.pipeline import synthesize
from fmas.validate import validate_output

Damage = Callable[[Any], object]


@pytest.fixture
def rerun(forgery, fakes, make_registry, make_config):
    """Run again what made the output."""

    def run() -> None:
        config = make_config(out=forgery.out, per_image=2, holdout_good=0.4, seed=1)
        synthesize(config, registry=make_registry(fakes))

    return run


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def follow(out: Path, rerun: Callable[[], None]) -> None:
    """Do what the problems say, line numbers from the last to the first."""
    problems = validate_output(out).problems
    assert problems
    for problem in reversed(problems):
        advice = problem.message.rpartition("; ")[2]
        assert "run the same fmas run again" in advice, str(problem)
        place = re.fullmatch(r"(manifest/.*\.jsonl):(\d+)", problem.path)
        if advice.startswith("remove that line") and place is not None:
            path = out / place[1]
            lines = path.read_bytes().splitlines(keepends=True)
            path.write_bytes(b"".join(lines[: int(place[2]) - 1] + lines[int(place[2]) :]))
        elif advice.startswith(("delete it and", "move it away and")):
            remove(out / problem.path)
        else:
            assert advice.startswith("run the same fmas run again"), str(problem)
    rerun()


def paint_grey(f):
    f.paint("mask", f.pixels("mask") // 2)


def flip_twin(f):
    f.paint("twin", f.pixels("twin") ^ 1)


MENDED_BY_RUNNING_AGAIN: dict[str, Damage] = {
    "configuration missing": lambda f: (f.out / "config.resolved.yaml").unlink(),
    "configuration broken": lambda f: (f.out / "config.resolved.yaml").write_text("a: [b"),
    "configuration of another run": lambda f: f.edit_config(seed=5),
    "configuration is a folder": lambda f: replace_by_folder(f.out / "config.resolved.yaml"),
    "counts missing": lambda f: f.edit_json("run.json", lambda content: content.pop("counts")),
    "counts wrong": lambda f: f.edit_json("run.json", lambda content: content["counts"].update(pairs=99)),
    "failures missing": lambda f: (f.out / "failures.jsonl").unlink(),
    "failures is a folder": lambda f: replace_by_folder(f.out / "failures.jsonl"),
    "metadata missing": lambda f: (f.dataset / "metadata.jsonl").unlink(),
    "metadata edited": lambda f: f.edit_metadata(
        lambda lines: [lines[0].replace("test part", "best part"), *lines[1:]]
    ),
    "card missing": lambda f: (f.dataset / "README.md").unlink(),
    "card without front matter": lambda f: (f.dataset / "README.md").write_text("# Defects"),
    "manifest torn": lambda f: f.manifest.write_bytes(f.manifest.read_bytes()[:-20]),
    "manifest with garbage": lambda f: f.manifest.write_bytes(b"garbage\n" + f.manifest.read_bytes()),
    "manifest with two garbage lines": lambda f: f.manifest.write_bytes(b"x\n" + f.manifest.read_bytes() + b"y\n"),
    "size wrong": lambda f: (f.pairs[0]["sizes"].update({f.name("image"): 1}), f.write_lines()),
    "image missing": lambda f: f.path("image").unlink(),
    "image empty": lambda f: f.path("image").write_bytes(b""),
    "image is a folder": lambda f: replace_by_folder(f.path("image")),
    "image is a JPEG": lambda f: Image.fromarray(f.pixels("image")).save(f.path("image"), "JPEG"),
    "image cut short": lambda f: f.path("image").write_bytes(f.path("image").read_bytes()[:-30]),
    "image painted over": lambda f: f.paint("image", np.zeros_like(f.pixels("image"))),
    "mask emptied": lambda f: f.paint("mask", np.zeros_like(f.pixels("mask"))),
    "mask grey": paint_grey,
    "twin changed": flip_twin,
    "twin missing": lambda f: f.path("twin").unlink(),
    "held-out missing": lambda f: f.path("held_out").unlink(),
    "image that nobody listed": lambda f: shutil.copy(f.path("image"), f.path("image").with_name("900000.png")),
    "category gone": lambda f: shutil.rmtree(f.dataset),
    "dataset gone": lambda f: shutil.rmtree(f.dataset.parent),
}


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("damage", MENDED_BY_RUNNING_AGAIN.values(), ids=MENDED_BY_RUNNING_AGAIN)
def test_running_again_mends_what_is_said_to_be_mended_by_it(forgery, rerun, damage):
    before = {path: path.read_bytes() for path in forgery.dataset.rglob("*") if path.is_file()}
    damage(forgery)
    follow(forgery.out, rerun)
    assert [str(problem) for problem in validate_output(forgery.out).problems] == []
    assert {path: path.read_bytes() for path in forgery.dataset.rglob("*") if path.is_file()} == before


def test_broken_row_is_mended_by_deleting_its_line(forgery, rerun):
    del forgery.pairs[0]["row"]["prompt"]
    forgery.seal()
    (told,) = forgery.told("row-fields")
    assert told.endswith("; restore the manifest line, or delete it and run the same fmas run again [row-fields]")
    lines = [line for line in forgery.lines if "prompt" in line["row"] or line["row"]["defect"] == "good"]
    assert len(lines) == len(forgery.lines) - 1
    forgery.lines = lines
    forgery.write_lines()
    rerun()
    assert forgery.broken() == set()


REFUSED_TO_RUN_AGAIN: dict[str, tuple[str, Damage]] = {
    "run.json missing": ("run.json", lambda f: (f.out / "run.json").unlink()),
    "run.json broken": ("run.json", lambda f: (f.out / "run.json").write_bytes(b"\xff{")),
    "run.json of another run": (
        "run.json",
        lambda f: f.edit_json("run.json", lambda content: content["identity"].update(seed=7)),
    ),
    "plan.json missing": ("plan.json", lambda f: (f.out / "plan.json").unlink()),
    "plan.json garbage": ("plan.json", lambda f: (f.out / "plan.json").write_bytes(b"\xff\xfe{")),
    "plan.json of another shape": ("plan.json", lambda f: (f.out / "plan.json").write_text("{}")),
    "plan.json edited": (
        "plan.json",
        lambda f: f.edit_json("plan.json", lambda content: content["defects"][0].update(prompt="another")),
    ),
    "manifest missing": ("manifest", lambda f: shutil.rmtree(f.out / "manifest")),
}


@pytest.mark.parametrize(("blocker", "damage"), REFUSED_TO_RUN_AGAIN.values(), ids=REFUSED_TO_RUN_AGAIN)
def test_nobody_is_told_to_run_again_what_is_refused(forgery, rerun, blocker, damage):
    damage(forgery)
    if blocker != "manifest":
        (forgery.out / "config.resolved.yaml").unlink()
        (forgery.out / "failures.jsonl").unlink()
        forgery.path("image").unlink()
    with pytest.raises(FmasError):
        rerun()
    problems = validate_output(forgery.out).problems
    own = [problem for problem in problems if problem.path == blocker]
    assert len(own) == 1
    assert "choose another --out" in own[0].message
    for problem in problems:
        assert "run the same fmas run again" not in problem.message
        if problem not in own:
            assert problem.message.endswith(f"; restore it from a copy: a rerun is refused until {blocker} is mended")
    assert len(problems) == (1 if blocker == "manifest" else 4)


def test_lost_run_says_that_the_pictures_can_be_used(forgery):
    (forgery.out / "run.json").unlink()
    (told,) = forgery.told("run-file")
    assert told == (
        "run.json: expected the run's identity, got nothing there; restore it from a copy: without it this run cannot "
        "be continued, so choose another --out for more; the pictures that are there can still be used [run-file]"
    )


@pytest.mark.parametrize("content", [b"\xff\xfe{", b"{}", b"[" * 100_000, b"", b"{"])
def test_broken_plan_is_told_in_one_sentence(forgery, content):
    (forgery.out / "plan.json").write_bytes(content)
    (told,) = forgery.told("plan")
    assert told.startswith("plan.json: expected ")
    assert (told.count("expected "), told.count(str(forgery.out))) == (1, 0)
    assert told.count("; restore it from a copy: without it this run cannot be continued") == 1


def test_rerun_is_advised_only_once_for_a_missing_configuration(forgery):
    (forgery.out / "config.resolved.yaml").unlink()
    (told,) = forgery.told("config")
    assert told == (
        "config.resolved.yaml: expected a configuration, got nothing there; "
        "run the same fmas run again, it writes this file anew [config]"
    )
