// Vectors of one instruction set's width, by compiler extension: loads, stores, transposes, bfloat16. No torch.
//
// csrc/isa/<level>.cpp compiles this for each instruction set, with GANART_VECTOR_BYTES defined. Nothing here, or in a
// kernel, may call an inline function from a standard header: the linker would keep one copy of it for all levels,
// perhaps one compiled for a newer processor.
#pragma once

#define GANART_INLINE [[gnu::always_inline]] inline
#define GANART_INLINE_LAMBDA __attribute__((always_inline))

namespace ganart::cpu::GANART_LEVEL {
namespace {

template <class Lane>
struct VectorOf {
  typedef Lane type __attribute__((vector_size(GANART_VECTOR_BYTES)));
};
template <class Lane>
using Vector = typename VectorOf<Lane>::type;

template <class Lane>
constexpr int LANES = GANART_VECTOR_BYTES / sizeof(Lane);

template <class Lane>
GANART_INLINE Vector<Lane> load(const Lane* from) {
  Vector<Lane> vector;
  __builtin_memcpy(&vector, from, sizeof vector);
  return vector;
}

template <class Lane>
GANART_INLINE void store(Lane* to, Vector<Lane> vector) {
  __builtin_memcpy(to, &vector, sizeof vector);
}

template <class Lane>
GANART_INLINE Vector<Lane> splat(Lane value) {
  return value - Vector<Lane>{};  // x - 0 is x for every x; 0 + x would not be for -0
}

#if GANART_VECTOR_BYTES == 64
GANART_INLINE uint64_t mask_of_first(int64_t bytes) {
  return bytes <= 0 ? 0 : bytes >= 64 ? ~uint64_t(0) : (uint64_t(1) << bytes) - 1;
}
#endif

#if GANART_VECTOR_BYTES == 32
GANART_INLINE __m256i mask_of_first_words(int64_t bytes) {
  const __m256i places = _mm256_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(int32_t(bytes < 32 ? bytes : 32)), places);
}
#endif

// Loads the first `count` elements of a vector, with `rest` in the other places, or stores the first `count`. The
// memory of the others is not touched. `count` may be negative or exceed the number of places.
template <class Element>
GANART_INLINE Vector<uint32_t> load_first(const Element* from, int64_t count, Element rest) {
  constexpr int PLACES = GANART_VECTOR_BYTES / sizeof(Element);
  Element padded[PLACES];
  for (int i = 0; i < PLACES; ++i) padded[i] = rest;
  Vector<uint32_t> bits;
  __builtin_memcpy(&bits, padded, sizeof bits);
#if GANART_VECTOR_BYTES == 64
  return (Vector<uint32_t>)_mm512_mask_loadu_epi8((__m512i)bits, mask_of_first(count * sizeof(Element)), from);
#elif GANART_VECTOR_BYTES == 32
  if constexpr (sizeof(Element) >= 4) {
    const __m256i mask = mask_of_first_words(count * int64_t(sizeof(Element)));
    const __m256i some = _mm256_maskload_epi32(reinterpret_cast<const int*>(from), mask);
    return (Vector<uint32_t>)_mm256_blendv_epi8((__m256i)bits, some, mask);
  }
#endif
  for (int64_t i = 0; i < (count < PLACES ? count : PLACES); ++i) padded[i] = from[i];
  __builtin_memcpy(&bits, padded, sizeof bits);
  return bits;
}

template <class Element>
GANART_INLINE void store_first(Element* to, Vector<uint32_t> bits, int64_t count) {
#if GANART_VECTOR_BYTES == 64
  return _mm512_mask_storeu_epi8(to, mask_of_first(count * sizeof(Element)), (__m512i)bits);
#elif GANART_VECTOR_BYTES == 32
  if constexpr (sizeof(Element) >= 4)
    return _mm256_maskstore_epi32(reinterpret_cast<int*>(to), mask_of_first_words(count * int64_t(sizeof(Element))),
                                  (__m256i)bits);
#endif
  constexpr int PLACES = GANART_VECTOR_BYTES / sizeof(Element);
  Element padded[PLACES];
  __builtin_memcpy(padded, &bits, sizeof bits);
  for (int64_t i = 0; i < (count < PLACES ? count : PLACES); ++i) to[i] = padded[i];
}

// The smaller or larger of `bound` and x, lane by lane, and NaN where x is NaN; written so that it compiles to one
// instruction.
template <class Lane>
GANART_INLINE Vector<Lane> at_most(Vector<Lane> bound, Vector<Lane> x) {
  return bound < x ? bound : x;
}
template <class Lane>
GANART_INLINE Vector<Lane> at_least(Vector<Lane> bound, Vector<Lane> x) {
  return bound > x ? bound : x;
}

// The square root, lane by lane; it compiles to one instruction.
template <class Lane>
GANART_INLINE Vector<Lane> square_root(Vector<Lane> x) {
  Vector<Lane> root = x;
  for (int lane = 0; lane < LANES<Lane>; ++lane) {
    if constexpr (sizeof(Lane) == sizeof(float))
      root[lane] = __builtin_sqrtf(x[lane]);
    else
      root[lane] = __builtin_sqrt(x[lane]);
  }
  return root;
}

GANART_INLINE int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
GANART_INLINE int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }
GANART_INLINE int64_t round_up(int64_t value, int64_t step) { return (value + step - 1) / step * step; }

