// Upsampling, FIR filtering and downsampling on the CPU.
//
// Formula   y[o] = sum over k of taps[k] * x[(o * down + k - padding) / up], where the division is exact; each axis
//           separately.
// Shapes    x [N, C, H, W] with pixels or channels adjacent; y dense in the same layout.
// Cost      one read and one write of memory; about KH / up_y + KW / up_x multiply-adds per result; zeros are never
//           multiplied. Each input row is filtered once, into a ring of the lines that the next output row still needs.
// Sums      float (double for double): first along the rows, then down the columns.
// Repeats   bit for bit.
#pragma once

#include "common/parameters.h"
#include "cpu/kernels.h"

namespace ganart::cpu {

struct Upfirdn2dKernels {
  // x_row_stride: elements between rows of pixels. taps, contiguous Sum, are [K], for both axes, or [KH, KW]; they are
  // convolved, or with `flip` correlated, and the sums are multiplied by gain.
  void (*forward)(const Features& x, int64_t x_row_stride, const Resampling& geometry, const void* taps, double gain,
                  bool flip, void* y, RunTasks run);
};
GANART_DECLARE_KERNELS(Upfirdn2dKernels, upfirdn2d_kernels)

}  // namespace ganart::cpu

#if defined(GANART_LEVEL)

#include "cpu/rows.h"
#include "cpu/upfirdn2d_pairs.h"

namespace ganart::cpu::GANART_LEVEL {
namespace {

constexpr int64_t floor_divide(int64_t a, int64_t b) { return a / b - (a % b < 0); }

constexpr int64_t power_of_two_from(int64_t least) {
  int64_t power = 1;
  while (power < least) power *= 2;
  return power;
}

// One axis: which inputs and taps an output needs.
struct Axis {
  int64_t taps, up, down, padding, out;

  struct Overlap {
    int64_t tap, input, count;  // first tap, first input, and how many; taps are `up` apart
  };
  GANART_INLINE Overlap overlap(int64_t output) const {
    const int64_t base = output * down - padding, input = -floor_divide(-base, up);
    const int64_t tap = input * up - base;
    return {tap, input, tap < taps ? (taps - tap + up - 1) / up : 0};
  }
  // The same without inputs outside [0, size), which are zeros.
  Overlap overlap_within(int64_t output, int64_t size) const {
    const Overlap all = overlap(output);
    const int64_t first = smaller(larger(0, all.input), size),
                  end = larger(first, smaller(all.input + all.count, size));
    return {all.tap + (first - all.input) * up, first, end - first};
  }
  // The inputs that all outputs need: [first, last), zeros included.
  int64_t first() const { return smaller(0, -floor_divide(padding, up)); }
  int64_t last(int64_t size) const { return larger(size, floor_divide((out - 1) * down - padding + taps - 1, up) + 1); }
};

// The even (OFFSET 0) or odd (OFFSET 1) lanes of two consecutive vectors.
template <int OFFSET, class V, int... LANE>
GANART_INLINE V every_other(V low, V high, std::integer_sequence<int, LANE...>) {
  return __builtin_shufflevector(low, high, (2 * LANE + OFFSET)...);
}

// The lanes of two vectors interleaved: of their first halves, or of their second.
template <int HALF, class V, int... LANE>
GANART_INLINE V in_turn(V even, V odd, std::integer_sequence<int, LANE...>) {
  constexpr int N = sizeof...(LANE);
  return __builtin_shufflevector(even, odd, (LANE / 2 + HALF * N / 2 + (LANE % 2) * N)...);
}

// The lanes of two consecutive vectors from lane BY on.
template <int BY, class V, int... LANE>
GANART_INLINE V shifted(V low, V high, std::integer_sequence<int, LANE...>) {
  return __builtin_shufflevector(low, high, (LANE + BY)...);
}

template <class V, int... LANE>
GANART_INLINE void deinterleave(V& low, V& high, std::integer_sequence<int, LANE...> lanes) {
  const V even = every_other<0>(low, high, lanes), odd = every_other<1>(low, high, lanes);
  low = even, high = odd;
}
template <class V, int... LANE>
GANART_INLINE void interleave(V& even, V& odd, std::integer_sequence<int, LANE...> lanes) {
  const V low = in_turn<0>(even, odd, lanes), high = in_turn<1>(even, odd, lanes);
  even = low, odd = high;
}

// Turns a result of load_pair into two vectors in order, or into its even and odd elements; and back.
template <bool SPLIT, class Element>
GANART_INLINE Pair<Element> from_pair(Pair<Element> pair) {
  constexpr bool IS_SPLIT = sizeof(Element) < sizeof(Sum<Element>);
  constexpr auto lanes = std::make_integer_sequence<int, WIDTH<Element>>{};
  if constexpr (SPLIT && !IS_SPLIT) deinterleave(pair.first, pair.second, lanes);
  if constexpr (!SPLIT && IS_SPLIT) interleave(pair.first, pair.second, lanes);
  return pair;
}
template <bool SPLIT, class Element>
GANART_INLINE Pair<Element> to_pair(Pair<Element> pair) {
  constexpr bool IS_SPLIT = sizeof(Element) < sizeof(Sum<Element>);
  constexpr auto lanes = std::make_integer_sequence<int, WIDTH<Element>>{};
  if constexpr (SPLIT && !IS_SPLIT) interleave(pair.first, pair.second, lanes);
  if constexpr (!SPLIT && IS_SPLIT) deinterleave(pair.first, pair.second, lanes);
  return pair;
}

// How a row is filtered. For single elements and factors of 1 or 2, lines are split into their even and odd pixels:
// pixels an even distance apart are then in the same lanes, and inserted zeros or dropped pixels need no work.
enum class Way { plain, halved, doubled, general };

constexpr bool splits_input(Way way) { return way == Way::plain || way == Way::halved; }
constexpr bool splits_output(Way way) { return way == Way::plain || way == Way::doubled; }

// The sum of elements `stride` apart times taps `step` apart, from tap `first`. COUNT 0 means any number of taps.
template <class S, int COUNT>
struct WeightedSum {
  const S* taps;
  int64_t step, count;
  Vector<S> weights[COUNT + 1];

