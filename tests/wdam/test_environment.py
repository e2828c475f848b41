from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import wdam
from wdam import environment
from wdam.environment import EnvReport, env_report


def test_tells_the_truth_about_this_machine() -> None:
    report = env_report()
    assert report.wdam == wdam.__version__
    assert report.torch == torch.__version__
    assert report.python.startswith(f"{sys.version_info.major}.{sys.version_info.minor}.")
    assert (report.device is None) == (not torch.cuda.is_available())
    assert report.reason
    if not torch.cuda.is_available():
        assert report.backend == "torch"
        assert (report.compute_capability, report.cuda_build) == (None, torch.version.cuda)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_names_the_device() -> None:
    report = env_report()
    assert report.device == torch.cuda.get_device_name()
    assert report.compute_capability == "{}.{}".format(*torch.cuda.get_device_capability())


def test_it_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        env_report().backend = "cuda"  # type: ignore[misc]


def test_a_table_with_a_row_per_field() -> None:
    lines = str(env_report()).splitlines()
    assert len(lines) == len(dataclasses.fields(EnvReport))
    assert lines[0] == f"wdam                {wdam.__version__}"
    assert next(line for line in lines if line.startswith("backend")).split() == ["backend", env_report().backend]


def test_the_command_prints_it(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", "-m", "wdam"]
    variables = {**os.environ, "WDAM_CACHE_DIR": str(tmp_path / "kernels")}
    result = subprocess.run(command, capture_output=True, text=True, check=True, env=variables)
    assert result.stderr == ""
    assert f"kernel cache        {tmp_path / 'kernels'}\n" in result.stdout
    assert result.stdout.count("\n") == len(dataclasses.fields(EnvReport))
    assert list(tmp_path.iterdir()) == []  # nothing is written


def test_a_cache_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WDAM_CACHE_DIR", "")
    assert env_report().kernel_cache is None
    assert "kernel cache        none" in str(env_report())


def raises(error: Exception) -> Any:
    def call(*_: Any, **__: Any) -> Any:
        raise error

    return call


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (RuntimeError("CUDA driver is broken\nlong story"), "RuntimeError: CUDA driver is broken"),
        (OSError(), "OSError: no message"),
    ],
)
def test_a_broken_machine_raises_nothing(monkeypatch: pytest.MonkeyPatch, error: Exception, text: str) -> None:
    monkeypatch.setattr(environment, "obstacle", raises(error))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", raises(error))
    report = env_report()
    assert (report.backend, report.reason, report.device, report.compute_capability) == ("torch", text, text, None)


def test_a_machine_with_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    def import_module(name: str) -> Any:
        assert name == "cuda.bindings.nvrtc"
        return SimpleNamespace(nvrtcVersion=lambda: (0, 13, 0))

    monkeypatch.setattr(environment, "obstacle", lambda: None)
    monkeypatch.setattr(environment.importlib, "import_module", import_module)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (9, 0))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a GPU")
    report = env_report()
    assert (report.backend, report.device, report.compute_capability, report.nvrtc) == ("cuda", "a GPU", "9.0", "13.0")
    assert report.reason == "a CUDA device, cuda-core and NVRTC are there"


@pytest.mark.parametrize(
    "nvrtc", [raises(OSError("libnvrtc.so")), lambda name: SimpleNamespace(nvrtcVersion=lambda: (7, 0, 0))]
)
def test_without_a_working_nvrtc(monkeypatch: pytest.MonkeyPatch, nvrtc: Any) -> None:
    monkeypatch.setattr(environment.importlib, "import_module", nvrtc)
    assert env_report().nvrtc is None


def test_a_package_that_is_not_installed() -> None:
    assert environment._distribution_version("wdam-is-not-called-this") is None
