// Runs CUDA C++ kernels on the CPU, one block after the other.
//
// Every CUDA thread is a fiber (ucontext) with its own stack; a barrier or a warp shuffle hands over to the next fiber.
// So a run is deterministic, and `order` decides who comes first: a kernel that forgets a barrier answers differently
// when its threads run backwards. A barrier that not every thread reaches, and a shuffle in a warp that lost a lane,
// end the process with a message.
#pragma once
#define WDAM_HOST_SHIM

#include <ucontext.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#define __global__
#define __device__
#define __forceinline__ inline
#define __shared__ static
#define __launch_bounds__(...)

struct Dim3 {
  unsigned x = 1, y = 1, z = 1;
};
inline Dim3 threadIdx, blockIdx, blockDim, gridDim;

struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};

template <typename To, typename From>
inline To bits_as(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(&to, &from, sizeof(To));
  return to;
}
inline float __uint_as_float(unsigned bits) { return bits_as<float>(bits); }
inline unsigned __float_as_uint(float value) { return bits_as<unsigned>(value); }
inline double __longlong_as_double(long long bits) { return bits_as<double>(bits); }

// Written out, because the compiler's own 16-bit type depends on its version and the processor.
inline float host_half_to_float(unsigned short half) {
  const unsigned sign = (half & 0x8000u) << 16, exponent = (half >> 10) & 31, mantissa = half & 0x3ffu;
  if (exponent == 31) return __uint_as_float(sign | 0x7f800000u | mantissa << 13);
  if (exponent == 0) return std::copysign(std::ldexp(float(mantissa), -24), sign ? -1.0f : 1.0f);
  return __uint_as_float(sign | (exponent + 112) << 23 | mantissa << 13);
}
inline unsigned short host_float_to_half(float value) {
  const unsigned bits = __float_as_uint(value), sign = bits >> 16 & 0x8000u;
  if (value != value) return sign | 0x7e00u;
  const float size = std::fabs(value);
  if (size >= 65520.0f) return sign | 0x7c00u;  // rounds to beyond the largest half
  int exponent;
  std::frexp(size, &exponent);
  // Halves are multiples of 2^-24, and of 2^(exponent - 11) above 2^-14. nearbyint rounds ties to even.
  const int step = exponent - 11 > -24 ? exponent - 11 : -24;
  const unsigned multiple = unsigned(std::nearbyint(std::ldexp(size, -step)));
  if (multiple < 1024) return sign | multiple;  // subnormal
  // 1024..2048 steps: 2048 carries into the exponent by itself.
  return sign | ((unsigned(step + 24) << 10) + multiple);
}

namespace shim {

constexpr std::size_t STACK = 256 * 1024;
constexpr unsigned WARP_LANES = 32;

[[noreturn]] inline void fail(const char* what) {
  std::fprintf(stderr, "host shim: %s (block %u, thread %u)\n", what, blockIdx.x, threadIdx.x);
  std::abort();
}

// What one group of threads that wait for each other has seen.
struct Barrier {
  unsigned alive = 0, arrived = 0;
  unsigned long generation = 0;
};

struct Fiber {
  ucontext_t context;
  std::unique_ptr<char[]> stack{new char[STACK]};
  bool done = false;
  std::uint64_t slots[2];
  unsigned shuffles = 0;
};

inline std::vector<Fiber> fibers;
inline std::vector<Barrier> warps;
inline Barrier block;
inline ucontext_t scheduler;
inline std::function<void()>* body;
inline bool progress;

inline void wait(Barrier& barrier) {
  progress = true;
  const unsigned long generation = barrier.generation;
  if (++barrier.arrived == barrier.alive) {
    barrier.arrived = 0;
    ++barrier.generation;
    return;
  }
  const unsigned self = threadIdx.x;
  while (barrier.generation == generation) swapcontext(&fibers[self].context, &scheduler);
}

inline void enter() {
  (*body)();
  const unsigned self = threadIdx.x;
  fibers[self].done = progress = true;
  for (Barrier* barrier : {&block, &warps[self / WARP_LANES]}) {
    if (barrier->arrived > 0) fail("a thread ended while others wait for it");
    --barrier->alive;
  }
  swapcontext(&fibers[self].context, &scheduler);
}

inline void run_block(bool backwards) {
  const unsigned threads = blockDim.x;
  if (fibers.size() < threads) fibers.resize(threads);
  warps.assign((threads + WARP_LANES - 1) / WARP_LANES, Barrier());
  block = Barrier();
  block.alive = threads;
  for (unsigned thread = 0; thread < threads; ++thread) {
    Fiber& fiber = fibers[thread];
    ++warps[thread / WARP_LANES].alive;
    fiber.done = false;
    fiber.shuffles = 0;
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack.get();
    fiber.context.uc_stack.ss_size = STACK;
    fiber.context.uc_link = &scheduler;
    makecontext(&fiber.context, enter, 0);
  }
  for (bool running = true; running;) {
    running = progress = false;
    for (unsigned turn = 0; turn < threads; ++turn) {
      const unsigned thread = backwards ? threads - 1 - turn : turn;
      if (fibers[thread].done) continue;
      running = true;
      threadIdx.x = thread;
      swapcontext(&scheduler, &fibers[thread].context);
    }
    if (running && !progress) fail("not every thread reaches a barrier");
  }
}

template <typename P>
inline P unpack(std::uint64_t bits) {
  if constexpr (std::is_pointer_v<P>) return reinterpret_cast<P>(bits);
  else return bits_as<P>(bits);  // every other parameter is a 64-bit integer or a double
}

template <typename... P, std::size_t... I>
inline void launch(void (*kernel)(P...), std::index_sequence<I...>, unsigned grid, unsigned threads, int backwards,
                   const std::uint64_t* arguments, unsigned count) {
  if (count != sizeof...(P)) fail("wrong number of arguments");
  std::function<void()> call = [&] { kernel(unpack<P>(arguments[I])...); };
  body = std::addressof(call);
  gridDim = {grid, 1, 1};
  blockDim = {threads, 1, 1};
  for (unsigned number = 0; number < grid; ++number) {
    blockIdx.x = backwards ? grid - 1 - number : number;
    run_block(backwards != 0);
  }
  body = nullptr;
}

template <typename... P>
inline void launch(void (*kernel)(P...), unsigned grid, unsigned threads, int backwards, const std::uint64_t* arguments,
                   unsigned count) {
  launch(kernel, std::index_sequence_for<P...>(), grid, threads, backwards, arguments, count);
}

}  // namespace shim

inline void __syncthreads() { shim::wait(shim::block); }

template <typename T>
inline T __shfl_xor_sync(unsigned mask, T value, int distance) {
  const unsigned self = threadIdx.x, other = self ^ unsigned(distance);
  if (mask != 0xffffffffu || other / 32 != self / 32) shim::fail("a shuffle leaves its warp");
  shim::Barrier& warp = shim::warps[self / 32];
  if (warp.alive != 32) shim::fail("a shuffle in a warp that lost a lane");
  // Two slots in turn: nobody can be two shuffles ahead of a lane that has not read yet.
  const unsigned slot = shim::fibers[self].shuffles++ & 1;
  std::memcpy(&shim::fibers[self].slots[slot], &value, sizeof(T));
  shim::wait(warp);
  std::memcpy(&value, &shim::fibers[other].slots[slot], sizeof(T));
  return value;
}
