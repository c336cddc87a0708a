// Filters of four taps on bfloat16 by dot products of pairs, where the processor has them. Compiled for such levels.
//
// Formula   that of cpu/upfirdn2d.h for separable taps that bfloat16 holds exactly, and factors of 1 or 2.
// Cost      an instruction multiplies and adds 32 elements; between its two axes a result never leaves the registers.
//           Along rows, a task goes down a column of vectors; across channels, along two rows of results.
// Sums      float; subnormal elements and sums count as 0.
#pragma once

#include "cpu/rows.h"

#if defined(GANART_BFLOAT16_PAIRS)

namespace ganart::cpu::GANART_LEVEL {
namespace {
namespace pairs {

using V = Vector<float>;
using Bits = Vector<uint32_t>;  // of two elements in each lane
constexpr int COLUMNS = STEP<Bfloat16>;

// Whether these are four taps that bfloat16 holds.
GANART_INLINE bool can_hold(const float* taps, int64_t count) {
  bool exact = count == 4;
  for (int64_t k = 0; exact && k < count; ++k) {
    uint32_t bits;
    __builtin_memcpy(&bits, taps + k, sizeof bits);
    exact = (bits & 0xffffu) == 0 && ((bits & 0x7f800000u) != 0 || taps[k] == 0);
  }
  return exact;
}

GANART_INLINE Bits pair_of_taps(float low, float high) {
  uint32_t bits[2];
  const float taps[2] = {low, high};
  __builtin_memcpy(bits, taps, sizeof bits);
  return splat<uint32_t>(bits[0] >> 16 | bits[1]);
}

GANART_INLINE V dot(V sum, Bits elements, Bits taps) {
  return (V)_mm512_dpbf16_ps((__m512)sum, (__m512bh)elements, (__m512bh)taps);
}

// Two vectors one after the other.
GANART_INLINE Bits in_order(V low, V high) { return (Bits)_mm512_cvtne2ps_pbh((__m512)high, (__m512)low); }

template <int... PLACE>
GANART_INLINE Bits words_at(Bits low, Bits high, std::integer_sequence<int, PLACE...>) {
  typedef uint16_t Words __attribute__((vector_size(64)));
  return (Bits)__builtin_shufflevector((Words)low, (Words)high, PLACE...);
}

// The first or second half of four sequences in turn, of which `low` holds the first two and `high` the others.
template <int HALF, int... PLACE>
GANART_INLINE Bits four_in_turn(Bits low, Bits high, std::integer_sequence<int, PLACE...>) {
  return words_at(low, high, std::integer_sequence<int, (PLACE / 4 + HALF * 8 + PLACE % 4 * 16)...>{});
}

GANART_INLINE void write(Bfloat16* to, Bits bits, int64_t valid, bool past_caches) {
  if (valid < COLUMNS)
    store_first(to, bits, valid);
  else if (past_caches)
    stream(to, bits);
  else
    __builtin_memcpy(to, &bits, sizeof bits);
}

// ---- along rows ----

// Four vectors of a row, at these places; elements outside the row are zeros.
struct Places {
  int64_t at[4];
  uint32_t inside[4];
  bool whole = true;

  GANART_INLINE Places(int64_t width, int64_t first, int64_t second, int64_t third, int64_t fourth)
      : at{first, second, third, fourth} {
#pragma GCC unroll 5
    for (int i = 0; i < 4; ++i) {
      const int64_t begin = smaller(larger(0, -at[i]), COLUMNS), end = larger(0, smaller(width - at[i], COLUMNS));
      inside[i] = uint32_t(((uint64_t(1) << end) - 1) & ~((uint64_t(1) << begin) - 1));
      whole = whole && inside[i] == ~uint32_t(0);
    }
  }

  template <bool WHOLE>
  GANART_INLINE Bits load(const Bfloat16* row, int i) const {
    if constexpr (WHOLE) return (Bits)_mm512_loadu_si512(row + at[i]);
    return (Bits)_mm512_maskz_loadu_epi16(inside[i], row + at[i]);
  }
};

// One plane's rows, and the results that a task writes.
struct Strip {
  const Bfloat16* plane;
  int64_t row_stride;
  Bfloat16* y;
  int64_t from, to;  // rows of results
  bool past_caches;
};

struct Filter {
  const Resampling& r;
  float taps[4], gained[4];  // the gain is applied along the columns

  GANART_INLINE Filter(const Resampling& geometry, const float* all, double gain, bool flip) : r(geometry) {
    for (int k = 0; k < 4; ++k) taps[k] = all[flip ? k : 3 - k], gained[k] = float(taps[k] * gain);
  }

