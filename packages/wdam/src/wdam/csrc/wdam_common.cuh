// What every kernel of wdam shares: number formats, vectors, 2x2 blocks, reductions within a warp.
//
// Compiled by NVRTC with no header of the CUDA toolkit, and by g++ through tests/wdam/host_shim. Kernel parameters are
// 64-bit integers, pointers and doubles only: that is what a Python int and float become when cuda-core launches.
#ifndef WDAM_COMMON_CUH
#define WDAM_COMMON_CUH

namespace wdam {

using int64 = long long;

constexpr unsigned FULL_WARP = 0xffffffffu;
constexpr int WARP = 32;
constexpr int MAX_THREADS = 256;
constexpr int SUBBANDS = 4;  // LL, LH, HL, HH
constexpr int PIXELS = 4;    // a b / c d of a 2x2 block
constexpr int VECTOR_BYTES = 16;
constexpr int NO_INDEX = 0x7fffffff;

// A second number in __launch_bounds__ asks ptxas for that many resident blocks, 0 leaves it to its own choice. It is
// given only where that choice spills a register or two on some architecture (tests/wdam/test_kernels_compile.py).

// 16-bit formats are bits here; all arithmetic is done in the accumulator type.
struct Half {
  unsigned short bits;
};
struct BFloat16 {
  unsigned short bits;
};

template <typename T>
struct Accumulator {
  using Type = float;
};
template <>
struct Accumulator<double> {
  using Type = double;
};

__device__ __forceinline__ float widen(float value) { return value; }
__device__ __forceinline__ double widen(double value) { return value; }
__device__ __forceinline__ float widen(BFloat16 value) { return __uint_as_float(unsigned(value.bits) << 16); }
__device__ __forceinline__ float widen(Half value) {
#ifdef WDAM_HOST_SHIM
  return host_half_to_float(value.bits);
#else
  float wide;
  asm("cvt.f32.f16 %0, %1;" : "=f"(wide) : "h"(value.bits));
  return wide;
#endif
}

template <typename T>
struct Narrow;
template <>
struct Narrow<float> {
  static __device__ __forceinline__ float from(float value) { return value; }
};
template <>
struct Narrow<double> {
  static __device__ __forceinline__ double from(double value) { return value; }
};
template <>
struct Narrow<Half> {
  static __device__ __forceinline__ Half from(float value) {
    Half narrow;
#ifdef WDAM_HOST_SHIM
    narrow.bits = host_float_to_half(value);
#else
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(narrow.bits) : "f"(value));
#endif
    return narrow;
  }
};
template <>
struct Narrow<BFloat16> {
  static __device__ __forceinline__ BFloat16 from(float value) {
    BFloat16 narrow;
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(narrow.bits) : "f"(value));
#else
    // Round to nearest, ties to even; a NaN keeps its sign and becomes quiet instead of overflowing into infinity.
    const unsigned bits = __float_as_uint(value);
    narrow.bits = value != value ? (bits >> 16) | 0x0040u : (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
#endif
    return narrow;
  }
};

template <typename A>
struct Infinity;
template <>
struct Infinity<float> {
  static __device__ __forceinline__ float negative() { return __uint_as_float(0xff800000u); }
};
template <>
struct Infinity<double> {
  static __device__ __forceinline__ double negative() { return __longlong_as_double(0xfff0000000000000ll); }
};

// V numbers moved by one instruction; the address must be a multiple of the size, which the host checks.
template <typename T, int V>
struct alignas(sizeof(T) * V) Pack {
  T lane[V];
};

template <int BYTES>
struct Word;
template <>
struct Word<2> {
  using Type = unsigned short;
};
template <>
struct Word<4> {
  using Type = unsigned;
};
template <>
struct Word<8> {
  using Type = uint2;
};
template <>
struct Word<16> {
  using Type = uint4;
};

template <int V, typename T>
__device__ __forceinline__ Pack<T, V> load_pack(const T* address) {
  using Type = typename Word<sizeof(T) * V>::Type;
  Pack<T, V> pack;
  *reinterpret_cast<Type*>(&pack) = *reinterpret_cast<const Type*>(address);
  return pack;
}

