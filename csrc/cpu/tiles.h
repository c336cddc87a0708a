// Matrix products of packed panels in registers. Compiled for each instruction set.
//
// A panel holds PANEL lanes (channels or pixels) of two vectors, depth by depth: [items][PANEL]. A tile is COLUMNS
// values broadcast from one operand times one or two vectors of a panel, summed over the depth in registers. An item is
// what one lane multiplies at once: a number, or a pair of bfloat16 on processors with their dot product.
#pragma once

#include "common/simd.h"

namespace ganart::cpu::GANART_LEVEL {
namespace {

template <class Lane>
struct PlainProducts {
  using Sum = Lane;
  using Item = Lane;
  static constexpr int DEPTH = 1;  // elements per item

  GANART_INLINE static void multiply_add(Vector<Sum>& sum, Vector<Item> a, Vector<Item> b) { sum += a * b; }
};

struct PairProducts {
  using Sum = float;
  using Item = uint32_t;
  static constexpr int DEPTH = 2;

  GANART_INLINE static void multiply_add(Vector<Sum>& sum, Vector<Item> a, Vector<Item> b) {
#if defined(GANART_BFLOAT16_PAIRS)
    sum = (Vector<Sum>)_mm512_dpbf16_ps((__m512)sum, (__m512bh)a, (__m512bh)b);
#else
    sum += widen(a) * widen(b);
    sum += (Vector<Sum>)(a & 0xffff0000u) * (Vector<Sum>)(b & 0xffff0000u);
#endif
  }
};

#if defined(GANART_BFLOAT16_PAIRS)
using Bfloat16Products = PairProducts;
#else
using Bfloat16Products = PlainProducts<float>;
#endif

template <class P>
constexpr int PANEL = 2 * LANES<typename P::Sum>;

// The most columns of a tile: enough sums to hide the latency of a multiply-add, few enough to stay in registers.
template <class P>
constexpr int COLUMNS = LANES<typename P::Sum> > 8   ? 8
                        : LANES<typename P::Sum> > 4 ? 6
                        : LANES<typename P::Sum> > 2 ? 4
                                                     : 2;

// Calls body(count, first), `count` an integral_constant of at most COLUMNS, for nearly equal parts of TOTAL that begin
// below `used`.
template <class P, int TOTAL, class Body>
GANART_INLINE void for_parts(int64_t used, Body body) {
  constexpr int PARTS = (TOTAL + COLUMNS<P> - 1) / COLUMNS<P>;
  [&]<int... PART>(std::integer_sequence<int, PART...>) GANART_INLINE_LAMBDA {
    const auto take = [&](auto count, int first) GANART_INLINE_LAMBDA {
      if (first < used) body(count, first);
    };
    (take(std::integral_constant<int, (PART + 1) * TOTAL / PARTS - PART * TOTAL / PARTS>{}, PART * TOTAL / PARTS), ...);
  }(std::make_integer_sequence<int, PARTS>{});
}

template <class P>
constexpr int64_t items_in(int64_t elements) {
  return (elements + P::DEPTH - 1) / P::DEPTH;
}

// ---- packing: elements of memory to items ----

// LANES items from adjacent elements.
template <class P, class Element>
GANART_INLINE Vector<typename P::Item> items_along(const Element* from) {
  if constexpr (P::DEPTH == 1 && sizeof(Element) < sizeof(typename P::Item))
    return widen(load_bits(from));
  else
    return load((const typename P::Item*)from);
}

template <class P, class Element>
GANART_INLINE Vector<typename P::Item> items_along(const Element* from, int64_t valid) {
  Element padded[LANES<typename P::Item> * P::DEPTH] = {};
  __builtin_memcpy(padded, from, valid * sizeof(Element));
  return items_along<P>(padded);
}

// LANES items whose DEPTH elements come from consecutive rows; `below` is null past the last row.
template <class P, class Element>
GANART_INLINE Vector<typename P::Item> items_across(const Element* row, const Element* below) {
  if constexpr (P::DEPTH == 2) {
    const auto low = load_bits(row);
    return below ? low | load_bits(below) << 16 : low;
  } else {
    return items_along<P>(row);
  }
}

template <class P, class Element>
GANART_INLINE Vector<typename P::Item> items_across(const Element* row, const Element* below, int64_t valid) {
  Element padded[2][LANES<typename P::Item>] = {};
  __builtin_memcpy(padded[0], row, valid * sizeof(Element));
  if (below) __builtin_memcpy(padded[1], below, valid * sizeof(Element));
  return items_across<P>(padded[0], padded[1]);
}

// The lanes of a panel that are packed: one vector if the second would be empty. Lanes past the last are zero.
template <class P>
GANART_INLINE int packed_lanes(int64_t lanes) {
  return lanes <= LANES<typename P::Item> ? LANES<typename P::Item> : PANEL<P>;
}

// A panel from a matrix whose lanes are rows in memory: squares are transposed in registers. Writes whole vectors of
// items, so the panel needs room for the items rounded up to LANES.
template <class P, class Element>
void pack_transposed(const Element* from, int64_t lane_stride, int64_t lanes, int64_t depth, typename P::Item* panel) {
  using Item = typename P::Item;
  constexpr int L = LANES<Item>;
  for (int64_t item = 0; item < items_in<P>(depth); item += L) {
    const int64_t left = depth - item * P::DEPTH;
    for (int64_t lane = 0; lane < packed_lanes<P>(lanes); lane += L) {
      Vector<Item> rows[L];
      const Element* corner = from + lane * lane_stride + item * P::DEPTH;
      if (lane + L <= lanes && left >= L * P::DEPTH) {
#pragma GCC unroll 16
        for (int row = 0; row < L; ++row) rows[row] = items_along<P>(corner + row * lane_stride);
      } else {
#pragma GCC unroll 16
        for (int row = 0; row < L; ++row)
          rows[row] = lane + row < lanes ? items_along<P>(corner + row * lane_stride, smaller(left, L * P::DEPTH))
                                         : Vector<Item>{};
      }
      transpose<Item>(rows);
#pragma GCC unroll 16
      for (int row = 0; row < L; ++row) store(panel + (item + row) * PANEL<P> + lane, rows[row]);
    }
  }
}

// A panel from a matrix whose depths are rows in memory: copied.
template <class P, class Element>
void pack_rows(const Element* from, int64_t depth_stride, int64_t lanes, int64_t depth, typename P::Item* panel) {
  constexpr int L = LANES<typename P::Item>;
  for (int64_t item = 0; item < items_in<P>(depth); ++item, panel += PANEL<P>) {
    const Element* row = from + item * P::DEPTH * depth_stride;
    const Element* below = item * P::DEPTH + 1 < depth ? row + depth_stride : nullptr;
#pragma GCC unroll 2
    for (int lane = 0; lane < PANEL<P>; lane += L) {
      if (lane + L <= lanes)
        store(panel + lane, items_across<P>(row + lane, below ? below + lane : nullptr));
      else if (lane < lanes)
        store(panel + lane, items_across<P>(row + lane, below ? below + lane : nullptr, lanes - lane));
      else
        store(panel + lane, Vector<typename P::Item>{});
    }
  }
}

// Rows of items, `pitch` apart, from rows of elements.
template <class P, class Element>
void pack_broadcast(const Element* from, int64_t row_stride, int64_t rows, int64_t depth, typename P::Item* to,
                    int64_t pitch) {
  constexpr int L = LANES<typename P::Item>;
  for (int64_t row = 0; row < rows; ++row, from += row_stride, to += pitch) {
    int64_t item = 0;
    for (; (item + L) * P::DEPTH <= depth; item += L) store(to + item, items_along<P>(from + item * P::DEPTH));
    if (item * P::DEPTH < depth) store(to + item, items_along<P>(from + item * P::DEPTH, depth - item * P::DEPTH));
  }
}

// A panel of factor * (M + M^T), for the lanes from `first`; M is [size, size]. Items past the last depth are not
// written.
template <class P>
void pack_symmetric(const typename P::Sum* matrix, int64_t size, double factor, int64_t first,
                    typename P::Item* panel) {
  using Sum = typename P::Sum;
  constexpr int L = LANES<Sum>;
  const Vector<Sum> scale = splat(Sum(factor));
  for (int64_t depth = 0; depth < size; depth += L)
    for (int64_t lane = 0; lane < PANEL<P>; lane += L) {
      const int64_t column = first + lane, rows = smaller(L, size - depth), columns = smaller(L, size - column);
      Vector<Sum> here[L], mirrored[L];
      if (rows == L && columns == L) {
#pragma GCC unroll 16
        for (int row = 0; row < L; ++row) {
          here[row] = load(matrix + (depth + row) * size + column);
          mirrored[row] = load(matrix + (column + row) * size + depth);
        }
      } else {
        Sum padded[2][L][L] = {};
        for (int64_t row = 0; row < rows && columns > 0; ++row)
          __builtin_memcpy(padded[0][row], matrix + (depth + row) * size + column, columns * sizeof(Sum));
        for (int64_t row = 0; row < columns; ++row)
          __builtin_memcpy(padded[1][row], matrix + (column + row) * size + depth, rows * sizeof(Sum));
#pragma GCC unroll 16
        for (int row = 0; row < L; ++row) {
          here[row] = load(padded[0][row]);
          mirrored[row] = load(padded[1][row]);
        }
      }
      transpose<Sum>(mirrored);
      typename P::Item* to = panel + depth / P::DEPTH * PANEL<P> + lane;
#pragma GCC unroll 16
      for (int row = 0; row < L; row += P::DEPTH) {
        const Vector<Sum> value = scale * (here[row] + mirrored[row]);
        if constexpr (P::DEPTH == 2) {
          const Vector<Sum> below = scale * (here[row + 1] + mirrored[row + 1]);
          if (row < rows) store(to + row / 2 * PANEL<P>, narrow(value) | narrow(below) << 16);
        } else {
          if (row < rows) store(to + row * PANEL<P>, value);
        }
      }
    }
}

// ---- products ----

// Items between two fetches of a line: with narrow vectors a fetch per item would overload the decoder.
template <class P>
constexpr int FETCH_EVERY = LANES<typename P::Sum> > 8 ? 1 : 4;

// sums[c][v] += over items: broadcast[item * item_step + c * column_step] * panel[item][v]; fetches lines meanwhile.
template <class P, int VECTORS, int COUNT>
GANART_INLINE void multiply_tile(int64_t items, const typename P::Item* broadcast, int64_t item_step,
                                 int64_t column_step, const typename P::Item* panel,
                                 Vector<typename P::Sum> (&sums)[COUNT][VECTORS], Ahead& ahead) {
  using Item = typename P::Item;
  Ahead next = ahead;
  const auto multiply_item = [&]() GANART_INLINE_LAMBDA {
    Vector<Item> lanes[VECTORS];
#pragma GCC unroll 2
    for (int v = 0; v < VECTORS; ++v) lanes[v] = load(panel + v * LANES<Item>);
#pragma GCC unroll 16
    for (int c = 0; c < COUNT; ++c) {
      const Vector<Item> value = splat(broadcast[c * column_step]);
#pragma GCC unroll 2
      for (int v = 0; v < VECTORS; ++v) P::multiply_add(sums[c][v], value, lanes[v]);
    }
    broadcast += item_step;
    panel += PANEL<P>;
  };
  int64_t item = 0;
  for (; item + FETCH_EVERY<P> <= items; item += FETCH_EVERY<P>) {
#pragma GCC unroll 4
    for (int i = 0; i < FETCH_EVERY<P>; ++i) multiply_item();
    next.fetch_line();
  }
  for (; item < items; ++item) multiply_item();
  ahead = next;
}

}  // namespace
}  // namespace ganart::cpu::GANART_LEVEL
