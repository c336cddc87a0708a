// Filters of four taps on bfloat16 by dot products of pairs, where the processor has them. Compiled for such levels.
//
// Formula   that of cpu/upfirdn2d.h for separable taps that bfloat16 holds exactly, and factors of 1 or 2.
// Cost      an instruction multiplies and adds 32 elements; between its two axes a result never leaves the registers.
//           Symmetric taps take one multiplication and two additions along the second axis, which processors can do at
//           the same time. Along rows, a task goes down a column of vectors; across channels, along two rows of results.
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

GANART_INLINE void write(Bfloat16* to, Bits bits, int64_t valid, bool past_caches) {
  if (valid < COLUMNS)
    store_first(to, bits, valid);
  else if (past_caches)
    stream(to, bits);
  else
    __builtin_memcpy(to, &bits, sizeof bits);
}

// Calls body(i) for i below COUNT, an integral_constant, without a loop: vectors stay in registers.
template <int COUNT, class Body>
GANART_INLINE void each(Body body) {
  [&]<int... I>(std::integer_sequence<int, I...>)
      GANART_INLINE_LAMBDA { (body(std::integral_constant<int, I>{}), ...); }(std::make_integer_sequence<int, COUNT>{});
}

template <int N>
GANART_INLINE void assign(V (&to)[N], const V (&from)[N]) {
  each<N>([&](auto i) GANART_INLINE_LAMBDA { to[i] = from[i]; });
}

// From the second lane on of two consecutive vectors.
template <int... LANE>
GANART_INLINE Bits from_second_lane(Bits low, Bits high, std::integer_sequence<int, LANE...>) {
  return __builtin_shufflevector(low, high, (LANE + 1)...);
}

// What is filtered: pixels as they are, every second one of the results, or pixels between inserted zeros.
enum class Kind { plain, halved, doubled };

// The second axis: sums of four values times the taps, or of two where every other one is an inserted zero.
template <bool SYMMETRIC>
struct SecondAxis {
  V taps[4];  // if symmetric, the first is the ratio of inner taps to outer ones, and the values are scaled

  GANART_INLINE V of_four(V a, V b, V c, V d) const {
    if constexpr (SYMMETRIC) return (b + c) * taps[0] + (a + d);
    return a * taps[0] + b * taps[1] + c * taps[2] + d * taps[3];
  }
  // From tap 0 or 1 on.
  GANART_INLINE V of_even(V a, V b) const {
    if constexpr (SYMMETRIC) return b * taps[0] + a;
    return a * taps[0] + b * taps[2];
  }
  GANART_INLINE V of_odd(V a, V b) const {
    if constexpr (SYMMETRIC) return a * taps[0] + b;
    return a * taps[1] + b * taps[3];
  }
};

// The results that a task writes: some rows of some planes. Across channels, a sample is a plane.
struct Strip {
  const Features& x;
  bool across;
  int64_t row_stride;
  Bfloat16* y;
  int64_t plane_results;
  int64_t first, last;  // planes
  int64_t from, to;     // rows of results of each
  bool past_caches;

  GANART_INLINE const Bfloat16* plane(int64_t p) const {
    const auto* data = static_cast<const Bfloat16*>(x.data);
    if (across) return data + p * x.sample_stride;
    return data + p / x.channels * x.sample_stride + p % x.channels * x.channel_stride;
  }
};

// Vectors of a row, at these places; elements outside the row are zeros.
struct Places {
  int64_t at[4] = {};
  uint32_t inside[4] = {};
  bool whole = true;

  GANART_INLINE void add(int i, int64_t place, int64_t width) {
    const int64_t begin = smaller(larger(0, -place), COLUMNS), end = larger(0, smaller(width - place, COLUMNS));
    at[i] = place;
    inside[i] = uint32_t(((uint64_t(1) << end) - 1) & ~((uint64_t(1) << begin) - 1));
    whole = whole && inside[i] == ~uint32_t(0);
  }
  template <bool WHOLE>
  GANART_INLINE Bits load(const Bfloat16* row, int i) const {
    if constexpr (WHOLE) return (Bits)_mm512_loadu_si512(row + at[i]);
    return (Bits)_mm512_maskz_loadu_epi16(inside[i], row + at[i]);
  }
};

struct Filter {
  const Resampling& r;
  float taps[4];    // of the first axis
  float second[4];  // of the second, with the gain; if symmetric, `taps` have the gain and the outer tap of the second
  bool symmetric;

