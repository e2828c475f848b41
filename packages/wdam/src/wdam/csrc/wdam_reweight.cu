// Pass 2 of the forward: y = residual * x + scale * IDWT(w * DWT(x)), one read and one write of the feature map.
#include "wdam_common.cuh"

namespace wdam {

// grid.x = samples * blocks_per_sample; each block takes `units_per_block` units of one sample. `scale` may be null.
// Blocks run from the end of the tensor to its start: the pooling pass has just left the end in the L2 cache.
template <typename T, int V, bool LAST>
__global__ void __launch_bounds__(MAX_THREADS)
    reweight(const T* __restrict__ x, const typename Accumulator<T>::Type* __restrict__ weights,
             const typename Accumulator<T>::Type* __restrict__ scale, T* __restrict__ y, int64 residual,
             int64 channels, int64 height, int64 width, int64 blocks_per_sample, int64 units_per_block) {
  using A = typename Accumulator<T>::Type;
  const Geometry<V, LAST> shape(channels, height, width);
  const Division place = divide(int64(gridDim.x) - 1 - blockIdx.x, blocks_per_sample);  // sample, chunk
  const int64 begin = place.remainder * units_per_block;
  const int64 end = smaller(begin + units_per_block, shape.units());
  const XorConvolution<A> convolution(weights + place.quotient * SUBBANDS, scale, residual != 0);
  const int64 base = place.quotient * shape.sample_size();
  for (int64 unit = begin + threadIdx.x; unit < end; unit += blockDim.x) {
    const Patch<T, V, LAST> patch(shape, unit);
    A pixel[PIXELS][Patch<T, V, LAST>::BLOCKS];
    patch.template load<true>(x + base, pixel);
    convolution.apply(pixel);
    patch.store(y + base, pixel);
  }
}

}  // namespace wdam