  // The rows of results that are filtered together; see upfirdn2d.
  template <int UP, int DOWN>
  GANART_INLINE void filter(const Strip& strip) const {
    constexpr int SPAN = COLUMNS * UP;  // results side by side
    const int64_t width = r.width, x0 = r.x0;
    // Inputs that the first rows after this strip need are fetched meanwhile.
    const int64_t rows_in = (strip.to - strip.from) * DOWN / UP, first_in = (strip.from * DOWN - r.y0) / UP;
    Ahead ahead(strip.plane + larger(0, first_in + rows_in) * strip.row_stride, rows_in, width * 2,
                strip.row_stride * 2);
    for (int64_t column = 0; column < r.out_width; column += SPAN) {
      const int64_t valid = smaller(SPAN, r.out_width - column), even = column * DOWN - x0;
      // An output `up` places on needs inputs one place on; the first two may begin at the same input or not.
      const int64_t first = UP == 1 ? even : (column - x0 + (x0 & 1)) / 2, second = (column + 1 - x0 + (~x0 & 1)) / 2;
      const Places places = UP == 2     ? Places(width, first, first + 1, second, second + 1)
                            : DOWN == 2 ? Places(width, even, even + 2, even + COLUMNS, even + COLUMNS + 2)
                                        : Places(width, even, even + 2, even + 1, even + 3);
      if (places.whole)
        filter_column<UP, DOWN, true>(strip, places, strip.y + column, valid, ahead);
      else
        filter_column<UP, DOWN, false>(strip, places, strip.y + column, valid, ahead);
    }
  }

 private:
  // The sums along a row, or zeros for null, at the places: two vectors, or four if UP is 2.
  template <int UP, int DOWN, bool WHOLE>
  GANART_INLINE static void sums_along(const Bfloat16* from, const Places& places, const Bits (&pair)[2],
                                       V (&sums)[2 * UP], Ahead& ahead) {
#pragma GCC unroll 5
    for (int i = 0; i < 2 * UP; ++i) sums[i] = V{};
    if (!from) return;
#pragma GCC unroll 5
    for (int i = 0; i < DOWN; ++i) ahead.fetch_line();
    const Bits a = places.load<WHOLE>(from, 0), b = places.load<WHOLE>(from, 1);
    const Bits c = places.load<WHOLE>(from, 2), d = places.load<WHOLE>(from, 3);
    if constexpr (UP == 2) {
      sums[0] = dot(V{}, a, pair[0]), sums[1] = dot(V{}, c, pair[1]);
      sums[2] = dot(V{}, b, pair[0]), sums[3] = dot(V{}, d, pair[1]);
    } else {
      sums[0] = dot(dot(V{}, a, pair[0]), b, pair[1]);
      sums[1] = dot(dot(V{}, c, pair[0]), d, pair[1]);
    }
  }

  template <int UP, int DOWN>
  GANART_INLINE static void write_row(const V (&sums)[2 * UP], Bfloat16* to, int64_t valid, bool past_caches) {
    if constexpr (UP == 2) {
      constexpr auto places = std::make_integer_sequence<int, COLUMNS>{};
      const Bits low = in_order(sums[0], sums[1]), high = in_order(sums[2], sums[3]);
      write(to, four_in_turn<0>(low, high, places), valid, past_caches);
      if (valid > COLUMNS) write(to + COLUMNS, four_in_turn<1>(low, high, places), valid - COLUMNS, past_caches);
    } else if constexpr (DOWN == 2) {
      write(to, in_order(sums[0], sums[1]), valid, past_caches);
    } else {
      write(to, narrow_pair({sums[0], sums[1]}), valid, past_caches);
    }
  }

