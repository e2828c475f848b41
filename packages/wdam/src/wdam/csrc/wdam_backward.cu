// The two backward passes over the feature map, written by hand.
//
// Pass 1, `subband_dot`: d loss / d w_k = sum over the sample of DWT(x)_k * DWT(dy)_k. Pass 2, `input_gradient`: the
// forward's XOR convolution on dy, plus what flows back through the mean and the maximum.
//
// UNIFORM: dy is one number everywhere, the gradient of a sum, and its memory holds only that.
#include "wdam_common.cuh"

namespace wdam {

// Sum `values` of all threads of a block in a fixed order; valid in threads 0..3 (sub-band = thread) afterwards.
template <typename A>
__device__ __forceinline__ A block_sum(const A (&values)[SUBBANDS]) {
  __shared__ A warp_sums[MAX_THREADS / WARP][SUBBANDS];
#pragma unroll
  for (int k = 0; k < SUBBANDS; ++k) {
    const A sum = warp_sum(values[k]);
    if (threadIdx.x % WARP == 0) warp_sums[threadIdx.x / WARP][k] = sum;
  }
  __syncthreads();
  A total = A(0);
  if (threadIdx.x < SUBBANDS)
    for (int warp = 0; warp < int(blockDim.x) / WARP; ++warp) total += warp_sums[warp][threadIdx.x];
  return total;
}

// parts (samples, blocks_per_sample, 4); four times the products of the sub-bands. dy behind an odd edge is zero:
// cropping is the adjoint of that.
template <typename T, int V, bool LAST, bool UNIFORM>
__global__ void __launch_bounds__(MAX_THREADS)
    subband_dot(const T* __restrict__ x, const T* __restrict__ dy, typename Accumulator<T>::Type* __restrict__ parts,
                int64 channels, int64 height, int64 width, int64 blocks_per_sample, int64 units_per_block) {
  using A = typename Accumulator<T>::Type;
  const Geometry<V, LAST> shape(channels, height, width);
  const Division place = divide(blockIdx.x, blocks_per_sample);  // sample, chunk
  const int64 begin = place.remainder * units_per_block;
  const int64 end = smaller(begin + units_per_block, shape.units());
  const int64 base = place.quotient * shape.sample_size();
  A dot[SUBBANDS] = {A(0), A(0), A(0), A(0)};
  for (int64 unit = begin + threadIdx.x; unit < end; unit += blockDim.x) {
    const Patch<T, V, LAST> patch(shape, unit);
    A pixel[PIXELS][Patch<T, V, LAST>::BLOCKS], gradient[PIXELS][Patch<T, V, LAST>::BLOCKS];
    patch.template load<true>(x + base, pixel);
    if constexpr (UNIFORM) patch.fill(widen(dy[0]), gradient);
    else patch.template load<false>(dy + base, gradient);
#pragma unroll
    for (int lane = 0; lane < Patch<T, V, LAST>::BLOCKS; ++lane) {
      const Quad<A> left = butterfly(pixel[0][lane], pixel[1][lane], pixel[2][lane], pixel[3][lane]);
      const Quad<A> right = butterfly(gradient[0][lane], gradient[1][lane], gradient[2][lane], gradient[3][lane]);
#pragma unroll
      for (int k = 0; k < SUBBANDS; ++k) dot[k] += left.value[k] * right.value[k];
    }
  }
  const A total = block_sum(dot);
  if (threadIdx.x < SUBBANDS) parts[int64(blockIdx.x) * SUBBANDS + threadIdx.x] = total;
}

// One block per sample: dot (samples, 4) from parts (samples, count, 4).
template <typename A>
__global__ void __launch_bounds__(MAX_THREADS)
    subband_dot_finish(const A* __restrict__ parts, A* __restrict__ dot, int64 count) {
  A sum[SUBBANDS] = {A(0), A(0), A(0), A(0)};
  const A* sample = parts + int64(blockIdx.x) * count * SUBBANDS;
  for (int64 part = threadIdx.x; part < count; part += blockDim.x) {
    const Pack<A, SUBBANDS> values = {
        {sample[part * SUBBANDS], sample[part * SUBBANDS + 1], sample[part * SUBBANDS + 2], sample[part * SUBBANDS + 3]}};
#pragma unroll
    for (int k = 0; k < SUBBANDS; ++k) sum[k] += values.lane[k];
  }
  const A total = block_sum(sum);
  if (threadIdx.x < SUBBANDS) dot[int64(blockIdx.x) * SUBBANDS + threadIdx.x] = total * A(0.25);
}

// dx. g_mean, g_max and argmax are (samples, 4C); `mean_factor` is 1 / (blocks per plane).
template <typename T, int V, bool LAST, bool UNIFORM>
__global__ void __launch_bounds__(MAX_THREADS, sizeof(T) == 8 || (LAST && V >= 4) ? 2 : 0)
    input_gradient(const T* __restrict__ dy, const typename Accumulator<T>::Type* __restrict__ weights,
                   const typename Accumulator<T>::Type* __restrict__ scale,
                   const typename Accumulator<T>::Type* __restrict__ g_mean,
                   const typename Accumulator<T>::Type* __restrict__ g_max, const int* __restrict__ argmax,
                   T* __restrict__ dx, double mean_factor, int64 residual, int64 channels, int64 height, int64 width,
                   int64 blocks_per_sample, int64 units_per_block) {
  using A = typename Accumulator<T>::Type;
  constexpr int BLOCKS = Patch<T, V, LAST>::BLOCKS;
  constexpr int OWNERS = LAST ? V : 1;  // channels in a unit
  constexpr int WIDTH = OWNERS * int(sizeof(A)) > VECTOR_BYTES ? VECTOR_BYTES / int(sizeof(A)) : OWNERS;
  const Geometry<V, LAST> shape(channels, height, width);
  const Division place = divide(int64(gridDim.x) - 1 - blockIdx.x, blocks_per_sample);  // sample, chunk
  const int64 begin = place.remainder * units_per_block;
  const int64 end = smaller(begin + units_per_block, shape.units());
  const XorConvolution<A> convolution(weights + place.quotient * SUBBANDS, scale, residual != 0);
  const int64 base = place.quotient * shape.sample_size();
  const A half_mean = A(0.5) * A(mean_factor);
  for (int64 unit = begin + threadIdx.x; unit < end; unit += blockDim.x) {
    const Patch<T, V, LAST> patch(shape, unit);
    A pixel[PIXELS][BLOCKS];
    if constexpr (UNIFORM) patch.fill(widen(dy[0]), pixel);
    else patch.template load<false>(dy + base, pixel);
    convolution.apply(pixel);
    const int block = patch.block_index(shape);
    // Unrolled, the loop over sub-bands would fetch the pooled gradients of V channels for all of them at once: spills.
#pragma unroll(LAST ? 1 : SUBBANDS)
    for (int k = 0; k < SUBBANDS; ++k) {
      const int64 row = (place.quotient * SUBBANDS + k) * channels + patch.channel;
#pragma unroll
      for (int start = 0; start < OWNERS; start += WIDTH) {
        const Pack<A, WIDTH> mean = load_pack<WIDTH>(g_mean + row + start);
        const Pack<A, WIDTH> maximum = load_pack<WIDTH>(g_max + row + start);
        const Pack<int, WIDTH> winner = load_pack<WIDTH>(argmax + row + start);
#pragma unroll
        for (int step = 0; step < (LAST ? WIDTH : BLOCKS); ++step) {
          const int owner = LAST ? step : 0, lane = LAST ? start + step : step;
          A flow = half_mean * mean.lane[owner];
          if (winner.lane[owner] == block + (LAST ? 0 : lane)) flow += A(0.5) * maximum.lane[owner];
          pixel[0][lane] += flow;
          pixel[1][lane] += k & 2 ? -flow : flow;
          pixel[2][lane] += k & 1 ? -flow : flow;
          pixel[3][lane] += k == 1 || k == 2 ? -flow : flow;
        }
      }
    }
    // A pixel behind an odd edge was a copy of its neighbour, which therefore gets its gradient.
#pragma unroll
    for (int lane = 0; lane < BLOCKS; ++lane) {
      if (!patch.has_beside) pixel[0][lane] += pixel[1][lane], pixel[2][lane] += pixel[3][lane];
      if (!patch.has_below) pixel[0][lane] += pixel[2][lane], pixel[1][lane] += pixel[3][lane];
    }
    patch.store(dx + base, pixel);
  }
}

}  // namespace wdam
