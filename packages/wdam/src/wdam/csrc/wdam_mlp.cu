// The tiny perceptron 4C -> hidden -> 4 on mean and maximum, its sigmoid, and its gradient. w1 is (hidden, 4C), w2
// (4, hidden), both row-major; everything is in the accumulator type.
#include "wdam_common.cuh"

namespace wdam {

constexpr int GATE_THREADS = 512;
constexpr int SHARE = 4;   // rows that share what they load
constexpr int TILE = 64;   // hidden units or samples that stay in shared memory

__device__ __forceinline__ float exponential(float value) { return expf(value); }
__device__ __forceinline__ double exponential(double value) { return exp(value); }

// hidden = relu(w1 v) for v = mean and v = maximum; one warp per hidden unit, both in one walk along w1. V > 1 needs
// 16-byte aligned mean, maximum and w1.
template <typename A, int V>
__device__ __forceinline__ void hidden_units(const A* mean, const A* maximum, const A* w1, A* hidden_mean,
                                             A* hidden_max, int64 features, int64 hidden, int64 first, int64 step) {
  const int lane = threadIdx.x % WARP;
  for (int64 unit = first; unit < hidden; unit += step) {
    A of_mean = A(0), of_max = A(0);
    for (int64 feature = int64(lane) * V; feature < features; feature += WARP * V) {
      const Pack<A, V> weight = load_pack<V>(w1 + unit * features + feature);
      const Pack<A, V> low = load_pack<V>(mean + feature), high = load_pack<V>(maximum + feature);
#pragma unroll
      for (int v = 0; v < V; ++v) of_mean += weight.lane[v] * low.lane[v], of_max += weight.lane[v] * high.lane[v];
    }
    of_mean = warp_sum(of_mean);
    of_max = warp_sum(of_max);
    if (lane == 0) {  // written so that NaN stays NaN
      hidden_mean[unit] = of_mean < A(0) ? A(0) : of_mean;
      hidden_max[unit] = of_max < A(0) ? A(0) : of_max;
    }
  }
}

// weights = sigmoid(w2 hidden_mean + w2 hidden_max); one warp per sub-band.
template <typename A>
__device__ __forceinline__ void subband_weights(const A* hidden_mean, const A* hidden_max, const A* w2, A* weights,
                                                int64 hidden) {
  const int lane = threadIdx.x % WARP, k = threadIdx.x / WARP;
  if (k >= SUBBANDS) return;  // whole warps leave
  A of_mean = A(0), of_max = A(0);
  for (int64 unit = lane; unit < hidden; unit += WARP) {
    of_mean += w2[k * hidden + unit] * hidden_mean[unit];
    of_max += w2[k * hidden + unit] * hidden_max[unit];
  }
  const A logit = warp_sum(of_mean) + warp_sum(of_max);
  if (lane == 0) weights[k] = A(1) / (A(1) + exponential(-logit));
}

// The whole perceptron, one block per sample.
template <typename A, int V>
__global__ void __launch_bounds__(GATE_THREADS, sizeof(A) == 8 ? 1 : 0)
    gate(const A* mean, const A* maximum, const A* w1, const A* w2, A* weights, A* hidden_mean, A* hidden_max,
         int64 features, int64 hidden) {
  const int64 sample = blockIdx.x;
  A* to_mean = hidden_mean + sample * hidden;
  A* to_max = hidden_max + sample * hidden;
  hidden_units<A, V>(mean + sample * features, maximum + sample * features, w1, to_mean, to_max, features, hidden,
                     threadIdx.x / WARP, blockDim.x / WARP);
  __syncthreads();  // makes the block's global writes visible to the block
  subband_weights(to_mean, to_max, w2, weights + sample * SUBBANDS, hidden);
}

// The first layer alone, grid = samples * tiles: for perceptrons too large for one block per sample.
template <typename A, int V>
__global__ void __launch_bounds__(GATE_THREADS, sizeof(A) == 8 ? 1 : 0)
    gate_hidden(const A* mean, const A* maximum, const A* w1, A* hidden_mean, A* hidden_max, int64 features,
                int64 hidden, int64 tiles) {
  const Division place = divide(blockIdx.x, tiles);  // sample, tile
  const int64 warps = blockDim.x / WARP;
  hidden_units<A, V>(mean + place.quotient * features, maximum + place.quotient * features, w1,
                     hidden_mean + place.quotient * hidden, hidden_max + place.quotient * hidden, features, hidden,
                     place.remainder * warps + threadIdx.x / WARP, tiles * warps);
}

// The second layer alone, one block of four warps per sample.
template <typename A>
__global__ void __launch_bounds__(GATE_THREADS)
    gate_weights(const A* hidden_mean, const A* hidden_max, const A* w2, A* weights, int64 hidden) {
  const int64 sample = blockIdx.x;
  subband_weights(hidden_mean + sample * hidden, hidden_max + sample * hidden, w2, weights + sample * SUBBANDS, hidden);
}

// d loss / d logit of sub-band k of a sample, from d loss / d weight.
template <typename A>
__device__ __forceinline__ A logit_gradient(const A* dw, const A* weights, int64 sample, int k) {
  const A weight = weights[sample * SUBBANDS + k];
  return dw[sample * SUBBANDS + k] * weight * (A(1) - weight);
}

// d loss / d (w1 v) of one hidden unit for v = mean and v = maximum. Four products: cheaper to redo than to store.
template <typename A>
struct HiddenGradient {
  A of_mean, of_max;

