"""The plan is asked for once, kept, and never replaced in silence."""

from __future__ import annotations

import json

import pytest

from fmas.errors import OutputError, PlanError
from fmas.pipeline import synthesize
from fmas.planning import store_plan


def test_plan_is_asked_for_once_and_kept(run, fakes):
    out, _ = run()
    assert len(fakes["llm"].asked) == 1
    assert fakes["llm"].asked[0].object == "test part"
    assert fakes["llm"].asked[0].reference.shape == (64, 96, 3)
    plan = json.loads((out / "plan.json").read_text(encoding="utf-8"))
    assert [defect["name"] for defect in plan["defects"]] == ["hairline crack", "oil stain"]


def test_edited_plan_is_used(run, make_config, make_registry, fakes, rows):
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
    with pytest.raises(PlanError, match=r"with other options \(model\); give the same ones or choose another --out"):
        run()
    path.write_text(content.replace('"config": {}', '"config": {"sha256": "00"}'), encoding="utf-8")
    with pytest.raises(PlanError, match="read from another list of defects; restore that list, go on with"):
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


def test_llm_that_raises_is_one_line(run, fakes, monkeypatch):
    def plan(self, request):
        raise ConnectionError("no route\nto host")

    monkeypatch.setattr(type(fakes["llm"]), "plan", plan)
    with pytest.raises(PlanError, match="got ConnectionError: no route to host; mend that"):
        run()


def test_the_llm_is_shown_the_first_photograph_that_can_be_read(run, fakes, photographs):
    (photographs / "part_0.png").write_bytes(b"not a picture")
    run()
    assert fakes["llm"].asked[0].reference.shape == (72, 92, 3)


@pytest.mark.parametrize("shown", [True, False])
def test_the_llm_sees_a_photograph_only_when_allowed(make_config, make_registry, fakes, shown):
    store_plan(make_config(), with_reference=shown, registry=make_registry(fakes))
    assert (fakes["llm"].asked[0].reference is not None) is shown