  GANART_INLINE WeightedSum(const S* all, int64_t first, int64_t tap_step, int64_t total)
      : taps(all + first), step(tap_step), count((total - first + step - 1) / step) {
#pragma GCC unroll 4
    for (int j = 0; j < COUNT; ++j) weights[j] = splat(taps[j * step]);
  }
  GANART_INLINE Vector<S> of(const S* from, int64_t stride) const {
    Vector<S> sum{};
    if constexpr (COUNT > 0) {
#pragma GCC unroll 4
      for (int j = 0; j < COUNT; ++j) sum += load(from + j * stride) * weights[j];
    } else {
      for (int64_t j = 0; j < count; ++j) sum += load(from + j * stride) * taps[j * step];
    }
    return sum;
  }
};

// One row's input and output as lines of S in memory; the second half of a split line begins `half` elements later.
// There is room for the padding `before` the input, which is aligned to vectors in split lines.
template <class S>
struct Lines {
  static constexpr int L = LANES<S>;
  static constexpr int64_t AHEAD = 4096;
  Axis axis;
  int64_t unit, width;  // elements per pixel, pixels
  int64_t before, in_half, in_size, out_half, out_size;

  Lines(Way way, const Axis& horizontal, int64_t elements, int64_t pixels)
      : axis(horizontal), unit(elements), width(pixels) {
    if (splits_input(way)) {
      before = round_up((larger(0, axis.padding) + 1) / 2, L);
      const int64_t filled = round_up((width + 1) / 2, L),
                    read = (axis.out - 1) * axis.down / 2 + axis.taps / 2 + 2 * L;
      in_half = before + round_up(larger(filled, read), L);
      in_size = 2 * in_half;
    } else {
      before = -axis.first() * unit;
      in_half = 0;
      in_size = round_up(before + axis.last(width) * unit + 4 * L, 16);
    }
    out_half = splits_output(way) ? round_up((axis.out + 1) / 2, L) : 0;
    out_size = splits_output(way) ? 2 * out_half : round_up(axis.out * unit, 2 * L);
  }

  // Widens a row into its line, whose padding is already zero.
  template <bool SPLIT, class Element>
  void fill(const Element* row, S* line) const {
    const int64_t skipped = SPLIT ? larger(0, -axis.padding) : 0, length = width * unit - skipped;
    S *even = line + before, *odd = even + L;
    int64_t advance = 2 * L;
    if constexpr (SPLIT) {
      const bool swapped = axis.padding > 0 && axis.padding % 2;  // padding moves inputs from even places to odd ones
      even = line + (swapped ? in_half : 0) + before;
      odd = line + (swapped ? 0 : in_half) + before;
      advance = L;
    }
    for (int64_t i = 0; i < length; i += 2 * L, even += advance, odd += advance) {
      const Pair<Element> pair = from_pair<SPLIT>(load_pair(row + skipped + i, length - i));
      for (size_t line_start = 0; line_start < sizeof(Element) * 2 * L; line_start += 64)
        __builtin_prefetch(reinterpret_cast<const char*>(row + skipped + i) + AHEAD + line_start);
      store(even, pair.first);
      store(odd, pair.second);
    }
  }