  GANART_INLINE Filter(const Resampling& geometry, const float* all, double gain, bool flip) : r(geometry) {
    float scaled[4];
    for (int k = 0; k < 4; ++k) taps[k] = all[flip ? k : 3 - k], second[k] = float(taps[k] * gain);
    for (int k = 0; k < 4; ++k) scaled[k] = taps[k] * second[0];
    symmetric = taps[0] == taps[3] && taps[1] == taps[2] && second[0] != 0 && can_hold(scaled, 4);
    if (!symmetric) return;
    second[0] = taps[1] / taps[0];
    for (int k = 0; k < 4; ++k) taps[k] = scaled[k];
  }

  template <Kind KIND>
  GANART_INLINE void filter(const Strip& strip) const {
    if (symmetric)
      filter_rows<KIND, true>(strip);
    else
      filter_rows<KIND, false>(strip);
  }
  template <Kind KIND>
  GANART_INLINE void filter_across(const Strip& strip) const {
    for (int64_t p = strip.first; p < strip.last; ++p)
      if (symmetric)
        filter_channels<KIND, true>(strip, strip.plane(p), strip.y + p * strip.plane_results);
      else
        filter_channels<KIND, false>(strip, strip.plane(p), strip.y + p * strip.plane_results);
  }

 private:
  template <bool SYMMETRIC>
  GANART_INLINE SecondAxis<SYMMETRIC> second_axis() const {
    return {{splat(second[0]), splat(second[1]), splat(second[2]), splat(second[3])}};
  }

  // The first input that output `o` needs, and, where zeros are inserted, its first tap.
  template <Kind KIND>
  GANART_INLINE static int64_t first_input(int64_t o, int64_t padding) {
    if constexpr (KIND == Kind::doubled) return (o - padding + first_tap(o, padding)) / 2;
    return (KIND == Kind::halved ? 2 * o : o) - padding;
  }
  GANART_INLINE static int64_t first_tap(int64_t o, int64_t padding) { return (o - padding) & 1; }

  // The taps of two results side by side of the first axis, in pairs.
  template <Kind KIND>
  GANART_INLINE void pairs_of_taps(int64_t padding, Bits (&pair)[2]) const {
    const int64_t tap = first_tap(0, padding);
    pair[0] = KIND == Kind::doubled ? pair_of_taps(taps[tap], taps[tap + 2]) : pair_of_taps(taps[0], taps[1]);
    pair[1] = KIND == Kind::doubled ? pair_of_taps(taps[1 - tap], taps[3 - tap]) : pair_of_taps(taps[2], taps[3]);
  }

  // ---- along rows ----

  template <Kind KIND, bool SYMMETRIC>
  void filter_rows(const Strip& strip) const {
    for (int64_t column = 0; column < r.out_width; column += COLUMNS) {
      const int64_t valid = smaller(COLUMNS, r.out_width - column);
      if (KIND == Kind::halved && valid <= COLUMNS / 2)
        filter_column<KIND, SYMMETRIC, 1>(strip, column, valid);
      else
        filter_column<KIND, SYMMETRIC, 2>(strip, column, valid);
    }
  }

  template <Kind KIND, bool SYMMETRIC, int N>
  GANART_INLINE void filter_column(const Strip& strip, int64_t column, int64_t valid) const {
    Places places;
    const int64_t first = first_input<KIND>(column, r.x0);
    constexpr int plain[] = {0, 2, 1, 3}, halved[] = {0, 2, COLUMNS, COLUMNS + 2};
    constexpr int LOADS = KIND == Kind::plain ? 4 : KIND == Kind::doubled ? 1 : 2 * N;
    for (int i = 0; i < LOADS; ++i) places.add(i, first + (KIND == Kind::plain ? plain : halved)[i], r.width);
    if (places.whole)
      filter_down<KIND, SYMMETRIC, N, true>(strip, places, column, valid);
    else
      filter_down<KIND, SYMMETRIC, N, false>(strip, places, column, valid);
  }

