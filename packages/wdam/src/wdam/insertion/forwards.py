"""Reads a block's ``forward`` and finds the place between the shortcut addition and the last activation.

``torch.fx`` records the forward with every child as one step, so nothing is computed and no weight is needed. What
counts is the structure, ``activation(a + b)`` at the very end, and neither the library nor the version it comes from.
"""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

__all__ = ["ATTENTION", "ResidualForward", "UnreadableForwardError", "is_activation", "read_residual", "record"]

ATTENTION = "wdam"  # the name of the child, and so the prefix of its keys in a state_dict

_ADDITIONS = (operator.add, operator.iadd, torch.add)
_ADDITION_METHODS = {"add", "add_", "__add__", "__iadd__"}
# Squashing functions at the end of a sum make gates (squeeze and excitation and its kin), not residual blocks.
_GATES = (nn.Sigmoid, nn.Hardsigmoid, nn.LogSigmoid, nn.Softmax, nn.Softmax2d, nn.LogSoftmax, nn.Softmin)
# What surrounds operations without being one; torch.fx does not record it.
_CONTEXTS = {"autocast", "enable_grad", "inference_mode", "no_grad", "set_grad_enabled"}
_RECTIFIERS = {
    *(
        "relu",
        "relu_",
        "relu6",
        "leaky_relu",
        "leaky_relu_",
        "rrelu",
        "rrelu_",
        "prelu",
        "elu",
        "elu_",
        "selu",
        "selu_",
    ),
    *("celu", "celu_", "gelu", "silu", "mish", "hardswish", "hardtanh", "hardtanh_", "softplus"),
}


class UnreadableForwardError(Exception):
    """A forward depends on more than its structure, so that reading it once does not say what it does; holds why."""


@dataclass(frozen=True, slots=True)
class ResidualForward:
    """A block's forward that ends in ``activation(a + b)``.

    Attributes:
        forward: The same computation with ``self.wdam`` between the addition and the activation; a plain function of
            ``(self, x)`` that calls the block's own children.
        activation: What comes last, for messages.
    """

    forward: Callable[..., Tensor]
    activation: str


class _LeafTracer(fx.Tracer):
    """Records calls of children instead of looking into them."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Return True: every child is one step."""
        return True


def record(block: nn.Module) -> fx.Graph:
    """Record the forward of ``block`` with its children as single steps.

    Raises:
        UnreadableForwardError: If the forward takes more than one input, branches on values or shapes, differs between
            training and evaluation other than through its children, or runs in a context that a record would lose.
    """
    forward = type(block).forward
    contexts = sorted(_CONTEXTS.intersection(getattr(getattr(forward, "__code__", None), "co_names", ())))
    if contexts or hasattr(forward, "__wrapped__"):
        raise UnreadableForwardError(
            f"it {f'uses {contexts[0]}' if contexts else 'is decorated'}, which a copy would lose"
        )
    parameters = list(inspect.signature(forward).parameters.values())[1:]
    if len(parameters) != 1 or parameters[0].kind not in {
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
    }:
        raise UnreadableForwardError(f"it takes {', '.join(map(str, parameters)) or 'nothing'} instead of one tensor")
    training = block.training
    try:
        graphs = []
        for mode in (True, False):
            block.training = mode  # of this module alone: children are not looked into
            graphs.append(_LeafTracer().trace(block))
    except Exception as error:
        raise UnreadableForwardError(f"torch.fx cannot follow it ({str(error).splitlines()[0]})") from error
    finally:
        block.training = training
    if str(graphs[0]) != str(graphs[1]):
        raise UnreadableForwardError("it does something else in training than in evaluation")
    return graphs[0]


def read_residual(block: nn.Module) -> ResidualForward | None:
    """Return the block's forward with a place for WDAM, or None if it does not end in ``activation(a + b)``.

    Raises:
        UnreadableForwardError: See :func:`record`.
    """
    graph = record(block)
    result = next(node for node in graph.nodes if node.op == "output").args[0]
    if not isinstance(result, fx.Node) or not _is_rectifier_call(result, block):
        return None
    addition = result.args[0] if result.args else None
    if not isinstance(addition, fx.Node) or not _is_addition(addition):
        return None
    with graph.inserting_before(result):
        attention = graph.call_module(ATTENTION, (addition,))
    result.replace_input_with(addition, attention)
    return ResidualForward(_compiled(graph, block), _described(result, block))


def is_activation(module: nn.Module) -> bool:
    """Return whether ``module`` is an activation of torch, timm or transformers (all keep them in such a module)."""
    return "activation" in type(module).__module__ and not isinstance(module, (*_GATES, nn.MultiheadAttention))


def _is_rectifier_call(node: fx.Node, block: nn.Module) -> bool:
    match node.op:
        case "call_module":
            return is_activation(block.get_submodule(str(node.target)))
        case "call_function":
            return getattr(node.target, "__name__", "") in _RECTIFIERS
        case "call_method":
            return node.target in _RECTIFIERS
    return False


def _is_addition(node: fx.Node) -> bool:
    """Return whether ``node`` adds two tensors (a number is no shortcut)."""
    adds = node.target in _ADDITIONS if node.op == "call_function" else node.target in _ADDITION_METHODS
    return adds and node.op != "call_module" and len(node.all_input_nodes) == 2


def _described(node: fx.Node, block: nn.Module) -> str:
    if node.op == "call_module":
        return type(block.get_submodule(str(node.target))).__name__
    return node.target if isinstance(node.target, str) else getattr(node.target, "__name__", str(node.target))


def _compiled(graph: fx.Graph, block: nn.Module) -> Callable[..., Tensor]:
    """Turn the graph into a function of ``(self, x)``; ``torch.fx`` writes and compiles its source."""
    # GraphModule wants every child that the graph names; this shell has them without anything happening to the block.
    shell = nn.Module()
    for name, child in block.named_children():
        shell.add_module(name, child)
    shell.add_module(ATTENTION, nn.Identity())
    for name, parameter in block.named_parameters(recurse=False):
        shell.register_parameter(name, parameter)
    for name, buffer in block.named_buffers(recurse=False):
        shell.register_buffer(name, buffer)
    forward: Any = type(fx.GraphModule(shell, graph)).forward
    return forward  # type: ignore[no-any-return]
