// Vectors of one instruction set's width, by compiler extension: loads, stores, transposes, bfloat16. No torch.
//
// csrc/isa/<level>.cpp includes this inside an unnamed namespace after choosing its target, with GANART_VECTOR_BYTES
// defined; the standard headers must come before. Nothing here may call an inline function from outside: the linker
// would keep one copy of it for all levels, perhaps compiled for a processor that this one is not.
#pragma once

#define GANART_INLINE [[gnu::always_inline]] inline

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

GANART_INLINE int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
GANART_INLINE int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }
GANART_INLINE int64_t round_up(int64_t value, int64_t step) { return (value + step - 1) / step * step; }

// ---- bfloat16, held as its bits ----

struct Bfloat16 {
  uint16_t bits;
};

typedef uint16_t HalfVector __attribute__((vector_size(GANART_VECTOR_BYTES / 2)));  // one value a 32-bit lane

GANART_INLINE Vector<uint32_t> load_bits(const Bfloat16* from) {
  HalfVector bits;
  __builtin_memcpy(&bits, from, sizeof bits);
  return __builtin_convertvector(bits, Vector<uint32_t>);
}

GANART_INLINE Vector<float> widen(Vector<uint32_t> bits) { return (Vector<float>)(bits << 16); }

// Rounds to the nearest, ties to even; NaN stays NaN.
GANART_INLINE Vector<uint32_t> narrow(Vector<float> value) {
  const Vector<uint32_t> bits = (Vector<uint32_t>)value;
  const Vector<uint32_t> rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  return value == value ? rounded : splat<uint32_t>(0x7fc0u);
}

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
