from __future__ import annotations

import io

import pytest
import torch
from torch.export import Dim

from wdam import WDAM, dwt2, idwt2, wavedec2, waverec2
from wdam.errors import BackendError

TOLERANCE = 1e-12


def random_module(**options: object) -> WDAM:
    module = WDAM(4, **options).double().eval()
    generator = torch.Generator().manual_seed(20260302)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return module


@pytest.mark.parametrize("size", [(8, 10), (7, 9)])
@pytest.mark.parametrize("hints", ["named", "dynamic"])
def test_one_program_serves_all_sizes(hints: str, size: tuple[int, int]) -> None:
    module = random_module(scale=True)
    dynamic = {"named": {2: Dim("height", min=3), 3: Dim("width", min=3)}, "dynamic": {2: Dim.DYNAMIC, 3: Dim.DYNAMIC}}
    example = (torch.randn(2, 4, *size, dtype=torch.float64),)
    program = torch.export.export(module, example, dynamic_shapes=(dynamic[hints],))
    for other in ((8, 10), (7, 9), (33, 18), (3, 3)):
        x = torch.randn(2, 4, *other, dtype=torch.float64)
        torch.testing.assert_close(program.module()(x), module(x), rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (2, 2), (6, 1)])
def test_the_smallest_sizes_as_they_are(size: tuple[int, int]) -> None:
    module, x = random_module(), torch.randn(2, 4, *size, dtype=torch.float64)
    torch.testing.assert_close(torch.export.export(module, (x,)).module()(x), module(x), rtol=0, atol=TOLERANCE)


class Transform(torch.nn.Module):
    """A function as something to export."""

    def __init__(self, function: object) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor) -> object:
        return self.function(x)


TRANSFORMS = {
    "dwt2": dwt2,
    "wavedec2": lambda x, *how: wavedec2(x, *how, level=2),
    "idwt2": lambda x, *how: idwt2(dwt2(x, *how), *how, shape=x.shape[-2:]),
    "waverec2": lambda x, *how: waverec2(wavedec2(x, *how, level=2), *how, shape=x.shape[-2:]),
}


@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.parametrize("how", [("haar", "symmetric"), ("haar", "zero"), ("db2", "reflect"), ("db2", "periodization")])
def test_transforms_of_dimensions_with_names(how: tuple[str, str], name: str) -> None:
    module = Transform(lambda x: TRANSFORMS[name](x, *how))
    dynamic = ({2: Dim("height", min=8), 3: Dim("width", min=8)},)
    example = torch.randn(2, 3, 16, 21, dtype=torch.float64)
    program = torch.export.export(module, (example,), dynamic_shapes=dynamic).module()
    for size in ((16, 21), (17, 20), (12, 30)):
        x = torch.randn(2, 3, *size, dtype=torch.float64)
        ours, theirs = (torch.utils._pytree.tree_leaves(call(x)) for call in (program, module))
        for our, their in zip(ours, theirs, strict=True):
            torch.testing.assert_close(our, their, rtol=0, atol=TOLERANCE)


def test_a_saved_program_knows_no_operator_of_ours() -> None:
    module = random_module()
    x = torch.randn(1, 4, 5, 6, dtype=torch.float64)
    program = torch.export.export(module, (x,))
    assert not [node for node in program.graph.nodes if "wdam" in str(node.target)]
    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    torch.testing.assert_close(torch.export.load(file).module()(x), module(x), rtol=0, atol=TOLERANCE)


def test_another_wavelet() -> None:
    module = random_module(wavelet="db2")
    x = torch.randn(1, 4, 9, 6, dtype=torch.float64)
    program = torch.export.export(module, (x,))
    torch.testing.assert_close(program.module()(x), module(x), rtol=0, atol=TOLERANCE)


def test_cuda_is_not_exported_silently() -> None:
    with pytest.raises(BackendError, match="got a tensor on 'cpu'"):
        torch.export.export(random_module(backend="cuda"), (torch.randn(1, 4, 4, 4).double(),))
