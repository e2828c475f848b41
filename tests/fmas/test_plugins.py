import subprocess
import sys
from dataclasses import FrozenInstanceError
from types import ModuleType, SimpleNamespace

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from fmas import hookimpl
from fmas.errors import FmasError, PluginError, UnknownComponentError, UsageError
from fmas.plugins import MissingRequirementError, load_plugins, missing_requirements
from fmas.specs import COMPONENT_KINDS, DetectorSpec, InpainterSpec, LLMSpec, SegmenterSpec, SelectorSpec
from fmas.types import Fingerprint, PromptPlan

SPEC_TYPES = {one.kind: one for one in (LLMSpec, SegmenterSpec, InpainterSpec, SelectorSpec, DetectorSpec)}


class FakeEntryPoint:
    """What importlib.metadata gives, for a module made in memory or a callable that stands for its import."""

    def __init__(self, name, target, *, distribution="fake-dist", version="1.0", value=None):
        self.name = name
        self.value = value or f"{name}_module"
        self.dist = SimpleNamespace(name=distribution, version=version) if distribution else None
        self._target = target

    def load(self):
        return self._target() if callable(self._target) else self._target


class ToyLLM:
    def __init__(self, options=None):
        self.options = dict(options or {})

    def fingerprint(self):
        return Fingerprint("toy", "1", self.options)

    def plan(self, request):
        return PromptPlan(defects=({"name": request.object, "prompt": "a scratch"},))


def returning(value):
    def hook():
        return value

    return hook


def raising(error):
    def hook():
        raise error

    return hook


def module(**hooks):
    made = ModuleType("made_in_a_test")
    for name, hook in hooks.items():
        setattr(made, name, hookimpl(hook))
    return made


def llm_module(*names, **fields):
    return module(fmas_register_llms=returning([llm_spec(name, **fields) for name in names]))


def llm_spec(name, **fields):
    return LLMSpec(**{"name": name, "summary": "A toy.", "create": ToyLLM, **fields})


def only_failure(target):
    registry = load_plugins([FakeEntryPoint("bad", target), FakeEntryPoint("good", llm_module("fine"))])
    assert [spec.name for spec in registry.specs("llm")] == ["fine"], "a broken plugin broke another"
    (failure,) = registry.failures
    assert (failure.entry_point, failure.distribution) == ("bad", "fake-dist")
    return failure


# Loading ----------------------------------------------------------------------------------------------------------


def test_every_kind_is_registered_by_its_hook():
    hooks = {
        f"fmas_register_{kind}s": returning([SPEC_TYPES[kind](name=f"my-{kind}", summary="s", create=ToyLLM)])
        for kind in COMPONENT_KINDS
    }
    registry = load_plugins([FakeEntryPoint("all", module(**hooks))])
    assert registry.failures == ()
    for kind in COMPONENT_KINDS:
        assert registry.spec(kind, f"my-{kind}").kind == kind
        assert [spec.name for spec in registry.specs(kind)] == [f"my-{kind}"]
    assert [one.spec.kind for one in registry.components()] == list(COMPONENT_KINDS)
    assert str(registry.components()[0].origin) == "all (fake-dist 1.0)"


@pytest.mark.parametrize(
    "error", [ImportError("no"), ZeroDivisionError(), SystemExit(3), GeneratorExit(), BaseException("b")]
)
def test_import_that_raises_is_kept(error):
    failure = only_failure(raising(error))
    assert failure.error is error
    assert type(error).__name__ in failure.reason


def test_keyboard_interrupt_stops_loading():
    with pytest.raises(KeyboardInterrupt):
        load_plugins([FakeEntryPoint("bad", raising(KeyboardInterrupt()))])


def test_keyboard_interrupt_stops_command_registration():
    def hook(app):
        raise KeyboardInterrupt

    registry = load_plugins([FakeEntryPoint("bad", module(fmas_register_commands=hook))])
    with pytest.raises(KeyboardInterrupt):
        registry.register_commands(typer.Typer())


def test_error_without_a_text_is_kept():
    class WordlessError(Exception):
        def __str__(self):
            raise RuntimeError

    assert only_failure(raising(WordlessError())).reason == "WordlessError"


def test_reason_is_one_line():
    assert only_failure(raising(ValueError("two\n  lines"))).reason == "ValueError: two lines"


