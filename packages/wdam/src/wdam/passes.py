"""The passes that :mod:`wdam.fused` is made of: pool, reweight, and two for the gradient, each from tile to tile.

Inside a tile rows are combined first (``a+c, b+d`` and ``a-c, b-d`` of blocks ``a b / c d``; the last axis stays
contiguous) and columns second.
"""

from __future__ import annotations

import torch
from torch import Tensor

from wdam.gate import SUBBANDS
from wdam.tiles import TilePlan

__all__ = ["dot_and_argmax", "first_maximum", "input_gradient", "mix_of", "pool", "reweight"]

PARTS = 8  # that an axis is cut into when looking for its maximum
MIN_PARTED = 256  # below it the extra calls cost more than they save


def pool(plan: TilePlan, x: Tensor, mean: Tensor, maximum: Tensor) -> None:
    """Write mean and maximum of every sub-band of every channel.

    Args:
        plan: How to walk through ``x``.
        x: ``(n, C, H, W)``.
        mean: ``(n, 4, C)``, written.
        maximum: ``(n, 4, C)``, written; NaN where the sub-band holds one.
    """
    mean.zero_()
    for tile in plan.tiles:
        values = _bands(plan, "bands", plan.load(x, tile, replicate=True)).flatten(-2)
        mean[..., tile.channels] += values.sum(-1).transpose(0, 1)
        largest, best = values.amax(-1).transpose(0, 1), maximum[..., tile.channels]
        best.copy_(torch.maximum(best, largest) if tile.rows.start else largest)
    mean.mul_(0.5 / plan.blocks)
    maximum.mul_(0.5)


