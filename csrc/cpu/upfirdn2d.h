// Upsampling, FIR filtering and downsampling of one instruction set.
//
// Formula   y[o] = sum over k of taps[k] * x[(o * down + k - padding) / up], where that divides; each axis on its own.
// Shapes    x [N, C, H, W] with pixels or channels adjacent; y dense in the same layout.
// Cost      one read and one write of memory; KH / up_y + KW / up_x multiply-adds a result, zeros never multiplied.
// Sums      float (double for double): first down the columns into a line of one output row, then along the line.
// Repeats   bit for bit.
#include "cpu/elements.h"
#include "cpu/tasks.h"

constexpr int64_t floor_divide(int64_t a, int64_t b) { return a / b - (a % b < 0); }

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
  // The inputs that all outputs need: [first, last), zeros included.
  int64_t first() const { return smaller(0, -floor_divide(padding, up)); }
  int64_t last(int64_t size) const { return larger(size, floor_divide((out - 1) * down - padding + taps - 1, up) + 1); }
};

// Even (OFFSET 0) or odd (1) lanes of two vectors that follow one another.
template <int OFFSET, class V, int... LANE>
GANART_INLINE V every_other(V low, V high, std::integer_sequence<int, LANE...>) {
  return __builtin_shufflevector(low, high, (2 * LANE + OFFSET)...);
}

// Lanes of two vectors in turn: their first halves, or their second.
template <int HALF, class V, int... LANE>
GANART_INLINE V in_turn(V even, V odd, std::integer_sequence<int, LANE...>) {
  constexpr int N = sizeof...(LANE);
  return __builtin_shufflevector(even, odd, (LANE / 2 + HALF * N / 2 + (LANE % 2) * N)...);
}

// Filters a line in memory of type S into `out`, or adds to it. `line` points at input 0 and can be read from the axis'
// first to its last input and a few vectors beyond. UNIT elements (channels) make a pixel.
template <class S, class Out, bool ADD>
struct LineFilter {
  static constexpr int L = LANES<S>;
  const Axis& axis;
  const S* taps;
  int64_t unit;

  GANART_INLINE static void put(Out* to, Vector<S> values, int64_t valid) {
    if constexpr (ADD)
      store_elements(to, load_elements(to, valid) + values, valid);
    else
      store_elements(to, values, valid);
  }

  // No resampling: every output element is the same sum of shifted ones, whatever the unit.
  template <int TAPS>
  void plain(const S* line, Out* out) const {
    const int64_t length = axis.out * unit, count = TAPS ? TAPS : axis.taps;
    const S* from = line - axis.padding * unit;
    Vector<S> weights[TAPS ? TAPS : 1];
#pragma GCC unroll 8
    for (int k = 0; k < TAPS; ++k) weights[k] = splat(taps[k]);
    for (int64_t i = 0; i < length; i += L) {
      Vector<S> sum{};
#pragma GCC unroll 8
      for (int64_t k = 0; k < count; ++k) sum += load(from + i + k * unit) * (TAPS ? weights[TAPS ? k : 0] : splat(taps[k]));
      put(out + i, sum, length - i);
    }
  }

  // Every second one of single elements: pairs of taps take the even and the odd lanes of the same two vectors.
  void halved(const S* line, Out* out) const {
    constexpr auto lanes = std::make_integer_sequence<int, L>{};
    const S* from = line - axis.padding;
    for (int64_t i = 0; i < axis.out; i += L) {
      Vector<S> sum{};
      for (int64_t k = 0; k < axis.taps; k += 2) {
        const Vector<S> low = load(from + 2 * i + k), high = load(from + 2 * i + k + L);
        sum += every_other<0>(low, high, lanes) * taps[k];
        if (k + 1 < axis.taps) sum += every_other<1>(low, high, lanes) * taps[k + 1];
      }
      put(out + i, sum, axis.out - i);
    }
  }

  // Twice as many single elements: even and odd outputs apart, then in turn.
  void doubled(const S* line, Out* out) const {
    constexpr auto lanes = std::make_integer_sequence<int, L>{};
    const Axis::Overlap first = axis.overlap(0), second = axis.overlap(1);
    const auto phase = [&](const Axis::Overlap& overlap, int64_t i) {
      Vector<S> sum{};
      for (int64_t j = 0; j < overlap.count; ++j) sum += load(line + overlap.input + i + j) * taps[overlap.tap + 2 * j];
      return sum;
    };
    for (int64_t i = 0; 2 * i < axis.out; i += L) {
      const Vector<S> even = phase(first, i), odd = phase(second, i);
      put(out + 2 * i, in_turn<0>(even, odd, lanes), axis.out - 2 * i);
      if (2 * i + L < axis.out) put(out + 2 * i + L, in_turn<1>(even, odd, lanes), axis.out - 2 * i - L);
    }
  }

  // Any factors, pixel by pixel.
  void general(const S* line, Out* out) const {
    for (int64_t o = 0; o < axis.out; ++o) {
      const Axis::Overlap overlap = axis.overlap(o);
      for (int64_t c = 0; c < unit; c += L) {
        Vector<S> sum{};
        for (int64_t j = 0; j < overlap.count; ++j)
          sum += load(line + (overlap.input + j) * unit + c) * taps[overlap.tap + j * axis.up];
        put(out + o * unit + c, sum, unit - c);
      }
    }
  }

