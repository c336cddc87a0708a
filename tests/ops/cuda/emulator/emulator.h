// Runs csrc/cuda kernels on the CPU, thread by thread, to check them where there is no GPU. Include it before a .cu.
//
// Each CUDA thread is a fibre, blocks run one after another. Barriers and warp-wide instructions wait as on a GPU; their
// register layouts are written here anew from the PTX ISA ("ldmatrix", "mma.m16n8k16", "mma.m16n8k8"). What could hide
// a race is made adjustable: threads run first to last or last to first, and asynchronous copies land at the last moment
// allowed (when awaited) or the first (when issued). A race that matters gives another result in one of the four.
// Shared memory starts as NaN, writes past its end are noticed, and ldmatrix may not read a bank twice. Not modelled:
// time, the banks of other instructions, and memory order finer than barriers.
#pragma once
#define GANART_CUDA_PTX
#define GANART_CUDA_LAUNCH
#define GANART_CUDA_NARROW_SIZES emulator::narrow_sizes

#include <setjmp.h>
#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "cuda_runtime_api.h"

#define __global__
#define __shared__ static
#define __launch_bounds__(...)
#define GANART_DEVICE inline
#define GANART_SHARED_MEMORY(name) unsigned char* const name = emulator::shared_memory

struct float4 {
  alignas(16) float x;
  float y, z, w;
};

struct ThreadIndex {
  unsigned x;
};
inline ThreadIndex threadIdx, blockIdx;

