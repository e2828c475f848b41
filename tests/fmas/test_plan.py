from __future__ import annotations

import hashlib
import json
from types import SimpleNamespace

import pytest

from fmas.errors import PlanError
from fmas.plan import StoredPlan, ask_for_plan, read_plan
from fmas.types import Defect, DefectKind, Fingerprint, PlanRequest, PromptPlan

CRACK = Defect(name="Haarriß", prompt="a thin crack", kind=DefectKind.CRACK, severity=0.5)


class LLM:
    def __init__(self, answer):
        self.answer = answer

    def fingerprint(self):
        return Fingerprint("some", "2", {"model": "m"})

    def plan(self, request):
        return self.answer


def test_plan_survives_the_file(tmp_path):
    plan = ask_for_plan(LLM(PromptPlan(defects=(CRACK, CRACK))), PlanRequest("tile"))
    path = tmp_path / "plan.json"
    path.write_text(plan.to_json(), encoding="utf-8")
    assert read_plan(path) == plan
    assert read_plan(path).digest() == plan.digest()
    assert plan.slugs == ["haarri", "haarri_2"]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (None, "expected settings by name"),
        ({"defects": []}, "at least 1 item"),
        ({"defects": [{"name": "x", "prompt": " "}]}, "pattern"),
        ({"defects": [{"name": "x", "prompt": "y", "severity": 2}]}, "less than or equal to 1"),
        ({"defects": [{"name": "x", "prompt": "y", "kind": "explosion"}]}, "scratch"),
        ({"defects": [{"name": "x", "prompt": "y", "sevrity": 1}]}, "did you mean 'severity'"),
        (PromptPlan.model_construct(defects=()), "at least 1 item"),
    ],
)
def test_answer_is_validated_however_it_was_made(answer, message):
    with pytest.raises(PlanError, match=message):
        ask_for_plan(LLM(answer), PlanRequest("tile"))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"object": "x"}', b"\xff\xfe"])
def test_a_broken_file_is_one_clear_error(tmp_path, content):
    path = tmp_path / "plan.json"
    path.write_bytes(content)
    with pytest.raises(PlanError, match=r"expected .* in .*plan\.json"):
        read_plan(path)


def test_digest_covers_defects_and_author():
    base = StoredPlan("tile", Fingerprint("a", "1"), (CRACK,))
    others = [
        StoredPlan("tile", Fingerprint("b", "1"), (CRACK,)),
        StoredPlan("tile", Fingerprint("a", "1"), (CRACK.model_copy(update={"severity": 0.6}),)),
        StoredPlan("tiles", Fingerprint("a", "1"), (CRACK,)),
    ]
    assert len({plan.digest() for plan in [base, *others]}) == 4


def test_edited_file_is_read_as_edited(tmp_path):
    plan = StoredPlan("tile", Fingerprint("a", "1"), (CRACK,))
    content = json.loads(plan.to_json())
    content["defects"][0]["severity"] = 0.9
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    assert read_plan(path).defects[0].severity == 0.9


def test_a_plan_from_before_there_was_a_placement_is_the_same_plan(tmp_path):
    plan = StoredPlan("tile", Fingerprint("a", "1"), (CRACK,))
    content = json.loads(plan.to_json())
    assert content["defects"][0].pop("placement") == "auto"  # there to be edited
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    assert read_plan(path) == plan
    old = hashlib.sha256((json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()).hexdigest()
    assert plan.digest() == old


def test_a_placement_is_part_of_the_plan(tmp_path):
    plain = StoredPlan("tile", Fingerprint("a", "1"), (CRACK,))
    edge = StoredPlan("tile", Fingerprint("a", "1"), (CRACK.model_copy(update={"placement": "edge"}),))
    (tmp_path / "plan.json").write_text(edge.to_json(), encoding="utf-8")
    assert read_plan(tmp_path / "plan.json").defects[0].placement == "edge"
    assert edge.digest() != plain.digest()
    with pytest.raises(PlanError, match="'auto', 'anywhere', 'edge' or 'inside'"):
        ask_for_plan(LLM({"defects": [{"name": "x", "prompt": "y", "placement": "corner"}]}), PlanRequest("tile"))


def test_the_author_is_stored_with_its_options(tmp_path):
    llm = SimpleNamespace(
        plan=lambda request: {"defects": [{"name": "x", "prompt": "y"}]},
        fingerprint=lambda: Fingerprint("some", "2", {"model": "m"}),
    )
    plan = ask_for_plan(llm, PlanRequest("tile"))
    assert plan.llm == Fingerprint("some", "2", {"model": "m"})
    (tmp_path / "plan.json").write_text(plan.to_json(), encoding="utf-8")
    assert read_plan(tmp_path / "plan.json").llm == plan.llm
