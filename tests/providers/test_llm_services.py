"""GPT, a compatible server and Claude, by their real SDKs, against a fake service on this machine."""

from __future__ import annotations

import base64
import importlib
import io
import json
from dataclasses import dataclass

import numpy as np
import pytest
from PIL import Image

from fmas.errors import ConfigError, PlanError
from fmas.testing import check_llm
from fmas.types import DefectKind, PlanRequest

KEY = "sk-test-0123456789abcdef"
PROTOCOLS = ("responses", "chat", "anthropic")


@dataclass
class Spoken:
    """One way to ask: how its LLM is made, and where its request carries what."""

    name: str
    server: object
    waits: list[float]

    def llm(self, **options):
        from fmas_providers.llm.backoff import Backoff

        patience = options.get("patience", 30.0)
        backoff = Backoff(patience, sleep=self.waits.append)
        if self.name == "anthropic":
            module = importlib.import_module("fmas_providers.anthropic.llm")
            return module.AnthropicLLM(
                module.AnthropicOptions(base_url=self.server.address, **options), backoff=backoff
            )
        module = importlib.import_module("fmas_providers.openai.llm")
        base = {"base_url": f"{self.server.address}/v1", "api": self.name}
        return module.OpenAILLM(module.OpenAIOptions(**(base | options)), backoff=backoff)

    def texts(self, body):
        """Return every text of a request, instructions included."""
        found = []

        def walk(value):
            if isinstance(value, dict):
                for key, inner in value.items():
                    if key in {"text", "content", "instructions", "system"} and isinstance(inner, str):
                        found.append(inner)
                    walk(inner)
            elif isinstance(value, list):
                for inner in value:
                    walk(inner)

        walk(body)
        return found

    def image(self, body):
        if self.name == "responses":
            url = body["input"][0]["content"][1]["image_url"]
        elif self.name == "chat":
            url = body["messages"][1]["content"][1]["image_url"]["url"]
        else:
            source = body["messages"][0]["content"][0]["source"]
            assert (source["type"], source["media_type"]) == ("base64", "image/jpeg")
            return source["data"]
        assert url.startswith("data:image/jpeg;base64,")
        return url.partition(",")[2]

    def schema(self, body):
        if self.name == "responses":
            form = body["text"]["format"]
            assert (form["type"], form["strict"], form["name"]) == ("json_schema", True, "defects")
            return form["schema"]
        if self.name == "chat":
            form = body["response_format"]
            assert (form["type"], form["json_schema"]["strict"]) == ("json_schema", True)
            return form["json_schema"]["schema"]
        form = body["output_config"]["format"]
        assert form["type"] == "json_schema"
        return form["schema"]


@pytest.fixture(params=PROTOCOLS)
def spoken(request, fake_llm, monkeypatch):
    package = "anthropic" if request.param == "anthropic" else "openai"
    pytest.importorskip(package, reason=f"needs the SDK: pip install 'fmas-providers[{package}]'")
    monkeypatch.setenv(f"{package.upper()}_API_KEY", KEY)
    return Spoken(request.param, fake_llm, [])


@pytest.fixture
def answer(fake_llm):
    return importlib.import_module("fake_llm_server").Answer


def photograph(height=40, width=60):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_the_answer_becomes_a_plan(spoken):
    plan = spoken.llm().plan(PlanRequest("metal screw"))
    assert [(defect.name, defect.kind, defect.severity) for defect in plan.defects] == [
        ("deep scratch", DefectKind.SCRATCH, 0.7),
        ("rust spot", DefectKind.STAIN, 0.3),
    ]
    assert plan.defects[0].negative_prompt == "cartoon, text"


def test_conformance(spoken):
    check_llm(spoken.llm())


