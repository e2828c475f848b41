"""``insert``, ``remove`` and ``insertions``: all blocks are checked before the first one is changed."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, TypedDict, Unpack, cast, get_args

import torch
from torch import Tensor, nn

from wdam.backends import Backend
from wdam.errors import DtypeError, ModelError, OptionError
from wdam.functional import DTYPES
from wdam.insertion.channels import ExampleInput, channels_from_example, channels_from_weights
from wdam.insertion.classes import Placement, attach, detach, forward_with_attention, original_class, placement_of
from wdam.insertion.forwards import UnreadableForwardError, adds_earlier, has_activation, read_residual
from wdam.insertion.targets import blocks_with_attention, matching_blocks
from wdam.module import WDAM
from wdam.wavelets import WaveletLike

__all__ = ["Insertion", "WDAMOptions", "insert", "insertions", "remove"]

Where = Literal["auto", "before_activation", "behind"]

_LOGGER = logging.getLogger("wdam")


class WDAMOptions(TypedDict, total=False):
    """What ``insert`` hands on to every ``wdam.WDAM``; see there."""

    reduction: int
    wavelet: WaveletLike
    residual: bool
    scale: bool
    backend: Backend


@dataclass(frozen=True, slots=True)
class Insertion:
    """One WDAM that ``insert`` put into a model.

    Attributes:
        name: Of the block in the model; the module is its child ``wdam``.
        block: The block's original class.
        placement: ``"before_activation"`` (between the shortcut addition and the last activation) or ``"behind"``.
        channels: Of the feature maps.
        parameters: How many the WDAM has.
    """

    name: str
    block: str
    placement: Placement
    channels: int
    parameters: int

    def __str__(self) -> str:
        place = "before its last activation" if self.placement == "before_activation" else "behind its output"
        return f"{self.name} ({self.block}): {place}, {self.channels} channels, {self.parameters:,} parameters"


@dataclass(frozen=True, slots=True)
class _Plan:
    """One block, and all that will be done to it."""

    name: str
    block: nn.Module
    attention: WDAM
    placement: Placement
    forward: Callable[..., Tensor]


def insert(
    model: nn.Module,
    pattern: str | Iterable[str],
    *,
    where: Where = "auto",
    example_input: ExampleInput | None = None,
    **options: Unpack[WDAMOptions],
) -> list[str]:
    """Put a WDAM into every block that ``pattern`` names, in place.

    In a residual block, one whose forward ends in ``activation(a + b)``, it goes where the paper has it: after the
    shortcut addition and before the last activation, ``relu(z + IDWT(w * DWT(z)))``. Behind any other module that
    returns feature maps it is applied to the output. What a block is follows from its forward, not from its library:
    ResNets of torchvision, timm and transformers are of the first kind.

    The weights and their names stay as they are; a block gets one more child, ``wdam``, on the device and with the
    dtype and mode of its own weights. Insert after loading pretrained weights and before making the optimizer, wrapping
    (``DistributedDataParallel``) or compiling. What was done is logged (logger ``wdam``, level INFO) and told by
    ``wdam.insertion.insertions``; a warning names blocks that add a shortcut and then do more than one activation.
    Nothing is changed if an error is raised.

    Args:
        model: Any module.
        pattern: One or several names of blocks with shell-style wildcards, matched between the dots: ``"layer1.*"``
            means ``layer1.0``, ``layer1.1`` … but not ``layer1.0.conv1``; ``**`` stands for any number of levels, none
            included, and ``""`` for the model itself.
        where: ``"before_activation"`` and ``"behind"`` decide for all blocks; ``"auto"`` as said above.
        example_input: What the model takes (a tensor, a tuple of arguments or a mapping of keyword arguments). The
            model then runs once, in evaluation mode and without gradients, to see how many channels the blocks return.
            Needed only where that does not follow from the weights; the error says so.
        **options: Options of ``wdam.WDAM``, such as ``reduction=16`` or ``scale=True`` (a fresh module then
            changes nothing, which keeps a pretrained network what it is until training).

    Returns:
        The names of the blocks, in the model's order.

    Raises:
        ModelError: If a pattern matches nothing, a block has a WDAM already, cannot have one, or its channels or its
            kind cannot be told.
        DtypeError: If ``model`` is no module or a pattern no text.
        OptionError: If ``where`` is unknown or an option of WDAM out of its range.
        TypeError: If WDAM has no such option.

    Examples:
        >>> from torch import nn
        >>> model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3))
        >>> insert(model, "2")
        ['2']
        >>> remove(model)
        ['2']
    """
    _check_model(model)
    if where not in get_args(Where):
        known = ", ".join(map(repr, get_args(Where)))
        raise OptionError(f"expected where to be one of {known}, got {where!r}; leave it out to decide block by block")
    blocks = matching_blocks(model, _patterns(pattern))
    channels = _channels(model, blocks, example_input)
    plans = [
        _plan(name, block, where, _attention(model, block, channels[name], options)) for name, block in blocks.items()
    ]
    elsewhere = [f"{plan.name!r}" for plan in plans if where == "auto" and _adds_earlier(plan)]
    for plan in plans:
        attach(plan.block, plan.attention, plan.placement, plan.forward)
    if elsewhere:
        _LOGGER.warning(
            "WDAM came behind the output of %s and not where the paper has it: after the shortcut addition they do "
            "more than one activation; pass where='behind' if this is meant",
            ", ".join(elsewhere),
        )
    for insertion in insertions(model):
        if insertion.name in blocks:
            _LOGGER.info("inserted WDAM into %s", insertion)
    return list(blocks)


def remove(model: nn.Module) -> list[str]:
    """Take out every WDAM that ``insert`` put in; the blocks are of their original classes again.

    Returns:
        The names of the blocks that had one, in the model's order; empty if there was none.
    """
    blocks = blocks_with_attention(model)
    for name, block in blocks.items():
        detach(block)
        _LOGGER.info("removed WDAM from %s (%s)", name, type(block).__name__)
    return list(blocks)


def insertions(model: nn.Module) -> tuple[Insertion, ...]:
    """Return what ``insert`` has put into ``model``, in the model's order."""
    found = []
    for name, block in blocks_with_attention(model).items():
        attention, placement = block.get_submodule("wdam"), placement_of(block)
        if isinstance(attention, WDAM) and placement is not None:
            count = sum(parameter.numel() for parameter in attention.parameters())
            found.append(Insertion(name, original_class(block).__name__, placement, attention.channels, count))
    return tuple(found)