@pytest.mark.parametrize("error", [RuntimeError("hook"), SystemExit("hook")])
def test_hook_that_raises_is_kept(error):
    failure = only_failure(module(fmas_register_segmenters=raising(error)))
    assert failure.error is error


def test_plugin_with_one_broken_hook_brings_nothing_at_all():
    made = module(fmas_register_llms=returning([llm_spec("half")]), fmas_register_selectors=raising(OSError()))
    registry = load_plugins([FakeEntryPoint("bad", made)])
    assert registry.components() == ()
    assert len(registry.failures) == 1


def test_decorated_misspelt_hook_names_the_nearest():
    failure = only_failure(module(fmas_register_lms=returning([])))
    assert isinstance(failure.error, PluginError)
    assert "fmas_register_lms" in failure.reason
    assert "did you mean 'fmas_register_llms'?" in failure.reason


def test_undecorated_misspelt_hook_is_found():
    made = llm_module("half")
    made.fmas_registr_segmenters = returning([])
    assert "did you mean 'fmas_register_segmenters'?" in only_failure(made).reason


def test_decorated_hook_of_another_name_is_found():
    made = llm_module("half")
    made.register_llms = hookimpl(returning([]))
    assert "unknown hook 'register_llms'" in only_failure(made).reason


def test_undecorated_hook_is_found():
    made = llm_module("half")
    made.fmas_register_selectors = returning([])
    reason = only_failure(made).reason
    assert "fmas_register_selectors" in reason
    assert "@fmas.hookimpl" in reason


def test_hook_with_unknown_arguments_is_found():
    assert "declared in the hookimpl" in only_failure(module(fmas_register_llms=lambda config: [])).reason


def test_module_without_hooks_is_found():
    assert "got none in 'bad_module'" in only_failure(ModuleType("empty")).reason


@pytest.mark.parametrize("value", [None, "text", {}, 3, iter([]), llm_spec("alone")])
def test_hook_that_returns_no_list_is_found(value):
    assert (
        "expected a list of specs from fmas_register_llms"
        in only_failure(module(fmas_register_llms=returning(value))).reason
    )


@pytest.mark.parametrize("value", [None, "text", ToyLLM, SegmenterSpec(name="s", summary="s", create=ToyLLM)])
def test_spec_of_another_kind_is_found(value):
    failure = only_failure(module(fmas_register_llms=returning([llm_spec("one"), value])))
    assert "expected LLMSpec from fmas_register_llms" in failure.reason


@pytest.mark.parametrize("name", ["", "Big", "under_score", "-dash", "spa ce", "new\n", "ünder", 3, None])
def test_invalid_name_is_found(name):
    assert "expected a name of a-z" in only_failure(llm_module(name)).reason


@given(st.from_regex(r"[a-z0-9][a-z0-9-]{0,20}", fullmatch=True))
def test_every_valid_name_can_be_asked_for(name):
    registry = load_plugins([FakeEntryPoint("good", llm_module(name))])
    assert registry.spec("llm", name).name == name


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"summary": None}, "a text as summary"),
        ({"install": None}, "a text as install"),
        ({"create": "later"}, "a callable as create"),
        ({"requires": "openai"}, "a tuple of import names"),
        ({"requires": ["openai"]}, "a tuple of import names"),
        ({"requires": ("",)}, "a tuple of import names"),
        ({"requires": (1,)}, "a tuple of import names"),
    ],
)
def test_invalid_field_is_found(fields, words):
    assert words in only_failure(llm_module("one", **fields)).reason


def test_name_twice_in_one_plugin_is_found():
    assert "got 'one' twice" in only_failure(llm_module("one", "one")).reason


def test_damaged_metadata_hides_nothing():
    class Damaged:
        @property
        def name(self):
            raise KeyError("Name")

    entry_point = FakeEntryPoint("good", llm_module("fine"))
    entry_point.dist = Damaged()
    registry = load_plugins([entry_point, FakeEntryPoint("nobody", llm_module("other"), distribution=None)])
    assert {str(plugin.origin) for plugin in registry.plugins} == {"good (unknown unknown)", "nobody (unknown unknown)"}