namespace emulator {

constexpr int shared_capacity = 227 * 1024;  // what a block may ask for on Hopper
alignas(128) inline unsigned char shared_memory[shared_capacity + 1024];
inline bool last_thread_first = false;
inline bool copies_land_at_once = false;
inline int64_t narrow_sizes =
    int64_t{1} << 31;           // less: kernels count in 64 bits, as for tensors that memory has no room for
inline int64_t block_step = 1;  // more than 1: only some blocks run, where all would take too long

[[noreturn]] inline void fail(const char* why) {
  std::fprintf(stderr, "emulator: block %u thread %u: %s\n", blockIdx.x, threadIdx.x, why);
  std::abort();
}

struct Copy {
  void* target;
  const void* source;
  int bytes;
  void land() const {
    std::memcpy(target, source, bytes);
    std::memset(static_cast<char*>(target) + bytes, 0, 16 - bytes);
  }
};

enum class State { ready, at_barrier, at_warp_instruction, done };

struct Fibre {
  ucontext_t beginning;
  bool begun;
  jmp_buf place;  // after the beginning: swapcontext would ask the kernel for the signal mask at each switch
  std::unique_ptr<char[]> stack;
  State state;
  void* registers;    // of the warp-wide instruction it waits for
  void* instruction;  // which one
  std::vector<Copy> open_group;
  std::deque<std::vector<Copy>> closed_groups;
};

inline std::vector<Fibre> fibres;
inline jmp_buf scheduler;
inline std::function<void()> kernel;

inline Fibre& self() { return fibres[threadIdx.x]; }

inline void wait_as(State state) {
  const unsigned thread = threadIdx.x;
  self().state = state;
  if (_setjmp(self().place) == 0) _longjmp(scheduler, 1);
  threadIdx.x = thread;
}

inline void enter() {
  kernel();
  if (!self().open_group.empty()) fail("ended with asynchronous copies in an open group");
  self().state = State::done;
  _longjmp(scheduler, 1);
}

// Runs a fibre until it waits or ends.
inline void proceed(Fibre& fibre) {
  if (_setjmp(scheduler) != 0) return;
  if (fibre.begun) _longjmp(fibre.place, 1);
  fibre.begun = true;
  setcontext(&fibre.beginning);
}

inline void run_block(int threads) {
  constexpr size_t stack_bytes = 64 * 1024;
  if (static_cast<int>(fibres.size()) < threads) fibres.resize(threads);
  for (int thread = 0; thread < threads; ++thread) {
    Fibre& fibre = fibres[thread];
    if (!fibre.stack) fibre.stack = std::make_unique<char[]>(stack_bytes);
    getcontext(&fibre.beginning);
    fibre.beginning.uc_stack.ss_sp = fibre.stack.get();
    fibre.beginning.uc_stack.ss_size = stack_bytes;
    fibre.begun = false;
    fibre.state = State::ready;
    fibre.closed_groups.clear();
    makecontext(&fibre.beginning, enter, 0);
  }
  int done = 0;
  while (done < threads) {
    bool moved = false;
    for (int turn = 0; turn < threads; ++turn) {
      const int thread = last_thread_first ? threads - 1 - turn : turn;
      while (fibres[thread].state == State::ready) {
        moved = true;
        threadIdx.x = thread;
        proceed(fibres[thread]);
        done += fibres[thread].state == State::done;
      }
    }
    if (moved) continue;
    for (int thread = 0; thread < threads; ++thread) {
      if (fibres[thread].state != State::at_barrier) fail("some threads wait at a barrier that others never reach");
    }
    for (int thread = 0; thread < threads; ++thread) fibres[thread].state = State::ready;
  }
}

// Waits until all 32 lanes are here; the last one runs the instruction for all.
template <class Registers>
void warp_instruction(Registers& own, void (*execute)(Registers* const (&lanes)[32])) {
  self().registers = &own;
  self().instruction = reinterpret_cast<void*>(execute);
  const unsigned first = threadIdx.x / 32 * 32;
  Registers* lanes[32];
  for (int lane = 0; lane < 32; ++lane) {
    if (first + lane != threadIdx.x && fibres[first + lane].state != State::at_warp_instruction) {
      return wait_as(State::at_warp_instruction);
    }
    lanes[lane] = static_cast<Registers*>(fibres[first + lane].registers);
  }
  for (int lane = 0; lane < 32; ++lane) {
    if (fibres[first + lane].instruction != self().instruction) fail("lanes of a warp wait for different instructions");
  }
  execute(lanes);
  for (int lane = 0; lane < 32; ++lane) fibres[first + lane].state = State::ready;
}

struct LoadMatrices {
  const unsigned char* row;
  uint32_t fragment[4];
};

template <bool transposed>
void load_matrices(LoadMatrices* const (&lanes)[32]) {
  for (int matrix = 0; matrix < 4; ++matrix) {
    uint16_t elements[8][8];
    unsigned banks = 0;  // in groups of four, 16 bytes
    for (int row = 0; row < 8; ++row) {
      const unsigned char* source = lanes[8 * matrix + row]->row;
      if (reinterpret_cast<uintptr_t>(source) % 16 != 0) fail("ldmatrix address is not a multiple of 16");
      std::memcpy(elements[row], source, 16);
      banks |= 1u << reinterpret_cast<uintptr_t>(source) / 16 % 8;
    }
    if (banks != 0xff) fail("ldmatrix reads a bank of shared memory twice");
    for (int lane = 0; lane < 32; ++lane) {
      uint32_t pair = 0;
      for (int half = 0; half < 2; ++half) {
        const int across = lane % 4 * 2 + half;
        const int down = lane / 4;
        pair |= uint32_t{transposed ? elements[across][down] : elements[down][across]} << (16 * half);
      }
      lanes[lane]->fragment[matrix] = pair;
    }
  }
}

struct MultiplyAccumulate {
  float* sums;
  const uint32_t* a;
  uint32_t b[2];
};

inline float from_bits(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}

// Element `index` of the 4 bytes of one register, for each type that the tensor cores take.
struct Bfloat16Register {
  static constexpr int count = 2;
  static float element(uint32_t bits, int index) { return from_bits(bits >> (16 * index) << 16); }
};
struct Float16Register {
  static constexpr int count = 2;
  static float element(uint32_t bits, int index) {
    const uint16_t half = static_cast<uint16_t>(bits >> (16 * index));
    _Float16 value;
    std::memcpy(&value, &half, 2);
    return value;
  }
};
struct Tfloat32Register {
  static constexpr int count = 1;
  static float element(uint32_t bits, int) { return from_bits(bits & ~0x1fffu); }
};

// A's registers cover rows g and g + 8 at depths of the lower half, then of the upper; B's column g likewise; the sums
// are (g, 2t), (g, 2t + 1), (g + 8, 2t), (g + 8, 2t + 1), where lane = 4 g + t.
template <class Register>
void multiply_accumulate(MultiplyAccumulate* const (&lanes)[32]) {
  constexpr int half_depth = 4 * Register::count;
  float a[16][2 * half_depth], b[2 * half_depth][8];
  for (int lane = 0; lane < 32; ++lane) {
    const int g = lane / 4;
    for (int part = 0; part < 2; ++part) {
      for (int i = 0; i < Register::count; ++i) {
        const int k = part * half_depth + lane % 4 * Register::count + i;
        a[g][k] = Register::element(lanes[lane]->a[2 * part], i);
        a[g + 8][k] = Register::element(lanes[lane]->a[2 * part + 1], i);
        b[k][g] = Register::element(lanes[lane]->b[part], i);
      }
    }
  }
  for (int lane = 0; lane < 32; ++lane) {
    for (int i = 0; i < 4; ++i) {
      const int row = lane / 4 + i / 2 * 8;
      const int column = lane % 4 * 2 + i % 2;
      float sum = lanes[lane]->sums[i];
      for (int k = 0; k < 2 * half_depth; ++k) sum += a[row][k] * b[k][column];
      lanes[lane]->sums[i] = sum;
    }
  }
}

template <class S>
struct ShuffleXor {
  S value;
  int distance;
  S result;
};

template <class S>
void shuffle_xor(ShuffleXor<S>* const (&lanes)[32]) {
  for (int lane = 0; lane < 32; ++lane) lanes[lane]->result = lanes[lane ^ lanes[lane]->distance]->value;
}

}  // namespace emulator