def first_maximum(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return ``values.max(-1)``, maximum and index of the first one (NaN counts as largest), in less time.

    The library finds a maximum many elements at a time but its index one by one; so the index is looked for only in the
    part of the axis that holds the maximum. Channels-last values it compares side by side, which is fast as it is.
    """
    size = values.shape[-1]
    if size < MIN_PARTED or values.stride(-1) != 1:
        largest, place = values.max(-1)
        return largest, place
    length = size // PARTS
    parts = values[..., : PARTS * length].reshape(*values.shape[:-1], PARTS, length).amax(-1)
    if size % PARTS:
        parts = torch.cat([parts, values[..., PARTS * length :].amax(-1, keepdim=True)], dim=-1)
    # A last, shorter part is read together with the end of the one before, where nothing is as large.
    start = (parts.argmax(-1, keepdim=True) * length).clamp(max=size - length)
    largest, place = values.gather(-1, start + torch.arange(length, device=values.device)).max(-1)
    return largest, place + start[..., 0]


def _rows(plan: TilePlan, name: str, part: Tensor) -> Tensor:
    """Return sum and difference of the two rows of every block of ``(n, c, 2h, 2w)``: ``(2, n, c, h, 2w)``."""
    top, bottom = part[:, :, 0::2], part[:, :, 1::2]
    rows = plan.scratch(name, 2, *top.shape)
    torch.add(top, bottom, out=rows[0])
    torch.sub(top, bottom, out=rows[1])
    return rows


def _bands(plan: TilePlan, name: str, part: Tensor) -> Tensor:
    """Return twice the sub-bands LL, LH, HL, HH of ``(n, c, 2h, 2w)``: ``(4, n, c, h, w)``."""
    rows = _rows(plan, "rows", part)
    left, right = rows[..., 0::2], rows[..., 1::2]
    bands = plan.scratch(name, SUBBANDS, *left.shape[1:])
    torch.add(left, right, out=bands[:2])
    torch.sub(left, right, out=bands[2:])
    return bands


def mix_of(w: Tensor, scale: Tensor | None, residual: bool) -> tuple[Tensor, Tensor]:
    """Return what the rows' sum and difference are multiplied with, ``(2, n, 1, 1, 1)`` each.

    The first is for a column itself, the second for its neighbour in the block; they are, halved, ``m0+m2, m0-m2`` and
    ``m1+m3, m1-m3`` of the convolution's four numbers ``m0..m3`` per sample.
    """
    scaled = w / 4 if scale is None else w / 4 * scale.to(w.dtype)
    low, high = (scaled[:, bands].T[..., None, None, None] for bands in ([0, 1], [2, 3]))
    return low + high + (0.5 if residual else 0.0), low - high


def _store(target: Tensor, rows: Tensor, base: Tensor | None = None) -> None:
    """Turn half sum and half difference of rows back into rows, in ``target``; rounds once and crops odd sizes.

    Args:
        target: ``(n, c, H, W)``, written.
        rows: ``(2, n, c, h, 2w)``.
        base: ``(n, c, H, W)``, added.
    """
    height, width = target.shape[2:]
    total, change = rows[..., :width]
    lower = height // 2
    total_lower, change_lower = total[:, :, :lower], change[:, :, :lower]
    if base is None:
        torch.add(total, change, out=target[:, :, 0::2])
        torch.sub(total_lower, change_lower, out=target[:, :, 1::2])
    else:
        torch.add(total + change, base[:, :, 0::2], out=target[:, :, 0::2])
        torch.add(total_lower - change_lower, base[:, :, 1::2], out=target[:, :, 1::2])


def reweight(plan: TilePlan, x: Tensor, y: Tensor, mix: tuple[Tensor, Tensor], *, add: bool = False) -> None:
    """Write ``y``: every block of ``x`` convolved with its sample's four numbers, added to ``x`` if ``add``."""
    own, neighbour = mix
    for tile in plan.tiles:
        rows = _rows(plan, "rows", plan.load(x, tile, replicate=True))
        mixed = torch.mul(rows, own, out=plan.scratch("mixed", *rows.shape))
        mixed[..., 0::2].addcmul_(rows[..., 1::2], neighbour)
        mixed[..., 1::2].addcmul_(rows[..., 0::2], neighbour)
        _store(tile.of(y), mixed, tile.of(x) if add else None)


def dot_and_argmax(plan: TilePlan, x: Tensor, dy: Tensor) -> tuple[Tensor, Tensor]:
    """Return what the gradient needs to know of ``x``.

    Args:
        plan: How to walk through ``x``.
        x: ``(n, C, H, W)``.
        dy: ``(n, C, H, W)``.

    Returns:
        For every sub-band the sum of products of ``x``'s with ``dy``'s, ``(n, 4)``, and for every sub-band of every
        channel the row-major index of the first block that attains its maximum, ``(n, 4C)`` int64.
    """
    samples, channels = x.shape[:2]
    dots = torch.zeros(SUBBANDS, samples, dtype=plan.dtype, device=x.device)
    best = dots.new_empty(SUBBANDS, samples, channels)
    argmax = torch.empty_like(best, dtype=torch.int64)
    for tile in plan.tiles:
        ours = _bands(plan, "bands", plan.load(x, tile, replicate=True))
        largest, place = first_maximum(ours.flatten(-2))
        known, where = best[..., tile.channels], argmax[..., tile.channels]
        if tile.rows.start:
            # Only strictly larger values win, so that the first of equal ones stays; NaN wins over all but NaN.
            wins = (largest > known) | (largest.isnan() & ~known.isnan())
            place = torch.where(wins, place + tile.rows.start // 2 * plan.columns, where)
            largest = torch.where(wins, largest, known)
        known.copy_(largest)
        where.copy_(place)
        theirs = _bands(plan, "gradient bands", plan.load(dy, tile, replicate=False))
        dots += ours.mul_(theirs).sum((2, 3, 4))
    return dots.T / 4, argmax.transpose(0, 1).flatten(1)


def input_gradient(  # noqa: PLR0917
    plan: TilePlan,
    dy: Tensor,
    dx: Tensor,
    mix: tuple[Tensor, Tensor],
    from_mean: Tensor,
    from_max: Tensor,
    argmax: Tensor,
) -> None:
    """Write the gradient of ``x``: the mixed ``dy``, the mean's share in every block, the maximum's in one block."""
    width = dx.shape[3]
    own, neighbour = mix
    left_share, right_share = _columns(from_mean / (2 * plan.blocks))
    peaks = torch.cat([*_columns(from_max / 2, join=False)], dim=-1)
    places = _by_half(argmax)
    for tile in plan.tiles:
        rows = _rows(plan, "rows", plan.load(dy, tile, replicate=False))
        left, right = rows[..., 0::2], rows[..., 1::2]
        mixed = plan.scratch("mixed", *rows.shape)
        new_left, new_right = mixed[..., 0::2], mixed[..., 1::2]
        torch.addcmul(left_share[:, :, tile.channels, :, None], left, own, out=new_left).addcmul_(right, neighbour)
        torch.addcmul(right_share[:, :, tile.channels, :, None], right, own, out=new_right).addcmul_(left, neighbour)
        _add_peaks(mixed, peaks[:, :, tile.channels], places[:, :, tile.channels] - tile.rows.start // 2 * plan.columns)
        # A replicated row or column hands its gradient back to the one it is a copy of.
        if width % 2:
            mixed[..., width - 1] += mixed[..., width]
        target = tile.of(dx)
        if target.shape[2] % 2:
            mixed[0, :, :, -1] *= 2
            mixed[1, :, :, -1] = 0
        _store(target, mixed)


def _by_half(values: Tensor) -> Tensor:
    """Sort ``(n, 4C)`` by what a band acts on, the rows' sum or their difference: ``(2, n, C, 2)``."""
    return values.reshape(len(values), 2, 2, values.shape[1] // SUBBANDS).permute(2, 0, 3, 1)


def _columns(values: Tensor, *, join: bool = True) -> tuple[Tensor, Tensor]:
    """Return what gradients of sub-bands, ``(n, 4C)``, add to left and right columns: ``(2, n, C, 1)`` each.

    Without ``join`` the shares of the two bands stay apart: ``(2, n, C, 2)`` each.
    """
    left = _by_half(values)
    right = left * left.new_tensor([1, -1])
    return (left.sum(-1, keepdim=True), right.sum(-1, keepdim=True)) if join else (left, right)


def _add_peaks(mixed: Tensor, peaks: Tensor, places: Tensor) -> None:
    """Add the maximum's gradient to its block, in the rows' sum and difference ``(2, n, c, h, 2w)``.

    Args:
        mixed: Added to.
        peaks: ``(2, n, c, 4)``, shares of two bands for the left column, then for the right one.
        places: ``(2, n, c, 2)``, the block of each of the two bands, counted from the tile's first one.
    """
    rows, width = mixed.shape[3:]
    blocks = rows * width // 2
    inside = (places >= 0) & (places < blocks)
    left = 2 * places.clamp(0, blocks - 1)
    index = torch.cat([left, left + 1], dim=-1)
    # Along its last axis `scatter_add_` goes one by one: equal places are added in a fixed order.
    mixed.flatten(-2).scatter_add_(-1, index, peaks * torch.cat([inside, inside], dim=-1))