  template <int UP, int DOWN, bool WHOLE>
  void filter_column(const Strip& strip, const Places& places, Bfloat16* y, int64_t valid, Ahead& all_ahead) const {
    constexpr int N = 2 * UP;
    const int64_t out_width = r.out_width, y0 = r.y0;
    Ahead ahead = all_ahead;
    const int first = r.x0 & 1;  // the first tap that an even column of results needs, if UP is 2
    const Bits pair[2] = {UP == 2 ? pair_of_taps(taps[first], taps[first + 2]) : pair_of_taps(taps[0], taps[1]),
                          UP == 2 ? pair_of_taps(taps[1 - first], taps[3 - first]) : pair_of_taps(taps[2], taps[3])};
    const V w0 = splat(gained[0]), w1 = splat(gained[1]), w2 = splat(gained[2]), w3 = splat(gained[3]);
    const int64_t height = r.height, row_stride = strip.row_stride;
    const Bfloat16* plane = strip.plane;
    const bool past_caches = strip.past_caches;
    const auto along = [&](int64_t row, V(&sums)[N]) GANART_INLINE_LAMBDA {
      sums_along<UP, DOWN, WHOLE>(row < 0 || row >= height ? nullptr : plane + row * row_stride, places, pair, sums,
                                  ahead);
    };
    const auto put = [&](int64_t o, const V(&sums)[N])
                         GANART_INLINE_LAMBDA { write_row<UP, DOWN>(sums, y + o * out_width, valid, past_caches); };
    if constexpr (UP == 2) {
      V before[N], here[N], result[N];
      int64_t row = (strip.from - y0 + ((strip.from - y0) & 1)) / 2;
      along(row, before);
      along(row + 1, here);
      for (int64_t o = strip.from; o < strip.to; ++o) {
        const bool odd = (o - y0) & 1;
        const int64_t needed = (o - y0 + odd) / 2;
        if (needed > row) {
#pragma GCC unroll 5
          for (int i = 0; i < N; ++i) before[i] = here[i];
          along(++row + 1, here);
        }
        const V early = odd ? w1 : w0, late = odd ? w3 : w2;
#pragma GCC unroll 5
        for (int i = 0; i < N; ++i) result[i] = before[i] * early + here[i] * late;
        put(o, result);
      }
    } else if constexpr (DOWN == 2) {
      V first[N], second[N], early[N] = {}, result[N];
      for (int64_t o = strip.from - 1; o < strip.to; ++o) {
        along(2 * o - y0 + 2, first);
        along(2 * o - y0 + 3, second);
#pragma GCC unroll 5
        for (int i = 0; i < N; ++i) {
          result[i] = early[i] + first[i] * w2 + second[i] * w3;
          early[i] = first[i] * w0 + second[i] * w1;
        }
        if (o >= strip.from) put(o, result);
      }
    } else {
      V sums[N], after_one[N] = {}, after_two[N] = {}, after_three[N] = {}, result[N];
      for (int64_t o = strip.from - 3; o < strip.to; ++o) {
        along(o - y0 + 3, sums);
#pragma GCC unroll 5
        for (int i = 0; i < N; ++i) {
          result[i] = after_three[i] + sums[i] * w3;
          after_three[i] = after_two[i] + sums[i] * w2;
          after_two[i] = after_one[i] + sums[i] * w1;
          after_one[i] = sums[i] * w0;
        }
        if (o >= strip.from) put(o, result);
      }
    }
    all_ahead = ahead;
  }

 public:
  // ---- across channels, without resampling ----

  // The vectors of 8 words of two rows in turn, and back.
  GANART_INLINE static Bits channels_in_order(V low, V high) {
    typedef uint64_t Fours __attribute__((vector_size(64)));
    const auto fours = (Fours)in_order(low, high);
    return (Bits)__builtin_shufflevector(fours, fours, 0, 4, 1, 5, 2, 6, 3, 7);
  }

