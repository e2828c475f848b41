"""Tell ``torch.compile`` about a function without importing the compiler."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

__all__ = ["constant_in_graphs"]

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def constant_in_graphs(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Mark a function whose result a graph may take as a constant, instead of tracing into it.

    This is what ``torch.compiler.assume_constant_result`` does to its argument; but calling that imports all of
    ``torch._dynamo``, which takes longer than everything else that ``import wdam`` does.
    """
    function._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return function
