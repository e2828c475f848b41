"""Lets foreign code run on a model, or read it, and puts back whatever that has changed."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.lazy import LazyModuleMixin

__all__ = ["restoring", "without_content"]


@contextmanager
def restoring(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Give every module the attributes, parameters and buffers back that it has now; contents are not copied."""
    # The tables are copied, too: code assigns into them. A child is replaced in them or not at all.
    tables = ("_parameters", "_buffers", "_modules")
    before = [(each, dict(vars(each)), [dict(vars(each)[table]) for table in tables]) for each in modules]
    try:
        yield
    finally:
        for module, attributes, contents in before:
            vars(module).clear()
            vars(module).update(attributes)
            for table, content in zip(tables, contents, strict=True):
                attributes[table].clear()
                attributes[table].update(content)


@contextmanager
def without_content(model: nn.Module) -> Iterator[None]:
    """Put ``meta`` tensors in the place of all tensors of ``model``, and take its forward hooks off; both for a while.

    ``torch.func.functional_call`` is no way to do this: it leaves a module that its model holds under two names with
    the tensors it was lent. Tensors that are attributes, such as the result of weight normalisation, are replaced, too.

    Raises:
        TypeError: If a module cannot be run so: its code is not Python's, or it makes its weights when it first runs.
    """
    modules = list(model.modules())
    for module in modules:
        if isinstance(module, torch.jit.ScriptModule) or (
            isinstance(module, LazyModuleMixin) and module.has_uninitialized_params()
        ):
            raise TypeError(f"{type(module).__name__} cannot run on the meta device")
    replaced: dict[int, Tensor] = {}  # what is shared stays shared

    def replacement(tensor: Tensor) -> Tensor:
        if id(tensor) not in replaced:
            replaced[id(tensor)] = tensor.detach().to("meta")
        return replaced[id(tensor)]

    with restoring(modules):
        for module in modules:
            attributes = vars(module)
            for table in (attributes["_parameters"], attributes["_buffers"], attributes):
                for name, value in list(table.items()):
                    if isinstance(value, Tensor):
                        table[name] = replacement(value)
            attributes["_forward_hooks"] = OrderedDict()
        yield
