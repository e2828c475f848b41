"""The application as a whole: its help, its version, how quickly it answers."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


def test_version_and_help(fmas):
    import fmas as package

    assert fmas("--version").stdout == f"{package.__version__}\n"
    help_text = fmas("--help").stdout
    for name in ("run", "validate", "report", "plan", "evaluate", "demo", "config", "plugins", "doctor"):
        assert name in help_text
    for name in ("run", "validate", "report", "plan", "evaluate", "demo", "doctor"):
        assert fmas(name, "--help").exit_code == 0


# Not pydantic: Typer itself loads it to show a command's options.
HEAVY = ("torch", "openai", "anthropic", "diffusers", "transformers", "numpy", "cv2", "skimage", "scipy", "PIL")


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["--version"]])
def test_help_imports_nothing_heavy(arguments):
    code = (
        "import sys, atexit\n"
        f"sys.argv = ['fmas', *{arguments!r}]\n"
        f"atexit.register(lambda: print('LOADED', [name for name in {HEAVY!r} if name in sys.modules]))\n"
        "from fmas.cli import main\nmain()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.rstrip().endswith("LOADED []"), done.stdout[-300:] + done.stderr


@pytest.mark.skipif(not hasattr(os, "wait4"), reason="needs the processor time of a child process")
def test_help_is_quick():
    """The promise is 0.5 s. Processor time is measured: the wall clock would measure what else this machine does."""
    seconds = []
    for _ in range(5):
        process = subprocess.Popen([sys.executable, "-m", "fmas", "--help"], stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        seconds.append(usage.ru_utime + usage.ru_stime)
    assert min(seconds) < 0.5


def test_ctrl_c_while_plugins_load_is_no_traceback(monkeypatch, capsys):
    from fmas.cli import app

    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr(app, "load_plugins", interrupted)
    with pytest.raises(SystemExit) as caught:
        app.main()
    assert caught.value.code == 130
    assert capsys.readouterr() == ("", "interrupted\n")
