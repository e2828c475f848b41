"""An inserted WDAM lives through what one does to models: saving, copying, wrapping, compiling, exporting."""

from __future__ import annotations

import copy
import io
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, fx, nn

from wdam import WDAM
from wdam.errors import ModelError
from wdam.insertion import insert, insertions, remove

Make = Callable[..., nn.Module]
PATTERNS = ["layer1.*", "layer2", "conv1"]  # before the activation, in a sequence, behind a module


@pytest.fixture
def inserted(resnet: nn.Module) -> nn.Module:
    insert(resnet, PATTERNS)
    return resnet


def through_pickle(model: nn.Module) -> nn.Module:
    result: nn.Module = pickle.loads(pickle.dumps(model))  # noqa: S301 (made on the line itself)
    return result


def through_torch_save(model: nn.Module) -> nn.Module:
    buffer = io.BytesIO()
    torch.save(model, buffer)
    buffer.seek(0)
    result: nn.Module = torch.load(buffer, weights_only=False)
    return result


@pytest.mark.parametrize("duplicate", [copy.deepcopy, through_pickle, through_torch_save])
def test_copies_are_whole_and_independent(
    duplicate: Callable[[nn.Module], nn.Module], inserted: nn.Module, images: Tensor
) -> None:
    with torch.no_grad():
        expected = inserted(images)
        twin = duplicate(inserted)
        assert torch.equal(twin(images), expected)
        assert insertions(twin) == insertions(inserted)
        for parameter in twin.parameters():
            parameter.zero_()
        assert torch.equal(inserted(images), expected)
        assert remove(twin) == ["conv1", "layer1.0", "layer1.1", "layer2"]
        assert insertions(twin) == ()
        assert len(insertions(inserted)) == 4


def test_a_copy_of_a_copy_in_training(inserted: nn.Module, images: Tensor) -> None:
    twin = copy.deepcopy(copy.deepcopy(inserted.train()))
    twin(images).sum().backward()
    assert all(parameter.grad is not None for parameter in twin.parameters())
    assert [parameter for parameter in inserted.parameters() if parameter.grad is not None] == []


def test_hooks_of_the_block_stay_and_run(make_resnet: Make, images: Tensor) -> None:
    model = make_resnet()
    calls: list[str] = []
    for name in ("layer1.0", "layer1.0.relu"):
        model.get_submodule(name).register_forward_hook(lambda *_, name=name: calls.append(name))
    insert(model, "layer1.*", example_input=images)
    calls.clear()
    model(images)
    assert calls == [*["layer1.0.relu"] * 3, "layer1.0"]


def test_a_pickle_meets_another_version_of_the_block(make_resnet: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    model: Any = make_resnet()
    block_class = type(model.layer1[0])
    insert(model, "layer1.*")
    pickled = pickle.dumps(model)
    monkeypatch.setattr(block_class, "forward", lambda self, x: self.conv1(x))
    with pytest.raises(
        ModelError, match=r"forward of .*Bottleneck to end in .*; install the version the model was saved"
    ):
        pickle.loads(pickled)  # noqa: S301 (made above)


def test_state_dict_round_trip(inserted: nn.Module, make_resnet: Make, images: Tensor) -> None:
    fresh = make_resnet(type(inserted.get_submodule("layer2.0")))
    state = inserted.state_dict()
    with pytest.raises(RuntimeError, match="Unexpected key"):
        fresh.load_state_dict(state)
    insert(fresh, PATTERNS)
    fresh.load_state_dict(state, strict=True)
    with torch.no_grad():
        assert torch.equal(fresh(images), inserted(images))


def test_conversions(inserted: nn.Module, images: Tensor) -> None:
    with torch.no_grad():
        expected = inserted(images)
        torch.testing.assert_close(inserted.double()(images.double()).float(), expected, rtol=1e-4, atol=1e-4)
        last = inserted.float().to(memory_format=torch.channels_last)
        torch.testing.assert_close(last(images.to(memory_format=torch.channels_last)), expected, rtol=1e-4, atol=1e-4)
        assert inserted.to("meta")(images.to("meta")).shape == expected.shape


def test_modes_reach_it(inserted: nn.Module) -> None:
    attention = inserted.get_submodule("layer1.0.wdam")
    assert isinstance(attention, WDAM)
    assert inserted.train() is inserted
    assert attention.training
    assert not inserted.eval().get_submodule("layer1.0.wdam").training


def test_an_optimizer_trains_it(inserted: nn.Module, images: Tensor) -> None:
    optimizer = torch.optim.SGD(inserted.parameters(), lr=0.1)
    before = {name: parameter.clone() for name, parameter in inserted.named_parameters() if ".wdam." in name}
    inserted.train()(images).square().sum().backward()
    optimizer.step()
    after = dict(inserted.named_parameters())
    assert len(before) >= 2 * 4
    assert [name for name, parameter in before.items() if torch.equal(parameter, after[name])] == []


def test_compiles_into_one_graph(inserted: nn.Module, images: Tensor) -> None:
    with torch.no_grad():
        compiled = torch.compile(inserted, backend="eager", fullgraph=True)
        torch.testing.assert_close(compiled(images), inserted(images))


def test_exports(inserted: nn.Module, images: Tensor) -> None:
    program = torch.export.export(inserted, (images,))
    with torch.no_grad():
        # The exported graph sums in another order, over several layers in float32.
        torch.testing.assert_close(program.module()(images), inserted(images), rtol=1e-5, atol=1e-5)


class StopsAtWDAM(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, WDAM) or super().is_leaf_module(m, module_qualified_name)


def test_can_be_traced(inserted: nn.Module, images: Tensor) -> None:
    traced = fx.GraphModule(inserted, StopsAtWDAM().trace(inserted))
    # conv1 counts as torch's own to the tracer and stays one step, with its WDAM in it.
    steps = [str(node.target) for node in traced.graph.nodes if node.op == "call_module"]
    assert [step for step in steps if step == "conv1" or "wdam" in step] == [
        "conv1", "layer1.0.wdam", "layer1.1.wdam", "layer2.wdam"
    ]  # fmt: skip
    with torch.no_grad():
        torch.testing.assert_close(traced(images), inserted(images))


def test_data_parallel_replicas(inserted: nn.Module) -> None:
    replica = inserted.get_submodule("layer1.0")._replicate_for_data_parallel()
    assert type(replica) is type(inserted.get_submodule("layer1.0"))


@pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no torch.distributed")
@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.integration)])
def test_distributed_data_parallel(processes: int, tmp_path: Path) -> None:
    """Each process trains on its share; the averaged gradients are those of the whole batch in one process."""
    worker = [sys.executable, str(Path(__file__).with_name("ddp_worker.py")), str(tmp_path), str(processes)]
    running = [
        subprocess.Popen([*worker, str(rank)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for rank in range(processes)
    ]
    try:
        outputs = [process.communicate(timeout=120)[0] for process in running]
    finally:
        for process in running:
            process.kill()
            process.communicate()
    assert [process.returncode for process in running] == [0] * processes, "\n".join(outputs)
    results = [torch.load(tmp_path / f"{rank}.pt") for rank in range(processes)]
    assert any(".wdam." in name for name in results[0]["together"])
    for result in results:
        for name, gradient in result["together"].items():
            torch.testing.assert_close(gradient, result["alone"][name], rtol=1e-9, atol=1e-12)
