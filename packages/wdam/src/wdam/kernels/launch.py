"""The passes of WDAM on CUDA, as functions of tensors. See ``csrc`` for the arithmetic.

Every function works on the current stream, waits for nothing and allocates only through PyTorch. Results are the same
bit by bit each time on one GPU: sums are taken in a fixed order. ``acc`` below is float64 for float64, else float32.
"""

from __future__ import annotations

import torch
from torch import Tensor

from wdam.kernels import device as gpu
from wdam.kernels.compile import Kernel
from wdam.kernels.layout import (
    BLOCKS_PER_MULTIPROCESSOR,
    MAX_THREADS,
    SUBBANDS,
    VECTOR_BYTES,
    WARP,
    FeatureMap,
    accumulator,
    ceil_div,
    cpp_name,
    power_of_two,
    vector_width,
)
from wdam.tiles import is_one_number

__all__ = ["gate", "gate_backward", "input_gradient", "pool", "reweight", "subband_dot"]

GATE_THREADS = 512
LARGEST_GATE = 1 << 18  # weights of a first layer that one block reads per sample; above, many blocks share it
SHARE = 4  # as in wdam_mlp.cu
UNITS_PER_THREAD = 2  # 64 bytes in flight per thread and direction
UNITS_PER_THREAD_DOT = 8  # a longer sum per thread makes fewer partial results
UNITS_PER_THREAD_GRADIENT = 4  # neighbouring units read the same pooled gradients
LARGEST_POOL_VECTOR = 4  # channels per thread: eight would need more registers than leave a multiprocessor full


