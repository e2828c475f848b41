"""What services were asked and what it cost: counted over every invocation, and never in the way of a picture."""

from __future__ import annotations

import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmas.errors import OutputError, PlanError
from fmas.layout import OutputLayout
from fmas.pipeline import synthesize
from fmas.planning import store_plan
from fmas.through import through
from fmas.usage import UsageMeterReading, add_usage, append_usage, read_usage, usage_words
from fmas.validate import validate_output


class Metered:
    """A component with a meter that a test sets."""

    def __init__(self, totals):
        self.totals = totals

    def usage(self):
        if isinstance(self.totals, Exception):
            raise self.totals
        return self.totals


def meter(component, **each):
    """Let a component count one call, and ``each``, per call of plan() or per job of inpaint()."""
    totals = dict.fromkeys(["calls", *each], 0)

    def count(number):
        totals["calls"] += number
        for name, value in each.items():
            totals[name] = None if value is None else totals[name] + number * value

    method = "plan" if hasattr(component, "plan") else "inpaint"
    original = getattr(component, method)

    def counted(given_to_it):
        count(1 if method == "plan" else len(given_to_it))
        return original(given_to_it)

    setattr(component, method, counted)
    component.usage = lambda: dict(totals)
    return totals


def usage_of(out):
    return json.loads((out / "run.json").read_text())["usage"]


def test_run_file_and_summary_hold_the_totals_of_all_invocations(run, fakes):
    meter(fakes["llm"], input_tokens=100, cost_usd=0.25)
    painted = meter(fakes["inpainter"], output_tokens=7, cost_usd=None)
    out, summary = run(limit=2)
    first = {"calls": painted["calls"], "output_tokens": 7 * painted["calls"], "cost_usd": None}
    assert painted["calls"] >= 4
    assert usage_of(out) == {"inpainter": first, "llm": {"calls": 1, "input_tokens": 100, "cost_usd": 0.25}}
    assert summary.to_json()["usage"] == usage_of(out)
    _, summary = run()
    assert usage_of(out)["inpainter"]["calls"] == painted["calls"] > first["calls"]
    assert usage_of(out)["llm"]["calls"] == 1
    _, summary = run()
    assert usage_of(out) == summary.usage
    assert validate_output(out).problems == ()


def test_meters_change_no_byte_of_the_data_set(run, fakes, tree, tmp_path):
    plain, _ = run(out=tmp_path / "plain")
    meter(fakes["llm"])
    meter(fakes["inpainter"])
    counted, _ = run(out=tmp_path / "counted")
    assert tree(plain) == tree(counted)
    identities = [json.loads((out / "run.json").read_text())["digest"] for out in (plain, counted)]
    assert identities[0] == identities[1]
    assert usage_of(plain) == {}
    assert not (plain / "usage.jsonl").exists()


class AsFromWorkers:
    """Hands on what comes back as from a worker process, and reads the meter empty that the run itself could read."""

    def run(self, stages, items):
        (inpaint,) = [stage for stage in stages if stage.name == "inpaint"]
        for result in list(through(stages, items, ())):
            yield pickle.loads(pickle.dumps(result))  # noqa: S301 (our own bytes)
        assert inpaint._inpainter.new_usage() == {}


def test_workers_tell_what_they_used_beside_their_results(run, fakes):
    painted = meter(fakes["inpainter"])
    out, _ = run(executor=AsFromWorkers())
    assert usage_of(out) == {"inpainter": {"calls": painted["calls"]}}
    assert painted["calls"] >= 12


def test_what_failed_was_paid_for_as_well(run, fakes, monkeypatch):
    totals = {"calls": 0}

    def fail(jobs):
        totals["calls"] += len(jobs)
        raise RuntimeError("out of credit")

    fakes["inpainter"].inpaint = fail
    fakes["inpainter"].usage = lambda: dict(totals)
    out, summary = run()
    assert summary.failed == 6
    assert usage_of(out)["inpainter"]["calls"] == totals["calls"] > 0


