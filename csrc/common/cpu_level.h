// The instruction-set levels that the CPU kernels are compiled for, and which of them this processor runs. No torch.
#pragma once

#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

namespace ganart {

enum class CpuLevel { baseline, avx2, avx512, avx512bf16 };  // each includes the ones before

inline const char* name_of(CpuLevel level) {
  switch (level) {
    case CpuLevel::avx2: return "avx2";
    case CpuLevel::avx512: return "avx512";
    case CpuLevel::avx512bf16: return "avx512bf16";
    default: return "baseline";
  }
}

// The levels this processor runs, lowest first; of the two lowest with FEW_LEVELS.
inline std::vector<CpuLevel> supported_levels() {
  std::vector<CpuLevel> levels{CpuLevel::baseline};
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (!(__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))) return levels;
  levels.push_back(CpuLevel::avx2);
#if !defined(FEW_LEVELS)
  if (!(__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl")))
    return levels;
  levels.push_back(CpuLevel::avx512);
  if (__builtin_cpu_supports("avx512bf16")) levels.push_back(CpuLevel::avx512bf16);
#endif
#endif
  return levels;
}

// The supported level of that name, or the highest one for an empty name; std::invalid_argument otherwise.
inline CpuLevel level_named(const std::string& name) {
  const auto levels = supported_levels();
  if (name.empty()) return levels.back();
  std::string known;
  for (CpuLevel level : levels) {
    if (name == name_of(level)) return level;
    known += std::string(known.empty() ? "" : ", ") + name_of(level);
  }
  throw std::invalid_argument("CPU instruction set '" + name + "' is not one that this processor runs: " + known);
}

// GANART_CPU_ISA, or the highest supported level where it is unset or empty.
inline CpuLevel level_from_environment() {
  const char* forced = std::getenv("GANART_CPU_ISA");
  return level_named(forced ? forced : "");
}

}  // namespace ganart