def _check_model(model: object) -> None:
    if not isinstance(model, nn.Module):
        raise DtypeError(f"expected a torch.nn.Module, got a {type(model).__name__}; pass the model itself")


def _patterns(pattern: object) -> list[str]:
    patterns: list[object] = (
        list(pattern) if isinstance(pattern, Iterable) and not isinstance(pattern, str) else [pattern]
    )
    for each in patterns:
        if not isinstance(each, str):
            raise DtypeError(f"expected patterns as text, got {each!r}; pass names such as 'layer1.*'")
    return cast("list[str]", patterns)


def _channels(
    model: nn.Module, blocks: Mapping[str, nn.Module], example_input: ExampleInput | None
) -> Mapping[str, int]:
    if example_input is not None:
        return channels_from_example(model, blocks, example_input)
    channels = channels_from_weights(model, blocks)
    for name, block in blocks.items():
        if name not in channels:
            raise ModelError(
                f"expected the channels of {name!r} ({type(block).__name__}) to follow from the model's weights, got a "
                f"forward that cannot be run without content; pass example_input=, an input of the model such as "
                f"torch.zeros(1, 3, 224, 224)"
            )
    return channels


def _attention(model: nn.Module, block: nn.Module, channels: int, options: WDAMOptions) -> WDAM:
    """Return a WDAM on the device, with the dtype and in the mode of ``block``."""
    # A block without weights is where the rest of the model is.
    tensors = itertools.chain(block.parameters(), block.buffers(), model.parameters(), model.buffers())
    example = next((each for each in tensors if each.is_floating_point()), None)
    # Neither a context around the call nor the block's device decides what the weights start as.
    with torch.inference_mode(False), torch.device("cpu"):
        attention = WDAM(channels, **options)
        if example is not None:
            attention.to(device=example.device, dtype=example.dtype if example.dtype in DTYPES else None)
    return attention.train(block.training)


def _plan(name: str, block: nn.Module, where: Where, attention: WDAM) -> _Plan:
    placement = _automatic_placement(name, block) if where == "auto" else where
    try:
        forward = forward_with_attention(block, placement, name=name)
    except UnreadableForwardError as error:
        raise _unreadable(name, block, error) from error
    return _Plan(name, block, attention, placement, forward)


def _automatic_placement(name: str, block: nn.Module) -> Placement:
    try:
        return "behind" if read_residual(block) is None else "before_activation"
    except UnreadableForwardError as error:
        if has_activation(block):
            raise _unreadable(name, block, error) from error
        return "behind"


def _adds_earlier(plan: _Plan) -> bool:
    try:
        return plan.placement == "behind" and adds_earlier(plan.block)
    except UnreadableForwardError:
        return False  # no activation of its own follows whatever it adds: see _automatic_placement


def _unreadable(name: str, block: nn.Module, error: UnreadableForwardError) -> ModelError:
    return ModelError(
        f"expected a block whose forward shows where its last activation is, got {name!r} ({type(block).__name__}): "
        f"{error}; pass where='behind' to put WDAM after its output"
    )
