// A two-channel filter bank of any length along one axis of (outer, size, inner), and its exact adjoint. Two calls
// make a two-dimensional transform. Everything is in correlation order:
//
//   analysis:   low[k] = sum over j of filter[j] * x[extend(2k + offset + j)]
//   synthesis:  x[i]   = sum over all places e with extend(e) = i, and over k, of filter[e - 2k - offset] * low[k]
//
// With the dual filters and zeros behind the edges (or period wrapping) synthesis is the inverse transform; with the
// same filters and mode it is the gradient of analysis, and analysis is the gradient of synthesis. Both gather, so
// neither needs atomics.
#include "wdam_common.cuh"

namespace wdam {

// low, high (outer, count, inner); taps (2, length): the low filter, then the high one.
template <typename From, typename To>
__global__ void __launch_bounds__(MAX_THREADS)
    filterbank_analysis(const From* __restrict__ x, To* __restrict__ low, To* __restrict__ high,
                        const typename Accumulator<From>::Type* __restrict__ taps, int64 length, int64 offset,
                        int64 mode, int64 outer, int64 size, int64 count, int64 inner) {
  using A = typename Accumulator<From>::Type;
  const int64 out = int64(blockIdx.x) * blockDim.x + threadIdx.x;
  if (out >= outer * count * inner) return;
  const Division fast = divide(out, inner), place = divide(fast.quotient, count);  // inner; outer, k
  const From* line = x + place.quotient * size * inner + fast.remainder;
  const int64 first = 2 * place.remainder + offset;
  const bool inside = first >= 0 && first + length <= size;
  A sum_low = A(0), sum_high = A(0);
  for (int64 tap = 0; tap < length; ++tap) {
    const int64 index = inside ? first + tap : extend(first + tap, size, mode);
    if (index < 0) continue;
    const A value = widen(line[index * inner]);
    sum_low += taps[tap] * value;
    sum_high += taps[length + tap] * value;
  }
  low[out] = Narrow<To>::from(sum_low);
  high[out] = Narrow<To>::from(sum_high);
}

// What place `place` of the extended line receives.
template <typename From, typename A>
__device__ __forceinline__ A gather(const From* low, const From* high, const A* taps, int64 length, int64 offset,
                                    int64 place, int64 count, int64 inner) {
  const int64 last = place - offset;  // of 2k; it is not negative for any place that analysis reads
  if (last < 0) return A(0);
  int64 k = last - length + 1;
  k = k <= 0 ? 0 : (k + 1) / 2;
  A sum = A(0);
  for (; 2 * k <= last && k < count; ++k) {
    const int64 tap = last - 2 * k;
    sum += taps[tap] * widen(low[k * inner]);
    sum += taps[length + tap] * widen(high[k * inner]);
  }
  return sum;
}

// x (outer, size, inner) from low, high (outer, count, inner).
template <typename From, typename To>
__global__ void __launch_bounds__(MAX_THREADS)
    filterbank_synthesis(const From* __restrict__ low, const From* __restrict__ high, To* __restrict__ x,
                         const typename Accumulator<From>::Type* __restrict__ taps, int64 length, int64 offset,
                         int64 mode, int64 outer, int64 size, int64 count, int64 inner) {
  using A = typename Accumulator<From>::Type;
  const int64 out = int64(blockIdx.x) * blockDim.x + threadIdx.x;
  if (out >= outer * size * inner) return;
  const Division fast = divide(out, inner), place = divide(fast.quotient, size);  // inner; outer, i
  const int64 start = place.quotient * count * inner + fast.remainder, index = place.remainder;
  A sum = gather(low + start, high + start, taps, length, offset, index, count, inner);
  if (mode != ZERO) {
    // Places beyond the edges that were copies of this number; only numbers near an edge can have any.
    const int64 last = 2 * (count - 1) + offset + length - 1;
    const int64 margin = -offset > last - size + 1 ? -offset : last - size + 1;
    if (index <= margin || index >= size - 1 - margin) {
      for (int64 behind = offset; behind < 0; ++behind)
        if (extend(behind, size, mode) == index)
          sum += gather(low + start, high + start, taps, length, offset, behind, count, inner);
      for (int64 behind = size; behind <= last; ++behind)
        if (extend(behind, size, mode) == index)
          sum += gather(low + start, high + start, taps, length, offset, behind, count, inner);
    }
  }
  x[out] = Narrow<To>::from(sum);
}

}  // namespace wdam
