// What the CPU kernels of every op build on: how they use threads, and how they are declared. No torch.
//
// A file cpu/<op>.h has two parts. The first declares the op's table of kernels, for the binding. The second, which is
// skipped unless GANART_LEVEL is defined, holds the kernels; csrc/isa/<level>.cpp compiles it for one instruction set.
#pragma once

#include "common/features.h"

namespace ganart::cpu {

// Calls task(closure, index) once for each index below count, in any order and on as many threads as there are.
using RunTasks = void (*)(int64_t count, void* closure, void (*task)(void* closure, int64_t index));

}  // namespace ganart::cpu

// Declares `table`, of type `Table`, in the namespace of every instruction set. Stands in namespace ganart::cpu.
#define GANART_DECLARE_IN(level, Table, table) \
  namespace level {                            \
  extern const Table table;                    \
  }
#if defined(__x86_64__)
#define GANART_DECLARE_KERNELS(Table, table) \
  GANART_DECLARE_IN(baseline, Table, table)  \
  GANART_DECLARE_IN(avx2, Table, table)      \
  GANART_DECLARE_IN(avx512, Table, table)    \
  GANART_DECLARE_IN(avx512bf16, Table, table)
#else
#define GANART_DECLARE_KERNELS(Table, table) GANART_DECLARE_IN(baseline, Table, table)
#endif
