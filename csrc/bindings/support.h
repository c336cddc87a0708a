// What the bindings of all ops share: the instruction set in force, threads, layouts, and how shapes read in errors.
#pragma once

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>

#include <string>
#include <utility>

#include "common/cpu_level.h"
#include "cpu/kernels.h"

namespace ganart::bindings {

using Sizes = torch::headeronly::IntHeaderOnlyArrayRef;
using torch::headeronly::MemoryFormat;
using torch::headeronly::ScalarType;
using torch::stable::Tensor;

std::string shape_of(const Tensor& tensor);

// The type that statistics and sums are kept in.
ScalarType sum_type(ScalarType type);

// ---- layout ----

struct Layout {
  int64_t samples, channels, pixels, sample_stride, channel_stride, pixel_stride;

  bool is_empty() const { return samples == 0 || channels == 0 || pixels == 0; }
};

// Whether features can be read where they are: pixels evenly spaced, and pixels or channels adjacent.
// ganart_zoo/ops/layout.py must agree.
bool readable(const Tensor& features, Layout& layout);

// Features that can be read, copied if need be, and their layout.
std::pair<Tensor, Layout> readable_features(const Tensor& features);

// The dense layout that a result of features read in that layout gets: channels_last unless pixels are adjacent.
MemoryFormat format_of(const Tensor& features, const Layout& layout);

Tensor empty_of(const Tensor& like, Sizes sizes, MemoryFormat format);

// ---- CPU ----

// The instruction set in force; std::invalid_argument at the first call where GANART_CPU_ISA names none of this processor.
CpuLevel cpu_level();

// The table of that name of the level in force: each level's namespace has one. With FEW_LEVELS only the two lowest
// levels are compiled.
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

// Chooses the level for later calls unless `name` is empty, and returns the one in force before.
std::string use_cpu_isa(std::string name);

// Each thread takes the next task when it is done with one: a thread that is held up does not hold up the others.
void run_tasks(int64_t count, void* closure, void (*task)(void* closure, int64_t index));

cpu::Type cpu_type(ScalarType type);
cpu::Features cpu_features(const Tensor& features, const Layout& layout);

}  // namespace ganart::bindings
