// Whole-number arithmetic of plans and indices, for host and device.
#pragma once

#include <cstdint>
#include <type_traits>

#if defined(__CUDACC__)
#define GANART_HOST_DEVICE __host__ __device__
#else
#define GANART_HOST_DEVICE
#endif

namespace ganart::cuda {

GANART_HOST_DEVICE constexpr int64_t ceil_divide(int64_t count, int64_t size) { return (count + size - 1) / size; }

template <class Number>
GANART_HOST_DEVICE constexpr Number smaller(Number a, Number b) {
  return a < b ? a : b;
}
template <class Number>
GANART_HOST_DEVICE constexpr Number larger(Number a, Number b) {
  return a < b ? b : a;
}

// Divides indices (uint32_t or uint64_t) below half their range by a number known to the host, without a division.
// Source: T. Granlund, P. Montgomery, "Division by invariant integers using multiplication", PLDI 1994.
template <class Index>
struct Divisor {
  static_assert(std::is_unsigned_v<Index>);
  using Twice = std::conditional_t<sizeof(Index) == 4, uint64_t, unsigned __int128>;
  static constexpr int bits = 8 * sizeof(Index);

  Index value, multiplier;
  int shift;

  explicit Divisor(int64_t divisor) : value(static_cast<Index>(divisor)), shift(0) {
    while (Twice{1} << shift < value) ++shift;
    multiplier = static_cast<Index>((((Twice{1} << shift) - value) << bits) / value + 1);
  }

  GANART_HOST_DEVICE Index divide(Index index) const {
    return (static_cast<Index>(Twice{index} * multiplier >> bits) + index) >> shift;
  }
};

}  // namespace ganart::cuda