template <typename Type>
__device__ __forceinline__ void store_word(Type* address, const Type& word) {
  *address = word;
}
// Left to itself the compiler takes some of these apart again. No kernel reads what it stores this way.
__device__ __forceinline__ void store_word(uint4* address, const uint4& word) {
#ifdef WDAM_HOST_SHIM
  *address = word;
#else
  asm volatile("st.global.v4.u32 [%0], {%1, %2, %3, %4};"
               :
               : "l"(address), "r"(word.x), "r"(word.y), "r"(word.z), "r"(word.w));
#endif
}

template <int V, typename T>
__device__ __forceinline__ void store_pack(T* address, const Pack<T, V>& pack) {
  using Type = typename Word<sizeof(T) * V>::Type;
  store_word(reinterpret_cast<Type*>(address), *reinterpret_cast<const Type*>(&pack));
}

// Quotient and remainder of numbers >= 0. Only tensors of many billion numbers leave the 32-bit path; the other one is
// written out because the compiler's 64-bit division is a function call that spills registers around it.
struct Division {
  int64 quotient, remainder;
};
__device__ __forceinline__ Division divide(int64 dividend, int64 divisor) {
  if (((dividend | divisor) >> 32) == 0) {
    const unsigned quotient = unsigned(dividend) / unsigned(divisor);
    return {int64(quotient), int64(unsigned(dividend) - quotient * unsigned(divisor))};
  }
  int64 quotient = 0, remainder = 0;
#pragma unroll 1
  for (int bit = 62; bit >= 0; --bit) {
    remainder = (remainder << 1) | ((dividend >> bit) & 1);
    quotient <<= 1;
    if (remainder >= divisor) remainder -= divisor, quotient |= 1;
  }
  return {quotient, remainder};
}

__device__ __forceinline__ int64 smaller(int64 left, int64 right) { return left < right ? left : right; }

// The four sub-bands of a block, each twice its value: callers fold the factor 1/2 into something they multiply by
// anyway. Read with sub-bands in `block` it is the inverse, because the transform is its own.
template <typename A>
struct Quad {
  A value[4];
};
template <typename A>
__device__ __forceinline__ Quad<A> butterfly(A a, A b, A c, A d) {
  const A upper_sum = a + b, upper_difference = a - b, lower_sum = c + d, lower_difference = c - d;
  return {{upper_sum + lower_sum, upper_sum - lower_sum, upper_difference + lower_difference,
           upper_difference - lower_difference}};
}

// Sum over the 32 lanes of a warp in a fixed order; every lane gets it. All lanes must call.
template <typename A>
__device__ __forceinline__ A warp_sum(A value) {
  for (int distance = WARP / 2; distance > 0; distance /= 2) value += __shfl_xor_sync(FULL_WARP, value, distance);
  return value;
}

// How a feature map is cut into units of work. A unit is `Patch<T, V, LAST>::BLOCKS` neighbouring 2x2 blocks: along a
// row for contiguous tensors (V pixels of two rows), along the channels for channels-last ones (V channels of 2x2
// pixels). V == 1 is the fallback for any alignment and odd widths.
template <int V, bool LAST>
struct Geometry {
  int channels, height, width;  // the host refuses more than 2^31 - 1
  int rows, columns;            // of blocks; an odd last row or column of pixels makes a block, too
  int groups;                   // units along the fastest axis

  __device__ __forceinline__ Geometry(int64 channels_, int64 height_, int64 width_)
      : channels(int(channels_)),
        height(int(height_)),
        width(int(width_)),
        rows(int((height_ + 1) / 2)),
        columns(int((width_ + 1) / 2)),
        groups(LAST ? channels / V : V == 1 ? columns : width / V) {}

  __device__ __forceinline__ int64 sample_size() const { return int64(channels) * height * width; }
  __device__ __forceinline__ int64 units() const { return int64(rows) * (LAST ? columns : channels) * groups; }
};