def test_the_request_carries_question_schema_key_and_photograph(spoken):
    spoken.llm(model="some-model").plan(PlanRequest("metal screw", photograph(1500, 3000)))
    (asked,) = spoken.server.asked
    assert asked.path == {"responses": "/v1/responses", "chat": "/v1/chat/completions"}.get(spoken.name, "/v1/messages")
    assert asked.headers.get("authorization") == f"Bearer {KEY}" or asked.headers.get("x-api-key") == KEY
    assert asked.body["model"] == "some-model"
    texts = spoken.texts(asked.body)
    assert (
        "It's an image of a metal screw. If anomalies are to be generated on this object using Stable Diffusion's "
        "inpainting mode, what prompts and negative prompts should be used?"
    ) in texts
    assert any("Name 8 different defects" in text for text in texts)
    schema = spoken.schema(asked.body)
    defect = schema["properties"]["defects"]["items"]
    assert (
        set(defect["required"])
        == set(defect["properties"])
        == {
            "name",
            "kind",
            "prompt",
            "negative_prompt",
            "severity",
            "placement",
        }
    )
    assert any("placement, where on the product it lies" in text for text in texts)
    assert defect["properties"]["placement"]["enum"] == ["auto", "anywhere", "edge", "inside"]
    assert defect["properties"]["kind"]["enum"] == [kind.value for kind in DefectKind]
    assert schema["additionalProperties"] is defect["additionalProperties"] is False
    with Image.open(io.BytesIO(base64.b64decode(spoken.image(asked.body)))) as picture:
        assert picture.size == (1024, 512)


def test_where_a_defect_lies_reaches_the_plan(spoken, answer):
    said = {"name": "burr", "kind": "other", "prompt": "a burr", "negative_prompt": "", "severity": 0.4}
    placed = [said | {"placement": place} for place in ("edge", "inside", "auto")]
    spoken.server.answers = [answer(content={"defects": [*placed, said]})]
    plan = spoken.llm().plan(PlanRequest("metal screw"))
    assert [defect.placement for defect in plan.defects] == ["edge", "inside", "auto", "auto"]


def test_a_model_without_images_gets_none(spoken):
    spoken.llm(reference=False).plan(PlanRequest("metal screw", photograph()))
    assert "base64" not in json.dumps(spoken.server.asked[0].body)


def test_template_and_instructions_are_the_users(spoken):
    llm = spoken.llm(template="What breaks on {object} {really}?", instructions="Be brief.", defects=3)
    llm.plan(PlanRequest("a {cup}"))
    texts = spoken.texts(spoken.server.asked[0].body)
    assert "What breaks on a {cup} {really}?" in texts
    assert "Be brief." in texts


def test_totals_and_cost(spoken, answer):
    spoken.server.answers = [answer(content="no json"), answer()]
    llm = spoken.llm(price_input=2.0, price_output=10.0)
    llm.plan(PlanRequest("cup"))
    assert llm.usage() == {
        "calls": 2,
        "input_tokens": 200,
        "output_tokens": 100,
        "replies_without_usage": 0,
        "cost_usd": 0.0014,
    }


def test_a_reply_without_usage_is_accepted(spoken, answer):
    spoken.server.answers = [answer(usage=None)]
    llm = spoken.llm(price_input=2.0, price_output=10.0)
    assert len(llm.plan(PlanRequest("cup")).defects) == 2
    assert llm.usage()["replies_without_usage"] == 1
    assert llm.usage()["cost_usd"] is None


BAD = [
    "this is no JSON",
    "[1, 2",
    {"defects": []},
    {"flaws": []},
    {"defects": [{"name": "x"}]},
    {"defects": [{"name": "x", "prompt": "y", "kind": "gremlin"}]},
    {"defects": [{"name": "x", "prompt": "y", "kind": "dent", "severity": 7}]},
    {"defects": ["scratch"]},
    {"defects": [{"name": "x", "prompt": "y", "kind": "dent", "placement": "outside"}]},
]


@pytest.mark.parametrize("content", BAD)
def test_an_answer_that_is_no_plan_gets_one_chance_to_be_repaired(spoken, answer, content):
    spoken.server.answers = [answer(content=content), answer()]
    assert len(spoken.llm().plan(PlanRequest("cup")).defects) == 2
    first, second = (spoken.texts(asked.body) for asked in spoken.server.asked)
    assert second[: len(first)] == first or set(first) <= set(second)
    assert any(text.startswith("Your answer cannot be used: ") for text in second)
    said = content if isinstance(content, str) else json.dumps(content)
    assert said in second


@pytest.mark.parametrize("content", BAD)
def test_two_such_answers_are_an_error(spoken, answer, content):
    spoken.server.answers = [answer(content=content)]
    with pytest.raises(
        PlanError, match=r"got twice an answer that is none: .*; run again, or choose another llm\.model"
    ):
        spoken.llm().plan(PlanRequest("cup"))
    assert len(spoken.server.asked) == 2


