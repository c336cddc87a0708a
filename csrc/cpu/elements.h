// Elements of memory to and from vectors of the type that sums are kept in. Included for one level.
#pragma once

#include "common/simd.h"

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
constexpr int WIDTH = LANES<Sum<Element>>;  // elements a vector

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
  Element padded[WIDTH<Element>] = {};
  for (int64_t i = 0; i < valid; ++i) padded[i] = from[i];
  return load_elements(padded);
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
  Element padded[WIDTH<Element>];
  store_elements(padded, values);
  for (int64_t i = 0; i < valid; ++i) to[i] = padded[i];
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

// The sum of a vector's lanes, always in the same order.
template <class S>
GANART_INLINE double total_of(Vector<S> vector) {
  double total = 0;
#pragma GCC unroll 16
  for (int lane = 0; lane < LANES<S>; ++lane) total += double(vector[lane]);
  return total;
}

// A long sum of vectors in two steps, so that rounding grows with the square root of its length.
template <class S>
struct Cascade {
  Vector<S> recent{}, settled{};
  int64_t count = 0;

  GANART_INLINE void add(Vector<S> values) {
    recent += values;
    if (++count % 32 == 0) {
      settled += recent;
      recent = Vector<S>{};
    }
  }
  GANART_INLINE double total() const { return total_of<S>(settled) + total_of<S>(recent); }
};

// Calls body(Element{}) for a type.
template <class Body>
void with_element(Type type, Body body) {
  switch (type) {
    case Type::float32: return body(float{});
    case Type::bfloat16: return body(Bfloat16{});
    case Type::float64: return body(double{});
  }
}