  // Filters the lines from(row) into to(row), or adds to them, for rows [begin, end). TAPS 0 means any number.
  template <Way WAY, int TAPS, bool ADD, class From, class To>
  GANART_INLINE void filter(const S* taps, int64_t begin, int64_t end, From from, To to) const {
    const auto put = [](S* at, Vector<S> sum) { store(at, ADD ? load(at) + sum : sum); };
    if constexpr ((WAY == Way::plain || WAY == Way::halved) && TAPS == 4 && GANART_VECTOR_BYTES == 64) {
      if (axis.padding == 1) return filter_split<WAY, 1, ADD>(taps, begin, end, from, to);
      if (axis.padding == 2) return filter_split<WAY, 2, ADD>(taps, begin, end, from, to);
    }
    if constexpr (WAY == Way::plain || WAY == Way::halved) {
      const WeightedSum<S, TAPS / 2> even_taps(taps, 0, 2, axis.taps), odd_taps(taps, 1, 2, axis.taps);
      const int64_t lead = larger(0, axis.padding), to_even = before - (lead + 1) / 2,
                    to_odd = in_half + before - lead / 2;
      const int64_t split = out_half, length = WAY == Way::plain ? out_half : axis.out;
      for (int64_t row = begin; row < end; ++row) {
        const S *even = from(row) + to_even, *odd = from(row) + to_odd;
        S* out = to(row);
        for (int64_t i = 0; i < length; i += L) {
          const Vector<S> sum = even_taps.of(even + i, 1) + odd_taps.of(odd + i, 1);
          if constexpr (WAY == Way::plain)
            put(out + split + i, even_taps.of(odd + i, 1) + odd_taps.of(even + i + 1, 1));
          put(out + i, sum);
        }
      }
    } else if constexpr (WAY == Way::doubled) {
      const Axis::Overlap first = axis.overlap(0), second = axis.overlap(1);
      const WeightedSum<S, TAPS / 2> first_taps(taps, first.tap, 2, axis.taps),
          second_taps(taps, second.tap, 2, axis.taps);
      const int64_t half = out_half;
      for (int64_t row = begin; row < end; ++row) {
        const S *first_line = from(row) + before + first.input, *second_line = from(row) + before + second.input;
        S* out = to(row);
        for (int64_t i = 0; i < half; i += L) {
          put(out + i, first_taps.of(first_line + i, 1));
          put(out + half + i, second_taps.of(second_line + i, 1));
        }
      }
    } else if (axis.up == 1 && axis.down == 1) {  // every element is the same sum of shifted elements
      const WeightedSum<S, TAPS> all(taps, 0, 1, axis.taps);
      const int64_t length = axis.out * unit, shift = unit;
      for (int64_t row = begin; row < end; ++row) {
        const S* line = from(row) + before - axis.padding * shift;
        S* out = to(row);
        for (int64_t i = 0; i < length; i += L) put(out + i, all.of(line + i, shift));
      }
    } else if (TAPS > 0 && axis.up == 2) {
      filter_pixels<TAPS / 2, ADD>(taps, begin, end, from, to);
    } else if (TAPS > 0 && axis.up == 1) {
      filter_pixels<TAPS, ADD>(taps, begin, end, from, to);
    } else {
      filter_pixels<0, ADD>(taps, begin, end, from, to);
    }
  }