@pytest.mark.parametrize(
    "content",
    [
        '```json\n{"defects": [{"name": "dent", "prompt": "a dent", "kind": "dent"}]}\n```',
        [{"name": "dent", "prompt": "a dent", "kind": "dent", "reason": "often seen"}],
        {"defects": [{"name": "dent", "prompt": "a dent", "kind": "dent", "negative_prompt": None}], "note": "x"},
    ],
)
def test_what_loose_servers_say_is_understood(spoken, answer, content):
    spoken.server.answers = [answer(content=content)]
    (defect,) = spoken.llm().plan(PlanRequest("cup")).defects
    assert (defect.kind, defect.severity, defect.negative_prompt) == (DefectKind.DENT, 0.5, "")


def test_refusal(spoken, answer):
    spoken.server.answers = [answer(refusal="I would rather not.")]
    with pytest.raises(PlanError, match=r"got a refusal: I would rather not\.; reword --object or llm.template"):
        spoken.llm().plan(PlanRequest("cup"))
    assert len(spoken.server.asked) == 1


def test_truncation(spoken, answer):
    spoken.server.answers = [answer(content='{"defects": [{"na', cut=True)]
    with pytest.raises(PlanError, match=r"cut off after 8192 tokens; raise llm\.max_output_tokens"):
        spoken.llm().plan(PlanRequest("cup"))


@pytest.mark.parametrize(
    ("status", "fix"),
    [
        (400, "check llm.model and its options"),
        (401, "set .*_API_KEY to a valid key"),
        (403, "give the key in .*_API_KEY access"),
        (404, "choose an llm.model that this service has, or check llm.base_url"),
        (422, "check llm.model and its options"),
    ],
)
def test_what_waiting_does_not_mend_is_raised_at_once(spoken, answer, status, fix):
    spoken.server.answers = [answer(status=status)]
    with pytest.raises(PlanError, match=f"got {status}: .*the service says no.*; {fix}"):
        spoken.llm().plan(PlanRequest("cup"))
    assert len(spoken.server.asked) == 1
    assert spoken.waits == []


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 529])
def test_a_busy_service_is_asked_again(spoken, answer, status):
    spoken.server.answers = [answer(status=status), answer(status=status), answer()]
    assert len(spoken.llm().plan(PlanRequest("cup")).defects) == 2
    assert spoken.waits == [0.5, 1.0]


def test_a_service_that_stays_busy_is_left_after_thirty_seconds_of_waiting(spoken, answer):
    spoken.server.answers = [answer(status=429)]
    with pytest.raises(PlanError, match=r"got 429 .* after 7 tries and 23\.5 s of waiting; run again later"):
        spoken.llm().plan(PlanRequest("cup"))
    assert sum(spoken.waits) <= 30


def test_retry_after_is_obeyed_within_patience(spoken, answer):
    spoken.server.answers = [answer(status=429, headers={"Retry-After": "7"}), answer()]
    spoken.llm().plan(PlanRequest("cup"))
    assert spoken.waits == [7.0]


def test_a_retry_after_of_an_hour_does_not_hang(spoken, answer):
    spoken.server.answers = [answer(status=429, headers={"Retry-After": "3600"})]
    with pytest.raises(PlanError, match="and the wish to wait 3600 s after 1 tries"):
        spoken.llm().plan(PlanRequest("cup"))
    assert spoken.waits == []


def test_patience_is_for_the_question_and_its_repair_together(spoken, answer):
    busy = [answer(status=503)] * 5
    spoken.server.answers = [*busy, answer(content="no json"), *busy, answer()]
    with pytest.raises(PlanError, match=r"got 503 .* after \d tries and .* s of waiting; run again later"):
        spoken.llm().plan(PlanRequest("cup"))
    assert spoken.waits == [0.5, 1, 2, 4, 8, 0.5, 1, 2, 4]  # another 8 would make it 31
    spoken.server.answers = [answer(status=503), answer()]
    spoken.waits.clear()
    assert len(spoken.llm().plan(PlanRequest("cup")).defects) == 2  # the next question has its own
    assert spoken.waits == [0.5]


