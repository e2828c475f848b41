"""``fmas doctor --deep``: every component is imported and looked at, each on its own."""

from __future__ import annotations

import json
import shutil
import sys
from types import ModuleType, SimpleNamespace

import pytest
import typer
from typer.testing import CliRunner

import fmas.plugins
from fmas import hookimpl
from fmas.cli import doctor as cli_doctor
from fmas.errors import ConfigError
from fmas.plugins import load_plugins
from fmas.specs import InpainterSpec, LLMSpec
from fmas.types import Fingerprint

KEY = "sk-geheim-123456"


class EntryPoint:
    dist = SimpleNamespace(name="dist-toys", version="1.0")

    def __init__(self, specs):
        self.name, self.value = "toys", "toys.plugin"
        self._module = ModuleType("made_in_a_test")
        self._module.fmas_register_llms = hookimpl(lambda: [one for one in specs if isinstance(one, LLMSpec)])
        self._module.fmas_register_inpainters = hookimpl(
            lambda: [one for one in specs if isinstance(one, InpainterSpec)]
        )

    def load(self):
        return self._module


def llm(name="toy", **fields):
    return LLMSpec(**{"name": name, "summary": "A toy.", "create": lambda options: SimpleNamespace(), **fields})


@pytest.fixture
def examine(monkeypatch, tmp_path):
    """Run the command in an empty folder on a healthy machine with the built-in plugin and these specs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("TRANSFORMERS_OFFLINE", "1")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=5_000_000_000))

    def run(*specs, code=0, arguments=("--deep",), text=False):
        import importlib.metadata

        (ours,) = [one for one in importlib.metadata.entry_points(group="fmas.plugins") if one.name == "builtin"]
        registry = load_plugins([ours, EntryPoint(specs)])
        monkeypatch.setattr(fmas.plugins, "load_plugins", lambda: registry)
        app = typer.Typer()
        cli_doctor.register(app)
        app.command("other")(lambda: None)
        result = CliRunner().invoke(app, ["doctor", *arguments, *([] if text else ["--json"])])
        assert result.exit_code == code, result.output
        return result.stdout if text else json.loads(result.stdout)

    return run


def rows(found):
    return {(row["kind"], row["name"]): row for row in found["deep"]}


def test_built_in_components_are_ready_and_wanted(examine):
    found = examine()
    assert {name for name, row in rows(found).items() if row["wanted"]} == {
        (kind, "builtin") for kind in ("llm", "segmenter", "inpainter", "selector")
    }
    assert all(row["error"] is None for row in found["deep"])
    assert found["problems"] == []


def test_without_it_nothing_is_imported_or_created(examine, tmp_path, monkeypatch):
    (tmp_path / "explosive_sdk.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(tmp_path)

    def explode(options):
        raise RuntimeError("created")

    spec = llm(requires=("explosive_sdk",), create=explode, diagnose=explode)
    assert examine(spec, arguments=())["deep"] == []
    assert "explosive_sdk" not in sys.modules
    row = rows(examine(spec))["llm", "toy"]
    assert row["error"] == "RuntimeError: imported"


def test_each_component_fails_alone(examine):
    def leave(options):
        sys.exit("no licence")

    def refuse(options):
        raise ConfigError("expected a key in the environment variable TOY_API_KEY, got none; set it")

    found = rows(examine(llm("leaver", create=leave), llm("refuser", create=refuse), llm("worker")))
    assert found["llm", "leaver"]["error"] == "SystemExit: no licence"
    assert "set it" in found["llm", "refuser"]["error"]
    assert found["llm", "worker"]["error"] is None


def test_what_a_diagnosis_says_is_shown_with_the_versions(examine, tmp_path, monkeypatch):
    (tmp_path / "toy_sdk.py").write_text("__version__ = '3.1'")
    monkeypatch.syspath_prepend(tmp_path)

    def never(options):
        raise AssertionError("diagnose is enough")

    spec = llm(requires=("toy_sdk", "numpy"), create=never, diagnose=lambda options: {"device": "cuda:0 (79 GB free)"})
    row = rows(examine(spec))["llm", "toy"]
    assert row["found"]["toy_sdk"] == "3.1"
    assert row["found"]["device"] == "cuda:0 (79 GB free)"
    assert "ready: toy_sdk 3.1; numpy " in examine(spec, text=True)


def test_missing_library_gives_the_command(examine):
    spec = llm(requires=("surely_absent",), install="pip install 'x[sdk]'")
    assert rows(examine(spec))["llm", "toy"]["error"].endswith("; run: pip install 'x[sdk]'")


def test_options_come_from_the_settings_and_what_they_name_must_work(examine, tmp_path):
    def diagnose(options):
        if options.get("model") != "large":
            raise ConfigError("expected the weights of 'small', got none; fetch them")
        return {"weights": "4 GB"}

    spec = llm(diagnose=diagnose)
    assert rows(examine(spec))["llm", "toy"]["wanted"] is False
    (problem,) = examine(spec, code=1, arguments=("--deep", "--set", "llm.name=toy"))["problems"]
    assert problem == "llm 'toy': ConfigError: expected the weights of 'small', got none; fetch them"
    (tmp_path / "fmas.yaml").write_text("llm: {name: toy, model: large}\n")
    row = rows(examine(spec))["llm", "toy"]
    assert (row["wanted"], row["found"], row["error"]) == (True, {"weights": "4 GB"}, None)
    (problem,) = examine(code=1)["problems"]
    assert problem == "llm 'toy' is not installed; see fmas plugins list"


def test_unknown_setting_is_a_usage_error(examine):
    assert examine(code=2, arguments=("--deep", "--set", "nonsense=1"), text=True) == ""


@pytest.mark.parametrize("how", ["error", "words"])
def test_keys_are_never_shown(examine, monkeypatch, how):
    monkeypatch.setenv("TOY_API_KEY", KEY)

    def leak(options):
        if how == "error":
            raise RuntimeError(f"401 for {KEY}")
        return {"key": KEY}

    for text in (False, True):
        assert KEY not in json.dumps(examine(llm(diagnose=leak), text=text))


def test_why_controls_is_explained_when_an_inpainter_leaves_traces(examine):
    painter = SimpleNamespace(fingerprint=lambda: Fingerprint("p", "1"), multiple=1, working_size=None, inpaint=list)
    spec = InpainterSpec(name="painter", summary="A toy.", create=lambda options: painter)
    (note,) = examine(spec, arguments=())["notes"]
    assert note.startswith("painter: a model that paints leaves traces")
    assert "--controls" in note
    assert "note: painter: " in examine(spec, arguments=(), text=True)
    assert examine(arguments=())["notes"] == []
