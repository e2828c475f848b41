import json
from types import ModuleType, SimpleNamespace

import pytest
import typer
from typer.testing import CliRunner

import fmas.plugins
from fmas import hookimpl
from fmas.cli import plugins as cli_plugins
from fmas.plugins import load_plugins
from fmas.specs import COMPONENT_KINDS, LLMSpec, SelectorSpec


class FakeEntryPoint:
    def __init__(self, name, load, *, distribution="fake-dist"):
        self.name, self.value = name, f"{name}.plugin"
        self.load = load
        self.dist = SimpleNamespace(name=distribution, version="1.0")


def bringing(**hooks):
    made = ModuleType("made_in_a_test")
    for name, hook in hooks.items():
        setattr(made, f"fmas_register_{name}", hookimpl(hook))
    return lambda: made


def broken():
    raise ImportError("the sdk [red]moved[/red]\nelsewhere")


def broken_commands(app):
    raise RuntimeError("no commands today")


def shadowing_commands(app):
    app.command("run")(lambda: None)


def llm(name, **fields):
    return LLMSpec(**{"name": name, "summary": f"The [bold]{name}[/bold] one.", "create": dict, **fields})


def entry_points():
    return [
        FakeEntryPoint("a", bringing(llms=lambda: [llm("ready-one"), llm("twice")]), distribution="dist-a"),
        FakeEntryPoint(
            "b",
            bringing(
                llms=lambda: [
                    llm("twice"),
                    llm("needy", requires=("surely_absent", "json"), install="pip install 'b[sdk]'"),
                    llm("helpless", requires=("surely_absent",)),
                ],
                selectors=lambda: [SelectorSpec(name="mean", summary="Mean.", create=dict)],
            ),
            distribution="dist-b",
        ),
        FakeEntryPoint("bad", broken, distribution="dist-c"),
        FakeEntryPoint("mute", bringing(commands=broken_commands), distribution="dist-d"),
        FakeEntryPoint("thief", bringing(commands=shadowing_commands), distribution="dist-e"),
        FakeEntryPoint("fine", bringing(commands=lambda app: app.command("fine")(lambda: None)), distribution="dist-f"),
    ]


@pytest.fixture
def registry(monkeypatch):
    made = load_plugins(entry_points())
    monkeypatch.setattr(fmas.plugins, "load_plugins", lambda: made)
    return made


@pytest.fixture
def app(registry):
    """The application as ``fmas`` builds it: its own commands first, then the plugins'."""
    made = typer.Typer()

    def run():
        pass

    run.__module__ = "fmas.cli.run"
    made.command("run")(run)
    cli_plugins.register(made)
    registry.register_commands(made)
    return made


def invoke(app, *arguments, code=0):
    result = CliRunner().invoke(app, ["plugins", "list", *arguments])
    assert result.exit_code == code, result.output
    return result


def test_table_has_one_line_per_component(app):
    lines = invoke(app).stdout.splitlines()
    assert lines[0].split() == ["kind", "name", "summary", "plugin", "status"]
    rows = {line.split()[1] + "/" + line.split("(")[1][:6]: line for line in lines[1:7]}
    assert rows["ready-one/dist-a"].endswith("  ready")
    assert rows["needy/dist-b"].endswith("missing: surely_absent -> pip install 'b[sdk]'")
    assert rows["helpless/dist-b"].endswith("missing: surely_absent -> install it")
    assert rows["twice/dist-a"].endswith("ambiguous: also from b (dist-b 1.0) -> uninstall one")
    assert rows["twice/dist-b"].endswith("ambiguous: also from a (dist-a 1.0) -> uninstall one")
    assert rows["mean/dist-b"].startswith("selector  mean")
    assert "The [bold]ready-one[/bold] one." in rows["ready-one/dist-a"], "markup was interpreted"


def test_failures_follow_the_table(app):
    lines = invoke(app).stdout.splitlines()
    assert lines[7] == ""
    assert lines[8].split() == ["broken", "plugin", "error"]
    assert lines[9] == "bad (dist-c 1.0)    ImportError: the sdk [red]moved[/red] elsewhere"
    assert lines[10] == "mute (dist-d 1.0)   RuntimeError: no commands today"
    assert lines[11].startswith("thief (dist-e 1.0)  expected new command names, got run, already taken")
    assert len(lines) == 12


