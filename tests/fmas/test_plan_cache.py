"""An answer that was paid for is kept by what was asked."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field

import numpy as np
import pytest

from fmas import files
from fmas.errors import PlanError
from fmas.pipeline import synthesize
from fmas.plan_cache import plan_key
from fmas.planning import store_plan
from fmas.preview import preview_run
from fmas.types import Fingerprint, PlanRequest
from fmas.validate import validate_output


@pytest.fixture
def live(fakes, make_registry):
    """A registry whose LLM costs something."""
    return make_registry(fakes, live=True)


def kept(config):
    return sorted((config.out / "cache").glob("*"))


def test_plan_deleted_by_the_user_is_not_paid_for_again(live, fakes, make_config):
    config = make_config()
    first = store_plan(config, with_reference=True, registry=live)
    (config.out / "plan.json").unlink()
    assert store_plan(config, with_reference=True, registry=live) == first
    assert len(fakes["llm"].asked) == 1
    (path,) = kept(config)
    (config.out / "plan.json").unlink()
    path.unlink()
    store_plan(config, with_reference=True, registry=live)
    assert len(fakes["llm"].asked) == 2


def test_run_killed_between_the_answer_and_the_plan_does_not_pay_again(live, fakes, make_config, monkeypatch):
    write = files.AtomicWriter.write

    def die_at_the_plan(self, path, content):
        if path.name == "plan.json":
            raise KeyboardInterrupt
        write(self, path, content)

    config = make_config()
    with monkeypatch.context() as patched:
        patched.setattr(files.AtomicWriter, "write", die_at_the_plan)
        with pytest.raises(KeyboardInterrupt):
            synthesize(config, registry=live)
    assert not (config.out / "plan.json").exists()
    assert preview_run(config, registry=live)["llm_calls"] == 0
    assert synthesize(config, registry=live).made == 6
    assert len(fakes["llm"].asked) == 1
    assert validate_output(config.out).problems == ()


def test_edited_plan_is_used_and_the_answer_stays_as_it_was(live, make_config):
    config = make_config()
    store_plan(config, with_reference=True, registry=live)
    (path,) = kept(config)
    answer = path.read_bytes()
    plan = config.out / "plan.json"
    assert plan.read_bytes() == answer
    plan.write_text(plan.read_text().replace("oil stain", "rust"))
    synthesize(config, registry=live)
    assert path.read_bytes() == answer
    assert "rust" in plan.read_text()


def test_another_object_option_or_photograph_asks_anew(live, fakes, make_registry, make_config, photographs):
    def ask(registry=live, **settings):
        config = make_config(**settings)
        (config.out / "plan.json").unlink(missing_ok=True)
        store_plan(config, with_reference=settings.pop("images", None) is not None, registry=registry)
        return len(fakes["llm"].asked)

    assert ask() == 1
    assert ask(object="screw") == 2
    assert ask(images=photographs) == 3
    shutil.copy(photographs / "part_3.png", photographs / "a_new_first.png")
    assert ask(images=photographs) == 4
    fakes["llm"].fingerprint = lambda: Fingerprint("fake", "1", {"model": "larger"})
    assert ask() == 5
    assert ask() == 5


def test_llm_that_costs_nothing_leaves_no_cache(run):
    out, _ = run()
    assert not (out / "cache").exists()


def test_dry_run_creates_no_llm_for_an_empty_cache(fakes, make_registry, make_config):
    class NoKey(dict):
        def __missing__(self, kind):
            raise RuntimeError("OPENAI_API_KEY is not set")

    registry = make_registry(NoKey({kind: fakes[kind] for kind in fakes if kind != "llm"}), live=True)
    config = make_config()
    assert preview_run(config, registry=registry)["llm_calls"] == 1
    (config.out / "cache").mkdir(parents=True)
    (config.out / "cache" / f"plan-{'0' * 64}.json").write_text("{}")
    assert preview_run(config, registry=registry)["llm_calls"] == 1


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "expected JSON"),
        ("{}", "expected a prompt plan"),
        (None, "got one of 'fake' for 'screw'"),
    ],
)
def test_kept_answer_that_is_broken_is_not_paid_for_in_silence(live, fakes, make_config, text, problem):
    config = make_config()
    store_plan(config, with_reference=True, registry=live)
    (config.out / "plan.json").unlink()
    (path,) = kept(config)
    content = json.loads(path.read_text())
    path.write_text(text if text is not None else json.dumps(content | {"object": "screw"}))
    with pytest.raises(PlanError, match=rf"{problem}.*delete it to ask the llm again"):
        store_plan(config, with_reference=True, registry=live)
    assert len(fakes["llm"].asked) == 1


@dataclass
class Picture:
    """Pixels that differ in one place."""

    value: int
    pixels: np.ndarray = field(init=False)

    def __post_init__(self):
        self.pixels = np.zeros((4, 5, 3), np.uint8)
        self.pixels[1, 2, 0] = self.value


def test_key_depends_on_everything_that_is_asked():
    author = Fingerprint("fake", "1", {"model": "x"})
    keys = [
        plan_key(PlanRequest("screw", reference), llm)
        for reference in (None, Picture(0).pixels, Picture(1).pixels)
        for llm in (author, Fingerprint("fake", "2", {"model": "x"}), Fingerprint("fake", "1", {"model": "y"}))
    ]
    keys.append(plan_key(PlanRequest("nut", None), author))
    assert len(set(keys)) == len(keys)
    assert plan_key(PlanRequest("screw", Picture(1).pixels), author) == keys[6]
