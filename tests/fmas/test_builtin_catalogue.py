from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from fmas.builtin.catalogue import CatalogueLLM, create, families
from fmas.builtin.catalogue.families import GENERIC, catalogue_digest, family_defects, family_of, read_index
from fmas.errors import ConfigError, PlanError
from fmas.protocols import LLM, Component
from fmas.types import DefectKind, PlanRequest, PromptPlan

FAMILIES = read_index().names


# Which family a name points to


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("magnetic tile", "magnet"),
        ("Ceramic Tiles", "ceramic"),
        ("magnets", "magnet"),
        ("metal screw", "metal"),
        ("metal_nut", "metal"),
        ("MetalNut", "metal"),
        ("gears", "metal"),
        ("aluminium casting", "metal"),
        ("wood screw", "metal"),
        ("brushed steel bottle", "metal"),
        ("plastic bottle", "plastic"),
        ("injection-moulded housing", "plastic"),
        ("3D printed gear", "plastic"),
        ("toothbrush", "plastic"),
        ("bottle cap", "plastic"),
        ("wood", "wood"),
        ("oak planks", "wood"),
        ("carpet", "textile"),
        ("woven fabric", "textile"),
        ("zipper", "textile"),
        ("leather", "leather"),
        ("leather glove", "leather"),
        ("bottle", "glass"),
        ("glass vials", "glass"),
        ("pcb1", "electronics"),
        ("printed circuit board", "electronics"),
        ("transistor", "electronics"),
        ("cables", "electronics"),
        ("ceramic capacitor", "electronics"),
        ("rubber seal", "rubber"),
        ("O-rings", "rubber"),
        ("capsules", "pharma"),
        ("pill", "pharma"),
        ("hazelnut", "food"),
        ("potato chips", "food"),
        ("cardboard box", "paper"),
        ("printed label", "paper"),
        ("painted metal door", "coated"),
        ("powder coated bracket", "coated"),
        ("loaves of bread", "food"),
        ("knives", "metal"),
        ("thingamajig", GENERIC),
        ("metallurgist", GENERIC),  # whole words only
        ("screwdriver", GENERIC),
        ("part 42", GENERIC),
        ("Zahnrad", GENERIC),
        ("???", GENERIC),
    ],
)
def test_the_words_of_the_name_choose_the_family(name: str, family: str) -> None:
    assert family_of(name, read_index()) == family


@given(st.text(max_size=80))
def test_any_name_has_a_family(name: str) -> None:
    assert family_of(name, read_index()) in FAMILIES


def test_every_keyword_alone_leads_to_its_family() -> None:
    index = read_index()
    for words, (family, _) in index.keywords.items():
        assert family_of(" ".join(words), index) == family, words
        assert family_of("_".join(words).upper(), index) == family, words


def test_a_keyword_in_two_families_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "families.yaml").write_text("metal: {products: [bolt]}\nwood: {materials: [bolt]}\n")
    monkeypatch.setattr(families, "_folder", lambda: tmp_path)
    with pytest.raises(ValueError, match="'bolt' belongs to metal and wood"):
        read_index()


# What the catalogue says


@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_is_a_usable_plan(family: str) -> None:
    plan = create({"family": family}).plan(PlanRequest(object="left  hand\ncover"))
    assert isinstance(plan, PromptPlan)
    assert 5 <= len(plan.defects) <= 9
    assert len({defect.name for defect in plan.defects}) == len(plan.defects)
    assert len({defect.kind for defect in plan.defects}) >= 4
    for defect in plan.defects:
        assert "left hand cover" in defect.prompt
        assert "{" not in defect.prompt + defect.negative_prompt
        # CLIP reads 77 tokens, two of them its own; a word is 1 to 3 tokens, a mark is one.
        for text in (defect.prompt, defect.negative_prompt):
            assert text.isascii()
            assert 8 <= len(re.findall(r"\w+", text)) < 60
            assert len(re.findall(r"\w+|[^\w\s]", text)) <= 60
        assert 0.2 <= defect.severity <= 0.9


@pytest.mark.parametrize("family", FAMILIES)
def test_each_entry_of_the_catalogue_is_complete_and_says_where_its_term_comes_from(family: str) -> None:
    folder = families._folder()
    for entry in yaml.safe_load((folder / f"{family}.yaml").read_text(encoding="utf-8")):
        assert set(entry) - {"placement"} == {"name", "kind", "severity", "prompt", "negative_prompt", "source"}
        assert entry["prompt"].count("{object}") == 1
        assert re.match(r"(ISO|IEC|EN|ASTM|IPC(/WHMA)?)[- A-Z]*\d|common terms of the trade$", entry["source"]), entry
    assert len(family_defects(family)) >= 5


def test_the_index_and_the_files_name_the_same_families() -> None:
    stored = {entry.name.removesuffix(".yaml") for entry in families._folder().iterdir()} - {"families"}
    assert stored == set(FAMILIES)


