"""Lengthen a signal as the wavelet modes prescribe, however short it is."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from wdam.blocks import is_left_open, is_traced
from wdam.wavelets import Mode

__all__ = ["even_odd", "extend", "interleave"]


def extend(x: Tensor, dim: int, left: int, right: int, mode: Mode) -> Tensor:
    """Continue ``x`` beyond both ends of one of its last two dimensions.

    Only the borders are gathered, from positions computed for any distance, so that a border may be longer than the
    signal and be reflected many times (``torch.nn.functional.pad`` refuses that).

    Args:
        x: Any shape whose ``dim`` has at least one sample.
        dim: ``-1`` or ``-2``.
        left: Samples before the first, at least 0.
        right: Samples after the last, at least 0.
        mode: ``zero``; ``symmetric`` (``b a | a b c | c b``); ``reflect`` (``c b | a b c | b a``, one sample repeats
            itself); ``periodic``; ``periodization`` (periodic, once an odd length is made even by its last sample).

    Returns:
        ``x`` with ``left + right`` more samples along ``dim``.
    """
    if left == 0 and right == 0:
        return x
    if mode == "zero":
        return F.pad(x, (left, right) if dim == -1 else (0, 0, left, right))
    size = x.shape[dim]
    pieces = [x]
    if left:
        before = _source(torch.arange(-left, 0, device=x.device), size, mode)
        pieces.insert(0, x.index_select(dim, before))
    if right:
        after = _source(torch.arange(size, size + right, device=x.device), size, mode)
        pieces.append(x.index_select(dim, after))
    return torch.cat(pieces, dim=dim)


def even_odd(x: Tensor, dim: int, left: int, pairs: int, mode: Mode) -> tuple[Tensor, Tensor]:
    """Lengthen ``x`` by ``left`` samples in front and by what is missing behind to ``pairs`` pairs, and deal them out.

    Args:
        x: Any shape whose ``dim`` has at least one sample.
        dim: ``-1`` or ``-2``.
        left: Samples before the first, at least 0.
        pairs: How many pairs to return, enough for all of ``x``.
        mode: As for :func:`extend`.

    Returns:
        The even and the odd samples, ``pairs`` of them along ``dim``; counting starts in front of the border.
    """
    if is_left_open(x.shape[dim]):
        return _gathered(x, dim, -left, pairs, mode), _gathered(x, dim, 1 - left, pairs, mode)
    # A border that is never empty, one pair of which is thrown away, keeps a compiler from one graph for odd sizes and
    # another one for even sizes.
    spare = 1 if is_traced() else 0
    extended = extend(x, dim, left, 2 * (pairs + spare) - left - x.shape[dim], mode)
    even, odd = extended.unflatten(dim, (-1, 2)).unbind(dim)  # type: ignore[no-untyped-call]
    return (even.narrow(dim, 0, pairs), odd.narrow(dim, 0, pairs)) if spare else (even, odd)


def interleave(even: Tensor, odd: Tensor, dim: int) -> Tensor:
    """Undo the dealing out: put samples of equal shape in turns along ``dim``, ``-1`` or ``-2``."""
    if is_left_open(even.shape[dim]):
        position = torch.arange(2 * even.shape[dim], device=even.device)  # as for `_gathered`
        from_even = position % 2 == 0
        source = position // 2
        samples = even.index_select(dim, source), odd.index_select(dim, source)
        return torch.where(from_even if dim == -1 else from_even[:, None], *samples)
    return torch.stack([even, odd], dim=dim).flatten(dim - 1, dim)


def _gathered(x: Tensor, dim: int, first: int, count: int, mode: Mode) -> Tensor:
    """Return every second sample of the lengthened ``x``, from position ``first`` on.

    For exported programs of any size: cutting and joining, as below, would make the exporter prove facts about sizes
    that it cannot, and refuse dimensions that have a name.
    """
    position = torch.arange(count, device=x.device) * 2 + first
    size = x.shape[dim]
    if mode != "zero":
        return x.index_select(dim, _source(position, size, mode))
    inside = (position >= 0) & (position < size)
    samples = x.index_select(dim, position.clamp(0, size - 1))
    return torch.where(
        inside if dim == -1 else inside[:, None], samples, torch.zeros((), dtype=x.dtype, device=x.device)
    )


def _source(position: Tensor, size: int, mode: Mode) -> Tensor:
    """Return which sample in ``[0, size)`` stands at each position outside."""
    if mode == "symmetric":
        phase = position % (2 * size)
        return torch.minimum(phase, 2 * size - 1 - phase)
    if mode == "reflect":
        period = 2 * size - 2 if size > 1 else 1  # one sample repeats itself
        phase = position % period
        return torch.minimum(phase, period - phase)
    if mode == "periodic":
        return position % size
    return (position % (size + size % 2)).clamp(max=size - 1)
