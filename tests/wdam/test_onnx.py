from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from wdam import WDAM

TOLERANCE = 1e-5

pytest.importorskip("onnx", reason="needs onnx (nox -s vision)")
pytest.importorskip("onnxscript", reason="needs onnxscript (nox -s vision)")
onnxruntime = pytest.importorskip("onnxruntime", reason="needs onnxruntime (nox -s vision)")

# What the exporters warn of is theirs: missing torchvision, deprecations inside of them.
pytestmark = pytest.mark.filterwarnings("ignore")


def random_module(**options: object) -> WDAM:
    torch.manual_seed(20260302)
    return WDAM(4, **options).eval()


def assert_agrees(file: Path, module: WDAM, sizes: list[tuple[int, int]]) -> None:
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    for size in sizes:
        x = torch.randn(2, 4, *size)
        (theirs,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
        np.testing.assert_allclose(theirs, module(x).detach().numpy(), rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("options", [{}, {"residual": False}, {"scale": True}])
def test_onnxruntime_agrees_at_every_size(options: dict[str, object], tmp_path: Path) -> None:
    module, file = random_module(**options), tmp_path / "wdam.onnx"
    dynamic = ({2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC},)
    torch.onnx.export(module, (torch.randn(2, 4, 8, 10),), file, dynamo=True, dynamic_shapes=dynamic)
    assert_agrees(file, module, [(8, 10), (7, 9), (33, 18)])


def test_the_older_exporter(tmp_path: Path) -> None:
    module, file = random_module(), tmp_path / "wdam.onnx"
    axes = {"x": {2: "height", 3: "width"}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module, (torch.randn(2, 4, 8, 10),), file, dynamo=False, input_names=["x"], dynamic_axes=axes)
    assert_agrees(file, module, [(8, 10), (7, 9), (33, 18)])


def test_another_wavelet_at_one_size(tmp_path: Path) -> None:
    module, file = random_module(wavelet="db2"), tmp_path / "wdam.onnx"
    torch.onnx.export(module, (torch.randn(2, 4, 9, 10),), file, dynamo=True)
    assert_agrees(file, module, [(9, 10)])