  __device__ __forceinline__ HiddenGradient(const A* dw, const A* weights, const A* hidden_mean, const A* hidden_max,
                                            const A* w2, int64 sample, int64 unit, int64 hidden) {
    A gradient = A(0);
#pragma unroll
    for (int k = 0; k < SUBBANDS; ++k)
      gradient += w2[k * hidden + unit] * logit_gradient(dw, weights, sample, k);
    of_mean = hidden_mean[sample * hidden + unit] <= A(0) ? A(0) : gradient;
    of_max = hidden_max[sample * hidden + unit] <= A(0) ? A(0) : gradient;
  }
};

// All four gradients in one launch. The first `input_blocks` blocks make g_mean and g_max (SHARE samples x blockDim
// features each), the next `weight_blocks` make dw1 (SHARE hidden units x blockDim features each), the rest dw2.
template <typename A>
__global__ void __launch_bounds__(MAX_THREADS)
    gate_backward(const A* __restrict__ dw, const A* __restrict__ weights, const A* __restrict__ mean,
                  const A* __restrict__ maximum, const A* __restrict__ hidden_mean, const A* __restrict__ hidden_max,
                  const A* __restrict__ w1, const A* __restrict__ w2, A* __restrict__ g_mean, A* __restrict__ g_max,
                  A* __restrict__ dw1, A* __restrict__ dw2, int64 samples, int64 features, int64 hidden,
                  int64 input_blocks, int64 weight_blocks) {
  __shared__ A tile_mean[SHARE][TILE], tile_max[SHARE][TILE];
  const int64 feature_tiles = (features + blockDim.x - 1) / blockDim.x;
  int64 block = blockIdx.x;
  if (block < input_blocks + weight_blocks) {
    const bool to_input = block < input_blocks;
    const Division place = divide(to_input ? block : block - input_blocks, feature_tiles);
    const int64 feature = place.remainder * blockDim.x + threadIdx.x;
    const int64 first = place.quotient * SHARE;                 // samples, or hidden units
    const int64 rows = to_input ? samples : hidden;
    const int64 length = to_input ? hidden : samples;           // what is summed over
    A sum_mean[SHARE] = {}, sum_max[SHARE] = {};
    for (int64 start = 0; start < length; start += TILE) {
      for (int cell = threadIdx.x; cell < SHARE * TILE; cell += blockDim.x) {
        const int64 row = first + cell / TILE, along = start + cell % TILE;
        const bool exists = row < rows && along < length;
        const int64 sample = exists ? (to_input ? row : along) : 0, unit = exists ? (to_input ? along : row) : 0;
        const HiddenGradient<A> gradient(dw, weights, hidden_mean, hidden_max, w2, sample, unit, hidden);
        tile_mean[cell / TILE][cell % TILE] = exists ? gradient.of_mean : A(0);
        tile_max[cell / TILE][cell % TILE] = exists ? gradient.of_max : A(0);
      }
      __syncthreads();
      const int count = int(smaller(TILE, length - start));
      if (feature < features) {
        for (int along = 0; along < count; ++along) {
          const int64 from = (start + along) * features + feature;
          const A low = to_input ? w1[from] : mean[from], high = to_input ? low : maximum[from];
#pragma unroll
          for (int share = 0; share < SHARE; ++share) {
            sum_mean[share] += tile_mean[share][along] * low;
            sum_max[share] += tile_max[share][along] * high;
          }
        }
      }
      __syncthreads();
    }
    if (feature < features) {
#pragma unroll
      for (int share = 0; share < SHARE; ++share) {
        if (first + share >= rows) continue;
        const int64 out = (first + share) * features + feature;
        if (to_input) {
          g_mean[out] = sum_mean[share];
          g_max[out] = sum_max[share];
        } else {
          dw1[out] = sum_mean[share] + sum_max[share];
        }
      }
    }
    return;
  }
  const int64 out = (block - input_blocks - weight_blocks) * blockDim.x + threadIdx.x;
  if (out >= SUBBANDS * hidden) return;
  const Division place = divide(out, hidden);  // sub-band, unit
  A sum = A(0);
  for (int64 sample = 0; sample < samples; ++sample) {
    const A both = hidden_mean[sample * hidden + place.remainder] + hidden_max[sample * hidden + place.remainder];
    sum += logit_gradient(dw, weights, sample, int(place.quotient)) * both;
  }
  dw2[out] = sum;
}

}  // namespace wdam
