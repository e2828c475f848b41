"""``fmas train``: which setting wins, what is printed where, and a killed process goes on by the same words."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

import fmas.cli.train
from fmas.cli.progress import reported_steps
from fmas.cli.train import register
from fmas.model_folder import read_about, read_model
from fmas.plugins import load_plugins
from fmas.training import TrainRequest


def _sibling(name):
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


toy = _sibling("toy_detector")
COMMAND = "import typer, fmas.cli.train as one; app = typer.Typer(); one.register(app); app()"


class Hook:
    name, value, group, dist = "toy", "toy_detector", "fmas.plugins", None

    def load(self):
        return toy


@pytest.fixture
def out(run):
    return run()[0]


@pytest.fixture
def train(tmp_path, monkeypatch):
    """Run the command in an empty folder with the toy detector installed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("fmas.training.load_plugins", lambda: load_plugins([Hook()]))
    app = typer.Typer()
    register(app)
    before = signal.getsignal(signal.SIGTERM)
    yield lambda *arguments: CliRunner().invoke(app, [str(one) for one in arguments])
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def asked(train, monkeypatch, tmp_path):
    """Return the request that a command line amounts to; nothing is trained."""

    def ask(*arguments):
        requests = []

        def stop(request):
            requests.append(request)
            raise typer.Exit(0)

        monkeypatch.setattr(fmas.cli.train, "_train", stop)
        result = train("OUT", "--out", "MODEL", *arguments)
        assert result.exit_code == 0, result.output
        return requests[0]

    return ask


def test_a_model_is_trained_and_told(train, out):
    result = train(out, "--out", "model", "--detector", "toy")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == "trained: model (toy, test_part)"
    assert lines[1] == ("learnt from 4 pairs of 4 photographs, 0 negative controls; validated with 2 pairs of 2 others")
    assert lines.pop(2) == "steps 6 in 1.2 s, stopped early"
    assert lines[2].startswith("threshold ") and "of 2 good photographs that nothing was learnt from" in lines[2]
    assert lines[3].startswith("held-out synthetic defects above it: ") and " of " in lines[3]
    assert lines[4] == "next: fmas inspect model PHOTOGRAPHS --out inspection"
    assert "note: 2 good pictures to calibrate with are too few" in result.stderr
    assert "6 of 6 steps, loss 0.1667" in result.stderr
    again = train(out, "--out", "model", "--detector", "toy")
    assert again.exit_code == 0 and again.stdout.startswith("finished before, left as it is: model")
    assert "steps" not in again.stderr


def test_json_is_all_that_stdout_holds(train, out):
    result = train(out, "--out", "model", "--detector", "toy", "--false-alarms", "0.25", "--json")
    content = json.loads(result.stdout)
    about, calibration = read_about(Path("model"))
    assert content["model"] == "model" and content["new"] is True and content["detector"] == "toy"
    assert content["calibration"]["threshold"] == calibration.threshold
    assert content["calibration"]["false_alarms"] == 0.25 and "scores" not in content["calibration"]
    assert content["data"] == about.data and content["training"] == about.training
    assert len(content["notes"]) == 1
    assert (
        json.loads(train(out, "--out", "model", "--detector", "toy", "--false-alarms", 0.25, "--json").stdout)["new"]
        is False
    )


def test_a_model_without_measures_is_told_as_well(train, out, monkeypatch):
    monkeypatch.setattr("fmas.training._found", lambda *_: {})
    result = train(out, "--out", "model", "--detector", "plain-toy")
    assert result.exit_code == 0 and "held-out synthetic" not in result.stdout and "steps" not in result.stdout


def test_short_options_are_options_of_the_detector(asked):
    request = asked("--epochs", 2, "--steps", 30, "--seed", 4, "--device", "cuda:1", "--no-wdam", "--no-gate")
    assert request.detector.name == "unet"
    assert request.detector.options == {
        "epochs": 2, "steps": 30, "seed": 4, "device": "cuda:1", "wdam": False, "gate": False,
    }  # fmt: skip
    assert (request.data, request.out, request.seed) == (Path("OUT"), Path("MODEL"), 4)
    assert asked() == TrainRequest(data="OUT", out="MODEL")


def test_set_wins_over_options_and_takes_yaml(asked):
    request = asked("--steps", 3, "--set", "steps=5", "--set", "levels=[1, 2]", "--set", "deep.er=true")
    assert request.detector.options == {"steps": 5, "levels": [1, 2], "deep": {"er": True}}


def test_the_other_options_are_the_requests(asked, tmp_path):
    request = asked(
        "--category", "tile", "--false-alarms", "0.01", "--validation", "0.3", "--holdout", "a", "--holdout", "b c"
    )  # fmt: skip
    assert request.category == "tile" and request.false_alarms == 0.01 and request.validation == 0.3
    assert request.holdout == (Path("a"), Path("b c"))


