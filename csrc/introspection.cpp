// The Python module _native: instruction sets, build facts and roof probes. It needs neither torch nor the op library.

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "common/cpu_level.h"

// KEEP_IN_REGISTER keeps the compiler from removing or spilling a chain, without adding an instruction.
namespace probe::baseline {
#define PROBE_BYTES 16
#if defined(__x86_64__)
#define KEEP_IN_REGISTER(value) asm volatile("" : "+x"(value))
#else
#define KEEP_IN_REGISTER(value) asm volatile("" : "+w"(value))
#endif
#include "common/fma_probe.h"
#undef PROBE_BYTES
}  // namespace probe::baseline

#if defined(__x86_64__)
#pragma GCC push_options
#pragma GCC target("avx2,fma")
namespace probe::avx2 {
#define PROBE_BYTES 32
#include "common/fma_probe.h"
#undef PROBE_BYTES
}  // namespace probe::avx2
#pragma GCC pop_options

#undef KEEP_IN_REGISTER
#define KEEP_IN_REGISTER(value) asm volatile("" : "+v"(value))  // any of thirty-two registers

#pragma GCC push_options
#pragma GCC target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")
namespace probe::avx512 {
#define PROBE_BYTES 64
#include "common/fma_probe.h"
#undef PROBE_BYTES
}  // namespace probe::avx512
#pragma GCC pop_options

#pragma GCC push_options
#pragma GCC target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")
namespace probe::avx512bf16 {
constexpr int CHAINS = 12;
constexpr double flops_per_round = 4.0 * 16 * CHAINS;  // each of 16 lanes multiplies and adds two pairs

double dot_chains(int64_t rounds) {
  __m512 sums[CHAINS];
  const __m512bh ones = (__m512bh)_mm512_set1_epi32(0x3f803f80);
#pragma GCC unroll 12
  for (auto& sum : sums) sum = _mm512_setzero_ps();
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 12
    for (int chain = 0; chain < CHAINS; ++chain) {
      sums[chain] = _mm512_dpbf16_ps(sums[chain], ones, ones);
      KEEP_IN_REGISTER(sums[chain]);
    }
  }
#pragma GCC unroll 12
  for (int chain = 1; chain < CHAINS; ++chain) sums[0] += sums[chain];
  return double(sums[0][0]);
}
}  // namespace probe::avx512bf16
#pragma GCC pop_options
#endif