  // The same for four taps on split lines after PADDING zeros. Whole vectors are loaded and then shifted, since loads
  // that cross a cache line, as shifted loads of a line's length always do, take twice as long.
  template <Way WAY, int PADDING, bool ADD, class From, class To>
  GANART_INLINE void filter_split(const S* taps, int64_t begin, int64_t end, From from, To to) const {
    using V = Vector<S>;
    constexpr auto lanes = std::make_integer_sequence<int, L>{};
    const V w0 = splat(taps[0]), w1 = splat(taps[1]), w2 = splat(taps[2]), w3 = splat(taps[3]);
    const int64_t split = out_half, length = WAY == Way::plain ? out_half : axis.out;
    for (int64_t row = begin; row < end; ++row) {
      const S *even = from(row) + before, *odd = even + in_half;
      S* out = to(row);
      V even_before = load(even - L), even_here = load(even), odd_before = load(odd - L), odd_here = load(odd);
      for (int64_t i = 0; i < length; i += L) {
        const V even_after = load(even + i + L), odd_after = load(odd + i + L);
        const V even0 = shifted<L - 1>(even_before, even_here, lanes), even1 = even_here;
        const V odd0 = PADDING == 1 ? odd_here : shifted<L - 1>(odd_before, odd_here, lanes);
        const V odd1 = PADDING == 1 ? shifted<1>(odd_here, odd_after, lanes) : odd_here;
        const auto put = [](S* at, V sum) { store(at, ADD ? load(at) + sum : sum); };
        put(out + i, (even0 * w0 + even1 * w2) + (odd0 * w1 + odd1 * w3));
        if constexpr (WAY == Way::plain)
          put(out + split + i, (odd0 * w0 + odd1 * w2) + (even1 * w1 + shifted<1>(even_here, even_after, lanes) * w3));
        even_before = even_here, even_here = even_after, odd_before = odd_here, odd_here = odd_after;
      }
    }
  }