def test_timeout(spoken, answer):
    spoken.server.answers = [answer(delay=0.5)]
    with pytest.raises(PlanError, match=r"got no answer in time \(timeout\) after 2 tries"):
        spoken.llm(timeout=0.1, patience=1.0).plan(PlanRequest("cup"))


def test_a_body_that_is_no_json(spoken, answer):
    spoken.server.answers = [answer(raw=b"<html>a proxy's page</html>", headers={"Content-Type": "text/html"})]
    with pytest.raises(PlanError, match=r"check llm\.base_url"):
        spoken.llm().plan(PlanRequest("cup"))


@pytest.mark.parametrize("raw", [b"{}", b'{"choices": []}', b'{"output": [], "content": []}', b"null"])
def test_a_body_that_is_another_json(spoken, answer, raw):
    spoken.server.answers = [answer(raw=raw)]
    with pytest.raises(PlanError, match="expected an answer"):
        spoken.llm().plan(PlanRequest("cup"))


def test_no_connection_names_the_host(spoken):
    url = "http://127.0.0.1:9" + ("" if spoken.name == "anthropic" else "/v1")
    with pytest.raises(PlanError, match=r"at 127\.0\.0\.1:9, got no connection \(.*\) after 2 tries"):
        llm_at(spoken, url).plan(PlanRequest("cup"))


def test_a_host_that_does_not_exist(spoken):
    with pytest.raises(PlanError, match=r"at nowhere\.invalid, got no connection"):
        llm_at(spoken, "http://nowhere.invalid").plan(PlanRequest("cup"))


def llm_at(spoken, url):
    address = spoken.server.address
    spoken.server.address = url
    try:
        options = {"patience": 1.0} | ({} if spoken.name == "anthropic" else {"base_url": url})
        return spoken.llm(**options)
    finally:
        spoken.server.address = address


def test_errors_never_show_the_key(spoken, answer):
    body = json.dumps({"error": {"message": f"Incorrect API key provided: {KEY}"}}).encode()
    spoken.server.answers = [answer(status=401, raw=body)]
    with pytest.raises(PlanError) as caught:
        spoken.llm().plan(PlanRequest("cup"))
    assert KEY not in str(caught.value)
    assert "_API_KEY" in str(caught.value)


def test_the_fingerprint_holds_the_options_and_no_key(spoken):
    print_ = spoken.llm(model="m").fingerprint()
    assert print_.config["model"] == "m"
    assert KEY not in json.dumps(dict(print_.config))


@pytest.mark.parametrize("package", ["openai", "anthropic"])
def test_without_a_key_the_variable_is_named(package):
    pytest.importorskip(package)
    module = importlib.import_module(f"fmas_providers.{package}.llm")
    with pytest.raises(ConfigError, match=f"environment variable {package.upper()}_API_KEY, got none"):
        module.create({})


def test_a_server_of_ones_own_needs_no_key(fake_llm):
    pytest.importorskip("openai")
    from fmas_providers.openai.llm import create

    llm = create({"base_url": f"{fake_llm.address}/v1"})
    assert len(llm.plan(PlanRequest("cup")).defects) == 2
    assert fake_llm.asked[0].path == "/v1/chat/completions"


@pytest.mark.parametrize("package", ["openai", "anthropic"])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"modle": "x"}, "unknown key 'llm.modle': did you mean 'model'"),
        ({"template": "What can go wrong?"}, "expected a template that holds {object}"),
        ({"base_url": "localhost:8000"}, "llm.base_url"),
        ({"patience": -1}, "llm.patience"),
    ],
)
def test_wrong_options(package, options, message):
    pytest.importorskip(package)
    module = importlib.import_module(f"fmas_providers.{package}.llm")
    with pytest.raises(ConfigError, match=message):
        module.create(options)


def test_spent_quota_is_not_waited_for(fake_llm, answer, monkeypatch):
    pytest.importorskip("openai")
    from fmas_providers.openai.llm import create

    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    body = json.dumps({"error": {"message": "quota exceeded", "code": "insufficient_quota"}}).encode()
    fake_llm.answers = [answer(status=429, raw=body)]
    with pytest.raises(PlanError, match=r"got 429: .*quota"):
        create({"base_url": f"{fake_llm.address}/v1"}).plan(PlanRequest("cup"))
    assert len(fake_llm.asked) == 1