  void operator()(const S* line, Out* out) const {
    if (axis.up == 1 && axis.down == 1) return axis.taps == 4 ? plain<4>(line, out) : plain<0>(line, out);
    if (unit == 1 && axis.up == 1 && axis.down == 2) return halved(line, out);
    if (unit == 1 && axis.up == 2 && axis.down == 1) return doubled(line, out);
    general(line, out);
  }
};

// line[i] = sum over rows of taps * row[i], and zeros up to a whole vector; TAPS 0 takes `count`.
template <int TAPS, class Element, class S>
void sum_rows(const Element* rows, int64_t row_stride, int64_t count, const S* taps, int64_t tap_step, int64_t length,
              S* line) {
  constexpr int L = LANES<S>;
  if (TAPS) count = TAPS;
  const auto at = [&](int64_t i, auto load_row) {
    Vector<S> sum{};
#pragma GCC unroll 4
    for (int64_t j = 0; j < count; ++j) sum += load_row(rows + j * row_stride + i) * taps[j * tap_step];
    store(line + i, sum);
  };
  int64_t i = 0;
  for (; i + L <= length; i += L) at(i, [](const Element* from) { return load_elements(from); });
  if (i < length) at(i, [&](const Element* from) { return load_elements(from, length - i); });
}

template <class Element>
void upfirdn2d(const Features& x, int64_t x_row_stride, const Resampling& r, const Sum<Element>* row_taps, Element* y,
               RunTasks run) {
  using S = Sum<Element>;
  const bool across = x.pixel_stride != 1;  // channels_last: a pixel is all its channels
  const int64_t unit = across ? x.channels : 1, planes = across ? x.samples : x.samples * x.channels;
  const Axis vertical{r.rows, r.up_y, r.down_y, r.y0, r.out_height}, horizontal{r.columns, r.up_x, r.down_x, r.x0, r.out_width};
  const auto* column_taps = row_taps + r.rows;
  const int64_t length = r.width * unit, out_length = r.out_width * unit;
  const int64_t before = -horizontal.first() * unit, after = (horizontal.last(r.width) - r.width) * unit;
  const int64_t slack = 3 * LANES<S>, line_size = round_up(before + length + after + slack, 64);
  const int64_t strip = larger(1, 16384 / out_length), strips = (r.out_height + strip - 1) / strip;
  const auto* data = static_cast<const Element*>(x.data);
  const RunTasks runner = planes * r.out_height * out_length < 16384 ? run_serially : run;
  for_each(runner, planes * strips, [&](int64_t task) {
    const int64_t plane = task / strips, from_row = task % strips * strip, to_row = smaller(r.out_height, from_row + strip);
    const Element* corner = across ? data + plane * x.sample_stride
                                   : data + plane / x.channels * x.sample_stride + plane % x.channels * x.channel_stride;
    auto* line = static_cast<S*>(scratch(ScratchSlot::worker, (line_size + round_up(out_length, 64)) * sizeof(S)));
    S* sums = line + line_size;
    for (int64_t i = 0; i < line_size; ++i) line[i] = 0;
    line += before;
    for (int64_t o = from_row; o < to_row; ++o) {
      const Axis::Overlap overlap = vertical.overlap(o);
      const int64_t skipped = larger(0, -overlap.input), first = overlap.input + skipped;
      const int64_t count = smaller(overlap.count - skipped, r.height - first);
      Element* out = y + (plane * r.out_height + o) * out_length;
      const Element* rows = corner + first * x_row_stride;
      if (r.separable) {
        const S* taps = row_taps + overlap.tap + skipped * r.up_y;
        if (count == 4)
          sum_rows<4>(rows, x_row_stride, count, taps, r.up_y, length, line);
        else if (count == 2)
          sum_rows<2>(rows, x_row_stride, count, taps, r.up_y, length, line);
        else
          sum_rows<0>(rows, x_row_stride, larger(0, count), taps, r.up_y, length, line);
        LineFilter<S, Element, false>{horizontal, column_taps, unit}(line, out);
        continue;
      }
      for (int64_t i = 0; i < out_length; ++i) sums[i] = 0;
      for (int64_t j = 0; j < count; ++j) {
        const S one = 1;
        sum_rows<0>(rows + j * x_row_stride, x_row_stride, 1, &one, 1, length, line);
        const S* taps = row_taps + (overlap.tap + (skipped + j) * r.up_y) * r.columns;
        LineFilter<S, S, true>{horizontal, taps, unit}(line, sums);
      }
      constexpr int L = LANES<S>;
      for (int64_t i = 0; i < out_length; i += L) store_elements(out + i, load(sums + i), out_length - i);
    }
    give_back_large_scratch(ScratchSlot::worker);
  });
}

void upfirdn2d_of_type(const Features& x, int64_t x_row_stride, const Resampling& geometry, const void* taps, void* y,
                       RunTasks run) {
  with_element(x.type, [&](auto element) {
    using Element = decltype(element);
    upfirdn2d(x, x_row_stride, geometry, static_cast<const Sum<Element>*>(taps), static_cast<Element*>(y), run);
  });
}