def test_a_file_gives_what_the_command_line_does_not(asked):
    Path("train.yaml").write_text("detector: {name: toy, steps: 9, width: 3}\nfalse_alarms: 0.2\nholdout: [x]\n")
    request = asked("--config", "train.yaml", "--steps", 2)
    assert request.detector.name == "toy" and request.detector.options == {"steps": 2, "width": 3}
    assert request.false_alarms == 0.2 and request.holdout == (Path("x"),)
    assert asked("--config", "train.yaml", "--detector", "toy").detector.options == {"steps": 9, "width": 3}
    assert asked("--config", "train.yaml", "--detector", "other").detector.options == {}
    assert asked("--config", "train.yaml", "--holdout", "y", "--false-alarms", 0.3).holdout == (Path("y"),)
    Path("train.yaml").write_text("detector: toy\n")
    assert asked("--config", "train.yaml", "--steps", 2).detector.options == {"steps": 2}
    Path("train.yaml").write_text("detector: {width: 3}\n")
    assert asked("--config", "train.yaml").detector.name == "unet"
    assert asked("--config", "train.yaml", "--detector", "unet").detector.options == {"width": 3}


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--set", "stepz=3"], 2, "unknown key 'detector.stepz': did you mean 'steps'"),
        (["--no-gate"], 2, "unknown key 'detector.gate'"),
        (["--set", "steps"], 2, "expected KEY=VALUE for --set"),
        (["--steps", "0"], 2, "detector.steps: expected greater than or equal to 1"),
        (["--false-alarms", "0"], 2, "false_alarms: expected greater than 0"),
        (["--set", "api_key=x"], 2, "would put a secret into a file"),
        (["--config", "none.yaml"], 2, "expected a readable configuration file"),
        (["--category", "x"], 2, "expected a category of"),
        (["--holdout", "nowhere"], 2, "does not exist"),
    ],
)
def test_mistakes_are_one_line(train, out, arguments, code, message):
    result = train(out, "--out", "model", "--detector", "toy", *arguments)
    assert result.exit_code == code and result.stdout == ""
    assert result.stderr.startswith("error: ") and message in result.stderr
    assert result.stderr.count("\n") == 1
    assert not Path("model").exists()


@pytest.mark.parametrize(
    ("text", "message"), [("size: 3", "unknown key 'size'"), ("detector: [1]", "detector: expected")]
)
def test_mistakes_in_the_file_are_one_line(train, out, text, message):
    Path("train.yaml").write_text(text)
    result = train(out, "--out", "model", "--config", "train.yaml")
    assert result.exit_code == 2 and message in result.stderr and result.stderr.count("\n") == 1


def test_a_detector_that_is_not_installed_is_named_with_the_command_that_brings_it(train, out):
    result = train(out, "--out", "model")
    assert result.exit_code == 2
    assert result.stderr.rstrip().endswith('others come with: pip install "fmas-providers[detector]"')


def test_an_interruption_says_how_to_go_on(train, out, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(toy.ToyDetector, "train", interrupt)
    result = train(out, "--out", "model", "--detector", "toy")
    assert result.exit_code == 130
    assert result.stderr == "interrupted; run the same command to go on in model\n"


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("terminal", [True, False])
def test_steps_are_shown_with_the_latest_values(monkeypatch, terminal):
    screen = Terminal() if terminal else io.StringIO()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("sys.stderr", screen)
    with reported_steps() as report:
        report(1, 4, {"loss": 0.75})
        report(4, 4, {"loss": 0.123456, "score": 1.0})
    last = screen.getvalue()
    assert "loss 0.1235, score 1" in last and "steps" in last and ("4/4" if terminal else "4 of 4 steps") in last


# Real processes -------------------------------------------------------------------------------------------------------


@pytest.fixture
def start(tmp_path):
    """Return a function that starts the command as a process with the toy detector installed."""
    toy.install(tmp_path / "plugins")
    started = []

    def begin(*arguments, report):
        environment = os.environ | {"PYTHONPATH": str(tmp_path / "plugins"), "REPORT_TO": str(report)}
        process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, *map(str, arguments)],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
        )  # fmt: skip
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


def wait_for_step(report, step, process):
    deadline = time.monotonic() + 120
    while not report.exists() or str(step) not in report.read_text().split():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline, "the training has not begun"
        time.sleep(0.01)


@pytest.mark.integration
@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_training_is_continued_by_the_same_command(start, out, tmp_path, sent):
    words = ("--detector", "toy", "--set", "steps=40")
    whole = start(out, "--out", "whole", *words, report=tmp_path / "whole.txt")
    assert whole.wait(120) == 0, whole.stderr.read()

    killed, report = (
        start(out, "--out", "model", *words, "--set", "pause=0.2", report=tmp_path / "steps.txt"),
        tmp_path / "steps.txt",
    )
    wait_for_step(report, 3, killed)
    second = start(out, "--out", "model", *words, report=tmp_path / "second.txt")
    assert second.wait(120) == 1 and "another fmas train or export is doing it" in second.stderr.read()
    killed.send_signal(sent)
    killed.wait(120)
    assert killed.returncode == (130 if sent == signal.SIGTERM else -signal.SIGKILL)
    done = [int(step) for step in report.read_text().split()]
    assert done == list(range(1, done[-1] + 1)) and done[-1] < 40
    assert not (tmp_path / "model" / "model.json").exists()

    resumed = start(out, "--out", "model", *words, report=report)  # `pause` is not part of what decides the result
    assert resumed.wait(120) == 0, resumed.stderr.read()
    assert [int(step) for step in report.read_text().split()] == list(range(1, 41))
    registry = load_plugins([Hook()])
    one, other = (read_model(tmp_path / name, registry=registry) for name in ("whole", "model"))
    assert one.detector.state == other.detector.state and one.calibration == other.calibration
    assert not (tmp_path / "model" / ".work").exists()