def test_what_a_plugin_prints_goes_to_stderr(capsys):
    def load():
        print("import talk")  # noqa: T201
        return module(
            fmas_register_llms=lambda: print("hook talk") or [],  # noqa: T201
            fmas_register_commands=lambda app: print("command talk"),  # noqa: T201
        )

    load_plugins([FakeEntryPoint("loud", load)]).register_commands(typer.Typer())
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.split("\n") == ["import talk", "hook talk", "command talk", ""]


def test_order_of_entry_points_does_not_matter():
    points = [FakeEntryPoint(name, llm_module(name), distribution=f"dist-{name}") for name in "cab"]
    assert load_plugins(points) == load_plugins(points[::-1])
    assert [spec.name for spec in load_plugins(points).specs("llm")] == ["a", "b", "c"]


def test_registry_cannot_be_changed():
    registry = load_plugins([])
    with pytest.raises(FrozenInstanceError):
        registry.plugins = ()


# Asking for a component ---------------------------------------------------------------------------------------------


def test_unknown_name_lists_known_ones_of_that_kind_and_the_nearest():
    selectors = module(fmas_register_selectors=returning([SelectorSpec(name="other", summary="s", create=ToyLLM)]))
    registry = load_plugins([FakeEntryPoint("a", llm_module("catalogue", "fixed")), FakeEntryPoint("b", selectors)])
    with pytest.raises(UnknownComponentError) as caught:
        registry.spec("llm", "catalog")
    assert str(caught.value) == (
        "expected the name of an installed llm, got 'catalog': did you mean 'catalogue'? known: catalogue, fixed"
    )
    assert isinstance(caught.value, UsageError)


def test_unknown_name_mentions_failures():
    registry = load_plugins([FakeEntryPoint("bad", raising(ImportError("no sdk")))])
    with pytest.raises(
        UnknownComponentError, match=r"could not be loaded \(bad \(fake-dist 1.0\): ImportError: no sdk\)"
    ):
        registry.create("llm", "sdk", {})


def test_ambiguous_name_fails_when_asked_for_and_others_still_work():
    registry = load_plugins(
        [
            FakeEntryPoint("one", llm_module("same", "mine"), distribution="dist-one"),
            FakeEntryPoint("two", llm_module("same", "yours"), distribution="dist-two"),
        ]
    )
    assert registry.failures == ()
    with pytest.raises(PluginError) as caught:
        registry.spec("llm", "same")
    for word in ("'same'", "one (dist-one 1.0)", "two (dist-two 1.0)", "uninstall"):
        assert word in str(caught.value)
    assert [spec.name for spec in registry.specs("llm")] == ["mine", "yours"]
    assert registry.spec("llm", "mine").name == "mine"
    (claimants,) = registry.ambiguous()
    assert [one.origin.distribution for one in claimants] == ["dist-one", "dist-two"]


def test_one_name_in_two_kinds_is_not_ambiguous():
    made = module(
        fmas_register_llms=returning([llm_spec("same")]),
        fmas_register_selectors=returning([SelectorSpec(name="same", summary="s", create=ToyLLM)]),
    )
    registry = load_plugins([FakeEntryPoint("one", made)])
    assert registry.ambiguous() == ()
    assert registry.spec("selector", "same").kind == "selector"


@pytest.mark.parametrize("second", ["fake-dist", "Fake_Dist", "fake.dist"])
def test_same_module_of_the_same_distribution_counts_once(second):
    made = llm_module("one")
    registry = load_plugins(
        [
            FakeEntryPoint("first", made, value="same.module"),
            FakeEntryPoint("again", made, value="same.module", distribution=second),
        ]
    )
    assert len(registry.plugins) == 1
    assert registry.create("llm", "one", {}).fingerprint().name == "toy"


def test_same_module_of_another_distribution_is_ambiguous():
    made = llm_module("one")
    registry = load_plugins(
        [
            FakeEntryPoint("first", made, value="same.module"),
            FakeEntryPoint("again", made, value="same.module", distribution="another"),
        ]
    )
    with pytest.raises(PluginError, match="another"):
        registry.spec("llm", "one")


# Creating -----------------------------------------------------------------------------------------------------------


def test_create_hands_the_options_over():
    registry = load_plugins([FakeEntryPoint("good", llm_module("toy"))])
    assert registry.create("llm", "toy", {"model": "x"}).fingerprint().config == {"model": "x"}


