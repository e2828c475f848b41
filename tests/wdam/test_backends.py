from __future__ import annotations

import subprocess
import sys
import warnings

import pytest
import torch

from wdam import backends
from wdam.backends import check_backend, choose_route, kernel_obstacle
from wdam.errors import BackendError, BackendWarning, OptionError

CPU = torch.zeros(1)


class OnDevice:
    """Stands for a tensor; only its device is looked at."""

    def __init__(self, device: str) -> None:
        self.device = torch.device(device)


def works() -> None:
    return None


def fails(reason: str):
    return lambda: reason


@pytest.mark.parametrize("backend", ["auto", "torch"])
def test_an_eager_cpu_takes_the_operator(backend: str) -> None:
    assert choose_route(backend, CPU) == "operator"


@pytest.mark.parametrize("backend", ["auto", "torch"])
@pytest.mark.parametrize("device", ["cpu", "cuda", "mps", "meta"])
def test_other_wavelets_are_plain(backend: str, device: str) -> None:
    assert choose_route(backend, OnDevice(device), haar=False, obstacle=works) == "plain"


@pytest.mark.parametrize("backend", ["auto", "torch"])
@pytest.mark.parametrize("device", ["mps", "xpu", "meta"])
def test_other_devices_are_plain(backend: str, device: str) -> None:
    assert choose_route(backend, OnDevice(device), obstacle=fails("never asked")) == "plain"


@pytest.mark.parametrize(("backend", "route"), [("auto", "operator"), ("cuda", "operator"), ("torch", "plain")])
def test_cuda_with_a_working_kernel(backend: str, route: str) -> None:
    assert choose_route(backend, OnDevice("cuda"), obstacle=works) == route


def test_auto_says_once_why_it_cannot() -> None:
    reason = "no such luck in test_auto_says_once"
    with pytest.warns(BackendWarning, match=rf"without its CUDA kernel: {reason}\. .*env_report.*backend='torch'"):
        assert choose_route("auto", OnDevice("cuda"), obstacle=fails(reason)) == "plain"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert choose_route("auto", OnDevice("cuda"), obstacle=fails(reason)) == "plain"
        assert choose_route("torch", OnDevice("cuda"), obstacle=fails(reason)) == "plain"


def test_cuda_never_falls_back() -> None:
    with pytest.raises(
        BackendError, match=r"expected a CUDA tensor.*cuda-core.*got this: no luck; see wdam\.env_report"
    ):
        choose_route("cuda", OnDevice("cuda"), obstacle=fails("no luck"))


@pytest.mark.parametrize("device", ["cpu", "mps"])
def test_cuda_wants_a_cuda_tensor(device: str) -> None:
    with pytest.raises(
        BackendError, match=rf"expected a CUDA tensor.*got a tensor on '{device}'; move module and input"
    ):
        choose_route("cuda", OnDevice(device), obstacle=works)


def test_cuda_wants_haar() -> None:
    with pytest.raises(BackendError, match=r"expected the Haar wavelet for backend='cuda', got another; .*'auto'"):
        choose_route("cuda", OnDevice("cuda"), haar=False, obstacle=works)


def test_exporting_is_plain_and_never_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "is_exporting", lambda: True)
    assert choose_route("auto", CPU) == "plain"
    assert choose_route("auto", OnDevice("cuda"), obstacle=works) == "plain"
    with pytest.raises(BackendError, match=r"while exporting, got 'cuda'; .*module\.backend = 'auto'"):
        choose_route("cuda", OnDevice("cuda"), obstacle=works)


def test_compiling_on_a_cpu_is_plain_and_on_cuda_the_operator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    assert choose_route("auto", CPU) == "plain"
    assert choose_route("auto", OnDevice("cuda"), obstacle=works) == "operator"


@pytest.mark.parametrize("backend", ["Cuda", "gpu", "", None])
def test_refuses_unknown_backends(backend: object) -> None:
    with pytest.raises(OptionError, match=r"expected backend 'auto', 'torch' or 'cuda', got .*; leave it out"):
        check_backend(backend)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is here")
def test_names_the_obstacle_of_this_machine() -> None:
    assert isinstance(kernel_obstacle(), str)


@pytest.mark.parametrize("first", ["wdam", "torch", "wdam.backends"])
def test_importing_is_quiet_light_and_free_of_order(first: str) -> None:
    code = f"""
import sys, {first}
import wdam, torch
heavy = {{"cuda.core", "torchvision", "torch._dynamo", "torch._inductor", "torch.onnx"}} & set(sys.modules)
assert not heavy, heavy
x = torch.arange(12.0).reshape(1, 1, 3, 4)
torch.manual_seed(0)
print(wdam.WDAM(1)(x).sum().item())
"""
    command = [sys.executable, "-I", "-W", "error", "-c", code]
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert not result.stderr
    assert float(result.stdout) != 0