// One unit: where it lies and how to read and write it.
template <typename T, int V, bool LAST>
struct Patch {
  using A = typename Accumulator<T>::Type;
  static constexpr bool PIXELWISE = LAST || V == 1;
  static constexpr int BLOCKS = PIXELWISE ? V : V / 2;

  int channel, row, column;    // of the first block
  int64 offset;                // elements from the start of the sample to pixel a
  int64 below;                 // elements from a to c; 0 where c does not exist
  int beside;                  // elements from a to b; 0 where b does not exist
  bool has_below, has_beside;

  // Unit number `unit` of a sample.
  __device__ __forceinline__ Patch(const Geometry<V, LAST>& shape, int64 unit) {
    const Division fast = divide(unit, shape.groups);
    if (LAST) {
      const Division place = divide(fast.quotient, shape.columns);
      locate(shape, int(fast.remainder) * V, int(place.quotient), int(place.remainder));
    } else {
      const Division place = divide(fast.quotient, shape.rows);
      locate(shape, int(place.quotient), int(place.remainder), int(fast.remainder) * BLOCKS);
    }
  }

  // The unit whose first block is (row, column) of `channel`.
  __device__ __forceinline__ Patch(const Geometry<V, LAST>& shape, int channel_, int row_, int column_) {
    locate(shape, channel_, row_, column_);
  }

  __device__ __forceinline__ void locate(const Geometry<V, LAST>& shape, int channel_, int row_, int column_) {
    channel = channel_, row = row_, column = column_;
    has_below = 2 * row < shape.height - 1;
    has_beside = 2 * column < shape.width - 1;
    const int step = LAST ? shape.channels : 1;
    offset = LAST ? (2 * int64(row) * shape.width + 2 * column) * shape.channels + channel
                  : (int64(channel) * shape.height + 2 * row) * shape.width + 2 * int64(column);
    below = has_below ? int64(shape.width) * step : 0;
    beside = has_beside ? step : 0;
  }

  // Row-major number of the first block within its plane; the host refuses planes of 2^31 blocks.
  __device__ __forceinline__ int block_index(const Geometry<V, LAST>& shape) const {
    return row * shape.columns + column;
  }

  static __device__ __forceinline__ void read(const T* address, A (&values)[BLOCKS]) {
    const Pack<T, BLOCKS> pack = load_pack<BLOCKS>(address);
#pragma unroll
    for (int lane = 0; lane < BLOCKS; ++lane) values[lane] = widen(pack.lane[lane]);
  }

  // A pixel that does not exist is its neighbour (REPLICATE) or zero.
  template <bool REPLICATE>
  __device__ __forceinline__ void load(const T* sample, A (&pixel)[PIXELS][BLOCKS]) const {
    const T* first = sample + offset;
    if constexpr (PIXELWISE) {
#pragma unroll
      for (int p = 0; p < PIXELS; ++p) {
        const bool exists = ((p & 1) == 0 || has_beside) && ((p & 2) == 0 || has_below);
        if (REPLICATE || exists) {
          read(first + (p & 1 ? beside : 0) + (p & 2 ? below : 0), pixel[p]);
        } else {
#pragma unroll
          for (int lane = 0; lane < BLOCKS; ++lane) pixel[p][lane] = A(0);
        }
      }
    } else {
      const Pack<T, V> upper = load_pack<V>(first);
      const Pack<T, V> lower = load_pack<V>(first + below);
#pragma unroll
      for (int lane = 0; lane < BLOCKS; ++lane) {
        pixel[0][lane] = widen(upper.lane[2 * lane]);
        pixel[1][lane] = widen(upper.lane[2 * lane + 1]);
        pixel[2][lane] = REPLICATE || has_below ? widen(lower.lane[2 * lane]) : A(0);
        pixel[3][lane] = REPLICATE || has_below ? widen(lower.lane[2 * lane + 1]) : A(0);
      }
    }
  }

  // What `load<false>` reads from a tensor that is one number everywhere.
  __device__ __forceinline__ void fill(A number, A (&pixel)[PIXELS][BLOCKS]) const {
#pragma unroll
    for (int p = 0; p < PIXELS; ++p) {
      const bool exists = ((p & 1) == 0 || has_beside) && ((p & 2) == 0 || has_below);
#pragma unroll
      for (int lane = 0; lane < BLOCKS; ++lane) pixel[p][lane] = exists ? number : A(0);
    }
  }

