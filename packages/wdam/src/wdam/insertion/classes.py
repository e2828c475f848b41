"""Gives a block a WDAM by changing its class to a subclass of its own, and gives the old class back.

The block stays the object it was, with its weights, hooks and attributes, and stays an instance of its class; only
``forward`` is another one and there is one more child. Subclasses made at run time cannot be found by pickle, so a
pickled or copied block names its original class and reads that class's forward again.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Literal, cast

from torch import Tensor, nn

from wdam.errors import ModelError
from wdam.insertion.forwards import ATTENTION, UnreadableForwardError, read_residual

__all__ = ["Placement", "attach", "detach", "forward_with_attention", "original_class", "placement_of"]

Placement = Literal["before_activation", "behind"]

_ORIGINAL = "_wdam_original_class"
_PLACEMENT = "_wdam_placement"


def forward_with_attention(block: nn.Module, placement: Placement, *, name: str = "") -> Callable[..., Tensor]:
    """Return the forward that ``block`` gets; ``name`` is for the message.

    Raises:
        ModelError: If WDAM should come before the last activation and the forward does not end in
            ``activation(a + b)``.
        UnreadableForwardError: If it cannot be told how the forward ends.
    """
    base = type(block)
    if placement == "before_activation":
        residual = read_residual(block)
        if residual is None:
            raise ModelError(
                f"expected the forward of {name!r} ({base.__name__}) to end in `activation(a + b)`, got one that ends "
                f"otherwise; pass where='behind' to put WDAM after its output, or name the residual blocks inside it"
            )
        return residual.forward
    if base.forward is nn.Sequential.forward:
        return cast("Callable[..., Tensor]", base.forward)  # it already runs its children in turn, the new one last

    @functools.wraps(base.forward)
    def forward(self: nn.Module, *args: Any, **kwargs: Any) -> Tensor:  # noqa: ANN401 (whatever the block takes)
        return cast("Tensor", getattr(self, ATTENTION)(base.forward(self, *args, **kwargs)))

    return forward


def attach(block: nn.Module, attention: nn.Module, placement: Placement, forward: Callable[..., Tensor]) -> None:
    """Register ``attention`` as the child ``wdam`` of ``block`` and make ``forward`` the block's."""
    block.add_module(ATTENTION, attention)
    _change_class(block, placement, forward)


def detach(block: nn.Module) -> None:
    """Undo :func:`attach`: the original class, and no child ``wdam``."""
    block.__class__ = original_class(block)
    block._modules.pop(ATTENTION, None)


def original_class(block: nn.Module) -> type[nn.Module]:
    """Return the class a block had before a WDAM was attached, or has."""
    return cast("type[nn.Module]", getattr(type(block), _ORIGINAL, type(block)))


def placement_of(block: nn.Module) -> Placement | None:
    """Return where the attached WDAM of ``block`` is, or None if there is none."""
    return cast("Placement | None", getattr(type(block), _PLACEMENT, None))


def _change_class(block: nn.Module, placement: Placement, forward: Callable[..., Tensor]) -> None:
    base = type(block)
    members = {
        "__doc__": base.__doc__,
        "__module__": base.__module__,
        "__reduce_ex__": _reduce,
        "forward": forward,
        _ORIGINAL: base,
        _PLACEMENT: placement,
    }
    block.__class__ = type(f"{base.__name__}WithWDAM", (base,), members)


def _reduce(block: nn.Module, protocol: int) -> tuple[Any, ...]:
    """Pickle or copy a block as its original class, its placement and its state."""
    base = original_class(block)
    rest: tuple[Any, ...] = cast("Any", base.__reduce_ex__(block, protocol))[2:]
    return (_unfinished, (base, placement_of(block)), *rest)


def _unfinished(base: type[nn.Module], placement: Placement) -> nn.Module:
    """Return an empty block that becomes a whole one, with its own forward, when its state arrives."""

    def set_state(block: nn.Module, state: dict[str, Any]) -> None:
        block.__class__ = base
        cast("Any", block).__setstate__(state)
        attention = block._modules.pop(ATTENTION)  # the forward is read as it is without it
        try:
            forward = forward_with_attention(block, placement)
        except (ModelError, UnreadableForwardError) as error:
            raise ModelError(
                f"expected the forward of {base.__module__}.{base.__qualname__} to end in `activation(a + b)` as it "
                f"did when WDAM was inserted, got another one ({error}); install the version the model was saved "
                f"with, or build the model anew, insert WDAM and load its state_dict"
            ) from error
        block._modules[ATTENTION] = attention
        _change_class(block, placement, forward)

    return cast("nn.Module", object.__new__(type(base.__name__, (base,), {"__setstate__": set_state})))
