// Batch norm, scale, shift and an activation that is linear above and below 0, on the CPU.
//
// Formula   z = normal * weight + bias, normal = (x - mean) / sqrt(variance + eps) over a channel's pixels of all
//           samples; y = z above 0, else negative_gain * z. With g = grad * dy/dz: grad_bias = sum g and grad_weight =
//           sum g * normal for each sample and channel; with h = g * weight, and means over a channel,
//           grad_x = (h - mean h - normal * mean(h * normal)) / sqrt(variance + eps).
// Shapes    x, y, grad, grad_x [N, C, P], pixels adjacent, or channels adjacent and pixels C apart; weight, bias
//           [N or 1, C]; mean, variance [C]; grad_weight, grad_bias [N, C].
// Cost      forward two reads and one write of memory; backward four reads, one write.
// Sums      in float (double for double) over at most BLOCK elements, joined in double. Statistics are of differences
//           from a rough mean.
// Repeats   bit for bit: a task has a piece of fixed size, and pieces are joined in order.
#pragma once

#include "common/parameters.h"
#include "cpu/kernels.h"

namespace ganart::cpu {

struct BatchNormActKernels {
  void (*forward)(const Features& x, ChannelParameters weight, ChannelParameters bias, double negative_gain, double eps,
                  void* y, void* mean, void* variance, RunTasks run);
  void (*backward)(const Features& grad, const Features& x, const void* mean, const void* variance,
                   ChannelParameters weight, ChannelParameters bias, double negative_gain, double eps, void* grad_x,
                   void* grad_weight, void* grad_bias, RunTasks run);
};
GANART_DECLARE_KERNELS(BatchNormActKernels, batch_norm_act_kernels)

}  // namespace ganart::cpu

#if defined(GANART_LEVEL)

#include "cpu/elements.h"
#include "cpu/tasks.h"

namespace ganart::cpu::GANART_LEVEL {
namespace {
namespace batch_norm {

constexpr int64_t BLOCK = 512;    // elements whose sums are kept in registers
constexpr int64_t PIECE = 16384;  // elements of a task

GANART_INLINE int64_t common_divisor(int64_t a, int64_t b) {
  while (b) {
    const int64_t rest = a % b;
    a = b, b = rest;
  }
  return a;
}

// Adds the lanes of a vector to as many doubles.
template <class S>
GANART_INLINE void add_lanes_to(double* to, Vector<S> values) {
  if constexpr (sizeof(S) == sizeof(double)) {
    store(to, load(to) + values);
  } else {
    typedef S Half __attribute__((vector_size(GANART_VECTOR_BYTES / 2)));
    Half halves[2];
    __builtin_memcpy(halves, &values, sizeof halves);
    store(to, load(to) + __builtin_convertvector(halves[0], Vector<double>));
    double* const upper = to + LANES<double>;
    store(upper, load(upper) + __builtin_convertvector(halves[1], Vector<double>));
  }
}

// Features as rows of adjacent elements, in pieces: one sample's, whose channels take turns, or one channel's of one
// sample. What belongs to a channel is laid out `period` elements long, whole vectors after which channels repeat.
template <class Element>
struct Pieces {
  static constexpr int L = WIDTH<Element>;

  const Features& f;
  bool across;
  int64_t width;  // channels in a row
  int64_t period, length, piece, per_row, rows, count;

  explicit Pieces(const Features& features)
      : f(features), across(f.pixel_stride != 1 || (f.pixels == 1 && f.channel_stride == 1)),
        width(across ? f.channels : 1), period(width / common_divisor(width, L) * L), length(width * f.pixels),
        piece(larger(1, PIECE / period) * period), per_row((length + piece - 1) / piece),
        rows(across ? f.samples : f.samples * f.channels), count(rows * per_row) {}

  struct Piece {
    int64_t sample, channel;  // its first
    int64_t first, length;    // elements of the row
    int64_t dense;            // place of the first element where rows follow each other
  };