  // Pixels that do not exist are dropped.
  __device__ __forceinline__ void store(T* sample, const A (&pixel)[PIXELS][BLOCKS]) const {
    T* first = sample + offset;
    if constexpr (PIXELWISE) {
#pragma unroll
      for (int p = 0; p < PIXELS; ++p) {
        if (((p & 1) && !has_beside) || ((p & 2) && !has_below)) continue;
        Pack<T, BLOCKS> pack;
#pragma unroll
        for (int lane = 0; lane < BLOCKS; ++lane) pack.lane[lane] = Narrow<T>::from(pixel[p][lane]);
        store_pack<BLOCKS>(first + (p & 1 ? beside : 0) + (p & 2 ? below : 0), pack);
      }
    } else {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        if (half == 1 && !has_below) continue;
        Pack<T, V> pack;
#pragma unroll
        for (int lane = 0; lane < BLOCKS; ++lane) {
          pack.lane[2 * lane] = Narrow<T>::from(pixel[2 * half][lane]);
          pack.lane[2 * lane + 1] = Narrow<T>::from(pixel[2 * half + 1][lane]);
        }
        store_pack<V>(first + half * below, pack);
      }
    }
  }
};

// residual * identity + scale * IDWT(weight * DWT(.)) of one sample, as the 2x2 XOR convolution it is.
template <typename A>
struct XorConvolution {
  A m0, m1, m2, m3;

  __device__ __forceinline__ XorConvolution(const A* weights, const A* scale, bool residual) {
    const A factor = scale == nullptr ? A(0.25) : A(0.25) * scale[0];
    const Quad<A> sums = butterfly(weights[0], weights[1], weights[2], weights[3]);
    // Over the weights the butterfly gives (all), (LL+LH-HL-HH), (LL-LH+HL-HH), (LL-LH-HL+HH).
    m0 = factor * sums.value[0] + (residual ? A(1) : A(0));
    m1 = factor * sums.value[1];
    m2 = factor * sums.value[2];
    m3 = factor * sums.value[3];
  }

  template <int BLOCKS>
  __device__ __forceinline__ void apply(A (&pixel)[PIXELS][BLOCKS]) const {
#pragma unroll
    for (int lane = 0; lane < BLOCKS; ++lane) {
      const A a = pixel[0][lane], b = pixel[1][lane], c = pixel[2][lane], d = pixel[3][lane];
      pixel[0][lane] = m0 * a + m1 * b + m2 * c + m3 * d;
      pixel[1][lane] = m0 * b + m1 * a + m2 * d + m3 * c;
      pixel[2][lane] = m0 * c + m1 * d + m2 * a + m3 * b;
      pixel[3][lane] = m0 * d + m1 * c + m2 * b + m3 * a;
    }
  }
};

// Index of the sample's number behind the edge under a boundary mode, or -1 for a zero. `size` >= 1.
enum Mode { ZERO = 0, SYMMETRIC = 1, REFLECT = 2, PERIODIC = 3, PERIODIZATION = 4 };

__device__ __forceinline__ int64 extend(int64 index, int64 size, int64 mode) {
  if (index >= 0 && index < size) return index;
  if (mode == ZERO) return -1;
  int64 period = size;
  if (mode == SYMMETRIC) period = 2 * size;
  if (mode == REFLECT) period = size == 1 ? 1 : 2 * size - 2;
  if (mode == PERIODIZATION) period = size + size % 2;  // an odd length first repeats its last number
  const int64 wrapped =
      index < 0 ? period - 1 - divide(-1 - index, period).remainder : divide(index, period).remainder;
  if (wrapped < size) return wrapped;
  if (mode == SYMMETRIC) return 2 * size - 1 - wrapped;
  if (mode == REFLECT) return period - wrapped;
  return size - 1;
}

}  // namespace wdam

#endif  // WDAM_COMMON_CUH
