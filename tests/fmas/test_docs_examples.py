"""What the documents tell a reader to type works: commands parse, settings exist, snippets run, links lead on."""

from __future__ import annotations

import importlib.util
import re
import shlex
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from fmas.builtin.catalogue import create as create_catalogue
from fmas.builtin.inpainter import InpainterOptions
from fmas.builtin.segmenter import SegmenterOptions
from fmas.builtin.selector import SelectorOptions
from fmas.cli.app import build_app
from fmas.components import RunComponents
from fmas.config import RunConfig
from fmas.demo_photographs import write_demo_photographs
from fmas.errors import UnknownComponentError
from fmas.plugins import PluginRegistry, load_plugins
from fmas.plugins.requirements import MissingRequirementError
from fmas.settings import Layer, environment_layers, file_layer, flattened, override_layer, resolve

ROOT = Path(__file__).parents[2]
READMES = [ROOT / "README.md", ROOT / "packages" / "fmas" / "README.md"]
PAGES = [*READMES, *sorted((ROOT / "docs").rglob("*.md"))]
GENERATED = {"cli.md", "configuration.md", "validation-rules.md"}
BASE = Layer("test", {"images": "photographs", "out": "out"})


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def blocks(page: Path, language: str) -> list[tuple[str, str]]:
    """Return (what stands before the fence on its own line, content) of the fenced blocks of a language."""
    pattern = rf"(?:^(<!-- \w+ -->)\n)?^```{language}(?: [^\n]*)?\n(.*?)^```"
    return re.findall(pattern, page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def shell_commands(page: Path) -> Iterator[list[str]]:
    for _, content in blocks(page, "(?:sh|console)"):
        for line in content.replace("\\\n", " ").splitlines():
            for part in line.split(" && "):
                if words := shlex.split(part.removeprefix("$ "), comments=True):
                    yield words


FMAS_COMMANDS = [
    pytest.param(words[1:], id=f"{relative(page)}: {' '.join(words)}")
    for page in PAGES
    for words in shell_commands(page)
    if words[0].rsplit("/", 1)[-1] == "fmas"
]
SNIPPETS = [(page, marker, code) for page in PAGES for marker, code in blocks(page, "python")]
RUNNABLE = [(page, code) for page, marker, code in SNIPPETS if marker == "<!-- runnable -->" or page in READMES]


def parse(arguments: list[str]) -> Any:
    """Let the command line's own parser read the arguments; nothing is run."""
    command: Any = typer.main.get_command(build_app(PluginRegistry(())))
    path = ["fmas"]
    while getattr(command, "commands", None):
        assert arguments, f"{' '.join(path)} needs a command"
        assert arguments[0] in command.commands, f"{' '.join(path)} has no command {arguments[0]!r}"
        command = command.commands[arguments[0]]
        path.append(arguments[0])
        arguments = arguments[1:]
    return command.make_context(" ".join(path), list(arguments)).params


def test_there_is_something_to_check() -> None:
    assert len(FMAS_COMMANDS) > 20
    assert len(RUNNABLE) >= 5


OF_A_DETECTOR = {"train", "inspect", "benchmark"}
"""Commands whose settings are a detector's, which is not here; tests/providers knows them."""


@pytest.mark.parametrize("arguments", FMAS_COMMANDS)
def test_a_command_parses_and_its_settings_are_allowed(arguments: list[str]) -> None:
    parameters = parse(arguments)
    if arguments[0] in OF_A_DETECTOR:
        return
    given = {key: parameters.get(key) for key in RunConfig.model_fields if parameters.get(key) is not None}
    settings = override_layer(parameters.get("settings") or ())
    config = resolve([BASE, Layer("command line", given), settings]).config if "settings" in parameters else None
    if config is not None:
        # The components check their own options; of a provider of ours whose SDK is not here, only the name, and not
        # even that where fmas is alone.
        alone = importlib.util.find_spec("fmas_providers") is None
        with suppress(MissingRequirementError, *((UnknownComponentError,) if alone else ())):
            RunComponents.from_config(config, load_plugins())


def test_a_wrong_command_would_be_found() -> None:
    with pytest.raises(AssertionError, match="no command 'rnu'"):
        parse(["rnu"])
    with pytest.raises(Exception, match="--obejct"):
        parse(["run", "photographs", "--out", "out", "--obejct", "tile"])


@pytest.mark.parametrize(("page", "code"), RUNNABLE, ids=[relative(page) for page, _ in RUNNABLE])
def test_a_snippet_runs(page: Path, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    if page in READMES:  # they speak of the reader's own folder
        write_demo_photographs(tmp_path / "photographs" / "good")
    exec(compile(code, relative(page), "exec"), {"__name__": "__main__"})  # noqa: S102 (our own documents)


@pytest.mark.parametrize(("page", "marker", "code"), SNIPPETS, ids=[relative(page) for page, _, _ in SNIPPETS])
def test_a_snippet_is_python(page: Path, marker: str, code: str) -> None:
    compile(code, relative(page), "exec")


def test_the_project_file_of_the_page_is_one(tmp_path: Path) -> None:
    ((_, content),) = blocks(ROOT / "docs/how-to/configure.md", "yaml")
    (tmp_path / "fmas.yaml").write_text(content, encoding="utf-8")
    layer = file_layer(None, folder=tmp_path)
    assert layer is not None
    RunComponents.from_config(resolve([BASE, layer]).config, load_plugins())


def test_the_environment_of_the_page_is_one() -> None:
    commands = shell_commands(ROOT / "docs/how-to/configure.md")
    variables = dict(words[1].split("=", 1) for words in commands if words[0] == "export")
    assert len(variables) >= 3
    config = resolve([BASE, *environment_layers(variables)]).config
    assert (config.seed, config.region.area, config.segmenter.options) == (7, (0.01, 0.08), {"mode": "texture"})


def test_the_list_of_defects_of_the_page_is_one(tmp_path: Path) -> None:
    page = ROOT / "docs/how-to/write-your-own-defects.md"
    ((_, content),) = blocks(page, "yaml")
    (tmp_path / "defects.yaml").write_text(content, encoding="utf-8")
    create_catalogue({"defects": tmp_path / "defects.yaml"})
    from fmas.types import Defect, DefectKind

    text = page.read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(\w+)` \|", text, flags=re.MULTILINE)) == set(Defect.model_fields)
    sentence = text.partition("The kinds are")[2].partition("\n\n")[0]
    assert {kind.value for kind in DefectKind} <= set(re.findall(r"`(\w+)`", sentence))
    at_border = re.search(r"Of these (.*?) lie on", sentence, flags=re.DOTALL)
    assert at_border is not None
    assert set(re.findall(r"`(\w+)`", at_border[1])) == {kind.value for kind in DefectKind if kind.reaches_edge}


KNOWN_KEYS = {key for key, _ in flattened(RunConfig(images=Path(), out=Path()))} | {
    f"{kind}.{name}"
    for kind, model in (("segmenter", SegmenterOptions), ("inpainter", InpainterOptions), ("selector", SelectorOptions))
    for name in model.model_fields
}
SECTIONS = "region|crop|refine|select|write|segmenter|inpainter|selector"


@pytest.mark.parametrize("page", [page for page in PAGES if page.name not in GENERATED], ids=relative)
def test_options_and_settings_named_in_prose_exist(page: Path) -> None:
    prose = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    spans = re.findall(r"`([^`\n]+)`", prose)
    options = {word for span in spans if span.startswith("--") for word in re.findall(r"^--[a-z-]+", span)}
    assert options - {option for one in all_options() for option in one} - {"--help"} == set()
    if page.name.startswith("use-"):  # settings of fmas-providers: tests/providers/test_docs_providers.py knows them
        return
    keys = {key for span in spans for key in re.findall(rf"^(?:{SECTIONS})\.[a-z_]+$", span)}
    assert keys - KNOWN_KEYS == set()


def all_options() -> Iterator[list[str]]:
    pending: list[Any] = [typer.main.get_command(build_app(PluginRegistry(())))]
    while pending:
        command = pending.pop()
        pending += getattr(command, "commands", {}).values()
        yield from (parameter.opts for parameter in command.params)


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    local = [target.partition("#")[0] for target in targets if not target.startswith(("http://", "https://", "#"))]
    assert [target for target in local if not (page.parent / target).exists()] == []


def test_every_page_is_in_the_navigation() -> None:
    class Lenient(yaml.SafeLoader):
        """Reads past MkDocs' own tags."""

    Lenient.add_multi_constructor("", lambda loader, suffix, node: None)
    navigation = yaml.load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"), Lenient)["nav"]  # noqa: S506 (safe base)

    def pages(entry: Any) -> Iterator[str]:
        if isinstance(entry, str):
            yield entry
        else:
            for child in entry.values() if isinstance(entry, dict) else entry:
                yield from pages(child)

    listed = list(pages(navigation))
    assert sorted(listed) == sorted(
        path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")
    )


@pytest.mark.parametrize("page", sorted((ROOT / "docs/adr").glob("0*.md")), ids=lambda path: path.stem)
def test_a_decision_has_its_four_parts(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert re.match(rf"# {int(page.name[:4])}\. ", text)
    assert re.search(r"^\*\*Status:\*\* (accepted|replaced by \[.+\]\(.+\))\.$", text, flags=re.MULTILINE)
    assert re.findall(r"^## (.*)$", text, flags=re.MULTILINE) == ["Context", "Decision", "Consequences"]
    assert f"]({page.name})" in (page.parent / "index.md").read_text(encoding="utf-8")