  // N vectors of results in each row: their even and odd ones, or, if every second is left out, one after the other.
  template <Kind KIND, bool SYMMETRIC, int N, bool WHOLE>
  void filter_down(const Strip& strip, const Places& all_places, int64_t column, int64_t valid) const {
    typedef uint16_t Words __attribute__((vector_size(64)));
    const Places places = all_places;
    const auto taps_down = second_axis<SYMMETRIC>();
    Bits pair[2];
    pairs_of_taps<KIND>(r.x0, pair);
    // Where zeros are inserted: the inputs of each even result and of each odd one.
    Bits even_inputs{}, odd_inputs{};
    if constexpr (KIND == Kind::doubled) {
      const auto further = uint16_t(first_input<KIND>(1, r.x0) - first_input<KIND>(0, r.x0));
      Words words;
      for (int i = 0; i < COLUMNS; ++i) words[i] = uint16_t(i / 2 + i % 2);
      even_inputs = (Bits)words, odd_inputs = (Bits)(words + further);
    }
    const int64_t height = r.height, row_stride = strip.row_stride, out_width = r.out_width, y0 = r.y0;
    const Bfloat16* plane = nullptr;
    Bfloat16* y = nullptr;
    const bool past_caches = strip.past_caches;
    // The rows after this strip are fetched meanwhile.
    const int64_t rows = strip.to - strip.from, rows_in = KIND == Kind::halved    ? 2 * rows
                                                          : KIND == Kind::doubled ? rows / 2
                                                                                  : rows;
    const int64_t ahead = rows_in * row_stride + places.at[0] + 2;
    const auto along = [&](int64_t row, V(&sums)[N]) GANART_INLINE_LAMBDA {
      if (uint64_t(row) >= uint64_t(height)) {
        each<N>([&](auto i) GANART_INLINE_LAMBDA { sums[i] = V{}; });
        return;
      }
      const Bfloat16* from = plane + row * row_stride;
      __builtin_prefetch(from + ahead, 0, 2);
      const Bits a = places.load<WHOLE>(from, 0);
      if constexpr (KIND == Kind::doubled) {
        sums[0] = dot(V{}, (Bits)_mm512_permutexvar_epi16((__m512i)even_inputs, (__m512i)a), pair[0]);
        sums[1] = dot(V{}, (Bits)_mm512_permutexvar_epi16((__m512i)odd_inputs, (__m512i)a), pair[1]);
      } else if constexpr (KIND == Kind::halved && N == 2) {
        __builtin_prefetch(from + ahead + COLUMNS, 0, 2);
        const Bits c = places.load<WHOLE>(from, 2), d = places.load<WHOLE>(from, 3);
        const Bits b = from_second_lane(a, c, std::make_integer_sequence<int, LANES<uint32_t>>{});
        sums[0] = dot(dot(V{}, a, pair[0]), b, pair[1]);
        sums[1] = dot(dot(V{}, c, pair[0]), d, pair[1]);
      } else {
        sums[0] = dot(dot(V{}, a, pair[0]), places.load<WHOLE>(from, 1), pair[1]);
        if constexpr (N == 2)
          sums[1] = dot(dot(V{}, places.load<WHOLE>(from, 2), pair[0]), places.load<WHOLE>(from, 3), pair[1]);
      }
    };
    const auto put = [&](int64_t o, const V(&sums)[N]) GANART_INLINE_LAMBDA {
      Bfloat16* to = y + o * out_width;
      if constexpr (N == 1)
        store_elements(to, sums[0], valid);
      else if constexpr (KIND == Kind::halved)
        write(to, in_order(sums[0], sums[1]), valid, past_caches);
      else
        write(to, narrow_pair({sums[0], sums[1]}), valid, past_caches);
    };
    const auto put_four = [&](int64_t o, const V(&a)[N], const V(&b)[N], const V(&c)[N],
                              const V(&d)[N]) GANART_INLINE_LAMBDA {
      V sums[N];
      each<N>([&](auto i) GANART_INLINE_LAMBDA { sums[i] = taps_down.of_four(a[i], b[i], c[i], d[i]); });
      put(o, sums);
    };
    for (int64_t p = strip.first; p < strip.last; ++p) {
      plane = strip.plane(p);
      y = strip.y + p * strip.plane_results + column;
      V a[N], b[N], c[N], d[N], e[N];
      int64_t o = strip.from, row = first_input<KIND>(o, y0);
      along(row, a);
      along(row + 1, b);
      if constexpr (KIND == Kind::doubled) {
        for (; o < strip.to; ++o) {
          if (first_input<KIND>(o, y0) > row) {
            assign(a, b);
            along(++row + 1, b);
          }
          const bool odd = first_tap(o, y0);
          each<N>([&](auto i) GANART_INLINE_LAMBDA {
            c[i] = odd ? taps_down.of_odd(a[i], b[i]) : taps_down.of_even(a[i], b[i]);
          });
          put(o, c);
        }
      } else if constexpr (KIND == Kind::halved) {
        for (; o < strip.to; ++o, row += 2) {
          along(row + 2, c);
          along(row + 3, d);
          put_four(o, a, b, c, d);
          assign(a, c);
          assign(b, d);
        }
      } else {
        along(row + 2, c);
        for (; o + 1 < strip.to; o += 2, row += 2) {
          along(row + 3, d);
          put_four(o, a, b, c, d);
          along(row + 4, e);
          put_four(o + 1, b, c, d, e);
          assign(a, c);
          assign(b, d);
          assign(c, e);
        }
        if (o < strip.to) {
          along(row + 3, d);
          put_four(o, a, b, c, d);
        }
      }
    }
  }

