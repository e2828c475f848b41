"""The conformance checks that every provider should run; copy this file first."""

import pytest
import typer
from typer.testing import CliRunner

from fmas.errors import ConfigError
from fmas.plugins import load_plugins
from fmas.testing import check_inpainter, check_llm, check_plugin, check_segmenter, check_selector
from fmas_provider_example import inpainter, llm, plugin, segmenter, selector


def test_plugin_is_light_and_its_specs_are_complete():
    check_plugin(plugin)


def test_entry_point_is_found():
    registry = load_plugins()
    assert "example" in {one.origin.entry_point for one in registry.plugins}, registry.failures
    component = registry.create("segmenter", "example-threshold", {"threshold": 100})
    assert component.fingerprint().config == {"threshold": 100.0}


def test_llm():
    check_llm(llm.create({}))


@pytest.mark.parametrize("options", [{}, {"threshold": 0.0}, {"threshold": 255.0}])
def test_segmenter(options):
    check_segmenter(segmenter.create(options))


@pytest.mark.parametrize("options", [{}, {"radius": 0.05}])
def test_inpainter(options):
    check_inpainter(inpainter.create(options))


def test_selector():
    check_selector(selector.create({}))


@pytest.mark.parametrize(
    ("create", "options"),
    [
        (llm.create, {"severty": 0.5}),
        (segmenter.create, {"threshold": 300}),
        (inpainter.create, {"radius": 0}),
        (selector.create, {"anything": 1}),
    ],
)
def test_wrong_options_are_refused(create, options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        create(options)


def test_command_says_hello():
    app = typer.Typer()
    app.command("other")(lambda: None)  # a Typer application with a single command has no command names
    plugin.fmas_register_commands(app)
    result = CliRunner().invoke(app, ["example-hello", "--name", "Ada"])
    assert (result.exit_code, result.stdout) == (0, "Hello, Ada!\n")