  // The same pixel by pixel, for any factors. Outputs `up` apart have the same COUNT taps; COUNT 0 means any number.
  template <int COUNT, bool ADD, class From, class To>
  GANART_INLINE void filter_pixels(const S* taps, int64_t begin, int64_t end, From from, To to) const {
    for (int64_t phase = 0; phase < smaller(axis.up, axis.out); ++phase) {
      const Axis::Overlap overlap = axis.overlap(phase);
      const WeightedSum<S, COUNT> weighted(taps, overlap.tap, axis.up, axis.taps);
      for (int64_t row = begin; row < end; ++row) {
        const S* line = from(row) + before + overlap.input * unit;
        for (int64_t o = phase; o < axis.out; o += axis.up, line += axis.down * unit)
          for (int64_t c = 0; c < unit; c += L) {
            S* out = to(row) + o * unit + c;
            const Vector<S> sum = weighted.of(line + c, unit);
            store_elements(out, ADD ? load_elements(out, unit - c) + sum : sum, unit - c);
          }
      }
    }
  }
};

// Writes an output row: the sum of `count` lines times taps. COUNT 0 means `count`.
template <bool SPLIT, int COUNT, class Element, class LineOf>
GANART_INLINE void add_lines(LineOf line_of, int64_t half, const Sum<Element>* taps, int64_t tap_step, int64_t count,
                             Element* to, int64_t length, bool past_caches) {
  using S = Sum<Element>;
  const S* from[COUNT + 1];
  Vector<S> weights[COUNT + 1];
#pragma GCC unroll 4
  for (int j = 0; j < COUNT; ++j) from[j] = line_of(j), weights[j] = splat(taps[j * tap_step]);
  const auto sum_at = [&](int64_t i) GANART_INLINE_LAMBDA {
    Vector<S> sum{};
    if constexpr (COUNT > 0) {
#pragma GCC unroll 4
      for (int j = 0; j < COUNT; ++j) sum += load(from[j] + i) * weights[j];
    } else {
      for (int64_t j = 0; j < count; ++j) sum += load(line_of(j) + i) * taps[j * tap_step];
    }
    return sum;
  };
  write_row(to, length, past_caches, [&](int64_t i, int64_t) GANART_INLINE_LAMBDA {
    if constexpr (SPLIT)
      return to_pair<SPLIT>(Pair<Element>{sum_at(i / 2), sum_at(half + i / 2)});
    else
      return to_pair<SPLIT>(Pair<Element>{sum_at(i), sum_at(i + LANES<S>)});
  });
}

// Writes two output rows, each the sum of four lines times taps; the second begins one line later, so five lines are
// read.
template <bool SPLIT, class Element, class LineOf>
GANART_INLINE void add_lines_twice(LineOf line_of, int64_t half, const Sum<Element>* taps, Element* to, int64_t length,
                                   bool past_caches) {
  using S = Sum<Element>;
  const S* from[5];
  Vector<S> weights[4];
#pragma GCC unroll 5
  for (int j = 0; j < 5; ++j) from[j] = line_of(j);
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) weights[j] = splat(taps[j]);
  for_steps<Element>(length, [=](int64_t i, auto valid) GANART_INLINE_LAMBDA {
    Vector<S> sums[2][2];
    for (int part = 0; part < 2; ++part) {
      const int64_t at = SPLIT ? part * half + i / 2 : i + part * LANES<S>;
      Vector<S> lines[5];
#pragma GCC unroll 5
      for (int j = 0; j < 5; ++j) lines[j] = load(from[j] + at);
      for (int row = 0; row < 2; ++row)
        sums[row][part] = lines[row] * weights[0] + lines[row + 1] * weights[1] + lines[row + 2] * weights[2] +
                          lines[row + 3] * weights[3];
    }
    for (int row = 0; row < 2; ++row) {
      const Pair<Element> result = to_pair<SPLIT>(Pair<Element>{sums[row][0], sums[row][1]});
      if (past_caches && valid == STEP<Element>)
        stream_pair(to + row * length + i, result);
      else
        store_pair(to + row * length + i, result, valid);
    }
  });
}

template <Way WAY, class Element>
void upfirdn2d(const Features& x, int64_t x_row_stride, const Resampling& r, const Sum<Element>* taps, double gain,
               bool flip, Element* y, RunTasks run) {
  using S = Sum<Element>;
  constexpr bool SPLIT = splits_output(WAY);
  const bool across = x.pixel_stride != 1;  // channels_last: a pixel consists of all its channels
  const int64_t unit = across ? x.channels : 1, planes = across ? x.samples : x.samples * x.channels;
  const Axis vertical{r.rows, r.up_y, r.down_y, r.y0, r.out_height};
  const Lines<S> lines(WAY, Axis{r.columns, r.up_x, r.down_x, r.x0, r.out_width}, unit, r.width);
  const int64_t out_length = r.out_width * unit, out_rows = r.out_height, kept = (r.rows + r.up_y - 1) / r.up_y;
  // Output rows are computed in batches, and all lines of a batch are filled before the first is read: a load that
  // overlaps two recent stores has to wait until they reach the cache.
  const int64_t batch = larger(1, 2048 / lines.in_size * r.up_y / r.down_y),
                fresh = batch * r.down_y / r.up_y + kept + 1;
  const int64_t strip = round_up(larger(4 * r.rows, 32768 / out_length), batch),
                strips = (out_rows + strip - 1) / strip;
  const int64_t group = larger(1, 16384 / (out_rows * out_length)), groups = (planes + group - 1) / group;
  const auto* data = static_cast<const Element*>(x.data);
  const int64_t results = planes * out_rows * out_length, row_bytes = out_length * int64_t(sizeof(Element));
  const bool past_caches = results * int64_t(sizeof(Element)) >= Rows::PAST_CACHES &&
                           (uintptr_t(y) | uintptr_t(row_bytes)) % GANART_VECTOR_BYTES == 0;
  // Separable: new lines, and a ring buffer of filtered ones. Otherwise: a ring buffer of unfiltered lines, and a line
  // of sums.
  const int64_t ring_lines = power_of_two_from(kept + fresh);
  const int64_t ring_size = r.separable ? lines.out_size : lines.in_size;
  const int64_t apart_size = r.separable ? fresh * lines.in_size : lines.out_size;
  const int64_t worker_bytes = (apart_size + ring_lines * ring_size) * sizeof(S);
  const int64_t tap_count = r.separable ? r.rows : r.rows * r.columns;
  const int64_t shared_bytes = out_rows * int64_t(sizeof(Axis::Overlap)) + 2 * tap_count * int64_t(sizeof(S));
  auto* overlaps = static_cast<Axis::Overlap*>(scratch(ScratchSlot::shared, shared_bytes));
  for (int64_t o = 0; o < out_rows; ++o) overlaps[o] = vertical.overlap_within(o, r.height);
  // The taps in the order of a correlation. The gain is applied once; for separable taps, to the vertical ones.
  auto* row_taps = reinterpret_cast<S*>(overlaps + out_rows);
  auto* column_taps = row_taps + tap_count;
  for (int64_t i = 0; i < tap_count; ++i) {
    column_taps[i] = taps[flip ? i : tap_count - 1 - i];
    row_taps[i] = S(column_taps[i] * gain);
  }
  const S one = 1;
  for_each(results < Rows::SERIAL_ELEMENTS ? run_serially : run, groups * strips, [&](int64_t task) {
    auto* apart = static_cast<S*>(scratch(ScratchSlot::worker, worker_bytes));
    S* ring = apart + apart_size;
    const int64_t in_size = lines.in_size, half = lines.out_half;
    for (int64_t i = 0; i < apart_size + ring_lines * ring_size; ++i) apart[i] = 0;
    const auto ring_line = [=](int64_t row) { return ring + (row & (ring_lines - 1)) * ring_size; };
    const int64_t from_row = task % strips * strip, to_row = smaller(out_rows, from_row + strip);
    const int64_t from_plane = task / strips * group, to_plane = smaller(planes, from_plane + group);
    for (int64_t plane = from_plane; plane < to_plane; ++plane) {
      const Element* corner = across
                                  ? data + plane * x.sample_stride
                                  : data + plane / x.channels * x.sample_stride + plane % x.channels * x.channel_stride;
      int64_t end = 0;  // of the rows in the ring buffer
      for (int64_t o = from_row, next; o < to_row; o = next) {
        next = smaller(o + batch, to_row);
        const int64_t begin = larger(end, overlaps[o].input);
        end = larger(begin, overlaps[next - 1].input + overlaps[next - 1].count);
        for (int64_t row = begin; row < end; ++row)
          lines.template fill<splits_input(WAY)>(corner + row * x_row_stride,
                                                 r.separable ? apart + (row - begin) * in_size : ring_line(row));
        const auto fresh_line = [=](int64_t row) -> const S* { return apart + (row - begin) * in_size; };
        if (r.separable && r.columns == 4)
          lines.template filter<WAY, 4, false>(column_taps, begin, end, fresh_line, ring_line);
        else if (r.separable)
          lines.template filter<WAY, 0, false>(column_taps, begin, end, fresh_line, ring_line);
        for (; o < next; ++o) {
          const auto [tap, input, count] = overlaps[o];
          const auto line_of = [=](int64_t j) -> const S* { return ring_line(input + j); };
          const S* from_tap = row_taps + tap;
          Element* to = y + (plane * out_rows + o) * out_length;
          if (r.separable && r.up_y == 1 && r.down_y == 1 && count == 4 && o + 1 < next && overlaps[o + 1].count == 4) {
            add_lines_twice<SPLIT>(line_of, half, from_tap, to, out_length, past_caches);
            ++o;
          } else if (!r.separable) {
            for (int64_t i = 0; i < lines.out_size; ++i) apart[i] = 0;
            for (int64_t j = 0; j < count; ++j)
              lines.template filter<WAY, 0, true>(row_taps + (tap + j * r.up_y) * r.columns, j, j + 1, line_of,
                                                  [=](int64_t) { return apart; });
            add_lines<SPLIT, 1>([=](int64_t) -> const S* { return apart; }, half, &one, 1, 1, to, out_length,
                                past_caches);
          } else if (count == 4) {
            add_lines<SPLIT, 4>(line_of, half, from_tap, r.up_y, count, to, out_length, past_caches);
          } else if (count == 2) {
            add_lines<SPLIT, 2>(line_of, half, from_tap, r.up_y, count, to, out_length, past_caches);
          } else {
            add_lines<SPLIT, 0>(line_of, half, from_tap, r.up_y, count, to, out_length, past_caches);
          }
        }
      }
    }
    if (past_caches) end_streaming();
    give_back_large_scratch(ScratchSlot::worker);
  });
  give_back_large_scratch(ScratchSlot::shared);
}

void upfirdn2d_of_type(const Features& x, int64_t x_row_stride, const Resampling& r, const void* taps, double gain,
                       bool flip, void* y, RunTasks run) {
  with_element(x.type, [&](auto element) {
    using Element = decltype(element);
    const auto filter = [&](auto kernel) {
      kernel(x, x_row_stride, r, static_cast<const Sum<Element>*>(taps), gain, flip, static_cast<Element*>(y), run);
    };
#if defined(GANART_BFLOAT16_PAIRS)
    if constexpr (sizeof(Element) == sizeof(Bfloat16))
      if (pairs::upfirdn2d(x, x_row_stride, r, static_cast<const float*>(taps), gain, flip, static_cast<Element*>(y),
                           run))
        return;
#endif
    const bool single = x.pixel_stride == 1;
    if (single && r.up_x == 1 && r.down_x == 1) return filter(upfirdn2d<Way::plain, Element>);
    if (single && r.up_x == 1 && r.down_x == 2) return filter(upfirdn2d<Way::halved, Element>);
    if (single && r.up_x == 2 && r.down_x == 1) return filter(upfirdn2d<Way::doubled, Element>);
    filter(upfirdn2d<Way::general, Element>);
  });
}

}  // namespace

const Upfirdn2dKernels upfirdn2d_kernels{
    .forward = upfirdn2d_of_type,
};

}  // namespace ganart::cpu::GANART_LEVEL

#endif