def test_answer_that_is_no_plan_was_paid_for_as_well(fakes, make_registry, make_config):
    fakes["llm"].defects = []
    meter(fakes["llm"], input_tokens=5)
    config = make_config()
    for times in (1, 2):
        with pytest.raises(PlanError, match="expected a plan from the llm"):
            store_plan(config, with_reference=False, registry=make_registry(fakes))
        assert read_usage(OutputLayout(config.out, "x")) == {"llm": {"calls": times, "input_tokens": 5 * times}}


def test_plan_alone_is_counted_and_goes_into_the_run(fakes, make_registry, make_config):
    meter(fakes["llm"], input_tokens=3)
    config = make_config()
    store_plan(config, with_reference=True, registry=make_registry(fakes))
    summary = synthesize(config, registry=make_registry(fakes))
    assert usage_of(config.out) == summary.usage == {"llm": {"calls": 1, "input_tokens": 3}}


@pytest.mark.parametrize("broken", [RuntimeError("no"), "text", {"key": "sk-secret"}, {"Bad Name": 1}, {"n": True}])
def test_broken_meter_counts_nothing(broken):
    assert UsageMeterReading().new(Metered(broken)) == {}


@pytest.mark.parametrize("value", [-1, float("nan"), float("inf")])
def test_only_sensible_numbers_are_counted(value):
    assert UsageMeterReading().new(Metered({"calls": 2, "tokens": value})) == {"calls": 2}


def test_meter_begun_anew_is_counted_from_zero():
    component, reading = Metered({"calls": 5}), UsageMeterReading()
    assert reading.new(component) == {"calls": 5}
    component.totals = {"calls": 2}
    assert reading.new(component) == {"calls": 2}
    assert reading.new(component) == {}


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=20))
def test_readings_add_up_to_the_meter(steps):
    component, reading, total, added = Metered({"calls": 0}), UsageMeterReading(), 0, {}
    for step in steps:
        total += step
        component.totals = {"calls": total}
        added = add_usage(added, reading.new(component))
    assert added.get("calls", 0) == total


def test_unknown_stays_unknown():
    assert add_usage({"cost_usd": 1.5}, {"cost_usd": None}) == {"cost_usd": None}
    assert add_usage({"cost_usd": None}, {"cost_usd": 1.5}) == {"cost_usd": None}
    assert add_usage({}, {"cost_usd": 0.1}) == {"cost_usd": 0.1}


def test_torn_line_costs_only_itself(tmp_path):
    layout = OutputLayout(tmp_path, "x")
    append_usage(layout, "llm", {"calls": 1})
    layout.usage.write_bytes(layout.usage.read_bytes() + b'{"kind": "llm", "us')
    append_usage(layout, "llm", {"calls": 2})
    append_usage(layout, "strange", {"calls": 4})
    assert read_usage(layout) == {"llm": {"calls": 3}}
    append_usage(layout, "llm", {})
    assert len(layout.usage.read_bytes().splitlines()) == 4


def test_file_that_cannot_be_used_is_one_line(tmp_path):
    layout = OutputLayout(tmp_path, "x")
    layout.usage.mkdir()
    with pytest.raises(OutputError, match=r"expected to read .*usage\.jsonl"):
        read_usage(layout)
    with pytest.raises(OutputError, match=r"expected to write .*usage\.jsonl"):
        append_usage(layout, "llm", {"calls": 1})


def test_words():
    usage = {
        "inpainter": {"calls": 1200, "replies_without_usage": 0, "cost_usd": None},
        "llm": {"calls": 1, "input_tokens": 1_234_567, "output_tokens": None, "cost_usd": 0.0034},
    }
    assert usage_words(usage) == (
        "inpainter 1,200 calls, cost unknown; llm 1 call, 1,234,567 input tokens, output tokens unknown, cost $0.0034"
    )
