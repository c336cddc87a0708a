// What the bindings of all ops share: how tensors are read, where results go, how kernels are chosen and run.
#pragma once

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>

#include <optional>
#include <string>

#include "common/cpu_level.h"
#include "common/features.h"

namespace ganart::bindings {

using Sizes = torch::headeronly::IntHeaderOnlyArrayRef;
using torch::headeronly::MemoryFormat;
using torch::headeronly::ScalarType;
using torch::stable::Tensor;
using OptionalTensor = std::optional<Tensor>;

Type type_of(ScalarType type);

// The type in which sums and statistics of that type are kept.
ScalarType sum_type(ScalarType type);

// ---- reading ----

// Features that kernels can read: as they are if their pixels are evenly spaced and pixels or channels adjacent, else a
// copy.
struct Input {
  Tensor tensor;
  Features features;

  bool is_empty() const { return features.samples == 0 || features.channels == 0 || features.pixels == 0; }

  // The dense layout that results get: channels_last unless pixels are adjacent. ganart_zoo/ops/layout.py must agree.
  MemoryFormat format() const;
};

Input read(const Tensor& x);

// A gradient, in the layout that `x` is read in.
Input read_like(const Tensor& grad, const Input& x);

OptionalTensor contiguous_of(const OptionalTensor& tensor);
const void* data_of(const OptionalTensor& tensor);

// ---- results, uninitialised ----

// Of x's type and in its layout.
Tensor empty_result(const Input& x, Sizes sizes);
Tensor empty_result(const Input& x);

// Of the type in which sums of x are kept.
Tensor empty_sums(const Tensor& x, std::initializer_list<int64_t> sizes);

// ---- CPU kernels ----

// The instruction set in force; std::invalid_argument at the first call where GANART_CPU_ISA names none of this
// processor.
CpuLevel cpu_level();

// The table of that name for the instruction set in force. With FEW_LEVELS only the two lowest levels are compiled.
#if !defined(__x86_64__)
#define GANART_KERNELS(table) ganart::cpu::baseline::table
#else
#define GANART_LOW_KERNELS(table) \
  (cpu_level() == ganart::CpuLevel::avx2 ? ganart::cpu::avx2::table : ganart::cpu::baseline::table)
#if defined(FEW_LEVELS)
#define GANART_KERNELS(table) GANART_LOW_KERNELS(table)
#else
#define GANART_KERNELS(table)                                                   \
  (cpu_level() == ganart::CpuLevel::avx512bf16 ? ganart::cpu::avx512bf16::table \
   : cpu_level() == ganart::CpuLevel::avx512   ? ganart::cpu::avx512::table     \
                                               : GANART_LOW_KERNELS(table))
#endif
#endif

// The RunTasks of the kernels. A thread takes the next task when it is done with one, so that a thread that is held up
// does not hold up the others.
void run_tasks(int64_t count, void* closure, void (*task)(void* closure, int64_t index));

}  // namespace ganart::bindings

// Registers implementations for every device that this build has kernels for: GANART_IMPLEMENTATIONS(library) { ... },
// once in a file.
#if defined(USE_CUDA)
#define GANART_IMPLEMENTATIONS(library)                                        \
  static void implement_ops(torch::stable::detail::StableLibrary&);            \
  STABLE_TORCH_LIBRARY_IMPL(ganart, CPU, of_cpu) { implement_ops(of_cpu); }    \
  STABLE_TORCH_LIBRARY_IMPL(ganart, CUDA, of_cuda) { implement_ops(of_cuda); } \
  static void implement_ops(torch::stable::detail::StableLibrary& library)
#else
#define GANART_IMPLEMENTATIONS(library) STABLE_TORCH_LIBRARY_IMPL(ganart, CPU, library)
#endif