def pool(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return mean, maximum and its place of every sub-band of every channel.

    Args:
        x: ``(N, C, H, W)``, ``C, H, W >= 1``.

    Returns:
        Mean and maximum, ``(N, 4C)`` in acc (all channels of LL, then LH, HL, HH), and the row-major index of the first
        block that has the maximum, ``(N, 4C)`` int32. A maximum over values with a NaN is NaN, at the first NaN.
    """
    map_ = FeatureMap.of(x)
    samples, channels = x.shape[:2]
    mean, maximum, index = _pooled(1, map_)
    if samples == 0:
        return mean[0], maximum[0], index[0]
    # The kernels compute sub-bands without their factor 1/2.
    factors = (0.5 / (map_.rows * map_.columns), 0.5)
    splits, grid, lanes, width = _pool_plan(map_)
    name = "pool_channels_last" if map_.last else "pool_contiguous"
    kernel = Kernel("wdam_pool.cu", f"wdam::{name}<{cpp_name(x.dtype)}, {width}>")
    planes = samples if map_.last else samples * channels
    out = (mean, maximum, index) if splits == 1 else _pooled(splits, map_)
    arguments = (planes, *map_.tensor.shape[1:], lanes, splits)
    first = factors if splits == 1 else (1.0, 1.0)
    addresses = [part.data_ptr() for part in (map_.tensor, *out)]
    gpu.run(kernel, grid, MAX_THREADS, (*addresses, *first, *arguments), x.device)
    if splits > 1:
        size = mean.numel()
        finish = Kernel("wdam_pool.cu", f"wdam::pool_finish<{cpp_name(mean.dtype)}>")
        addresses = [part.data_ptr() for part in (*out, mean, maximum, index)]
        gpu.run(finish, ceil_div(size, MAX_THREADS), MAX_THREADS, (*addresses, *factors, size, splits), x.device)
    return mean[0], maximum[0], index[0]


def gate(mean: Tensor, maximum: Tensor, w1: Tensor, w2: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return ``sigmoid(w2 relu(w1 mean) + w2 relu(w1 max))`` and the hidden activations.

    Args:
        mean: ``(N, 4C)`` in acc.
        maximum: ``(N, 4C)`` in acc.
        w1: ``(hidden, 4C)``, any floating-point dtype.
        w2: ``(4, hidden)``.

    Returns:
        Weights ``(N, 4)``, ``relu(w1 mean)`` and ``relu(w1 max)``, both ``(N, hidden)``; all in acc.
    """
    mean, maximum = mean.contiguous(), maximum.contiguous()
    first, second = _as(w1, mean), _as(w2, mean)
    samples, features = mean.shape
    hidden = first.shape[0]
    weights = mean.new_empty(samples, SUBBANDS)
    hidden_mean, hidden_max = mean.new_empty(samples, hidden), mean.new_empty(samples, hidden)
    type_, width = cpp_name(mean.dtype), vector_width(features, mean, maximum, first)
    width = width if width * mean.element_size() == VECTOR_BYTES else 1
    inputs = (mean.data_ptr(), maximum.data_ptr(), first.data_ptr())
    outputs = (hidden_mean.data_ptr(), hidden_max.data_ptr())
    if features * hidden <= LARGEST_GATE or samples == 0:
        kernel = Kernel("wdam_mlp.cu", f"wdam::gate<{type_}, {width}>")
        addresses = (*inputs, second.data_ptr(), weights.data_ptr(), *outputs)
        gpu.run(kernel, samples, GATE_THREADS, (*addresses, features, hidden), mean.device)
    else:
        fills = ceil_div(BLOCKS_PER_MULTIPROCESSOR * gpu.multiprocessors(mean.device), samples)
        tiles = min(ceil_div(hidden, GATE_THREADS // WARP), fills)
        kernel = Kernel("wdam_mlp.cu", f"wdam::gate_hidden<{type_}, {width}>")
        gpu.run(kernel, samples * tiles, GATE_THREADS, (*inputs, *outputs, features, hidden, tiles), mean.device)
        kernel = Kernel("wdam_mlp.cu", f"wdam::gate_weights<{type_}>")
        gpu.run(
            kernel, samples, SUBBANDS * WARP, (*outputs, second.data_ptr(), weights.data_ptr(), hidden), mean.device
        )
    return weights, hidden_mean, hidden_max


def reweight(x: Tensor, w: Tensor, scale: Tensor | None, residual: bool) -> Tensor:
    """Return ``residual * x + scale * IDWT(w * DWT(x))``, in dtype and layout of ``x``.

    Args:
        x: ``(N, C, H, W)``.
        w: ``(N, 4)``.
        scale: A scalar on the device, or None for 1.
        residual: Whether to add ``x``.
    """
    map_ = FeatureMap.of(x)
    y = map_.empty()
    if y.numel() == 0:
        return y
    acc = accumulator(x.dtype)
    w, factor = w.to(acc).contiguous(), None if scale is None else scale.to(acc)
    width = vector_width(map_.pitch, map_.tensor, y)
    chunks = map_.chunks(width, gpu.multiprocessors(x.device), per_thread=UNITS_PER_THREAD)
    kernel = Kernel("wdam_reweight.cu", f"wdam::reweight<{cpp_name(x.dtype)}, {width}, {_flag(map_.last)}>")
    addresses = (map_.tensor.data_ptr(), w.data_ptr(), _address(factor), y.data_ptr())
    arguments = (*addresses, int(residual), *x.shape[1:], chunks.per_sample, chunks.units)
    gpu.run(kernel, x.shape[0] * chunks.per_sample, chunks.threads, arguments, x.device)
    return y


def subband_dot(x: Tensor, dy: Tensor) -> Tensor:
    """Return ``sum(DWT(x)_k * DWT(dy)_k)`` over each sample, ``(N, 4)`` in acc; ``dy`` is zero behind an odd edge.

    Args:
        x: ``(N, C, H, W)``.
        dy: The same shape, any layout; one number expanded to it, as from ``y.sum()``, is not written out.
    """
    map_ = FeatureMap.of(x)
    samples = x.shape[0]
    dot = torch.zeros(samples, SUBBANDS, dtype=accumulator(x.dtype), device=x.device)
    if x.numel() == 0:
        return dot
    dy, uniform = _gradient(dy, map_)
    width = vector_width(map_.pitch, map_.tensor, map_.tensor if uniform else dy)
    chunks = map_.chunks(width, gpu.multiprocessors(x.device), per_thread=UNITS_PER_THREAD_DOT)
    grid = samples * chunks.per_sample
    parts = dot.new_empty(grid, SUBBANDS)
    template = f"{cpp_name(x.dtype)}, {width}, {_flag(map_.last)}, {_flag(uniform)}"
    kernel = Kernel("wdam_backward.cu", f"wdam::subband_dot<{template}>")
    addresses = (map_.tensor.data_ptr(), dy.data_ptr(), parts.data_ptr())
    arguments = (*addresses, *x.shape[1:], chunks.per_sample, chunks.units)
    gpu.run(kernel, grid, chunks.threads, arguments, x.device)
    finish = Kernel("wdam_backward.cu", f"wdam::subband_dot_finish<{cpp_name(dot.dtype)}>")
    threads = max(WARP, min(MAX_THREADS, power_of_two(chunks.per_sample)))
    gpu.run(finish, samples, threads, (parts.data_ptr(), dot.data_ptr(), chunks.per_sample), x.device)
    return dot


def gate_backward(  # noqa: PLR0917 - everything the forward knew
    dw: Tensor,
    w: Tensor,
    mean: Tensor,
    maximum: Tensor,
    hidden_mean: Tensor,
    hidden_max: Tensor,
    w1: Tensor,
    w2: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the gradients of what :func:`gate` was given, all in acc.

    Args:
        dw: ``(N, 4)``, gradient of the weights.
        w: ``(N, 4)``, the weights.
        mean: As given to :func:`gate`.
        maximum: As given to :func:`gate`.
        hidden_mean: As :func:`gate` returned it.
        hidden_max: As :func:`gate` returned it.
        w1: As given to :func:`gate`.
        w2: As given to :func:`gate`.

    Returns:
        Gradients of ``mean``, ``maximum``, ``w1`` and ``w2``.
    """
    inputs = [_as(tensor, mean) for tensor in (dw, w, mean, maximum, hidden_mean, hidden_max, w1, w2)]
    samples, features = mean.shape
    hidden = w1.shape[0]
    outputs = [inputs[place].new_zeros(inputs[place].shape) for place in (2, 3, 6, 7)]
    tiles = ceil_div(features, MAX_THREADS)
    input_blocks, weight_blocks = ceil_div(samples, SHARE) * tiles, ceil_div(hidden, SHARE) * tiles
    blocks = input_blocks + weight_blocks + ceil_div(SUBBANDS * hidden, MAX_THREADS)
    kernel = Kernel("wdam_mlp.cu", f"wdam::gate_backward<{cpp_name(mean.dtype)}>")
    addresses = (tensor.data_ptr() for tensor in (*inputs, *outputs))
    arguments = (*addresses, samples, features, hidden, input_blocks, weight_blocks)
    gpu.run(kernel, blocks if samples else 0, MAX_THREADS, arguments, mean.device)
    return outputs[0], outputs[1], outputs[2], outputs[3]


def input_gradient(  # noqa: PLR0917 - everything the forward knew
    dy: Tensor,
    w: Tensor,
    scale: Tensor | None,
    residual: bool,
    g_mean: Tensor,
    g_max: Tensor,
    argmax: Tensor,
    x: Tensor,
) -> Tensor:
    """Return the gradient of ``x``, in its dtype and layout.

    Args:
        dy: ``(N, C, H, W)``, gradient of what :func:`reweight` returned, as for :func:`subband_dot`.
        w: As given to :func:`reweight`.
        scale: As given to :func:`reweight`.
        residual: As given to :func:`reweight`.
        g_mean: ``(N, 4C)``, gradient of the mean.
        g_max: ``(N, 4C)``, gradient of the maximum.
        argmax: ``(N, 4C)`` int32, where the maximum is.
        x: As given to :func:`reweight`; its numbers are not read.
    """
    map_ = FeatureMap.of(x)
    dx = map_.empty()
    if dx.numel() == 0:
        return dx
    acc = accumulator(x.dtype)
    dy, uniform = _gradient(dy, map_)
    w, factor = w.to(acc).contiguous(), None if scale is None else scale.to(acc)
    pooled = [_aligned(tensor) for tensor in (g_mean.to(acc), g_max.to(acc), argmax)]
    width = vector_width(map_.pitch, dx, dx if uniform else dy)
    per_thread = UNITS_PER_THREAD_GRADIENT if map_.last else UNITS_PER_THREAD
    chunks = map_.chunks(width, gpu.multiprocessors(x.device), per_thread=per_thread)
    template = f"{cpp_name(x.dtype)}, {width}, {_flag(map_.last)}, {_flag(uniform)}"
    kernel = Kernel("wdam_backward.cu", f"wdam::input_gradient<{template}>")
    addresses = (dy.data_ptr(), w.data_ptr(), _address(factor), *(part.data_ptr() for part in pooled), dx.data_ptr())
    numbers = (1.0 / (map_.rows * map_.columns), int(residual), *x.shape[1:], chunks.per_sample, chunks.units)
    gpu.run(kernel, x.shape[0] * chunks.per_sample, chunks.threads, (*addresses, *numbers), x.device)
    return dx


def _gradient(dy: Tensor, map_: FeatureMap) -> tuple[Tensor, bool]:
    """Return ``dy`` in dtype and layout of a map and False, or its only number, a scalar, and True."""
    if is_one_number(dy):
        return dy[0, 0, 0, 0].to(map_.tensor.dtype), True
    return map_.like(dy), False


def _pooled(splits: int, map_: FeatureMap) -> tuple[Tensor, Tensor, Tensor]:
    """Return room for sums, maxima and their places, ``(splits, N, 4C)`` each."""
    x = map_.tensor
    shape = (splits, x.shape[0], SUBBANDS * x.shape[1])
    sums = torch.empty(shape, dtype=accumulator(x.dtype), device=x.device)
    return sums, torch.empty_like(sums), torch.empty(shape, dtype=torch.int32, device=x.device)


def _pool_plan(map_: FeatureMap) -> tuple[int, int, int, int]:
    """Return parts per plane, blocks of threads, ``lanes`` (see wdam_pool.cu) and elements per vector."""
    x = map_.tensor
    samples, channels = x.shape[:2]
    resident = BLOCKS_PER_MULTIPROCESSOR * gpu.multiprocessors(x.device)
    if map_.last:
        width = vector_width(channels, x, limit=LARGEST_POOL_VECTOR)
        lanes = min(WARP, power_of_two(channels // width))
        tiles = samples * ceil_div(channels // width, lanes)
        steps = ceil_div(map_.rows * map_.columns, MAX_THREADS // lanes)  # of one thread without splitting
        splits = max(1, min(ceil_div(resident, tiles), ceil_div(steps, 4)))
        return splits, tiles * splits, lanes, width
    width = vector_width(map_.pitch, x)
    planes, units = samples * channels, map_.units_per_plane(width)
    lanes = min(WARP, max(8, power_of_two(ceil_div(units, 4))))
    # A whole block per plane when planes are large, or so few that warps would leave the GPU idle.
    idle = planes * lanes < resident * MAX_THREADS // 2
    if units > 2 * MAX_THREADS * SUBBANDS or (idle and units > MAX_THREADS):
        lanes = MAX_THREADS
    splits = 1
    if lanes == MAX_THREADS:
        splits = max(1, min(ceil_div(resident, planes), ceil_div(units, MAX_THREADS * 4)))
    return splits, ceil_div(planes * splits, MAX_THREADS // lanes), lanes, width


def _flag(value: bool) -> str:
    return "true" if value else "false"


def _address(tensor: Tensor | None) -> int:
    """Return where a tensor lies, or 0 for none."""
    return 0 if tensor is None else tensor.data_ptr()


def _as(tensor: Tensor, like: Tensor) -> Tensor:
    return tensor.detach().to(like.dtype).contiguous()


def _aligned(tensor: Tensor) -> Tensor:
    """Return a contiguous tensor at a multiple of 16 bytes, as everything that PyTorch allocates is."""
    tensor = tensor.contiguous()
    return tensor.clone() if tensor.data_ptr() % VECTOR_BYTES else tensor