inline void __syncthreads() { emulator::wait_as(emulator::State::at_barrier); }

namespace ganart::cuda {

struct bfloat16 {
  uint16_t bits;
};
struct float16 {
  uint16_t bits;
};
struct tfloat32 {
  float value;
};

inline void copy_async(void* shared, const void* global, int bytes) {
  if (reinterpret_cast<uintptr_t>(shared) % 16 || reinterpret_cast<uintptr_t>(global) % 16) {
    emulator::fail("cp.async address is not a multiple of 16");
  }
  if (bytes < 0 || bytes > 16) emulator::fail("cp.async size is not 0 to 16");
  const emulator::Copy copy{shared, global, bytes};
  if (emulator::copies_land_at_once) copy.land();
  emulator::self().open_group.push_back(copy);
}

inline void close_copy_group() {
  emulator::self().closed_groups.push_back(std::exchange(emulator::self().open_group, {}));
}

template <int pending>
void await_copy_groups() {
  auto& groups = emulator::self().closed_groups;
  for (; groups.size() > pending; groups.pop_front()) {
    if (emulator::copies_land_at_once) continue;
    for (const emulator::Copy& copy : groups.front()) copy.land();
  }
}

template <bool transposed>
void load_matrices_as(uint32_t (&fragment)[4], const void* row) {
  emulator::LoadMatrices own{static_cast<const unsigned char*>(row), {}};
  emulator::warp_instruction(own, emulator::load_matrices<transposed>);
  std::copy_n(own.fragment, 4, fragment);
}
inline void load_matrices(uint32_t (&fragment)[4], const void* row) { load_matrices_as<false>(fragment, row); }
inline void load_matrices_transposed(uint32_t (&fragment)[4], const void* row) {
  load_matrices_as<true>(fragment, row);
}

template <class Element>
void multiply_accumulate(float (&sums)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  using Register = std::conditional_t<
      std::is_same_v<Element, bfloat16>, emulator::Bfloat16Register,
      std::conditional_t<std::is_same_v<Element, float16>, emulator::Float16Register, emulator::Tfloat32Register>>;
  emulator::MultiplyAccumulate own{sums, a, {b0, b1}};
  emulator::warp_instruction(own, emulator::multiply_accumulate<Register>);
}

inline uint32_t round_to_tf32(uint32_t bits) {  // to nearest, ties away from zero
  return (bits & 0x7f800000u) == 0x7f800000u ? bits : (bits + 0x1000u) & ~0x1fffu;
}

inline bfloat16 round_to(bfloat16, float value) {  // to nearest, ties to even
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  if (std::isnan(value)) return {0x7fff};
  return {static_cast<uint16_t>((bits + 0x7fffu + (bits >> 16 & 1)) >> 16)};
}
inline float16 round_to(float16, float value) {
  const auto half = static_cast<_Float16>(value);
  float16 rounded;
  std::memcpy(&rounded, &half, 2);
  return rounded;
}
inline tfloat32 round_to(tfloat32, float value) { return {value}; }
inline float round_to(float, float value) { return value; }
inline double round_to(double, double value) { return value; }

inline float widen(bfloat16 value) { return emulator::Bfloat16Register::element(value.bits, 0); }
inline float widen(float16 value) { return emulator::Float16Register::element(value.bits, 0); }
inline float widen(float value) { return value; }
inline double widen(double value) { return value; }

template <class S>
S reciprocal(S value) {
  return 1 / value;
}
template <class S>
S inverse_root(S value) {
  return 1 / std::sqrt(value);
}

template <class S>
S shuffle_xor(S value, int distance) {
  emulator::ShuffleXor<S> own{value, distance, {}};
  emulator::warp_instruction(own, emulator::shuffle_xor<S>);
  return own.result;
}

template <class... Parameters, class... Arguments>
cudaError_t launch(void (*kernel)(Parameters...), int64_t blocks, int threads, int shared_bytes, cudaStream_t,
                   const Arguments&... arguments) {
  constexpr unsigned char canary = 0xa5;
  if (shared_bytes > emulator::shared_capacity) return cudaErrorInvalidConfiguration;
  emulator::kernel = [&] { kernel(arguments...); };
  for (int64_t block = 0; block < blocks; block += emulator::block_step) {
    blockIdx.x = static_cast<unsigned>(block);
    std::memset(emulator::shared_memory, 0xff, shared_bytes);  // NaN in every type
    std::memset(emulator::shared_memory + shared_bytes, canary, 1024);
    emulator::run_block(threads);
    for (int i = 0; i < 1024; ++i) {
      if (emulator::shared_memory[shared_bytes + i] != canary) emulator::fail("wrote past its shared memory");
    }
  }
  return cudaSuccess;
}

}  // namespace ganart::cuda