def test_created_object_without_the_protocol_is_refused():
    registry = load_plugins([FakeEntryPoint("bad", llm_module("toy", create=lambda options: object()))])
    with pytest.raises(PluginError, match=r"with fingerprint, plan, got a object without fingerprint, plan"):
        registry.create("llm", "toy", {})


@pytest.mark.parametrize("kind", COMPONENT_KINDS)
def test_each_kind_has_its_own_protocol(kind):
    class Bare:
        def fingerprint(self):
            return Fingerprint("bare", "1")

    spec = SPEC_TYPES[kind](name="bare", summary="s", create=lambda options: Bare())
    registry = load_plugins([FakeEntryPoint("bad", module(**{f"fmas_register_{kind}s": returning([spec])}))])
    with pytest.raises(PluginError, match="got a Bare without"):
        registry.create(kind, "bare", {})


def create_that_misses(name):
    def create(options):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    return create


@pytest.mark.parametrize(
    ("requires", "missing"),
    [
        ("sdk", "sdk"),
        ("sdk", "sdk.types"),
        ("sdk.cloud", "sdk"),
        ("sdk.cloud", "sdk.cloud"),
        ("sdk.cloud", "sdk.cloud.x"),
    ],
)
def test_missing_requirement_names_the_command(requires, missing):
    made = llm_module("toy", create=create_that_misses(missing), requires=(requires,), install="pip install 'x[sdk]'")
    with pytest.raises(MissingRequirementError) as caught:
        load_plugins([FakeEntryPoint("good", made)]).create("llm", "toy", {})
    assert str(caught.value) == (
        f"llm 'toy' expected the module '{missing}', got none installed; run: pip install 'x[sdk]'"
    )
    assert isinstance(caught.value, FmasError)
    assert isinstance(caught.value, ModuleNotFoundError)
    assert caught.value.name == missing
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


def test_missing_requirement_without_a_command_still_says_what_to_do():
    made = llm_module("toy", create=create_that_misses("sdk"), requires=("sdk",))
    with pytest.raises(MissingRequirementError, match=r"; install it$"):
        load_plugins([FakeEntryPoint("good", made)]).create("llm", "toy", {})


@pytest.mark.parametrize("missing", ["another", "sdkx", "sd", None])
def test_another_missing_module_passes_through(missing):
    made = llm_module("toy", create=create_that_misses(missing), requires=("sdk",), install="pip install sdk")
    with pytest.raises(ModuleNotFoundError) as caught:
        load_plugins([FakeEntryPoint("good", made)]).create("llm", "toy", {})
    assert not isinstance(caught.value, FmasError)


def test_other_failures_pass_through():
    error = ImportError("cannot import name", name="sdk")
    made = llm_module("toy", create=lambda options: raising(error)(), requires=("sdk",), install="pip install sdk")
    with pytest.raises(ImportError) as caught:
        load_plugins([FakeEntryPoint("good", made)]).create("llm", "toy", {})
    assert caught.value is error


def test_missing_requirements_imports_nothing(tmp_path, monkeypatch):
    (tmp_path / "there_package").mkdir()
    (tmp_path / "there_package" / "__init__.py").write_text("raise RuntimeError('imported')")
    (tmp_path / "there_package" / "inner.py").write_text("raise RuntimeError('imported')")
    (tmp_path / "there_module.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    spec = llm_spec(
        "toy",
        requires=(
            "there_package",
            "there_package.inner",
            "there_module",
            "there_package.absent",
            "there_module.absent",
            "absent_module",
            "absent_module.inner",
        ),
    )
    expected = ("there_package.absent", "there_module.absent", "absent_module", "absent_module.inner")
    assert missing_requirements(spec) == expected


def test_module_in_memory_is_not_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "made_in_memory", ModuleType("made_in_memory"))
    assert missing_requirements(llm_spec("toy", requires=("made_in_memory",))) == ()


# Commands -----------------------------------------------------------------------------------------------------------


def application():
    app = typer.Typer()

    @app.command("run")
    def run():
        typer.echo("the core's run")

    group = typer.Typer()
    group.command("list")(lambda: typer.echo("list"))
    app.add_typer(group, name="plugins")
    return app


def add_hello(app):
    app.command("hello")(lambda: typer.echo("hello"))


