// Pass 1 of the forward: mean, maximum and place of the maximum of the four Haar sub-bands of every channel.
//
// Reads x once and writes 12 numbers per channel; no sub-band is ever stored. The work of one plane can be split among
// several groups of threads, whose partial results `pool_finish` combines in a fixed order, so a result does not
// depend on scheduling. A maximum is NaN when any value is; among equals, and among NaNs, the first block wins.
#include "wdam_common.cuh"

namespace wdam {

template <typename A>
__device__ __forceinline__ bool beats(A value, int index, A best, int best_index) {
  const bool value_is_nan = value != value, best_is_nan = best != best;
  if (value_is_nan != best_is_nan) return value_is_nan;
  if (value_is_nan || value == best) return index < best_index;
  return value > best;
}

// Running result of one thread for one plane. Sub-bands count double; see `butterfly`.
template <typename A>
struct Pooled {
  A sum[SUBBANDS], best[SUBBANDS];
  int index[SUBBANDS];

  __device__ __forceinline__ Pooled() {}
  // `first` is the block that this thread will see first: where all values are minus infinity it stays the answer.
  __device__ __forceinline__ explicit Pooled(int first) {
#pragma unroll
    for (int k = 0; k < SUBBANDS; ++k) sum[k] = A(0), best[k] = Infinity<A>::negative(), index[k] = first;
  }

  // Blocks must come in rising order.
  __device__ __forceinline__ void add(A a, A b, A c, A d, int block) {
    const Quad<A> subband = butterfly(a, b, c, d);
#pragma unroll
    for (int k = 0; k < SUBBANDS; ++k) {
      const A value = subband.value[k];
      sum[k] += value;
      if (!(value <= best[k]) && best[k] == best[k]) best[k] = value, index[k] = block;
    }
  }

  __device__ __forceinline__ void merge(int k, A other_sum, A other_best, int other_index) {
    sum[k] += other_sum;
    if (beats(other_best, other_index, best[k], index[k])) best[k] = other_best, index[k] = other_index;
  }
};

// Where a thread is that takes every `stride`-th cell of a grid, row by row; it divides only once.
struct Steps {
  int row, column, rows, columns, width;

  __device__ __forceinline__ Steps(int64 first, int64 stride, int width_) : width(width_) {
    const Division start = divide(first, width_), step = divide(stride, width_);
    row = int(start.quotient), column = int(start.remainder);
    rows = int(step.quotient), columns = int(step.remainder);
  }