  // plane and y hold pixels of all channels; row_stride is that of pixels times channels.
  void filter_across(const Strip& strip, int64_t channels, int64_t pixel_stride) const {
    const Bits pair[2] = {pair_of_taps(taps[0], taps[1]), pair_of_taps(taps[2], taps[3])};
    const V w0 = splat(gained[0]), w1 = splat(gained[1]), w2 = splat(gained[2]), w3 = splat(gained[3]);
    for (int64_t o = strip.from; o < strip.to; o += 2)
      for (int64_t channel = 0; channel < channels; channel += COLUMNS) {
        const int64_t valid = smaller(COLUMNS, channels - channel);
        const auto inside = uint32_t((uint64_t(1) << valid) - 1);
        const Bfloat16* from[5];
        uint32_t lanes[5];
#pragma GCC unroll 5
        for (int i = 0; i < 5; ++i) {
          const int64_t row = o - r.y0 + i;
          lanes[i] = row >= 0 && row < r.height ? inside : 0;
          from[i] = strip.plane + (lanes[i] ? row : 0) * strip.row_stride + channel;
        }
        const bool two = o + 1 < strip.to;
        Bfloat16* y = strip.y + o * r.out_width * channels + channel;
        V after_one[4] = {}, after_two[4] = {}, after_three[4] = {};
        for (int64_t column = -3; column < r.out_width; ++column) {
          const int64_t at = column - r.x0 + 3;
          V sums[4] = {};
          if (at >= 0 && at < r.width) {
            Bits rows[5];
#pragma GCC unroll 5
            for (int i = 0; i < 5; ++i) rows[i] = (Bits)_mm512_maskz_loadu_epi16(lanes[i], from[i] + at * pixel_stride);
            // What the next two rows of results need.
            __builtin_prefetch(from[4] + at * pixel_stride + strip.row_stride, 0, 2);
            __builtin_prefetch(from[4] + at * pixel_stride + 2 * strip.row_stride, 0, 2);
#pragma GCC unroll 5
            for (int i = 0; i < 2; ++i) {
              const auto low = [&](int a) {
                return (Bits)_mm512_unpacklo_epi16((__m512i)rows[a], (__m512i)rows[a + 1]);
              };
              const auto high = [&](int a) {
                return (Bits)_mm512_unpackhi_epi16((__m512i)rows[a], (__m512i)rows[a + 1]);
              };
              sums[2 * i] = dot(dot(V{}, low(i), pair[0]), low(i + 2), pair[1]);
              sums[2 * i + 1] = dot(dot(V{}, high(i), pair[0]), high(i + 2), pair[1]);
            }
          }
          V result[4];
#pragma GCC unroll 5
          for (int i = 0; i < 4; ++i) {
            result[i] = after_three[i] + sums[i] * w3;
            after_three[i] = after_two[i] + sums[i] * w2;
            after_two[i] = after_one[i] + sums[i] * w1;
            after_one[i] = sums[i] * w0;
          }
          if (column < 0) continue;
          Bfloat16* to = y + column * channels;
          write(to, channels_in_order(result[0], result[1]), valid, strip.past_caches);
          if (two)
            write(to + r.out_width * channels, channels_in_order(result[2], result[3]), valid, strip.past_caches);
        }
      }
  }
};

// Filters x where that is possible here, and returns whether it was.
bool upfirdn2d(const Features& x, int64_t x_row_stride, const Resampling& r, const float* taps, double gain, bool flip,
               Bfloat16* y, RunTasks run) {
  const bool across = x.pixel_stride != 1, plain = r.up_x == 1 && r.up_y == 1 && r.down_x == 1 && r.down_y == 1;
  const bool halved = r.up_x == 1 && r.up_y == 1 && r.down_x == 2 && r.down_y == 2;
  const bool doubled = r.up_x == 2 && r.up_y == 2 && r.down_x == 1 && r.down_y == 1;
  if (!r.separable || !can_hold(taps, r.rows)) return false;
  if (across ? !plain || x.channels < COLUMNS : !(plain || halved || doubled)) return false;
  const Filter filter(r, taps, gain, flip);
  const auto* data = static_cast<const Bfloat16*>(x.data);
  const int64_t unit = across ? x.channels : 1, planes = across ? x.samples : x.samples * x.channels;
  const int64_t row = r.out_width * unit, plane = r.out_height * row;
  // Rows of one plane, or planes, of a task; some rows more are read for each task.
  const int64_t strip = round_up(larger(16, Rows::TASK_ELEMENTS / row), 4), strips = (r.out_height + strip - 1) / strip;
  const int64_t group = larger(1, Rows::TASK_ELEMENTS / plane), groups = (planes + group - 1) / group;
  const bool past_caches = planes * plane * int64_t(sizeof(Bfloat16)) > Rows::PAST_CACHES &&
                           (uintptr_t(y) | uintptr_t((across ? unit : row) * 2)) % GANART_VECTOR_BYTES == 0;
  for_each(planes * plane < Rows::SERIAL_ELEMENTS ? run_serially : run, groups * strips, [&](int64_t task) {
    const int64_t from = task % strips * strip, to = smaller(r.out_height, from + strip);
    const int64_t first = task / strips * group;
    for (int64_t p = first; p < smaller(planes, first + group); ++p) {
      const Bfloat16* in = across ? data + p * x.sample_stride
                                  : data + p / x.channels * x.sample_stride + p % x.channels * x.channel_stride;
      const Strip part{in, x_row_stride, y + p * plane, from, to, past_caches};
      if (across)
        filter.filter_across(part, x.channels, x.pixel_stride);
      else if (plain)
        filter.filter<1, 1>(part);
      else if (halved)
        filter.filter<1, 2>(part);
      else
        filter.filter<2, 1>(part);
    }
    if (past_caches) end_streaming();
  });
  return true;
}

}  // namespace pairs
}  // namespace
}  // namespace ganart::cpu::GANART_LEVEL

#endif
