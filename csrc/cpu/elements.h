// Loads and stores of elements as vectors of the type that sums are kept in. Compiled for each instruction set.
#pragma once

#include "common/simd.h"

namespace ganart::cpu::GANART_LEVEL {
namespace {

template <class Element>
struct SumOf {
  using type = Element;
};
template <>
struct SumOf<Bfloat16> {
  using type = float;
};
template <class Element>
using Sum = typename SumOf<Element>::type;

template <class Element>
constexpr int WIDTH = LANES<Sum<Element>>;  // elements per vector

// One element as a number, and back.
template <class Element>
GANART_INLINE Sum<Element> number_of(Element element) {
  if constexpr (sizeof(Element) < sizeof(Sum<Element>))
    return widen(splat(uint32_t(element.bits)))[0];
  else
    return element;
}
template <class Element>
GANART_INLINE Element element_of(double number) {
  if constexpr (sizeof(Element) < sizeof(Sum<Element>))
    return {uint16_t(narrow(splat(float(number)))[0])};
  else
    return Element(number);
}

template <class Element>
GANART_INLINE Vector<Sum<Element>> load_elements(const Element* from) {
  if constexpr (sizeof(Element) < sizeof(Sum<Element>))
    return widen(load_bits(from));
  else
    return load(from);
}

// Lanes from `valid` on are zero, and their memory is not touched.
template <class Element>
GANART_INLINE Vector<Sum<Element>> load_elements(const Element* from, int64_t valid) {
  if (valid >= WIDTH<Element>) return load_elements(from);
  const Vector<uint32_t> bits = load_first(from, valid, Element{});
  if constexpr (sizeof(Element) < sizeof(Sum<Element>)) {
    HalfVector half;
    __builtin_memcpy(&half, &bits, sizeof half);
    return widen(__builtin_convertvector(half, Vector<uint32_t>));
  } else {
    return (Vector<Element>)bits;
  }
}

template <class Element>
GANART_INLINE void store_elements(Element* to, Vector<Sum<Element>> values) {
  if constexpr (sizeof(Element) < sizeof(Sum<Element>)) {
    const HalfVector bits = __builtin_convertvector(narrow(values), HalfVector);
    __builtin_memcpy(to, &bits, sizeof bits);
  } else {
    store(to, values);
  }
}

template <class Element>
GANART_INLINE void store_elements(Element* to, Vector<Sum<Element>> values, int64_t valid) {
  if (valid >= WIDTH<Element>) return store_elements(to, values);
  if constexpr (sizeof(Element) < sizeof(Sum<Element>)) {
    const HalfVector half = __builtin_convertvector(narrow(values), HalfVector);
    Vector<uint32_t> bits{};
    __builtin_memcpy(&bits, &half, sizeof half);
    store_first(to, bits, valid);
  } else {
    store_first(to, (Vector<uint32_t>)values, valid);
  }
}

// As store_elements, but past the caches; `to` must be on a boundary of what is stored.
template <class Element>
GANART_INLINE void stream_elements(Element* to, Vector<Sum<Element>> values) {
  if constexpr (sizeof(Element) < sizeof(Sum<Element>)) {
    const HalfVector bits = __builtin_convertvector(narrow(values), HalfVector);
    stream(to, bits);
  } else {
    stream(to, values);
  }
}

// ---- two vectors at a time ----

// Two vectors of consecutive elements, in the cheapest order. For bfloat16 first the even elements and then the odd
// ones, since a shift or a mask then widens them in place; other types in order.
template <class Element>
struct Pair {
  Vector<Sum<Element>> first, second;
};

template <class Element>
constexpr int STEP = 2 * WIDTH<Element>;  // elements per pair

// The number of elements in a full pair, as a constant.
template <class Element>
struct Whole {
  GANART_INLINE constexpr operator int64_t() const { return STEP<Element>; }
};

// The place of element i in memory that holds whole vectors in the order of pairs.
template <class Element>
constexpr int64_t place_in_pairs(int64_t i) {
  if (sizeof(Element) == sizeof(Sum<Element>)) return i;
  return i - i % STEP<Element> + i % 2 * WIDTH<Element> + i % STEP<Element> / 2;
}

GANART_INLINE Pair<Bfloat16> pair_of(Vector<uint32_t> bits) {
  return {widen(bits), (Vector<float>)(bits & 0xffff0000u)};
}

template <class Element>
GANART_INLINE Pair<Element> load_pair(const Element* from) {
  if constexpr (sizeof(Element) < sizeof(Sum<Element>)) {
    Vector<uint32_t> bits;
    __builtin_memcpy(&bits, from, sizeof bits);
    return pair_of(bits);
  } else {
    return {load(from), load(from + WIDTH<Element>)};
  }
}

// Elements from `valid` on are `rest`, and their memory is not touched.
template <class Element>
GANART_INLINE Pair<Element> load_pair(const Element* from, int64_t valid, Element rest = {}) {
  if (valid >= STEP<Element>) return load_pair(from);
  const Vector<uint32_t> bits = load_first(from, valid, rest);
  if constexpr (sizeof(Element) < sizeof(Sum<Element>))
    return pair_of(bits);
  else
    return {(Vector<Element>)bits, (Vector<Element>)load_first(from + WIDTH<Element>, valid - WIDTH<Element>, rest)};
}

// Pairs of bfloat16 in memory order. Processors with an instruction for rounding turn subnormal results into 0.
GANART_INLINE Vector<uint32_t> narrow_pair(const Pair<Bfloat16>& pair) {
#if defined(GANART_BFLOAT16_PAIRS)
  typedef uint16_t Halves __attribute__((vector_size(64)));
  const auto halves = (Halves)_mm512_cvtne2ps_pbh((__m512)pair.second, (__m512)pair.first);
  return (Vector<uint32_t>)__builtin_shufflevector(halves, halves, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7,
                                                   23, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
#else
  return narrow(pair.first) | (rounded(pair.second) & 0xffff0000u);
#endif
}

template <class Element>
GANART_INLINE void store_pair(Element* to, const Pair<Element>& pair) {
  if constexpr (sizeof(Element) < sizeof(Sum<Element>)) {
    const Vector<uint32_t> bits = narrow_pair(pair);
    __builtin_memcpy(to, &bits, sizeof bits);
  } else {
    store(to, pair.first);
    store(to + WIDTH<Element>, pair.second);
  }
}

template <class Element>
GANART_INLINE void store_pair(Element* to, const Pair<Element>& pair, int64_t valid) {
  if (valid >= STEP<Element>) return store_pair(to, pair);
  if constexpr (sizeof(Element) < sizeof(Sum<Element>)) {
    store_first(to, narrow_pair(pair), valid);
  } else {
    store_first(to, (Vector<uint32_t>)pair.first, valid);
    store_first(to + WIDTH<Element>, (Vector<uint32_t>)pair.second, valid - WIDTH<Element>);
  }
}

// As store_pair, but past the caches; `to` must be on a vector's boundary.
template <class Element>
GANART_INLINE void stream_pair(Element* to, const Pair<Element>& pair) {
  if constexpr (sizeof(Element) < sizeof(Sum<Element>)) {
    stream(to, narrow_pair(pair));
  } else {
    stream(to, pair.first);
    stream(to + WIDTH<Element>, pair.second);
  }
}

// Copies a pair bit for bit, and returns it.
template <class Element>
GANART_INLINE Pair<Element> copy_pair(Element* to, const Element* from) {
  if constexpr (sizeof(Element) < sizeof(Sum<Element>)) {
    Vector<uint32_t> bits;
    __builtin_memcpy(&bits, from, sizeof bits);
    __builtin_memcpy(to, &bits, sizeof bits);
    return pair_of(bits);
  } else {
    const Pair<Element> pair = load_pair(from);
    store_pair(to, pair);
    return pair;
  }
}

// A partial pair: elements from `valid` on are zero, and their memory is not touched.
template <class Element>
GANART_INLINE Pair<Element> copy_pair(Element* to, const Element* from, int64_t valid) {
  if (valid >= STEP<Element>) return copy_pair(to, from);
  const Vector<uint32_t> bits = load_first(from, valid, Element{});
  store_first(to, bits, valid);
  if constexpr (sizeof(Element) < sizeof(Sum<Element>)) {
    return pair_of(bits);
  } else {
    const Vector<uint32_t> others = load_first(from + WIDTH<Element>, valid - WIDTH<Element>, Element{});
    store_first(to + WIDTH<Element>, others, valid - WIDTH<Element>);
    return {(Vector<Element>)bits, (Vector<Element>)others};
  }
}

// Calls body(i, valid) for each step of a row; `valid` is the number of elements left.
template <class Element, class Body>
GANART_INLINE void for_steps(int64_t length, Body body) {
  constexpr int64_t N = STEP<Element>;
  int64_t i = 0;
  for (; i + N <= length; i += N) body(i, Whole<Element>{});
  if (i < length) body(i, length - i);
}

// Writes result(i, valid), a pair whose first `valid` elements count, for each step of a row.
template <class Element, class Result>
GANART_INLINE void write_row(Element* to, int64_t length, bool past_caches, Result result) {
  constexpr int N = STEP<Element>;
  int64_t i = 0;
  if (past_caches)
    for (; i + N <= length; i += N) stream_pair(to + i, result(i, Whole<Element>{}));
  for (; i + N <= length; i += N) store_pair(to + i, result(i, Whole<Element>{}));
  if (i < length) store_pair(to + i, result(i, length - i), length - i);
}

// Copies a row bit for bit.
template <class Element>
GANART_INLINE void copy_row(Element* to, const Element* from, int64_t length, bool past_caches) {
  constexpr int64_t N = GANART_VECTOR_BYTES / sizeof(Element);
  int64_t i = 0;
  if (past_caches)
    for (Vector<uint32_t> bits; i + N <= length; i += N) {
      __builtin_memcpy(&bits, from + i, sizeof bits);
      stream(to + i, bits);
    }
  __builtin_memcpy(to + i, from + i, (length - i) * sizeof(Element));
}

// ---- sums ----

template <int DISTANCE, int... LANE>
GANART_INLINE double total_from(Vector<double> sums, std::integer_sequence<int, LANE...> lanes) {
  if constexpr (DISTANCE == 0) {
    return sums[0];
  } else {
    constexpr int N = sizeof...(LANE);
    return total_from<DISTANCE / 2>(sums + __builtin_shufflevector(sums, sums, (LANE + DISTANCE) % N...), lanes);
  }
}

// The sum of a vector's lanes in double, always in the same order: halves are added until one lane is left.
template <class S>
GANART_INLINE double total_of(Vector<S> vector) {
  constexpr auto lanes = std::make_integer_sequence<int, LANES<double>>{};
  if constexpr (sizeof(S) == sizeof(double)) {
    return total_from<LANES<double> / 2>(vector, lanes);
  } else {
    typedef S Half __attribute__((vector_size(GANART_VECTOR_BYTES / 2)));
    Half halves[2];
    __builtin_memcpy(halves, &vector, sizeof halves);
    const Vector<double> low = __builtin_convertvector(halves[0], Vector<double>);
    return total_from<LANES<double> / 2>(low + __builtin_convertvector(halves[1], Vector<double>), lanes);
  }
}

// Calls body(Element{}) for a type.
template <class Body>
void with_element(Type type, Body body) {
  switch (type) {
    case Type::float32: return body(float{});
    case Type::bfloat16: return body(Bfloat16{});
    case Type::float64: return body(double{});
    case Type::float16: return;  // the bindings refuse it on CPUs
  }
}

}  // namespace
}  // namespace ganart::cpu::GANART_LEVEL