namespace {

using ganart::CpuLevel;
using Clock = std::chrono::steady_clock;

struct Chains {
  double (*run)(int64_t rounds);
  double flops_per_round;
};

Chains chains_for(CpuLevel level, const std::string& dtype) {
  if (dtype != "float32" && dtype != "bfloat16" && dtype != "float64")
    throw std::invalid_argument("fma_peak got dtype '" + dtype + "'; expected float32, bfloat16 or float64");
  const bool wide = dtype == "float64";
#if defined(__x86_64__)
  if (dtype == "bfloat16" && level == CpuLevel::avx512bf16)
    return {probe::avx512bf16::dot_chains, probe::avx512bf16::flops_per_round};
  if (level >= CpuLevel::avx512)
    return wide ? Chains{probe::avx512::fma_chains<double>, probe::avx512::flops_per_round<double>()}
                : Chains{probe::avx512::fma_chains<float>, probe::avx512::flops_per_round<float>()};
  if (level == CpuLevel::avx2)
    return wide ? Chains{probe::avx2::fma_chains<double>, probe::avx2::flops_per_round<double>()}
                : Chains{probe::avx2::fma_chains<float>, probe::avx2::flops_per_round<float>()};
#endif
  (void)level;
  return wide ? Chains{probe::baseline::fma_chains<double>, probe::baseline::flops_per_round<double>()}
              : Chains{probe::baseline::fma_chains<float>, probe::baseline::flops_per_round<float>()};
}

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// Runs body(thread) on `threads` threads at once, started together, and returns the wall time in seconds.
template <class Body>
double timed_together(int threads, Body body) {
  std::atomic<int> waiting{threads};
  std::atomic<bool> go{false};
  std::vector<std::thread> pool;
  for (int thread = 0; thread < threads; ++thread)
    pool.emplace_back([&, thread] {
      --waiting;
      while (!go.load(std::memory_order_acquire)) std::this_thread::yield();
      body(thread);
    });
  while (waiting.load()) std::this_thread::yield();
  const auto start = Clock::now();
  go.store(true, std::memory_order_release);
  for (auto& worker : pool) worker.join();
  return seconds_since(start);
}

void check_positive(const char* probe, const char* what, double value) {
  if (!(value > 0)) throw std::invalid_argument(std::string(probe) + " needs " + what + " above zero");
}

double fma_peak(const std::string& dtype, int threads, double seconds, const std::string& isa) {
  check_positive("fma_peak", "threads", threads);
  check_positive("fma_peak", "seconds", seconds);
  const CpuLevel level = isa.empty() ? ganart::level_from_environment() : ganart::level_named(isa);
  const Chains chains = chains_for(level, dtype);
  constexpr int64_t ROUNDS = 1 << 18;  // about a millisecond: the best of many avoids interruptions
  double best = 0;
  std::atomic<double> sink{0};
  const auto start = Clock::now();
  do {
    const double wall = timed_together(threads, [&](int) { sink = chains.run(ROUNDS); });
    best = std::max(best, threads * chains.flops_per_round * ROUNDS / wall);
  } while (seconds_since(start) < seconds);
  return best;
}

double copy_bandwidth(int64_t bytes, int threads, bool reuse) {
  check_positive("copy_bandwidth", "bytes", double(bytes));
  check_positive("copy_bandwidth", "threads", threads);
  const int64_t share = (bytes + threads - 1) / threads;
  const std::unique_ptr<char[]> source(new char[share * threads]);
  std::memset(source.get(), 1, share * threads);
  std::unique_ptr<char[]> target;
  double best = 0;
  for (int repeat = 0; repeat < 7; ++repeat) {
    if (!reuse || !target) target.reset(new char[share * threads]);  // uninitialised: its pages are not yet mapped
    if (reuse && repeat == 0) std::memset(target.get(), 2, share * threads);
    const double wall = timed_together(
        threads, [&](int thread) { std::memcpy(target.get() + thread * share, source.get() + thread * share, share); });
    best = std::max(best, 2.0 * share * threads / wall);
  }
  return best;
}

std::vector<std::string> cpu_isa_levels() {
  std::vector<std::string> names;
  for (CpuLevel level : ganart::supported_levels()) names.emplace_back(ganart::name_of(level));
  return names;
}

}  // namespace

PYBIND11_MODULE(_native, module) {
  namespace py = pybind11;
  using namespace py::literals;
  module.doc() = "Instruction sets, build facts and roof probes of the machine that ganart-zoo runs on.";
  module.def(
      "cpu_isa", [] { return std::string(ganart::name_of(ganart::level_from_environment())); },
      "The level the CPU kernels start with: GANART_CPU_ISA, or the highest that this processor runs.");
  module.def("cpu_isa_levels", cpu_isa_levels, "The levels this processor runs, lowest first.");
  module.def(
      "fma_peak", fma_peak, "dtype"_a, "threads"_a, "seconds"_a, "isa"_a = "", py::call_guard<py::gil_scoped_release>(),
      "FLOP/s of register-only multiply-adds: the best of the milliseconds within `seconds`. `dtype` is float32, "
      "bfloat16 or float64; bfloat16 below level avx512bf16 is float32's, as the kernels compute it.");
  module.def(
      "copy_bandwidth", copy_bandwidth, "bytes"_a, "threads"_a, "reuse"_a, py::call_guard<py::gil_scoped_release>(),
      "Bytes/s of memcpy, counting each byte once read and once written: the best of seven copies of `bytes`, to "
      "one target that is already mapped, or without `reuse` to a fresh allocation each time.");
  module.def(
      "build_facts",
      [] {
        py::dict facts;
        facts["compiler"] = __VERSION__;
        facts["cxx_standard"] = long(__cplusplus);
        facts["pybind11"] = PYBIND11_TOSTRING(PYBIND11_VERSION_MAJOR) "." PYBIND11_TOSTRING(PYBIND11_VERSION_MINOR);
        return facts;
      },
      "How this module was built.");
}