  GANART_INLINE Piece operator[](int64_t index) const {
    const int64_t row = index / per_row, first = index % per_row * piece;
    const int64_t sample = across ? row : row / f.channels, channel = across ? 0 : row % f.channels;
    return {sample, channel, first, smaller(piece, length - first), row * length + first};
  }
  GANART_INLINE const Element* at(const Features& features, const Piece& p) const {
    return static_cast<const Element*>(features.data) + p.sample * features.sample_stride +
           p.channel * features.channel_stride + p.first;
  }

  template <class Body>
  void for_all(RunTasks run, Body body) const {
    for_each_of_groups(run, count, larger(1, PIECE / smaller(piece, length)),
                       [&](int64_t index) { body(index, (*this)[index]); });
  }

  // Calls body(place in the period, first element, end): for all elements of a piece in steps of the period.
  template <class Body>
  GANART_INLINE void for_places(const Piece& p, Body body) const {
    const int64_t block = larger(1, BLOCK / period) * period;
    for (int64_t first = 0; first < p.length; first += block) {
      const int64_t end = smaller(p.length, first + block);
      for (int64_t place = 0; place < period && first + place < end; place += L) body(place, first + place, end);
    }
  }

  // values[place] = value(channel) for the places of a period.
  template <class S, class Value>
  GANART_INLINE void lay_out(const Piece& p, S* values, Value value) const {
    for (int64_t lane = 0; lane < width; ++lane) values[lane] = value(p.channel + lane);
    for (int64_t lane = width; lane < period; ++lane) values[lane] = values[lane - width];
  }