def test_all_kinds_appear_somewhere() -> None:
    kinds = {defect.kind for family in FAMILIES for defect in family_defects(family)}
    assert kinds == set(DefectKind)


def test_the_object_chooses_and_the_option_overrules() -> None:
    request = PlanRequest(object="magnetic tile")
    names = {defect.name for defect in CatalogueLLM().plan(request).defects}
    assert {"crack", "blowhole", "break", "unground patch", "uneven grinding"} <= names
    assert "solder bridge" in {defect.name for defect in create({"family": "electronics"}).plan(request).defects}


@pytest.mark.parametrize("name", ["", " \n ", "x" * 201])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(PlanError, match="1 to 200 characters"):
        CatalogueLLM().plan(PlanRequest(object=name))


# The user's own list


def _file(folder: Path, text: str, name: str = "defects.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_an_own_list_replaces_the_catalogue(tmp_path: Path) -> None:
    path = _file(
        tmp_path,
        "- {name: Kratzer, prompt: 'a {odd} scratch on {object}', kind: scratch, severity: 0.2}\n"
        "- {name: b, prompt: p, source: experience}\n",
    )
    first, second = create({"defects": str(path)}).plan(PlanRequest(object="gear")).defects
    assert (first.name, first.prompt, first.kind, first.severity) == (
        "Kratzer",
        "a {odd} scratch on gear",
        "scratch",
        0.2,
    )
    assert (second.kind, second.severity, second.negative_prompt) == ("other", 0.5, "")


def test_a_file_of_the_catalogue_is_a_good_start_for_an_own_list(tmp_path: Path) -> None:
    own = _file(tmp_path, (families._folder() / "metal.yaml").read_text(encoding="utf-8"))
    request = PlanRequest(object="steel gear")
    assert create({"defects": own}).plan(request) == CatalogueLLM().plan(request)


def test_an_own_list_says_where_a_defect_belongs(tmp_path: Path) -> None:
    path = _file(tmp_path, "- {name: a, prompt: p, placement: edge}\n- {name: b, prompt: p}\n")
    defects = create({"defects": path}).plan(PlanRequest(object="x")).defects
    assert [one.placement for one in defects] == ["edge", "auto"]
    with pytest.raises(ConfigError, match=r"entry 1\.placement: .*'edge' or 'inside', got 'corner'"):
        create({"defects": _file(tmp_path, "- {name: a, prompt: p, placement: corner}\n")})


def test_a_list_without_placements_has_the_digest_it_had_before_there_were_any(tmp_path: Path) -> None:
    path = _file(tmp_path, "- {name: a, prompt: p, kind: dent, severity: 0.25}\n")
    old = [{"name": "a", "prompt": "p", "negative_prompt": "", "kind": "dent", "severity": 0.25}]
    digest = hashlib.sha256(json.dumps(old, sort_keys=True).encode()).hexdigest()
    assert create({"defects": path}).fingerprint().config["sha256"] == digest
    path.write_text("- {name: a, prompt: p, kind: dent, severity: 0.25, placement: inside}\n", encoding="utf-8")
    assert create({"defects": path}).fingerprint().config["sha256"] != digest


def test_flaws_of_a_rim_lie_there_and_cuts_in_a_web_do_not() -> None:
    placements = {(family, one.name): one.placement for family in FAMILIES for one in family_defects(family)}
    assert placements["metal", "burr"] == placements["plastic", "flash"] == "edge"
    assert placements["leather", "cut"] == placements["textile", "snag"] == "anywhere"
    assert placements["ceramic", "chipped edge"] == "auto"  # its kind says so


def test_json_and_a_mapping_with_defects_are_read_too(tmp_path: Path) -> None:
    entries = [{"name": "ä", "prompt": "p"}]
    plain = _file(tmp_path, "\ufeff" + json.dumps(entries), "a.JSON")
    mapped = _file(tmp_path, json.dumps({"defects": entries}), "b.json")
    for path in (plain, mapped):
        assert create({"defects": path}).plan(PlanRequest(object="x")).defects[0].name == "ä"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"a list of defects in .*defects\.yaml, got nothing; write a list"),
        ("name: x", r"got a dict; write a list"),
        ("just words", r"got a str; write a list"),
        ("[]", r"1 to 200 defects in .*, got 0"),
        ("[" + "{name: a, prompt: b}," * 201 + "]", r"1 to 200 defects in .*, got 201"),
        ("- {name: a, prompt: b}\n- 7", r"a mapping at .*defects\.yaml, entry 2, got a int"),
        (
            "- {name: a, prompt: b}\n- {name: a, promt: b}",
            r"unknown key '.*defects\.yaml, entry 2\.promt': did you mean 'prompt'",
        ),
        ("- {name: a}", r"entry 1\.prompt is missing"),
        ("- {name: ' ', prompt: b}", r"entry 1\.name: "),
        ("- {name: a, prompt: b, severity: 1.5}", r"entry 1\.severity: .*got 1\.5"),
        ("- {name: a, prompt: b, severity: .nan}", r"entry 1\.severity: "),
        ("- {name: a, prompt: b, kind: scrach}", r"entry 1\.kind: .*'scratch'.*got 'scrach'"),
        ("- {name: a, prompt: [b]}", r"plain values at .*entry 1, got a list under 'prompt'"),
        ("- {1: a}", r"plain values at .*entry 1, got a str under 1"),
        ("- {name: a, prompt: b", r"YAML in .*, got text that is none"),
        ("- !!python/object/apply:os.getcwd []", r"YAML in .*, got text that is none"),
        ("[" * 5_000, r"YAML in .*, got text that is none"),
        ("#" * (1 << 20) + "\n", r"at most 1048576 bytes"),
    ],
)
def test_a_wrong_list_is_one_clear_error(tmp_path: Path, text: str, message: str) -> None:
    path = _file(tmp_path, text)
    with pytest.raises(ConfigError, match=message) as caught:
        create({"defects": path})
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600 + 2 * len(str(path))


