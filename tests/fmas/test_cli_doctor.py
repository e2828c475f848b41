import importlib.metadata
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import typer
from typer.testing import CliRunner

import fmas
import fmas.plugins
from fmas import hookimpl
from fmas.cli import doctor as cli_doctor
from fmas.plugins import load_plugins
from fmas.specs import LLMSpec

KEYS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "HF_TOKEN", "OPENAI_BASE_URL", "ANTHROPIC_BASE_URL")


class FakeEntryPoint:
    def __init__(self, name, load, *, module=None):
        self.name, self.value, self.load = name, module or f"{name}.plugin", load
        self.dist = SimpleNamespace(name=f"dist-{name}", version="1.0")


def bringing(*specs):
    made = ModuleType("made_in_a_test")
    made.fmas_register_llms = hookimpl(lambda: list(specs))
    return lambda: made


def llm(name, **fields):
    return LLMSpec(**{"name": name, "summary": "A toy.", "create": dict, **fields})


def broken():
    raise ImportError("moved")


BUILTIN = FakeEntryPoint("builtin", bringing(llm("catalogue")), module="fmas.builtin.plugin")


@pytest.fixture
def examine(monkeypatch):
    """Run ``fmas doctor`` on a healthy machine with these plugins; return its JSON, or its text."""
    for name in KEYS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=5_000_000_000))

    def run(*entry_points, code, text=False, commands=()):
        registry = load_plugins(entry_points)
        monkeypatch.setattr(fmas.plugins, "load_plugins", lambda: registry)
        app = typer.Typer()
        cli_doctor.register(app)
        app.command("other")(lambda: None)
        result = CliRunner().invoke(app, ["doctor"] if text else ["doctor", "--json"])
        assert result.exit_code == code, result.output
        return result.stdout if text else json.loads(result.stdout)

    return run


def test_healthy_installation(examine):
    found = examine(BUILTIN, code=0)
    assert found["problems"] == []
    assert found["fmas"] == fmas.__version__
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert found["libraries"]["numpy"] == importlib.metadata.version("numpy")
    assert set(found["environment"]) == set(KEYS)
    assert not any(found["environment"].values())
    assert Path(found["temporary_directory"]).is_dir()
    assert found["free_bytes"] == 5_000_000_000


def test_libraries_are_what_the_distribution_requires(examine):
    declared = {one.split(">=")[0] for one in importlib.metadata.requires("fmas") if "extra ==" not in one}
    assert set(examine(BUILTIN, code=0)["libraries"]) == declared
    assert {"numpy", "pluggy", "pydantic"} <= declared


def test_text_ends_with_the_verdict(examine):
    text = examine(BUILTIN, code=0, text=True)
    assert text.endswith("\nNo problem found.\n")
    assert "llm   catalogue  ready" in text
    assert "5.0 GB free here" in text


def test_optional_library_is_no_problem(examine):
    needy = FakeEntryPoint(
        "needy", bringing(llm("sdk", requires=("surely_absent", "json"), install="pip install 'x[sdk]'"))
    )
    found = examine(BUILTIN, needy, code=0)
    row = next(one for one in found["components"] if one["name"] == "sdk")
    assert (row["missing"], row["state"]) == (["surely_absent"], "missing")
    assert "missing: surely_absent -> pip install 'x[sdk]'" in examine(BUILTIN, needy, code=0, text=True)


