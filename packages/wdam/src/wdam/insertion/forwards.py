"""Reads a block's ``forward`` and finds the place between the shortcut addition and the last activation.

``torch.fx`` records the forward with every child as one step, so nothing is computed and no weight is needed. What
counts is the structure, ``activation(a + b)`` at the very end, and neither the library nor the version it comes from.
"""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, fx, nn

from wdam.insertion.shells import restoring

__all__ = [
    "ATTENTION",
    "ResidualForward",
    "UnreadableForwardError",
    "adds_earlier",
    "has_activation",
    "is_activation",
    "read_residual",
    "record",
]

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
            training and evaluation other than through its children, makes a tensor that a record would keep (a random
            one, say), or runs in a context that a record would lose.
    """
    if isinstance(block, torch.jit.ScriptModule):
        raise UnreadableForwardError("it is scripted")
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
    known = set(vars(block))
    graphs = []
    for mode in (True, False):
        # Of this module alone: children are not looked into. torch.fx leaves what it records on the module.
        with restoring([block]):
            block.training = mode
            try:
                graphs.append(_LeafTracer().trace(block))
            except Exception as error:
                reason = (str(error).splitlines() or [type(error).__name__])[0]
                raise UnreadableForwardError(f"torch.fx cannot follow it ({reason})") from error
            if any(name.startswith("_tensor_constant") for name in set(vars(block)) - known):
                raise UnreadableForwardError("it makes a tensor of its own, which a copy would make only once")
    if str(graphs[0]) != str(graphs[1]):
        raise UnreadableForwardError("it does something else in training than in evaluation")
    return graphs[0]


def read_residual(block: nn.Module) -> ResidualForward | None:
    """Return the block's forward with a place for WDAM, or None if it does not end in ``activation(a + b)``.

    Raises:
        UnreadableForwardError: See :func:`record`.
    """
    graph = record(block)
    result = _before_identities(_result(graph), block)
    if result is None or not _is_rectifier_call(result, block):
        return None
    argument = result.args[0] if result.args else result.kwargs.get("input")
    addition = _before_identities(argument, block)
    if addition is None or not _is_addition(addition):
        return None
    with graph.inserting_before(result):
        attention = graph.call_module(ATTENTION, (argument,))
    result.replace_input_with(cast("fx.Node", argument), attention)
    return ResidualForward(_compiled(graph, block), _described(result, block))


def adds_earlier(block: nn.Module) -> bool:
    """Return whether a block that :func:`read_residual` finds nothing in adds a shortcut and then does more.

    Raises:
        UnreadableForwardError: See :func:`record`.
    """
    graph = record(block)
    last = _before_identities(_result(graph), block)
    return any(_is_addition(node) and node is not last for node in graph.nodes)


def has_activation(block: nn.Module) -> bool:
    """Return whether a forward that cannot be read might end in an activation: the block holds one or names one."""
    children = list(block.children())
    lists = [each for each in children if isinstance(each, (nn.ModuleDict, nn.ModuleList))]
    names = getattr(getattr(inspect.unwrap(type(block).forward), "__code__", None), "co_names", ())
    return (
        any(map(is_activation, children))
        or any(is_activation(inner) for each in lists for inner in each.children())
        or not _RECTIFIERS.isdisjoint(names)
    )


def is_activation(module: nn.Module) -> bool:
    """Return whether ``module`` is an activation of torch, timm or transformers (all keep them in such a module)."""
    kind = type(module)
    gates = {gate.__name__.lower() for gate in _GATES}  # timm has some of its own, under the same names
    return (
        "activation" in kind.__module__
        and kind.__name__.lower() not in gates
        and not isinstance(module, (*_GATES, nn.MultiheadAttention))
    )


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
    """Return whether ``node`` adds two tensors that come from the input (a number or a bias is no shortcut)."""
    adds = node.target in _ADDITIONS if node.op == "call_function" else node.target in _ADDITION_METHODS
    terms = node.all_input_nodes
    return adds and node.op != "call_module" and len(terms) == 2 and all(map(_comes_from_input, terms))


def _comes_from_input(node: fx.Node) -> bool:
    seen: set[fx.Node] = set()
    pending = [node]
    while pending:
        each = pending.pop()
        if each.op == "placeholder":
            return True
        if each not in seen:
            seen.add(each)
            pending += each.all_input_nodes
    return False


def _result(graph: fx.Graph) -> object:
    return next(node for node in graph.nodes if node.op == "output").args[0]


def _before_identities(value: object, block: nn.Module) -> fx.Node | None:
    """Return the node that makes ``value``, not counting modules that do nothing (observers to be, for one)."""
    while (
        isinstance(value, fx.Node)
        and value.op == "call_module"
        and isinstance(block.get_submodule(str(value.target)), nn.Identity)
    ):
        value = value.args[0] if value.args else None
    return value if isinstance(value, fx.Node) else None


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