def test_nothing_follows_the_table_when_all_is_well(app, monkeypatch):
    monkeypatch.setattr(fmas.plugins, "load_plugins", lambda: load_plugins(entry_points()[:1]))
    assert len(invoke(app).stdout.splitlines()) == 3


def test_table_wraps_on_a_terminal_and_loses_nothing(app, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("NO_COLOR", raising=False)
    output = invoke(app).stdout
    assert "…" not in output
    assert "[bold]" in output
    assert max(map(len, output.replace("\x1b[1m", "").replace("\x1b[0m", "").splitlines())) <= 80


def test_json_lists_components_plugins_and_failures(app):
    result = invoke(app, "--json")
    listing = json.loads(result.stdout)
    assert set(listing) == {"components", "plugins", "failures"}
    needy = next(one for one in listing["components"] if one["name"] == "needy")
    assert needy == {
        "kind": "llm",
        "name": "needy",
        "summary": "The [bold]needy[/bold] one.",
        "entry_point": "b",
        "distribution": "dist-b",
        "version": "1.0",
        "requires": ["surely_absent", "json"],
        "missing": ["surely_absent"],
        "install": "pip install 'b[sdk]'",
        "state": "missing",
        "status": "missing: surely_absent -> pip install 'b[sdk]'",
    }
    assert [one["state"] for one in listing["components"] if one["name"] == "twice"] == ["ambiguous", "ambiguous"]
    assert [one["entry_point"] for one in listing["plugins"]] == ["a", "b", "mute", "thief", "fine"]
    assert [one["entry_point"] for one in listing["failures"]] == ["bad", "mute", "thief"]
    assert listing["failures"][0] == {
        "entry_point": "bad",
        "module": "bad.plugin",
        "distribution": "dist-c",
        "version": "1.0",
        "error": "ImportError: the sdk [red]moved[/red] elsewhere",
    }


def test_kind_limits_components_but_not_failures(app):
    listing = json.loads(invoke(app, "--json", "--kind", "selector").stdout)
    assert [one["name"] for one in listing["components"]] == ["mean"]
    assert len(listing["failures"]) == 3, "failures concern every kind"
    assert json.loads(invoke(app, "--json", "--kind", "detector").stdout)["components"] == []


def test_unknown_kind_is_a_usage_error(app):
    result = invoke(app, "--kind", "painter", code=2)
    assert result.stdout == ""
    assert all(kind in result.stderr for kind in COMPONENT_KINDS)


def test_what_plugins_print_does_not_spoil_the_json(app, monkeypatch):
    def loud():
        print("hello from the import")  # noqa: T201
        return bringing(llms=lambda: print("hello from the hook") or [])()  # noqa: T201

    monkeypatch.setattr(fmas.plugins, "load_plugins", lambda: load_plugins([FakeEntryPoint("loud", loud)]))
    result = invoke(app, "--json")
    assert json.loads(result.stdout)["plugins"][0]["entry_point"] == "loud"
    assert "hello from the import" in result.stderr


@pytest.mark.parametrize("variable", cli_plugins.KEY_VARIABLES)
def test_keys_in_an_error_are_blacked_out(app, monkeypatch, variable):
    monkeypatch.setenv(variable, "geheim-123")

    def leaking():
        raise ValueError("bad key geheim-123")

    monkeypatch.setattr(fmas.plugins, "load_plugins", lambda: load_plugins([FakeEntryPoint("leaking", leaking)]))
    for arguments in ([], ["--json"]):
        output = invoke(app, *arguments).output
        assert f"bad key <{variable}>" in output
        assert "geheim" not in output


def test_installed_plugins_are_listed(monkeypatch):
    app = typer.Typer()
    cli_plugins.register(app)
    app.command("other")(lambda: None)
    listing = json.loads(invoke(app, "--json").stdout)
    assert "builtin" in {one["entry_point"] for one in listing["plugins"]}
    assert {one["state"] for one in listing["components"] if one["entry_point"] == "builtin"} == {"ready"}
