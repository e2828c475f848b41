// The one-level Haar transform of planes (P, H, W) and its inverse at the speed of a copy: every number is read once
// and written once, by 16-byte accesses where sizes and addresses allow. Each sub-band lies where it likes.
#include "wdam_common.cuh"

namespace wdam {

template <int COUNT, typename T>
__device__ __forceinline__ void read_row(const T* address, T (&values)[COUNT]) {
  constexpr int WIDTH = COUNT * int(sizeof(T)) > VECTOR_BYTES ? VECTOR_BYTES / int(sizeof(T)) : COUNT;
#pragma unroll
  for (int start = 0; start < COUNT; start += WIDTH) {
    const Pack<T, WIDTH> pack = load_pack<WIDTH>(address + start);
#pragma unroll
    for (int lane = 0; lane < WIDTH; ++lane) values[start + lane] = pack.lane[lane];
  }
}

template <int COUNT, typename T>
__device__ __forceinline__ void write_row(T* address, const T (&values)[COUNT]) {
  constexpr int WIDTH = COUNT * int(sizeof(T)) > VECTOR_BYTES ? VECTOR_BYTES / int(sizeof(T)) : COUNT;
#pragma unroll
  for (int start = 0; start < COUNT; start += WIDTH) {
    Pack<T, WIDTH> pack;
#pragma unroll
    for (int lane = 0; lane < WIDTH; ++lane) pack.lane[lane] = values[start + lane];
    store_pack<WIDTH>(address + start, pack);
  }
}

// ll, lh, hl, hh (P, ceil(H/2), ceil(W/2)). A thread makes V numbers of each. V > 1 needs W divisible by 2V; V == 1
// takes any size, and `mode` says what lies behind an odd edge.
template <typename T, int V>
__global__ void __launch_bounds__(MAX_THREADS)
    haar_analysis(const T* __restrict__ x, T* __restrict__ ll, T* __restrict__ lh, T* __restrict__ hl,
                  T* __restrict__ hh, int64 planes, int64 height, int64 width, int64 mode) {
  using A = typename Accumulator<T>::Type;
  const int64 rows = (height + 1) / 2, columns = (width + 1) / 2, groups = columns / V;
  const int64 unit = int64(blockIdx.x) * blockDim.x + threadIdx.x;
  if (unit >= planes * rows * groups) return;
  const Division fast = divide(unit, groups), place = divide(fast.quotient, rows);
  const T* plane = x + place.quotient * height * width;
  const T* upper_row = plane + 2 * place.remainder * width;
  const int64 lower = extend(2 * place.remainder + 1, height, mode);
  const T* lower_row = plane + (lower < 0 ? 0 : lower) * width;
  const int64 column = fast.remainder * V;

  T upper[2 * V], bottom[2 * V];
  if constexpr (V > 1) {
    read_row(upper_row + 2 * column, upper);
    read_row(lower_row + 2 * column, bottom);
  } else {
    const int64 beside = extend(2 * column + 1, width, mode);
    upper[0] = upper_row[2 * column];
    bottom[0] = lower_row[2 * column];
    upper[1] = beside < 0 ? Narrow<T>::from(A(0)) : upper_row[beside];
    bottom[1] = beside < 0 ? Narrow<T>::from(A(0)) : lower_row[beside];
  }
  T out[SUBBANDS][V];
#pragma unroll
  for (int v = 0; v < V; ++v) {
    const A c = lower < 0 ? A(0) : widen(bottom[2 * v]), d = lower < 0 ? A(0) : widen(bottom[2 * v + 1]);
    const Quad<A> quad = butterfly(A(widen(upper[2 * v])), A(widen(upper[2 * v + 1])), c, d);
#pragma unroll
    for (int k = 0; k < SUBBANDS; ++k) out[k][v] = Narrow<T>::from(quad.value[k] * A(0.5));
  }
  const int64 to = fast.quotient * columns + column;
  write_row(ll + to, out[0]);
  write_row(lh + to, out[1]);
  write_row(hl + to, out[2]);
  write_row(hh + to, out[3]);
}

// x (P, H, W) with H in {2h-1, 2h}, W in {2w-1, 2w} from ll, lh, hl, hh (P, h, w); an odd edge is cropped. V > 1 needs
// W = 2w and w divisible by V.
template <typename T, int V>
__global__ void __launch_bounds__(MAX_THREADS)
    haar_synthesis(const T* __restrict__ ll, const T* __restrict__ lh, const T* __restrict__ hl,
                   const T* __restrict__ hh, T* __restrict__ x, int64 planes, int64 height, int64 width) {
  using A = typename Accumulator<T>::Type;
  const int64 rows = (height + 1) / 2, columns = (width + 1) / 2, groups = columns / V;
  const int64 unit = int64(blockIdx.x) * blockDim.x + threadIdx.x;
  if (unit >= planes * rows * groups) return;
  const Division fast = divide(unit, groups), place = divide(fast.quotient, rows);
  const int64 column = fast.remainder * V, from = fast.quotient * columns + column;
  T in[SUBBANDS][V], upper[2 * V], lower[2 * V];
  read_row(ll + from, in[0]);
  read_row(lh + from, in[1]);
  read_row(hl + from, in[2]);
  read_row(hh + from, in[3]);
#pragma unroll
  for (int v = 0; v < V; ++v) {
    // The first half of the butterfly pairs LL with LH: their sum belongs to the upper row.
    const Quad<A> quad = butterfly(A(widen(in[0][v])), A(widen(in[1][v])), A(widen(in[2][v])), A(widen(in[3][v])));
    upper[2 * v] = Narrow<T>::from(quad.value[0] * A(0.5));
    upper[2 * v + 1] = Narrow<T>::from(quad.value[1] * A(0.5));
    lower[2 * v] = Narrow<T>::from(quad.value[2] * A(0.5));
    lower[2 * v + 1] = Narrow<T>::from(quad.value[3] * A(0.5));
  }
  T* upper_row = x + (place.quotient * height + 2 * place.remainder) * width + 2 * column;
  const bool has_lower = 2 * place.remainder + 1 < height;
  if constexpr (V > 1) {
    write_row(upper_row, upper);
    if (has_lower) write_row(upper_row + width, lower);
  } else {
    const bool has_beside = 2 * column + 1 < width;
    upper_row[0] = upper[0];
    if (has_beside) upper_row[1] = upper[1];
    if (has_lower) upper_row[width] = lower[0];
    if (has_lower && has_beside) upper_row[width + 1] = lower[1];
  }
}

}  // namespace wdam
