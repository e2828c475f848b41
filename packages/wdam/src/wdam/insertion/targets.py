"""Finds the blocks that name patterns mean, and refuses those that no WDAM can be attached to."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

from torch import nn
from torch.jit import ScriptModule
from torch.nn.parallel import DataParallel, DistributedDataParallel

from wdam.errors import ModelError
from wdam.insertion.classes import placement_of
from wdam.insertion.forwards import ATTENTION
from wdam.module import WDAM

__all__ = ["blocks_with_attention", "matching_blocks"]

_CONTAINERS = (nn.ModuleDict, nn.ModuleList, nn.Sequential)
_DEEP = "**"
_SHARDED = {"FSDPModule", "FullyShardedDataParallel"}


def matching_blocks(model: nn.Module, patterns: Iterable[str]) -> dict[str, nn.Module]:
    """Return name -> block for every module that a pattern matches, in the model's order.

    A block that the model holds under several names is one block and goes by the first of them.

    Args:
        model: Not wrapped or compiled.
        patterns: Shell-style, matched part by part between the dots, so that ``*`` stays within one level; ``**``
            stands for any number of levels.

    Raises:
        ModelError: If the model is wrapped, a pattern matches nothing, or a block cannot take a WDAM.
    """
    attentions = tuple(name for name, module in model.named_modules(remove_duplicate=False) if isinstance(module, WDAM))
    modules = {
        name: module
        for name, module in model.named_modules(remove_duplicate=False)
        if not any(name == attention or name.startswith(f"{attention}.") for attention in attentions)
    }
    wanted = list(patterns)
    if not wanted:
        raise ModelError("expected at least one pattern, got none; pass a name such as 'layer1.*'")
    for pattern in wanted:
        if not any(_matches(name, pattern) for name in modules):
            raise ModelError(_no_match(pattern, modules))
    matched = {name: module for name, module in modules.items() if any(_matches(name, each) for each in wanted)}
    found = set(map(id, matched.values()))
    blocks = {name: module for name, module in model.named_modules() if id(module) in found}
    for name in matched:
        _refuse_wrapped(name, modules)
    for name, block in blocks.items():
        _refuse_unsuitable(name, block)
    return blocks


def blocks_with_attention(model: nn.Module) -> dict[str, nn.Module]:
    """Return name -> block for every block of ``model`` that :func:`wdam.insert` gave a WDAM."""
    return {name: module for name, module in model.named_modules() if placement_of(module) is not None}


def _matches(name: str, pattern: str) -> bool:
    # The model itself has no name: `*` means its children, not it as well.
    return _parts_match(name.split(".") if name else [], pattern.split(".") if pattern else [])


def _parts_match(names: list[str], patterns: list[str]) -> bool:
    if not patterns:
        return not names
    if patterns[0] == _DEEP:
        return any(_parts_match(names[start:], patterns[1:]) for start in range(len(names) + 1))
    return bool(names) and fnmatchcase(names[0], patterns[0]) and _parts_match(names[1:], patterns[1:])


def _no_match(pattern: str, modules: Iterable[str]) -> str:
    names = [name for name in modules if name]
    near = difflib.get_close_matches(pattern, names, n=4, cutoff=0.3) or [name for name in names if "." not in name][:4]
    hint = f"the nearest names are {', '.join(map(repr, near))}" if near else "the model has no children"
    return (
        f"expected a pattern that matches a module, got {pattern!r}, which matches none (`*` stays between two dots); "
        f"{hint}; `[name for name, _ in model.named_modules()]` lists all"
    )


def _refuse_wrapped(name: str, modules: Mapping[str, nn.Module]) -> None:
    """Raise if the block of that name, or a module it is in, is wrapped or compiled."""
    parts = name.split(".") if name else []
    for length in range(len(parts) + 1):
        around = modules[".".join(parts[:length])]
        if isinstance(around, (DataParallel, DistributedDataParallel)) or _is_compiled(around) or _is_sharded(around):
            shown = f"{'.'.join(parts[:length])!r} ({type(around).__name__})" if length else type(around).__name__
            raise ModelError(
                f"expected a model that is not wrapped or compiled yet, got {shown}, which already recorded "
                f"the parameters or the forward; insert WDAM first, then wrap or compile"
            )


def _is_compiled(module: nn.Module) -> bool:
    return hasattr(module, "_orig_mod") or getattr(module, "_compiled_call_impl", None) is not None


def _is_sharded(module: nn.Module) -> bool:
    """Return whether one of torch's two FSDPs has it; importing them to ask would cost a second."""
    return any(kind.__name__ in _SHARDED for kind in type(module).__mro__)


def _refuse_unsuitable(name: str, block: nn.Module) -> None:
    kind = type(block)
    shown = f"{name!r} ({kind.__name__})"
    if placement_of(block) is not None:
        raise ModelError(
            f"expected a block without WDAM, got {shown}, which has one; call wdam.remove(model) first, or choose "
            f"other blocks"
        )
    if hasattr(block, ATTENTION):
        raise ModelError(
            f"expected a block without an attribute {ATTENTION!r}, got {shown}, which has one of its own; rename "
            f"it, or use WDAM in the block's own code"
        )
    if isinstance(block, _CONTAINERS) and kind.forward is not nn.Sequential.forward:
        raise ModelError(
            f"expected a block with a forward that does not run over its children, got the container {shown}; name its "
            f"children, as in {name + '.*'!r}"
        )
    if "forward" in vars(block) or isinstance(block, ScriptModule):
        raise ModelError(
            f"expected a block whose class defines its forward, got {shown}, whose forward was replaced or scripted; "
            f"insert WDAM before that is done"
        )
    own = kind.__reduce__ is not object.__reduce__ or kind.__reduce_ex__ is not object.__reduce_ex__
    if own or hasattr(kind, "__deepcopy__"):
        raise ModelError(
            f"expected a block that is copied and pickled as modules are, got {shown}, which does it in its own "
            f"way and would lose the WDAM; insert into the model it was made from"
        )