  __device__ __forceinline__ void advance() {
    row += rows, column += columns;
    if (column >= width) column -= width, ++row;
  }
};

// Contiguous (N, C, H, W). `lanes` threads (a power of two up to 32, or the whole block) share one of `splits` parts
// of one plane. Outputs are (splits, N, 4C).
template <typename T, int V>
__global__ void __launch_bounds__(MAX_THREADS, sizeof(T) == 8 ? 3 : 0)
    pool_contiguous(const T* __restrict__ x, typename Accumulator<T>::Type* __restrict__ sums,
                    typename Accumulator<T>::Type* __restrict__ maxima, int* __restrict__ indices, double sum_factor,
                    double max_factor, int64 planes, int64 channels, int64 height, int64 width, int64 lanes,
                    int64 splits) {
  using A = typename Accumulator<T>::Type;
  const Geometry<V, false> shape(channels, height, width);
  const int64 units = int64(shape.rows) * shape.groups;
  const int64 part_size = (units + splits - 1) / splits;
  const int member = int(threadIdx.x % unsigned(lanes));
  const int64 group = int64(blockIdx.x) * (blockDim.x / unsigned(lanes)) + threadIdx.x / unsigned(lanes);
  const Division place = divide(group, splits);  // plane, part
  const bool exists = place.quotient < planes;
  const int64 begin = place.remainder * part_size + member;
  const int64 end = exists ? smaller((place.remainder + 1) * part_size, units) : 0;
  const T* plane = x + (exists ? place.quotient : 0) * height * width;

  using Unit = Patch<T, V, false>;
  Steps steps(begin, lanes, shape.groups);
  Pooled<A> pooled(begin < end ? steps.row * shape.columns + steps.column * Unit::BLOCKS : NO_INDEX);
#pragma unroll 2
  for (int64 unit = begin; unit < end; unit += lanes, steps.advance()) {
    const Unit patch(shape, 0, steps.row, steps.column * Unit::BLOCKS);
    A pixel[PIXELS][Unit::BLOCKS];
    patch.template load<true>(plane, pixel);
    const int block = patch.block_index(shape);
#pragma unroll
    for (int lane = 0; lane < Unit::BLOCKS; ++lane)
      pooled.add(pixel[0][lane], pixel[1][lane], pixel[2][lane], pixel[3][lane], block + lane);
  }

  for (int distance = int(smaller(lanes, WARP)) / 2; distance > 0; distance /= 2) {
#pragma unroll
    for (int k = 0; k < SUBBANDS; ++k) {
      const A other_sum = __shfl_xor_sync(FULL_WARP, pooled.sum[k], distance);
      const A other_best = __shfl_xor_sync(FULL_WARP, pooled.best[k], distance);
      pooled.merge(k, other_sum, other_best, __shfl_xor_sync(FULL_WARP, pooled.index[k], distance));
    }
  }
  if (lanes > WARP) {  // the whole block works on one part of one plane: the first warp gathers the others
    __shared__ A warp_sums[MAX_THREADS / WARP][SUBBANDS], warp_best[MAX_THREADS / WARP][SUBBANDS];
    __shared__ int warp_index[MAX_THREADS / WARP][SUBBANDS];
    const int warp = threadIdx.x / WARP;
    if (threadIdx.x % WARP == 0) {
#pragma unroll
      for (int k = 0; k < SUBBANDS; ++k) {
        warp_sums[warp][k] = pooled.sum[k];
        warp_best[warp][k] = pooled.best[k];
        warp_index[warp][k] = pooled.index[k];
      }
    }
    __syncthreads();
    if (threadIdx.x == 0) {
      for (int other = 1; other < int(blockDim.x) / WARP; ++other) {
#pragma unroll
        for (int k = 0; k < SUBBANDS; ++k)
          pooled.merge(k, warp_sums[other][k], warp_best[other][k], warp_index[other][k]);
      }
    }
  }

  if (member == 0 && exists) {
    const Division sample = divide(place.quotient, channels);
    const int64 out = (place.remainder * planes + sample.quotient * channels) * SUBBANDS + sample.remainder;
#pragma unroll
    for (int k = 0; k < SUBBANDS; ++k) {
      sums[out + k * channels] = pooled.sum[k] * A(sum_factor);
      maxima[out + k * channels] = pooled.best[k] * A(max_factor);
      indices[out + k * channels] = pooled.index[k];
    }
  }
}

// Channels-last (N, H, W, C) in memory. A block of threads is `lanes` groups of V channels times `blockDim / lanes`
// places; grid.x runs over parts, then tiles of channels, then samples. Outputs are (splits, N, 4C).
template <typename T, int V>
__global__ void __launch_bounds__(MAX_THREADS, sizeof(T) == 2 ? 3 : 2)
    pool_channels_last(const T* __restrict__ x, typename Accumulator<T>::Type* __restrict__ sums,
                       typename Accumulator<T>::Type* __restrict__ maxima, int* __restrict__ indices,
                       double sum_factor, double max_factor, int64 samples, int64 channels, int64 height, int64 width,
                       int64 lanes, int64 splits) {
  using A = typename Accumulator<T>::Type;
  const Geometry<V, true> shape(channels, height, width);
  const int64 blocks = int64(shape.rows) * shape.columns;
  const int64 part_size = (blocks + splits - 1) / splits;
  const int64 tiles = (shape.groups + lanes - 1) / lanes;
  const Division outer = divide(blockIdx.x, splits);  // (sample, tile), part
  const Division inner = divide(outer.quotient, tiles);  // sample, tile
  const int lane = int(threadIdx.x % unsigned(lanes)), place = int(threadIdx.x / unsigned(lanes));
  const int places = int(blockDim.x / unsigned(lanes));
  const int channel = (int(inner.remainder) * int(lanes) + lane) * V;
  const bool exists = channel < channels;
  const int64 begin = outer.remainder * part_size + place;
  const int64 end = exists ? smaller((outer.remainder + 1) * part_size, blocks) : 0;
  const T* sample = x + inner.quotient * shape.sample_size();

  Pooled<A> pooled[V];
#pragma unroll
  for (int v = 0; v < V; ++v) pooled[v] = Pooled<A>(begin < end ? int(begin) : NO_INDEX);
  Steps steps(begin, places, shape.columns);
  for (int64 block = begin; block < end; block += places, steps.advance()) {
    const Patch<T, V, true> patch(shape, channel, steps.row, steps.column);
    A pixel[PIXELS][V];
    patch.template load<true>(sample, pixel);
#pragma unroll
    for (int v = 0; v < V; ++v) pooled[v].add(pixel[0][v], pixel[1][v], pixel[2][v], pixel[3][v], int(block));
  }

  // Neighbouring threads hold neighbouring channels; the places of a channel are gathered one sub-band at a time.
  __shared__ A shared_sum[MAX_THREADS][V], shared_best[MAX_THREADS][V];
  __shared__ int shared_index[MAX_THREADS][V];
  const int64 first_channel = inner.remainder * lanes * V;
#pragma unroll
  for (int k = 0; k < SUBBANDS; ++k) {
#pragma unroll
    for (int v = 0; v < V; ++v) {
      shared_sum[threadIdx.x][v] = pooled[v].sum[k];
      shared_best[threadIdx.x][v] = pooled[v].best[k];
      shared_index[threadIdx.x][v] = pooled[v].index[k];
    }
    __syncthreads();
    for (int result = threadIdx.x; result < int(lanes) * V; result += blockDim.x) {
      const int owner = result / V, v = result % V;
      A sum = shared_sum[owner][v], best = shared_best[owner][v];
      int index = shared_index[owner][v];
      for (int other = owner + int(lanes); other < int(blockDim.x); other += int(lanes)) {
        sum += shared_sum[other][v];
        if (beats(shared_best[other][v], shared_index[other][v], best, index))
          best = shared_best[other][v], index = shared_index[other][v];
      }
      if (first_channel + result < channels) {
        const int64 out = ((outer.remainder * samples + inner.quotient) * SUBBANDS + k) * channels + first_channel + result;
        sums[out] = sum * A(sum_factor);
        maxima[out] = best * A(max_factor);
        indices[out] = index;
      }
    }
    __syncthreads();
  }
}

// Combine (splits, size) partial results into (size).
template <typename A>
__global__ void __launch_bounds__(MAX_THREADS)
    pool_finish(const A* __restrict__ part_sums, const A* __restrict__ part_maxima, const int* __restrict__ part_indices,
                A* __restrict__ sums, A* __restrict__ maxima, int* __restrict__ indices, double sum_factor,
                double max_factor, int64 size, int64 splits) {
  const int64 out = int64(blockIdx.x) * blockDim.x + threadIdx.x;
  if (out >= size) return;
  A sum = part_sums[out], best = part_maxima[out];
  int index = part_indices[out];
  for (int64 part = 1; part < splits; ++part) {
    const int64 from = part * size + out;
    sum += part_sums[from];
    if (beats(part_maxima[from], part_indices[from], best, index)) best = part_maxima[from], index = part_indices[from];
  }
  sums[out] = sum * A(sum_factor);
  maxima[out] = best * A(max_factor);
  indices[out] = index;
}

}  // namespace wdam