  // Adds doubles of a period up, channel by channel, to `to`.
  void fold(const double* sums, double* to) const {
    for (int64_t lane = 0; lane < width; ++lane) {
      double sum = 0;
      for (int64_t place = lane; place < period; place += width) sum += sums[place];
      to[lane] = sum;
    }
  }
};

template <class S>
GANART_INLINE S value_of(ChannelParameters values, int64_t sample, int64_t channel, double otherwise) {
  return values.values ? static_cast<const S*>(values.values)[sample * values.sample_stride + channel] : S(otherwise);
}

// A mean of some elements of each channel, from which no channel's mean differs by many standard deviations.
template <class Element>
void rough_means(const Features& x, Sum<Element>* means) {
  using S = Sum<Element>;
  constexpr int64_t SAMPLES = 8, PIXELS = 4;
  const int64_t samples = smaller(SAMPLES, x.samples), pixels = smaller(PIXELS, x.pixels);
  for (int64_t c = 0; c < x.channels; ++c) means[c] = 0;
  for (int64_t n = 0; n < samples; ++n)
    for (int64_t p = 0; p < pixels; ++p) {
      const auto* from = static_cast<const Element*>(x.data) + n * x.samples / samples * x.sample_stride +
                         p * x.pixels / pixels * x.pixel_stride;
      for (int64_t c = 0; c < x.channels; ++c) means[c] += number_of(from[c * x.channel_stride]) / S(samples * pixels);
    }
}

template <class Element>
void forward(const Features& x, ChannelParameters weight, ChannelParameters bias, double negative_gain, double eps,
             Element* y, Sum<Element>* means, Sum<Element>* variances, RunTasks run) {
  using S = Sum<Element>;
  constexpr int L = WIDTH<Element>;
  const Pieces<Element> pieces(x);
  const int64_t period = pieces.period, width = pieces.width;
  const int64_t of_pieces = 2 * pieces.count * width;
  auto* partial = static_cast<double*>(
      scratch(ScratchSlot::shared, (of_pieces + x.channels) * sizeof(double) + x.channels * sizeof(S)));
  double* const scales = partial + of_pieces;
  auto* centres = reinterpret_cast<S*>(scales + x.channels);
  rough_means<Element>(x, centres);
  pieces.for_all(run, [&](int64_t index, const auto& piece) {
    auto* sums = static_cast<double*>(scratch(ScratchSlot::worker, period * (2 * sizeof(double) + sizeof(S))));
    double* const squares = sums + period;
    S* const centre = reinterpret_cast<S*>(squares + period);
    for (int64_t i = 0; i < 2 * period; ++i) sums[i] = 0;
    pieces.lay_out(piece, centre, [&](int64_t c) { return centres[c]; });
    const Element* from = pieces.at(x, piece);
    pieces.for_places(piece, [&](int64_t place, int64_t i, int64_t end) GANART_INLINE_LAMBDA {
      const Vector<S> middle = load(centre + place);
      Vector<S> sum[2] = {}, square[2] = {};
      const auto add = [&](Vector<S> values, int at) GANART_INLINE_LAMBDA {
        const Vector<S> difference = values - middle;
        sum[at] += difference, square[at] += difference * difference;
      };
      for (; i + period + L <= end; i += 2 * period)
        add(load_elements(from + i), 0), add(load_elements(from + i + period), 1);
      for (; i + L <= end; i += period) add(load_elements(from + i), 0);
      if (i < end) {
        Vector<S> last = load_elements(from + i, end - i);
        for (int64_t lane = end - i; lane < L; ++lane) last[lane] = middle[lane];
        add(last, 1);
      }
      add_lanes_to<S>(sums + place, sum[0] + sum[1]);
      add_lanes_to<S>(squares + place, square[0] + square[1]);
    });
    pieces.fold(sums, partial + 2 * index * width);
    pieces.fold(squares, partial + (2 * index + 1) * width);
    give_back_large_scratch(ScratchSlot::worker);
  });
  const double elements = double(x.samples) * double(x.pixels);
  const int64_t row_step = pieces.across ? 1 : x.channels;  // from a channel's row to its next
  for (int64_t c = 0; c < x.channels; ++c) {
    double sum = 0, square = 0;
    for (int64_t row = pieces.across ? 0 : c; row < pieces.rows; row += row_step)
      for (int64_t index = row * pieces.per_row; index < (row + 1) * pieces.per_row; ++index) {
        const double* of_piece = partial + 2 * index * width + (pieces.across ? c : 0);
        sum += of_piece[0], square += of_piece[width];
      }
    const double offset = sum / elements, variance = square / elements - offset * offset;
    means[c] = S(double(centres[c]) + offset);
    variances[c] = S(variance < 0 ? 0 : variance);  // negative through rounding only
    scales[c] = 1.0 / __builtin_sqrt(double(variances[c]) + eps);
  }
  pieces.for_all(run, [&](int64_t, const auto& piece) {
    auto* mean = static_cast<S*>(scratch(ScratchSlot::worker, 3 * period * sizeof(S)));
    S *const factor = mean + period, *const shift = factor + period;
    pieces.lay_out(piece, mean, [&](int64_t c) { return means[c]; });
    pieces.lay_out(piece, factor,
                   [&](int64_t c) { return S(double(value_of<S>(weight, piece.sample, c, 1)) * scales[c]); });
    pieces.lay_out(piece, shift, [&](int64_t c) { return value_of<S>(bias, piece.sample, c, 0); });
    const Element* from = pieces.at(x, piece);
    Element* const to = y + piece.dense;
    const Vector<S> negative = splat(S(negative_gain));
    pieces.for_places(piece, [&](int64_t place, int64_t i, int64_t end) GANART_INLINE_LAMBDA {
      const Vector<S> middle = load(mean + place), by = load(factor + place), plus = load(shift + place);
      const auto result = [&](Vector<S> values) GANART_INLINE_LAMBDA {
        const Vector<S> z = (values - middle) * by + plus;
        return z > S(0) ? z : z * negative;
      };
      for (; i + L <= end; i += period) store_elements(to + i, result(load_elements(from + i)));
      if (i < end) store_elements(to + i, result(load_elements(from + i, end - i)), end - i);
    });
    give_back_large_scratch(ScratchSlot::worker);
  });
  give_back_large_scratch(ScratchSlot::shared);
}

template <class Element>
void backward(const Features& grad, const Features& x, const Sum<Element>* means, const Sum<Element>* variances,
              ChannelParameters weight, ChannelParameters bias, double negative_gain, double eps, Element* grad_x,
              Sum<Element>* grad_weight, Sum<Element>* grad_bias, RunTasks run) {
  using S = Sum<Element>;
  constexpr int L = WIDTH<Element>;
  const Pieces<Element> pieces(x);
  const int64_t period = pieces.period, width = pieces.width;
  const int64_t of_pieces = 2 * pieces.count * width;
  auto* partial = static_cast<double*>(scratch(ScratchSlot::shared, (of_pieces + 3 * x.channels) * sizeof(double)));
  double *const mean_h = partial + of_pieces, *const mean_product = mean_h + x.channels;
  double* const scales = mean_product + x.channels;
  for (int64_t c = 0; c < x.channels; ++c) scales[c] = 1.0 / __builtin_sqrt(double(variances[c]) + eps);
  const auto factor_of = [&](const auto& piece) {
    return [&](int64_t c) { return S(double(value_of<S>(weight, piece.sample, c, 1)) * scales[c]); };
  };
  const Vector<S> negative = splat(S(negative_gain));
  pieces.for_all(run, [&](int64_t index, const auto& piece) {
    auto* sums = static_cast<double*>(scratch(ScratchSlot::worker, period * (2 * sizeof(double) + 4 * sizeof(S))));
    double* const products = sums + period;
    S *const mean = reinterpret_cast<S*>(products + period), *const factor = mean + period;
    S *const shift = factor + period, *const scale = shift + period;
    for (int64_t i = 0; i < 2 * period; ++i) sums[i] = 0;
    pieces.lay_out(piece, mean, [&](int64_t c) { return means[c]; });
    pieces.lay_out(piece, factor, factor_of(piece));
    pieces.lay_out(piece, shift, [&](int64_t c) { return value_of<S>(bias, piece.sample, c, 0); });
    pieces.lay_out(piece, scale, [&](int64_t c) { return S(scales[c]); });
    const Element *const from = pieces.at(x, piece), *const outer = pieces.at(grad, piece);
    pieces.for_places(piece, [&](int64_t place, int64_t i, int64_t end) GANART_INLINE_LAMBDA {
      const Vector<S> middle = load(mean + place), by = load(factor + place), plus = load(shift + place);
      Vector<S> sum[2] = {}, product[2] = {};
      const auto add = [&](Vector<S> values, Vector<S> g, int at) GANART_INLINE_LAMBDA {
        const Vector<S> difference = values - middle, inner = difference * by + plus > S(0) ? g : g * negative;
        sum[at] += inner, product[at] += inner * difference;
      };
      for (; i + period + L <= end; i += 2 * period) {
        add(load_elements(from + i), load_elements(outer + i), 0);
        add(load_elements(from + i + period), load_elements(outer + i + period), 1);
      }
      for (; i + L <= end; i += period) add(load_elements(from + i), load_elements(outer + i), 0);
      if (i < end) add(load_elements(from + i, end - i), load_elements(outer + i, end - i), 1);
      add_lanes_to<S>(sums + place, sum[0] + sum[1]);
      add_lanes_to<S>(products + place, (product[0] + product[1]) * load(scale + place));
    });
    pieces.fold(sums, partial + 2 * index * width);
    pieces.fold(products, partial + (2 * index + 1) * width);
    give_back_large_scratch(ScratchSlot::worker);
  });
  const double elements = double(x.samples) * double(x.pixels);
  for (int64_t c = 0; c < x.channels; ++c) {
    double h = 0, h_product = 0;
    for (int64_t sample = 0; sample < x.samples; ++sample) {
      const int64_t row = pieces.across ? sample : sample * x.channels + c;
      double sum = 0, product = 0;
      for (int64_t index = row * pieces.per_row; index < (row + 1) * pieces.per_row; ++index) {
        const double* of_piece = partial + 2 * index * width + (pieces.across ? c : 0);
        sum += of_piece[0], product += of_piece[width];
      }
      grad_bias[sample * x.channels + c] = S(sum);
      grad_weight[sample * x.channels + c] = S(product);
      const double by = double(value_of<S>(weight, sample, c, 1));
      h += by * sum, h_product += by * product;
    }
    mean_h[c] = h / elements, mean_product[c] = h_product / elements;
  }
  pieces.for_all(run, [&](int64_t, const auto& piece) {
    auto* mean = static_cast<S*>(scratch(ScratchSlot::worker, 5 * period * sizeof(S)));
    S *const factor = mean + period, *const shift = factor + period, *const slope = shift + period;
    S* const level = slope + period;
    pieces.lay_out(piece, mean, [&](int64_t c) { return means[c]; });
    pieces.lay_out(piece, factor, factor_of(piece));
    pieces.lay_out(piece, shift, [&](int64_t c) { return value_of<S>(bias, piece.sample, c, 0); });
    pieces.lay_out(piece, slope, [&](int64_t c) { return S(scales[c] * scales[c] * mean_product[c]); });
    pieces.lay_out(piece, level, [&](int64_t c) { return S(scales[c] * mean_h[c]); });
    const Element *const from = pieces.at(x, piece), *const outer = pieces.at(grad, piece);
    Element* const to = grad_x + piece.dense;
    pieces.for_places(piece, [&](int64_t place, int64_t i, int64_t end) GANART_INLINE_LAMBDA {
      const Vector<S> middle = load(mean + place), by = load(factor + place), plus = load(shift + place);
      const Vector<S> less = load(slope + place), constant = load(level + place);
      const auto result = [&](Vector<S> values, Vector<S> g) GANART_INLINE_LAMBDA {
        const Vector<S> difference = values - middle, inner = difference * by + plus > S(0) ? g : g * negative;
        return inner * by - (difference * less + constant);
      };
      for (; i + L <= end; i += period)
        store_elements(to + i, result(load_elements(from + i), load_elements(outer + i)));
      if (i < end)
        store_elements(to + i, result(load_elements(from + i, end - i), load_elements(outer + i, end - i)), end - i);
    });
    give_back_large_scratch(ScratchSlot::worker);
  });
  give_back_large_scratch(ScratchSlot::shared);
}

}  // namespace batch_norm

void batch_norm_act_of_type(const Features& x, ChannelParameters weight, ChannelParameters bias, double negative_gain,
                            double eps, void* y, void* mean, void* variance, RunTasks run) {
  with_element(x.type, [&](auto element) {
    using Element = decltype(element);
    using S = Sum<Element>;
    batch_norm::forward<Element>(x, weight, bias, negative_gain, eps, static_cast<Element*>(y), static_cast<S*>(mean),
                                 static_cast<S*>(variance), run);
  });
}

void batch_norm_act_backward_of_type(const Features& grad, const Features& x, const void* mean, const void* variance,
                                     ChannelParameters weight, ChannelParameters bias, double negative_gain, double eps,
                                     void* grad_x, void* grad_weight, void* grad_bias, RunTasks run) {
  with_element(x.type, [&](auto element) {
    using Element = decltype(element);
    using S = Sum<Element>;
    batch_norm::backward<Element>(grad, x, static_cast<const S*>(mean), static_cast<const S*>(variance), weight, bias,
                                  negative_gain, eps, static_cast<Element*>(grad_x), static_cast<S*>(grad_weight),
                                  static_cast<S*>(grad_bias), run);
  });
}

}  // namespace

const BatchNormActKernels batch_norm_act_kernels{
    .forward = batch_norm_act_of_type,
    .backward = batch_norm_act_backward_of_type,
};

}  // namespace ganart::cpu::GANART_LEVEL

#endif