  // ---- across channels ----

  // The vectors of 8 words of two rows in turn, and back.
  GANART_INLINE static Bits channels_in_order(V low, V high) {
    typedef uint64_t Fours __attribute__((vector_size(64)));
    const auto fours = (Fours)in_order(low, high);
    return (Bits)__builtin_shufflevector(fours, fours, 0, 4, 1, 5, 2, 6, 3, 7);
  }

  // plane and y hold pixels of all channels. The first axis is vertical.
  template <Kind KIND, bool SYMMETRIC>
  void filter_channels(const Strip& strip, const Bfloat16* plane, Bfloat16* results) const {
    constexpr int ROWS = KIND == Kind::plain ? 5 : KIND == Kind::halved ? 6 : 4;  // that two rows of results need
    const auto taps_along = second_axis<SYMMETRIC>();
    const int64_t channels = strip.x.channels, pixel_stride = strip.x.pixel_stride, row_stride = strip.row_stride;
    const int64_t width = r.width, out_width = r.out_width, x0 = r.x0;
    const bool past_caches = strip.past_caches;
    for (int64_t o = strip.from; o < strip.to; o += 2) {
      Bits pair[2];
      pairs_of_taps<KIND>(r.y0 - o, pair);
      const bool two = o + 1 < strip.to;
      for (int64_t channel = 0; channel < channels; channel += COLUMNS) {
        const int64_t valid = smaller(COLUMNS, channels - channel);
        const auto inside = uint32_t((uint64_t(1) << valid) - 1);
        const Bfloat16* from[ROWS];
        uint32_t lanes[ROWS];
#pragma GCC unroll 6
        for (int i = 0; i < ROWS; ++i) {
          const int64_t row = KIND == Kind::doubled ? first_input<KIND>(o + i / 2, r.y0) + i % 2
                                                    : first_input<KIND>(o, r.y0) + i;
          lanes[i] = row >= 0 && row < r.height ? inside : 0;
          from[i] = plane + (lanes[i] ? row : 0) * row_stride + channel;
        }
        Bfloat16* y = results + o * out_width * channels + channel;
        const auto down = [&](int64_t column, V(&sums)[4]) GANART_INLINE_LAMBDA {
          each<4>([&](auto i) GANART_INLINE_LAMBDA { sums[i] = V{}; });
          if (uint64_t(column) >= uint64_t(width)) return;
          const int64_t at = column * pixel_stride;
          Bits rows[ROWS];
          each<ROWS>([&](auto i)
                         GANART_INLINE_LAMBDA { rows[i] = (Bits)_mm512_maskz_loadu_epi16(lanes[i], from[i] + at); });
          // What the next two rows of results need.
#pragma GCC unroll 6
          for (int i = 1; i <= (KIND == Kind::plain ? 2 : KIND == Kind::halved ? 4 : 1); ++i)
            __builtin_prefetch(from[ROWS - 1] + at + i * row_stride, 0, 2);
          const auto low = [&](int a, int b) GANART_INLINE_LAMBDA {
            return (Bits)_mm512_unpacklo_epi16((__m512i)rows[a], (__m512i)rows[b]);
          };
          const auto high = [&](int a, int b) GANART_INLINE_LAMBDA {
            return (Bits)_mm512_unpackhi_epi16((__m512i)rows[a], (__m512i)rows[b]);
          };
          each<2>([&](auto i) GANART_INLINE_LAMBDA {
            if constexpr (KIND == Kind::doubled) {
              sums[2 * i] = dot(V{}, low(2 * i, 2 * i + 1), pair[i]);
              sums[2 * i + 1] = dot(V{}, high(2 * i, 2 * i + 1), pair[i]);
            } else {
              constexpr int first = KIND == Kind::halved ? 2 * i : i;
              sums[2 * i] = dot(dot(V{}, low(first, first + 1), pair[0]), low(first + 2, first + 3), pair[1]);
              sums[2 * i + 1] = dot(dot(V{}, high(first, first + 1), pair[0]), high(first + 2, first + 3), pair[1]);
            }
          });
        };
        const auto put = [&](int64_t column, const V(&sums)[4]) GANART_INLINE_LAMBDA {
          Bfloat16* to = y + column * channels;
          write(to, channels_in_order(sums[0], sums[1]), valid, past_caches);
          if (two) write(to + out_width * channels, channels_in_order(sums[2], sums[3]), valid, past_caches);
        };
        const auto put_four = [&](int64_t column, const V(&a)[4], const V(&b)[4], const V(&c)[4],
                                  const V(&d)[4]) GANART_INLINE_LAMBDA {
          V sums[4];
          each<4>([&](auto i) GANART_INLINE_LAMBDA { sums[i] = taps_along.of_four(a[i], b[i], c[i], d[i]); });
          put(column, sums);
        };
        V a[4], b[4], c[4], d[4];
        int64_t place = 0, column = first_input<KIND>(0, x0);
        down(column, a);
        down(column + 1, b);
        if constexpr (KIND == Kind::doubled) {
          for (; place < out_width; ++place) {
            if (first_input<KIND>(place, x0) > column) {
              assign(a, b);
              down(++column + 1, b);
            }
            const bool odd = first_tap(place, x0);
            each<4>([&](auto i) GANART_INLINE_LAMBDA {
              c[i] = odd ? taps_along.of_odd(a[i], b[i]) : taps_along.of_even(a[i], b[i]);
            });
            put(place, c);
          }
        } else if constexpr (KIND == Kind::halved) {
          for (; place < out_width; ++place, column += 2) {
            down(column + 2, c);
            down(column + 3, d);
            put_four(place, a, b, c, d);
            assign(a, c);
            assign(b, d);
          }
        } else {
          down(column + 2, c);
          for (; place < out_width; ++place, ++column) {
            down(column + 3, d);
            put_four(place, a, b, c, d);
            assign(a, b);
            assign(b, c);
            assign(c, d);
          }
        }
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
  if (!(plain || halved || doubled) || (across && x.channels < COLUMNS)) return false;
  const Filter filter(r, taps, gain, flip);
  const int64_t unit = across ? x.channels : 1, planes = across ? x.samples : x.samples * x.channels;
  const int64_t row = r.out_width * unit, plane = r.out_height * row;
  // Rows of one plane, or planes, of a task; some rows more are read for each task.
  const int64_t strip = round_up(larger(16, Rows::TASK_ELEMENTS / row), 4), strips = (r.out_height + strip - 1) / strip;
  const int64_t group = larger(1, Rows::TASK_ELEMENTS / plane), groups = (planes + group - 1) / group;
  const bool past_caches = planes * plane * int64_t(sizeof(Bfloat16)) >= Rows::PAST_CACHES &&
                           (uintptr_t(y) | uintptr_t((across ? unit : row) * 2)) % GANART_VECTOR_BYTES == 0;
  for_each(planes * plane < Rows::SERIAL_ELEMENTS ? run_serially : run, groups * strips, [&](int64_t task) {
    const int64_t from = task % strips * strip, first = task / strips * group;
    const Strip part{x,
                     across,
                     x_row_stride,
                     y,
                     plane,
                     first,
                     smaller(planes, first + group),
                     from,
                     smaller(r.out_height, from + strip),
                     past_caches};
    const auto filter_part = [&](auto kind) GANART_INLINE_LAMBDA {
      if (across)
        filter.filter_across<decltype(kind)::value>(part);
      else
        filter.filter<decltype(kind)::value>(part);
    };
    if (plain)
      filter_part(std::integral_constant<Kind, Kind::plain>{});
    else if (halved)
      filter_part(std::integral_constant<Kind, Kind::halved>{});
    else
      filter_part(std::integral_constant<Kind, Kind::doubled>{});
    if (past_caches) end_streaming();
  });
  return true;
}

}  // namespace pairs
}  // namespace
}  // namespace ganart::cpu::GANART_LEVEL

#endif
