// Elements in memory, runs of them that a thread moves at once, and the type that arithmetic on them is done in.
#pragma once

#include "arithmetic.h"
#include "common/features.h"
#include "ptx.cuh"

namespace ganart::cuda {

// Neighbouring elements that one thread holds, loads or stores at once.
template <class Element, int count>
struct alignas(count * sizeof(Element)) Run {
  Element elements[count];
};

template <class Element>
struct SumOf {
  using type = float;
};
template <>
struct SumOf<double> {
  using type = double;
};
// What sums, statistics and parameters of features are kept in.
template <class Element>
using Sum = typename SumOf<Element>::type;

// How many elements a thread moves at once: 16 bytes, or one double, since warps of doubles fill whole cache lines
// anyway.
template <class Element>
constexpr int elements_per_vector = sizeof(Element) == 8 ? 1 : 16 / sizeof(Element);

template <int count, class Element>
GANART_DEVICE Run<Element, count> load_run(const Element* from) {
  return *reinterpret_cast<const Run<Element, count>*>(from);
}

template <class Element, int count>
GANART_DEVICE void store_run(Element* to, const Run<Element, count>& run) {
  *reinterpret_cast<Run<Element, count>*>(to) = run;
}

inline bool is_aligned(const void* pointer) { return reinterpret_cast<uintptr_t>(pointer) % 16 == 0; }

// Calls use(Element{}) with the type that features have in memory.
template <class Use>
auto with_element(Type type, const Use& use) {
  switch (type) {
    case Type::bfloat16: return use(bfloat16{});
    case Type::float16: return use(float16{});
    case Type::float64: return use(double{});
    default: return use(float{});
  }
}

}  // namespace ganart::cuda