def test_aliases_that_stand_for_gigabytes_are_refused_quickly(tmp_path: Path) -> None:
    levels = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    path = _file(tmp_path, "\n".join(["a0: &a0 [x]", *levels, "defects: [{name: *a11, prompt: b}]"]))
    with pytest.raises(ConfigError, match="got a dict"):
        create({"defects": path})
    path = _file(tmp_path, "- &a0 [x]\n" + "\n".join(f"- {line.split(': ')[1]}" for line in levels))
    with pytest.raises(ConfigError, match="entry 1, got a list"):
        create({"defects": path})


def test_wrong_json_and_wrong_bytes_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"JSON in .*, got text that is none"):
        create({"defects": _file(tmp_path, "[{]", "a.json")})
    latin = tmp_path / "latin.yaml"
    latin.write_bytes("- {name: Lüfter, prompt: p}".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"UTF-8 text in .*, got byte 10"):
        create({"defects": latin})


@pytest.mark.parametrize(("name", "reason"), [("missing.yaml", "No such file"), (".", "directory"), ("a\0b", "null")])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=f"expected a readable file of defects, got .*{reason}"):
        create({"defects": tmp_path / name})


def test_a_prompt_that_outgrows_a_plan_is_a_plan_error(tmp_path: Path) -> None:
    path = _file(tmp_path, f"- {{name: long, prompt: '{'{object} ' * 400}'}}")
    llm = create({"defects": path})
    assert llm.plan(PlanRequest(object="gear")).defects[0].prompt.startswith("gear gear")
    with pytest.raises(PlanError, match="got a longer one in 'long'"):
        llm.plan(PlanRequest(object="a very long name " * 5))


# Options, fingerprint, contract


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"famly": "metal"}, r"unknown key 'llm\.famly': did you mean 'family'"),
        ({"family": "metall"}, r"got 'metall'; did you mean 'metal'\? known: ceramic, coated"),
        ({"family": "metal", "defects": "x.yaml"}, "got both; remove one"),
        ({"defects": 3}, r"llm\.defects"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        create(options)


def test_editing_the_own_list_changes_the_identity_and_moving_it_does_not(tmp_path: Path) -> None:
    path = _file(tmp_path, "- {name: a, prompt: b}")
    first = create({"defects": path}).fingerprint()
    moved = create({"defects": _file(tmp_path, '[{"name": "a", "prompt": "b"}]', "elsewhere.json")}).fingerprint()
    path.write_text("- {name: a, prompt: c}", encoding="utf-8")
    edited = create({"defects": path}).fingerprint()
    assert first.digest() == moved.digest()
    assert first.digest() != edited.digest()
    assert str(tmp_path) not in json.dumps(dict(first.config))


def test_editing_the_catalogue_changes_the_identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = catalogue_digest()
    for entry in families._folder().iterdir():
        (tmp_path / entry.name).write_bytes(entry.read_bytes().replace(b"\n", b"\r\n"))
    monkeypatch.setattr(families, "_folder", lambda: tmp_path)
    assert catalogue_digest() == before
    with (tmp_path / "metal.yaml").open("a", encoding="utf-8") as file:
        file.write("# changed\n")
    assert catalogue_digest() != before


def test_it_is_an_llm_that_always_answers_the_same() -> None:
    llm = create({})
    assert isinstance(llm, LLM)
    assert isinstance(llm, Component)
    request = PlanRequest(object="steel gear")
    assert llm.plan(request) == create({}).plan(request)
    assert llm.fingerprint().digest() == CatalogueLLM().fingerprint().digest()
    assert llm.fingerprint().digest() != create({"family": "metal"}).fingerprint().digest()
