"""Finds out how many channels blocks return: from the weights alone, or by running the model once on an example."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from wdam.errors import ModelError
from wdam.insertion.forwards import UnreadableForwardError, is_activation, record
from wdam.insertion.shells import without_content

__all__ = ["ExampleInput", "channels_from_example", "channels_from_weights"]

ExampleInput = Tensor | tuple[Any, ...] | Mapping[str, Any]

_BLOCK_SIDE = 64  # pixels of the imaginary input of a block; every common stride divides it
_MODEL_SIDE = 224  # of a whole model; the only size that many transformers take
_KEEP_CHANNELS = ("torch.nn.modules.dropout", "torch.nn.modules.pooling")


def channels_from_weights(model: nn.Module, blocks: Mapping[str, nn.Module]) -> dict[str, int]:
    """Return the number of channels of each block's output, as far as they follow from the weights.

    A block, or where that does not do the whole model, runs on torch's ``meta`` device: on copies of weights and
    statistics without content, fed with as many channels as the first layer expects. Only shapes are computed, nothing
    of the model changes, and forward hooks do not run.

    Args:
        model: Holds the blocks.
        blocks: Name -> block.

    Returns:
        Name -> channels, without those blocks for which it cannot be told.

    Raises:
        ModelError: If a block returns something else than ``(N, C, H, W)``.
    """
    found: dict[str, int] = {}
    for name, block in blocks.items():
        seen = _run_on_meta(block, _BLOCK_SIDE, {name: block})
        if seen is not None:
            found |= _agreed(seen, square=True)
    missing = {name: block for name, block in blocks.items() if name not in found}
    if missing:
        seen = _run_on_meta(model, _MODEL_SIDE, missing)
        if seen is not None:
            found |= _agreed(seen, square=True)
    return found


def channels_from_example(model: nn.Module, blocks: Mapping[str, nn.Module], example: ExampleInput) -> dict[str, int]:
    """Run ``model`` once, in evaluation mode and without gradients, and return the channels of each block's output.

    Args:
        model: What ``example`` goes into; its modes are restored.
        blocks: Name -> block to watch.
        example: One input tensor, a tuple of positional or a mapping of keyword arguments.

    Raises:
        ModelError: If a block is not reached, or does not always return ``(N, C, H, W)`` with the same ``C``.
    """
    modes = [(module, module.training) for module in model.modules()]
    try:
        model.eval()
        with _watching(blocks) as seen, torch.no_grad():
            if isinstance(example, Mapping):
                model(**example)
            else:
                model(*(example if isinstance(example, tuple) else (example,)))
    finally:
        for module, training in modes:
            module.training = training
    return _agreed(seen, square=_is_square(example))


@contextmanager
def _watching(blocks: Mapping[str, nn.Module]) -> Iterator[dict[str, list[object]]]:
    """Collect what each block returns, by name, while the context is open."""
    seen: dict[str, list[object]] = {name: [] for name in blocks}
    hooks = [
        # First of all hooks: WDAM becomes a part of the forward, so it sees what no hook has changed.
        block.register_forward_hook(
            lambda module, args, result, outputs=seen[name]: outputs.append(_form(result)), prepend=True
        )
        for name, block in blocks.items()
    ]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def _form(result: object) -> object:
    """Return the shape of a tensor, and of anything else what it is."""
    return tuple(result.shape) if isinstance(result, Tensor) else f"a {type(result).__name__}"


def _is_square(example: ExampleInput) -> bool:
    """Return whether all images in ``example`` are as high as wide, in either order of dimensions."""
    parts = example.values() if isinstance(example, Mapping) else example if isinstance(example, tuple) else (example,)
    images = [part for part in parts if isinstance(part, Tensor) and part.ndim == 4]
    return all(image.shape[2] in {image.shape[3], image.shape[1]} for image in images)


def _agreed(seen: Mapping[str, list[object]], *, square: bool) -> dict[str, int]:
    """Return name -> channels; raise ModelError where there is no one number.

    Args:
        seen: Name -> what the block returned, call by call.
        square: Whether the input was, so that only ``(N, H, W, C)`` can have its middle sizes alone in common.
    """
    found: dict[str, int] = {}
    for name, forms in seen.items():
        channels: set[int] = set()
        for form in forms:
            if not isinstance(form, tuple) or len(form) != 4:
                raise ModelError(
                    f"expected {name!r} to return a tensor (N, C, H, W), got {form}; "
                    f"name a block that works on feature maps"
                )
            if square and form[1] == form[2] != form[3]:
                raise ModelError(
                    f"expected {name!r} to return a tensor (N, C, H, W), got {form}, which seems to be (N, H, W, C); "
                    f"name a block that has its channels first"
                )
            channels.add(form[1])
        if len(channels) != 1:
            got = f"{sorted(channels)} channels in one pass" if channels else "no call in a forward pass"
            raise ModelError(
                f"expected {name!r} to be called with one number of channels, got {got}; choose a block that the input "
                f"passes through, and an input that reaches it"
            )
        found[name] = channels.pop()
    return found


def _run_on_meta(module: nn.Module, side: int, blocks: Mapping[str, nn.Module]) -> dict[str, list[object]] | None:
    """Run ``module`` on tensors without content; return what each block returned, or None if it cannot be run so."""
    channels = _input_channels(module)
    if channels is None:
        return None
    floating = (tensor.dtype for tensor in [*module.parameters(), *module.buffers()] if tensor.is_floating_point())
    images = torch.empty(2, channels, side, side, dtype=next(floating, torch.float32), device="meta")
    try:
        with without_content(module), _watching(blocks) as seen, torch.no_grad():
            module(images)
    except Exception:  # noqa: BLE001 (foreign code; whatever it is, the caller is asked for an example instead)
        return None
    return seen


def _input_channels(module: nn.Module) -> int | None:
    """Return what the first layer that ``module`` gives its input to expects, or None."""
    if (declared := _declared_channels(module)) is not None:
        return declared
    try:
        graph = record(module)
    except UnreadableForwardError:
        # Whatever else the forward does, the children of a model are written down in the order of their use.
        return next((channels for child in module.children() if (channels := _input_channels(child))), None)
    pending = [user for node in graph.nodes if node.op == "placeholder" for user in node.users]
    while pending:
        node = pending.pop(0)
        if node.op != "call_module":
            continue
        child = module.get_submodule(str(node.target))
        if _keeps_channels(child):
            pending += node.users
        elif (channels := _input_channels(child)) is not None:
            return channels
    return None


def _declared_channels(module: nn.Module) -> int | None:
    match module:
        case nn.Conv2d() | nn.ConvTranspose2d():
            return module.in_channels
        case nn.BatchNorm2d():
            return module.num_features
        case nn.GroupNorm():
            return module.num_channels
        case nn.LayerNorm() if type(module) is not nn.LayerNorm:  # torchvision's and timm's for (N, C, H, W)
            return module.normalized_shape[0]
    return None


def _keeps_channels(module: nn.Module) -> bool:
    return isinstance(module, nn.Identity) or is_activation(module) or type(module).__module__ in _KEEP_CHANNELS