// ---- prefetching and streaming ----

// Rows that will be read next, fetched into the second-level cache a line at a time from within arithmetic loops.
struct Ahead {
  const char* at = nullptr;
  int64_t rows = 0, row_lines = 0, row_gap = 0, lines_left = 0;

  Ahead() = default;
  Ahead(const void* from, int64_t row_count, int64_t row_bytes, int64_t stride_bytes)
      : at(static_cast<const char*>(from)), rows(row_count), row_lines((row_bytes + 63) / 64),
        row_gap(stride_bytes - row_lines * 64), lines_left(row_lines) {}

  GANART_INLINE void fetch_line() {
    if (rows == 0) return;
    __builtin_prefetch(at, 0, 2);
    at += 64;
    if (--lines_left == 0) {
      at += row_gap;
      lines_left = row_lines;
      --rows;
    }
  }
};

// Stores a vector, or its lower half, past the caches; `to` is aligned to its size. end_streaming() orders such stores
// before any later store that signals another thread.
template <class V, class Lane>
GANART_INLINE void stream(Lane* to, V vector) {
#if defined(__x86_64__) && GANART_VECTOR_BYTES >= 64
  if constexpr (sizeof(V) == 64) return _mm512_stream_si512((__m512i*)to, (__m512i)vector);
#endif
#if defined(__x86_64__) && GANART_VECTOR_BYTES >= 32
  if constexpr (sizeof(V) == 32) return _mm256_stream_si256((__m256i*)to, (__m256i)vector);
#endif
#if defined(__x86_64__)
  if constexpr (sizeof(V) == 16) return _mm_stream_si128((__m128i*)to, (__m128i)vector);
#endif
  __builtin_memcpy(to, &vector, sizeof vector);
}

GANART_INLINE void end_streaming() {
#if defined(__x86_64__)
  _mm_sfence();
#endif
}

// ---- bfloat16, held as its bits ----

struct Bfloat16 {
  uint16_t bits;
};

typedef uint16_t HalfVector __attribute__((vector_size(GANART_VECTOR_BYTES / 2)));  // one value per 32-bit lane

GANART_INLINE Vector<uint32_t> load_bits(const Bfloat16* from) {
  HalfVector bits;
  __builtin_memcpy(&bits, from, sizeof bits);
  return __builtin_convertvector(bits, Vector<uint32_t>);
}

GANART_INLINE Vector<float> widen(Vector<uint32_t> bits) { return (Vector<float>)(bits << 16); }

// Rounds to the nearest, ties to even, in the upper half of each lane; NaN stays NaN. The lower half is undefined.
GANART_INLINE Vector<uint32_t> rounded(Vector<float> value) {
  const Vector<uint32_t> bits = (Vector<uint32_t>)value;
  return value == value ? bits + 0x7fffu + ((bits >> 16) & 1u) : splat<uint32_t>(0x7fc00000u);
}

GANART_INLINE Vector<uint32_t> narrow(Vector<float> value) { return rounded(value) >> 16; }

// ---- transposes ----

template <int DISTANCE, bool UPPER, class V, int... LANE>
GANART_INLINE V exchange(V low, V high, std::integer_sequence<int, LANE...>) {
  constexpr int N = sizeof...(LANE);
  // A lane without the DISTANCE bit comes from `low`, one with it from `high`; UPPER takes each row's other half.
  return __builtin_shufflevector(
      low, high, ((LANE & DISTANCE) ? N + (UPPER ? LANE : LANE - DISTANCE) : (UPPER ? LANE + DISTANCE : LANE))...);
}

template <int DISTANCE, class Lane>
GANART_INLINE void transpose_from(Vector<Lane> (&rows)[LANES<Lane>]) {
  if constexpr (DISTANCE > 0) {
    constexpr auto lanes = std::make_integer_sequence<int, LANES<Lane>>{};
#pragma GCC unroll 16
    for (int row = 0; row < LANES<Lane>; ++row)
      if (!(row & DISTANCE)) {
        const Vector<Lane> low = rows[row], high = rows[row + DISTANCE];
        rows[row] = exchange<DISTANCE, false>(low, high, lanes);
        rows[row + DISTANCE] = exchange<DISTANCE, true>(low, high, lanes);
      }
    transpose_from<DISTANCE / 2, Lane>(rows);
  }
}

// Transposes a square of LANES rows in registers.
template <class Lane>
GANART_INLINE void transpose(Vector<Lane> (&rows)[LANES<Lane>]) {
  transpose_from<LANES<Lane> / 2, Lane>(rows);
}

}  // namespace
}  // namespace ganart::cpu::GANART_LEVEL