def output(app, *arguments):
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 0, result.output
    return result.stdout


def broken_commands(hook):
    """Register a broken plugin before a good one; return the failure, having checked that nothing else is broken."""
    app = application()
    registry = load_plugins(
        [
            FakeEntryPoint("bad", module(fmas_register_commands=hook), distribution="a"),
            FakeEntryPoint("good", module(fmas_register_commands=add_hello), distribution="b"),
            FakeEntryPoint("none", llm_module("x"), distribution="c"),
        ]
    )
    (failure,) = registry.register_commands(app)
    assert failure.entry_point == "bad"
    assert output(app, "hello") == "hello\n"
    assert output(app, "run") == "the core's run\n"
    assert "bad-command" not in output(app, "--help")
    return failure


def test_commands_are_added():
    app = application()
    registry = load_plugins([FakeEntryPoint("good", module(fmas_register_commands=add_hello))])
    assert registry.register_commands(app) == ()
    assert output(app, "hello") == "hello\n"


@pytest.mark.parametrize("error", [RuntimeError("hook"), SystemExit(1)])
def test_command_hook_that_raises_halfway_adds_nothing(error):
    def hook(app):
        app.command("bad-command")(lambda: None)
        app.add_typer(typer.Typer(), name="bad-command-group")
        raise error

    assert broken_commands(hook).error is error


def test_command_hook_cannot_shadow_a_command():
    def hook(app):
        app.command("bad-command")(lambda: None)
        app.command("run")(lambda: typer.echo("hijacked"))

    assert "got run, already taken" in broken_commands(hook).reason


def test_command_hook_cannot_shadow_a_group():
    def hook(app):
        def plugins():
            typer.echo("hijacked")

        app.command()(plugins)  # named after the function

    assert "got plugins, already taken" in broken_commands(hook).reason


def test_command_hook_cannot_replace_the_callback():
    def hook(app):
        app.callback()(lambda: typer.echo("hijacked"))

    assert "callback" in broken_commands(hook).reason


def test_command_that_typer_cannot_build_is_found():
    def command(unsupported: int | str):
        pass

    assert "Union" in broken_commands(lambda app: app.command("bad-command")(command)).reason


# Real modules and real distributions --------------------------------------------------------------------------------


def write_distribution(folder, name, body):
    (folder / f"{name}.py").write_text(body)
    info = folder / f"{name}-2.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 2.5\n")
    (info / "entry_points.txt").write_text(f"[fmas.plugins]\n{name} = {name}\n")


def test_installed_distributions_are_found(tmp_path, monkeypatch):
    write_distribution(
        tmp_path,
        "temporary_good",
        "from fmas import hookimpl\nfrom fmas.specs import LLMSpec\n@hookimpl\ndef fmas_register_llms():\n"
        "    return [LLMSpec(name='temporary', summary='s', create=dict)]\n",
    )
    write_distribution(tmp_path, "temporary_bad", "import does_not_exist_anywhere\n")
    monkeypatch.syspath_prepend(tmp_path)
    registry = load_plugins()
    assert registry.spec("llm", "temporary").summary == "s"
    (failure,) = [one for one in registry.failures if one.entry_point == "temporary_bad"]
    assert str(failure) == (
        "temporary_bad (temporary_bad 2.5): ModuleNotFoundError: No module named 'does_not_exist_anywhere'"
    )


def test_built_in_plugin_comes_through_its_entry_point():
    registry = load_plugins()
    assert "builtin" in {plugin.origin.entry_point for plugin in registry.plugins}, registry.failures
    for kind in ("llm", "segmenter", "inpainter", "selector"):
        assert any(
            one.origin.entry_point == "builtin" and registry.create(kind, one.spec.name, {})
            for one in registry.components(kind)
        )


def test_discovery_is_light():
    heavy = ("torch", "openai", "anthropic", "diffusers", "numpy", "pydantic", "typer", "rich", "cv2", "skimage", "PIL")
    code = (
        "import sys\nfrom fmas.plugins import load_plugins\nregistry = load_plugins()\n"
        "assert registry.plugins, registry.failures\nassert not registry.failures, registry.failures\n"
        f"print(sorted(set({heavy}) & set(sys.modules)))\n"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (finished.returncode, finished.stdout.strip()) == (0, "[]"), finished.stderr