def test_requirements_are_looked_for_without_importing_them(examine, tmp_path, monkeypatch):
    (tmp_path / "explosive_sdk.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    needy = FakeEntryPoint("needy", bringing(llm("sdk", requires=("explosive_sdk",))))
    assert {one["state"] for one in examine(BUILTIN, needy, code=0)["components"]} == {"ready"}
    assert "explosive_sdk" not in sys.modules


def test_broken_plugin_is_a_problem(examine):
    found = examine(BUILTIN, FakeEntryPoint("bad", broken), code=1)
    assert found["problems"] == ["plugin bad (dist-bad): ImportError: moved"]
    assert found["failures"][0]["entry_point"] == "bad"
    text = examine(BUILTIN, FakeEntryPoint("bad", broken), code=1, text=True)
    assert text.endswith("\nproblem: plugin bad (dist-bad): ImportError: moved\n")


def test_broken_command_hook_is_a_problem(examine):
    made = bringing(llm("x"))()
    made.fmas_register_commands = hookimpl(lambda app: app.command("doctor")(lambda: None))
    (problem,) = examine(BUILTIN, FakeEntryPoint("thief", lambda: made), code=1)["problems"]
    assert problem.startswith("plugin thief (dist-thief): expected new command names, got doctor")


def test_ambiguous_name_is_a_problem(examine):
    (problem,) = examine(BUILTIN, FakeEntryPoint("copy", bringing(llm("catalogue"))), code=1)["problems"]
    assert problem == (
        "several plugins bring llm 'catalogue': builtin (dist-builtin 1.0), copy (dist-copy 1.0); uninstall all but one"
    )


def test_absent_built_in_plugin_is_a_problem(examine):
    assert examine(code=1)["problems"] == ["the built-in plugin was not found; reinstall fmas"]


def test_broken_built_in_plugin_is_one_problem(examine):
    (problem,) = examine(FakeEntryPoint("builtin", broken, module="fmas.builtin.plugin"), code=1)["problems"]
    assert "ImportError: moved" in problem


def test_missing_required_library_is_a_problem(examine, monkeypatch):
    monkeypatch.setattr(
        importlib.metadata, "requires", lambda name: ["surely-absent[x]>=1 ; python_version>'3'", "y ; extra == 'z'"]
    )
    found = examine(BUILTIN, code=1)
    assert found["libraries"] == {"surely-absent": None}
    assert found["problems"] == ["surely-absent is required, but not installed; reinstall fmas"]
    assert "surely-absent  missing" in examine(BUILTIN, code=1, text=True)


def test_missing_metadata_is_a_problem(examine, monkeypatch):
    def requires(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "requires", requires)
    assert examine(BUILTIN, code=1)["problems"] == ["fmas is required, but not installed; reinstall fmas"]


@pytest.mark.parametrize("name", KEYS)
def test_variables_are_told_to_be_set_but_never_shown(examine, monkeypatch, name):
    monkeypatch.setenv(name, "geheim-123")

    # A plugin may put into its error whatever it likes; only keys are secret, an address is not.
    def leaking():
        raise ValueError("geheim-123")

    entry_points = (BUILTIN, FakeEntryPoint("leaking", leaking)) if name.endswith(("KEY", "TOKEN")) else (BUILTIN,)
    code = len(entry_points) - 1
    environment = examine(*entry_points, code=code)["environment"]
    assert [one for one, given in environment.items() if given] == [name]
    assert "geheim" not in json.dumps(examine(*entry_points, code=code))
    text = examine(*entry_points, code=code, text=True)
    assert "geheim" not in text
    assert any(line.split() == [name, "set"] for line in text.splitlines())


def test_empty_variable_is_not_set(examine, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "")
    assert examine(BUILTIN, code=0)["environment"]["OPENAI_API_KEY"] is False


def test_temporary_folder_that_cannot_be_written_to_is_a_problem(examine, monkeypatch):
    def refuse(*arguments, **options):
        raise PermissionError

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    found = examine(BUILTIN, code=1)
    assert found["temporary_directory"] is None
    assert "set TMPDIR" in found["problems"][0]
    assert "temporary files  nowhere" in examine(BUILTIN, code=1, text=True)


def test_full_disk_is_a_problem(examine, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=20_000_000))
    (problem,) = examine(BUILTIN, code=1)["problems"]
    assert problem == "free disk space here is 0.02 GB; make room, 1 GB at least"


def test_unknown_disk_space_is_a_problem(examine, monkeypatch):
    def fail(path):
        raise FileNotFoundError

    monkeypatch.setattr(shutil, "disk_usage", fail)
    found = examine(BUILTIN, code=1)
    assert found["free_bytes"] is None
    assert "unknown" in found["problems"][0]
    assert "unknown" in examine(BUILTIN, code=1, text=True)


def test_this_installation_in_a_fresh_interpreter():
    code = (
        "import sys\nfrom fmas.cli import main\nsys.argv = ['fmas', 'doctor', '--json']\n"
        "try:\n    main()\nfinally:\n"
        "    heavy = {'torch', 'openai', 'anthropic', 'diffusers', 'numpy'}\n"
        "    print(sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    found = json.loads(finished.stdout)
    assert finished.returncode == (1 if found["problems"] else 0)
    assert finished.stderr.strip() == "[]"
    assert found["failures"] == []
