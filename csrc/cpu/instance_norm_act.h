// Instance norm, scale, shift and activation on the CPU.
//
// Formula   y = act(normal * weight + bias), normal = (x - mean) / sqrt(variance + eps) over a channel's pixels.
//           With g = grad * act'(...): grad_bias = sum g, grad_weight = sum g * normal,
//           grad_x = weight * scale * (g - mean g - normal * mean(g * normal)).
// Shapes    x, y, grad, grad_x [N, C, P], pixels or channels adjacent; weight, bias [N or 1, C]; mean, scale,
//           grad_weight, grad_bias [N, C].
// Cost      forward one read and one write of memory, the second reading from the caches; backward two reads, one
//           write.
// Sums      block by block in float (double for double), blocks joined in double. The statistics are of differences
//           from the mean so far, in blocks no longer than all earlier ones together, which bounds what cancels in the
//           squares by their own size.
// Repeats   bit for bit: a task has whole channels of one sample or, forward and across channels, a piece of fixed size,
//           and pieces are joined in order.
#pragma once

#include "common/parameters.h"
#include "cpu/kernels.h"

namespace ganart::cpu {

struct InstanceNormActKernels {
  // mean and scale [N, C] Sum, with scale = 1 / sqrt(v + eps). The gain and clamp of `act` are not used.
  void (*forward)(const Features& x, ChannelParameters weight, ChannelParameters bias, const ActivationParameters& act,
                  double eps, void* y, void* mean, void* scale, RunTasks run);

  // grad_weight and grad_bias [N, C] Sum.
  void (*backward)(const Features& grad, const Features& x, const void* mean, const void* scale,
                   ChannelParameters weight, ChannelParameters bias, const ActivationParameters& act, void* grad_x,
                   void* grad_weight, void* grad_bias, RunTasks run);
};
GANART_DECLARE_KERNELS(InstanceNormActKernels, instance_norm_act_kernels)

}  // namespace ganart::cpu

#if defined(GANART_LEVEL)

#include "cpu/activations.h"
#include "cpu/rows.h"

namespace ganart::cpu::GANART_LEVEL {
namespace {

// The channels of one sample that a task processes: one along its pixels, or a pair of vectors across.
template <class Element>
struct Channels {
  bool across;
  int64_t samples, channels, pixels, groups;

  explicit Channels(const Features& f)
      : across(f.pixel_stride != 1 || (f.pixels == 1 && f.channel_stride == 1)), samples(f.samples),
        channels(f.channels), pixels(f.pixels), groups((f.channels + STEP<Element> - 1) / STEP<Element>) {}

  int64_t tasks() const { return samples * (across ? groups : channels); }
  int64_t together() const { return across ? 1 : larger(1, Rows::TASK_ELEMENTS / pixels); }
  RunTasks runner(RunTasks run) const {
    return samples * channels * pixels < Rows::SERIAL_ELEMENTS ? run_serially : run;
  }
  bool stores_past_caches(const Element* to) const {
    const int64_t row_bytes = pixels * int64_t(sizeof(Element));
    return !across && samples * channels * row_bytes >= Rows::PAST_CACHES &&
           (uintptr_t(to) | uintptr_t(row_bytes)) % GANART_VECTOR_BYTES == 0;
  }
};

constexpr int64_t LONGEST_BLOCK =
    256;  // steps along a row, or pixels across; few enough for a lane's sum to stay accurate

// Statistics of N series at once, joined block by block (Chan et al. 1979).
template <int N>
struct Moments {
  double count = 0, mean[N] = {}, squares[N] = {};

  // Takes a block's sums of differences from `centre`, and of their squares.
  GANART_INLINE void join(double block_count, const double (&centre)[N], const double (&sums)[N],
                          const double (&square_sums)[N]) {
    const double both = count + block_count, share = block_count / both, weight = count * share;
    for (int n = 0; n < N; ++n) {
      const double offset = sums[n] / block_count, difference = centre[n] + offset - mean[n];
      mean[n] += difference * share;
      squares[n] += square_sums[n] - sums[n] * offset + difference * difference * weight;
    }
    count = both;
  }

  // 1 / sqrt(variance + eps).
  GANART_INLINE double scale(int n, double eps) const {
    const double variance = squares[n] / count;
    return 1.0 / __builtin_sqrt((variance < 0 ? 0.0 : variance) + eps);  // negative through rounding only
  }
};

// The length of the statistics' next block after `first` elements.
GANART_INLINE int64_t block_after(int64_t first, int64_t shortest, int64_t longest, int64_t length) {
  return smaller(smaller(larger(first, shortest), longest), length - first);
}

// ---- along: the pixels of a channel are adjacent ----

struct Deviations {
  double sum, squares;
};

// A row's differences from a centre, as one sum in each lane.
template <class Element>
struct LaneDeviations {
  Vector<Sum<Element>> sums, squares;
  double sums_of_zero;  // what the sums would add up to if all elements equalled the centre

  GANART_INLINE Deviations total() const {
    return {SUM_UNIT * total_of<Sum<Element>>(sums) - sums_of_zero, total_of<Sum<Element>>(squares)};
  }
#if defined(GANART_BFLOAT16_PAIRS)
  static constexpr bool BY_DOTS = sizeof(Element) == sizeof(Bfloat16);
#else
  static constexpr bool BY_DOTS = false;
#endif
  static constexpr double SUM_UNIT = BY_DOTS ? 4096 : 1;
};

#if defined(GANART_BFLOAT16_PAIRS)
// Adds 2^-12 times each of the elements, so that no sum of finite ones overflows.
GANART_INLINE Vector<float> add_by_dots(Vector<float> sum, Vector<uint32_t> elements) {
  return (Vector<float>)_mm512_dpbf16_ps((__m512)sum, (__m512bh)elements, (__m512bh)splat(0x39803980u));
}
#endif

template <class Element>
GANART_INLINE LaneDeviations<Element> lane_deviations(Element centre, const Element* from, int64_t count) {
  using S = Sum<Element>;
  constexpr int N = STEP<Element>;
  const Vector<S> middle = splat(number_of(centre));
  Vector<S> sums[4] = {}, squares[4] = {};
  int64_t i = 0;
#if defined(GANART_BFLOAT16_PAIRS)
  if constexpr (LaneDeviations<Element>::BY_DOTS) {
    const auto add = [&](Vector<uint32_t> bits, int at) GANART_INLINE_LAMBDA {
      const Pair<Element> pair = pair_of(bits);
      const Vector<S> first = pair.first - middle, second = pair.second - middle;
      sums[at] = add_by_dots(sums[at], bits);
      squares[at] += first * first;
      squares[at + 1] += second * second;
    };
    for (Vector<uint32_t> bits; i + 2 * N <= count; i += 2 * N) {
      __builtin_memcpy(&bits, from + i, sizeof bits);
      add(bits, 0);
      __builtin_memcpy(&bits, from + i + N, sizeof bits);
      add(bits, 2);
    }
    for (; i < count; i += N) add(load_first(from + i, count - i, centre), 0);
    return {sums[0] + sums[2], (squares[0] + squares[1]) + (squares[2] + squares[3]),
            double(round_up(count, N)) * double(number_of(centre))};
  }
#endif
  const auto add = [&](const Pair<Element>& pair, int at) GANART_INLINE_LAMBDA {
    const Vector<S> first = pair.first - middle, second = pair.second - middle;
    sums[at] += first, squares[at] += first * first;
    sums[at + 1] += second, squares[at + 1] += second * second;
  };
  for (; i + 2 * N <= count; i += 2 * N) add(load_pair(from + i), 0), add(load_pair(from + i + N), 2);
  for (; i < count; i += N) add(load_pair(from + i, count - i, centre), 0);
  return {(sums[0] + sums[1]) + (sums[2] + sums[3]), (squares[0] + squares[1]) + (squares[2] + squares[3]), 0};
}

// How much of a row its first centre follows from, and the row that is one block. Of bfloat16, whose results are not
// accurate enough to show what cancels in the squares of a longer block, a small part will do.
template <class Element>
constexpr int64_t ROW_START = sizeof(Element) < sizeof(Sum<Element>) ? 128 : 1024;
template <class Element>
constexpr int64_t SHORT_ROW = sizeof(Element) < sizeof(Sum<Element>) ? LONGEST_BLOCK * STEP<Element> / 2 : 1024;

// The centre of a row's first block: about the mean of its start.
template <class Element>
GANART_INLINE Element first_centre(const Element* from, int64_t length) {
  const int64_t count = smaller(ROW_START<Element>, length);
#if defined(GANART_BFLOAT16_PAIRS)
  if constexpr (LaneDeviations<Element>::BY_DOTS) {
    constexpr int N = STEP<Element>;
    Vector<float> sum{};
    for (int64_t i = 0; i < count; i += N) sum = add_by_dots(sum, load_first(from + i, count - i, Element{}));
    return element_of<Element>(4096 * total_of<float>(sum) / double(count));
  }
#endif
  return element_of<Element>(double(number_of(from[0])) +
                             lane_deviations(from[0], from, count).total().sum / double(count));
}

template <class Element>
Moments<1> row_moments(const Element* row, int64_t length) {
  double mean = double(number_of(first_centre(row, length)));
  Moments<1> moments;
  for (int64_t first = 0, count; first < length; first += count) {
    count = block_after(first, SHORT_ROW<Element>, LONGEST_BLOCK * STEP<Element>, length);
    const auto centre = element_of<Element>(mean);
    const Deviations block = lane_deviations(centre, row + first, count).total();
    moments.join(double(count), {double(number_of(centre))}, {block.sum}, {block.squares});
    mean = moments.mean[0];
  }
  return moments;
}

// ---- across: channels are adjacent, and a pair of vectors holds some of them ----

// Calls body(count) with the number of channels of a pair, a constant if the pair is full.
template <class Element, class Body>
GANART_INLINE void with_valid(int64_t valid, Body body) {
  if (valid == STEP<Element>)
    body(Whole<Element>{});
  else
    body(valid);
}

template <class Element>
GANART_INLINE void add_lanes(const Pair<Element>& values, double (&totals)[STEP<Element>]) {
  for (int lane = 0; lane < WIDTH<Element>; ++lane) {
    totals[lane] += double(values.first[lane]);
    totals[lane + WIDTH<Element>] += double(values.second[lane]);
  }
}

template <class Element, class Valid>
Moments<STEP<Element>> lane_moments(const Element* from, int64_t stride, int64_t pixels, Valid valid) {
  using S = Sum<Element>;
  constexpr int N = STEP<Element>;
  constexpr int64_t SHORTEST = 128;
  const auto deviations = [=](const Pair<Element>& centre, int64_t begin, int64_t count, double (&sums)[N],
                              double (&squares)[N]) {
    Pair<Element> sum{}, square{};
    for (int64_t p = begin; p < begin + count; ++p) {
      const Pair<Element> x = load_pair(from + p * stride, valid);
      const Vector<S> first = x.first - centre.first, second = x.second - centre.second;
      sum.first += first, square.first += first * first;
      sum.second += second, square.second += second * second;
    }
    for (int lane = 0; lane < N; ++lane) sums[lane] = squares[lane] = 0;
    add_lanes<Element>(sum, sums);
    add_lanes<Element>(square, squares);
  };
  double centres[N] = {}, sums[N], squares[N];
  Pair<Element> centre = load_pair(from, valid);
  const int64_t start = smaller(SHORTEST, pixels);
  deviations(centre, 0, start, sums, squares);
  add_lanes<Element>(centre, centres);
  for (int lane = 0; lane < N; ++lane) centres[lane] += sums[lane] / double(start);
  Moments<N> moments;
  for (int64_t first = 0, count; first < pixels; first += count) {
    count = block_after(first, SHORTEST, LONGEST_BLOCK, pixels);
    for (int lane = 0; lane < WIDTH<Element>; ++lane) {
      centre.first[lane] = S(centres[lane]), centre.second[lane] = S(centres[lane + WIDTH<Element>]);
      centres[lane] = double(centre.first[lane]), centres[lane + WIDTH<Element>] = double(centre.second[lane]);
    }
    deviations(centre, first, count, sums, squares);
    moments.join(double(count), centres, sums, squares);
    for (int lane = 0; lane < N; ++lane) centres[lane] = moments.mean[lane];
  }
  return moments;
}

// A value for each channel, or a default.
template <class S>
struct ChannelValues {
  const S* values;
  int64_t sample_stride;
  S otherwise;

  GANART_INLINE S at(int64_t sample, int64_t channel) const {
    return values ? values[sample * sample_stride + channel] : otherwise;
  }
  template <class Element>
  GANART_INLINE Pair<Element> pair(int64_t sample, int64_t channel, int64_t valid) const {
    S lanes[STEP<Element>] = {};
    for (int64_t i = 0; i < valid; ++i) lanes[place_in_pairs<Element>(i)] = at(sample, channel + i);
    return {load(lanes), load(lanes + LANES<S>)};
  }
};

// ---- forward ----

// Of a channel, or of a vector of them. For bfloat16 the mean is part of the shift: a rounding of that makes as great a
// difference as one of the mean.
template <class Act, class Element>
struct Normalizer {
  using V = Vector<Sum<Element>>;
  static constexpr bool FOLDED = sizeof(Element) < sizeof(Sum<Element>);
  V mean, factor, shift;
  Sum<Element> negative_slope;

  GANART_INLINE Normalizer(V mean, V factor, V bias, Sum<Element> slope)
      : mean(mean), factor(factor), shift(FOLDED ? bias - mean * factor : bias), negative_slope(slope) {}
  GANART_INLINE V operator()(V x) const { return Act::value((FOLDED ? x : x - mean) * factor + shift, negative_slope); }
};

// Where channels are adjacent. Moments are those of pieces of the pixels, joined; pieces are tasks of their own where
// samples and channels are too few to give several threads work.
template <class Act, class Element>
void instance_norm_act_across(const Features& x, ChannelValues<Sum<Element>> weight, ChannelValues<Sum<Element>> bias,
                              Sum<Element> negative_slope, double eps, Element* y, Sum<Element>* means,
                              Sum<Element>* scales, RunTasks run) {
  using S = Sum<Element>;
  constexpr int N = STEP<Element>;
  constexpr int64_t PIECE = 4096, MANY_TASKS = 16;  // smaller pieces take less time than it takes to share them
  const Channels<Element> cut(x);
  const auto* data = static_cast<const Element*>(x.data);
  const int64_t tasks = cut.tasks(), pieces = (x.pixels + PIECE - 1) / PIECE;
  auto* parts = static_cast<Moments<N>*>(scratch(ScratchSlot::shared, tasks * pieces * sizeof(Moments<N>)));
  // Calls body(sample, channel, first pixel, end, number of channels) for a piece of a task.
  const auto with_piece = [&](int64_t index, auto body) GANART_INLINE_LAMBDA {
    const int64_t task = index / pieces, first = index % pieces * PIECE;
    const int64_t sample = task / cut.groups, channel = task % cut.groups * N;
    with_valid<Element>(smaller(N, x.channels - channel),
                        [&](auto valid) { body(sample, channel, first, smaller(x.pixels, first + PIECE), valid); });
  };
  const auto take_moments = [&](int64_t index) {
    with_piece(index, [&](int64_t sample, int64_t channel, int64_t first, int64_t end, auto valid) {
      const Element* from = data + sample * x.sample_stride + first * x.pixel_stride + channel;
      parts[index] = lane_moments(from, x.pixel_stride, end - first, valid);
    });
  };
  const auto join_pieces = [&](int64_t task) {
    const int64_t channel = task % cut.groups * N, at = task / cut.groups * x.channels + channel;
    const double no_sums[N] = {};
    Moments<N> moments = parts[task * pieces];
    for (int64_t p = task * pieces + 1; p < (task + 1) * pieces; ++p)
      moments.join(parts[p].count, parts[p].mean, no_sums, parts[p].squares);
    for (int64_t i = 0; i < smaller(N, x.channels - channel); ++i) {
      means[at + i] = S(moments.mean[place_in_pairs<Element>(i)]);
      scales[at + i] = S(moments.scale(place_in_pairs<Element>(i), eps));
    }
  };
  const auto normalize = [&](int64_t index) {
    with_piece(index, [&](int64_t sample, int64_t channel, int64_t first, int64_t end, auto valid) {
      const Element* from = data + sample * x.sample_stride + channel;
      Element* to = y + sample * x.pixels * x.channels + channel;
      const auto values = [&](ChannelValues<S> of) { return of.template pair<Element>(sample, channel, valid); };
      const auto mean = values({means, x.channels, 0}), scale = values({scales, x.channels, 0});
      const auto weights = values(weight), shift = values(bias);
      const Normalizer<Act, Element> one(mean.first, scale.first * weights.first, shift.first, negative_slope);
      const Normalizer<Act, Element> other(mean.second, scale.second * weights.second, shift.second, negative_slope);
      for (int64_t p = first; p < end; ++p) {
        const Pair<Element> pair = load_pair(from + p * x.pixel_stride, valid);
        store_pair(to + p * x.channels, Pair<Element>{one(pair.first), other(pair.second)}, valid);
      }
    });
  };
  if (pieces == 1 || tasks >= MANY_TASKS) {  // what was read for the moments may still be in a cache
    for_each(cut.runner(run), tasks, [&](int64_t task) {
      for (int64_t p = 0; p < pieces; ++p) take_moments(task * pieces + p);
      join_pieces(task);
      for (int64_t p = 0; p < pieces; ++p) normalize(task * pieces + p);
    });
  } else {
    for_each(cut.runner(run), tasks * pieces, take_moments);
    for (int64_t task = 0; task < tasks; ++task) join_pieces(task);
    for_each(cut.runner(run), tasks * pieces, normalize);
  }
  give_back_large_scratch(ScratchSlot::shared);
}

template <class Act, class Element>
void instance_norm_act(const Features& x, ChannelValues<Sum<Element>> weight, ChannelValues<Sum<Element>> bias,
                       Sum<Element> negative_slope, double eps, Element* y, Sum<Element>* means, Sum<Element>* scales,
                       RunTasks run) {
  using S = Sum<Element>;
  const Channels<Element> cut(x);
  const auto* data = static_cast<const Element*>(x.data);
  const bool past_caches = cut.stores_past_caches(y);
  if (cut.across) return instance_norm_act_across<Act>(x, weight, bias, negative_slope, eps, y, means, scales, run);
  const auto row_of = [&](int64_t row) {
    return data + row / x.channels * x.sample_stride + row % x.channels * x.channel_stride;
  };
  const auto finish = [&](int64_t row, const Moments<1>& moments) {
    means[row] = S(moments.mean[0]);
    scales[row] = S(moments.scale(0, eps));
  };
  const auto normalize = [&](int64_t row) {
    const int64_t sample = row / x.channels, channel = row % x.channels;
    const Element* from = row_of(row);
    const Normalizer<Act, Element> normal(splat(means[row]), splat(scales[row] * weight.at(sample, channel)),
                                          splat(bias.at(sample, channel)), negative_slope);
    write_row(y + row * x.pixels, x.pixels, past_caches, [=](int64_t i, auto valid) {
      const Pair<Element> pair = load_pair(from + i, valid);
      return Pair<Element>{normal(pair.first), normal(pair.second)};
    });
  };
  // Short rows are processed a few at a time, so that the processor need not wait for what follows from one row's sums
  // but works on others meanwhile; few enough for the first-level cache.
  constexpr int MOST = 8;
  const int64_t few = x.pixels > SHORT_ROW<Element> ? 1 : larger(1, smaller(MOST, 8192 / x.pixels));
  const int64_t rows = cut.tasks(), group = round_up(cut.together(), few);
  for_each(cut.runner(run), (rows + group - 1) / group, [&](int64_t task) {
    const int64_t end = smaller(rows, (task + 1) * group);
    for (int64_t first = task * group; first < end; first += few) {
      const int64_t last = smaller(end, first + few);
      if (few == 1) {
        finish(first, row_moments(row_of(first), x.pixels));
      } else {
        Element centres[MOST];
        LaneDeviations<Element> deviations[MOST];
        for (int64_t row = first; row < last; ++row) centres[row - first] = first_centre(row_of(row), x.pixels);
        for (int64_t row = first; row < last; ++row)
          deviations[row - first] = lane_deviations(centres[row - first], row_of(row), x.pixels);
        for (int64_t row = first; row < last; ++row) {
          const Deviations total = deviations[row - first].total();
          Moments<1> moments;
          moments.join(double(x.pixels), {double(number_of(centres[row - first]))}, {total.sum}, {total.squares});
          finish(row, moments);
        }
      }
      for (int64_t row = first; row < last; ++row) normalize(row);
    }
    if (past_caches) end_streaming();
  });
}

// ---- backward ----

template <class Act, class S>
struct NormBackward {  // of a channel, or of a vector of them
  Vector<S> mean, scale, weight, bias;
  S negative_slope;
  Vector<S> sum{}, product{}, factor{}, from_sum{}, from_product{};

  GANART_INLINE Vector<S> normal(Vector<S> x) const { return (x - mean) * scale; }
  GANART_INLINE Vector<S> inner(Vector<S> normal, Vector<S> grad) const {
    return grad * slope_at<Act>(normal * weight + bias, negative_slope);
  }
  // First every point is added up.
  GANART_INLINE void add(Vector<S> x, Vector<S> grad) {
    const Vector<S> point = normal(x), value = inner(point, grad);
    sum += value;
    product += value * point;
  }
  // Then the means of these sums give the result at each point.
  GANART_INLINE void use_means(Vector<S> mean_sum, Vector<S> mean_product) {
    factor = weight * scale;
    from_sum = factor * mean_sum;
    from_product = factor * mean_product;
  }
  GANART_INLINE Vector<S> result(Vector<S> x, Vector<S> grad) const {
    const Vector<S> point = normal(x);
    return factor * inner(point, grad) - (point * from_product + from_sum);
  }
};

template <class Act, class Element>
void instance_norm_act_backward(const Features& grad, const Features& x, const Sum<Element>* means,
                                const Sum<Element>* scales, ChannelValues<Sum<Element>> weight,
                                ChannelValues<Sum<Element>> bias, Sum<Element> negative_slope, Element* grad_x,
                                Sum<Element>* grad_weight, Sum<Element>* grad_bias, RunTasks run) {
  using S = Sum<Element>;
  constexpr int L = LANES<S>, N = STEP<Element>;
  const Channels<Element> cut(x);
  const auto* data = static_cast<const Element*>(x.data);
  const auto* incoming = static_cast<const Element*>(grad.data);
  const bool past_caches = cut.stores_past_caches(grad_x);
  const double pixels = double(x.pixels);
  for_each_of_groups(cut.runner(run), cut.tasks(), cut.together(), [&](int64_t task) {
    if (!cut.across) {
      const int64_t sample = task / x.channels, channel = task % x.channels;
      const Element* from = data + sample * x.sample_stride + channel * x.channel_stride;
      const Element* outer = incoming + sample * grad.sample_stride + channel * grad.channel_stride;
      NormBackward<Act, S> backward{splat(means[task]), splat(scales[task]), splat(weight.at(sample, channel)),
                                    splat(bias.at(sample, channel)), negative_slope};
      double total = 0, products = 0;
      for (int64_t i = 0; i < x.pixels;) {
        backward.sum = backward.product = Vector<S>{};
        for (const int64_t end = smaller(x.pixels, i + LONGEST_BLOCK / 2 * N); i < end; i += N) {
          // Elements past the end have a gradient of 0.
          const Pair<Element> own = load_pair(from + i, x.pixels - i), g = load_pair(outer + i, x.pixels - i);
          backward.add(own.first, g.first);
          backward.add(own.second, g.second);
        }
        total += total_of<S>(backward.sum);
        products += total_of<S>(backward.product);
      }
      grad_bias[task] = S(total);
      grad_weight[task] = S(products);
      backward.use_means(splat(S(total / pixels)), splat(S(products / pixels)));
      const NormBackward<Act, S> finish = backward;
      write_row(grad_x + task * x.pixels, x.pixels, past_caches, [=](int64_t i, auto valid) {
        const Pair<Element> own = load_pair(from + i, valid), g = load_pair(outer + i, valid);
        return Pair<Element>{finish.result(own.first, g.first), finish.result(own.second, g.second)};
      });
      if (past_caches) end_streaming();
      return;
    }
    const int64_t sample = task / cut.groups, channel = task % cut.groups * N, at = sample * x.channels + channel;
    const Element* from = data + sample * x.sample_stride + channel;
    const Element* outer = incoming + sample * grad.sample_stride + channel;
    Element* to = grad_x + sample * x.pixels * x.channels + channel;
    with_valid<Element>(smaller(N, x.channels - channel), [&](auto valid) {
      const auto values = [&](ChannelValues<S> of) { return of.template pair<Element>(sample, channel, valid); };
      const auto mean = values({means, x.channels, 0}), scale = values({scales, x.channels, 0});
      const auto weights = values(weight), shift = values(bias);
      NormBackward<Act, S> first{mean.first, scale.first, weights.first, shift.first, negative_slope};
      NormBackward<Act, S> second{mean.second, scale.second, weights.second, shift.second, negative_slope};
      double totals[N] = {}, products[N] = {};
      for (int64_t p = 0; p < x.pixels;) {
        first.sum = first.product = second.sum = second.product = Vector<S>{};
        for (const int64_t end = smaller(x.pixels, p + LONGEST_BLOCK / 4); p < end; ++p) {
          const Pair<Element> own = load_pair(from + p * x.pixel_stride, valid);
          const Pair<Element> g = load_pair(outer + p * grad.pixel_stride, valid);
          first.add(own.first, g.first);
          second.add(own.second, g.second);
        }
        add_lanes<Element>({first.sum, second.sum}, totals);
        add_lanes<Element>({first.product, second.product}, products);
      }
      for (int64_t i = 0; i < valid; ++i) {
        grad_bias[at + i] = S(totals[place_in_pairs<Element>(i)]);
        grad_weight[at + i] = S(products[place_in_pairs<Element>(i)]);
      }
      Pair<Element> mean_sum{}, mean_product{};
      for (int lane = 0; lane < L; ++lane) {
        mean_sum.first[lane] = S(totals[lane] / pixels), mean_sum.second[lane] = S(totals[lane + L] / pixels);
        mean_product.first[lane] = S(products[lane] / pixels),
        mean_product.second[lane] = S(products[lane + L] / pixels);
      }
      first.use_means(mean_sum.first, mean_product.first);
      second.use_means(mean_sum.second, mean_product.second);
      for (int64_t p = 0; p < x.pixels; ++p) {
        const Pair<Element> own = load_pair(from + p * x.pixel_stride, valid);
        const Pair<Element> g = load_pair(outer + p * grad.pixel_stride, valid);
        store_pair(to + p * x.channels,
                   Pair<Element>{first.result(own.first, g.first), second.result(own.second, g.second)}, valid);
      }
    });
  });
}

template <class S>
ChannelValues<S> channel_values(ChannelParameters parameters, S otherwise) {
  return {static_cast<const S*>(parameters.values), parameters.sample_stride, otherwise};
}

void instance_norm_act_of_type(const Features& x, ChannelParameters weight, ChannelParameters bias,
                               const ActivationParameters& act, double eps, void* y, void* mean, void* scale,
                               RunTasks run) {
  with_element(x.type, [&](auto element) {
    using Element = decltype(element);
    using S = Sum<Element>;
    with_activation(act.activation, [&](auto activation) {
      instance_norm_act<decltype(activation)>(x, channel_values(weight, S(1)), channel_values(bias, S(0)),
                                              S(act.negative_slope), eps, static_cast<Element*>(y),
                                              static_cast<S*>(mean), static_cast<S*>(scale), run);
    });
  });
}

void instance_norm_act_backward_of_type(const Features& grad, const Features& x, const void* mean, const void* scale,
                                        ChannelParameters weight, ChannelParameters bias,
                                        const ActivationParameters& act, void* grad_x, void* grad_weight,
                                        void* grad_bias, RunTasks run) {
  with_element(x.type, [&](auto element) {
    using Element = decltype(element);
    using S = Sum<Element>;
    with_activation(act.activation, [&](auto activation) {
      instance_norm_act_backward<decltype(activation)>(
          grad, x, static_cast<const S*>(mean), static_cast<const S*>(scale), channel_values(weight, S(1)),
          channel_values(bias, S(0)), S(act.negative_slope), static_cast<Element*>(grad_x),
          static_cast<S*>(grad_weight), static_cast<S*>(grad_bias), run);
    });
  });
}

}  // namespace

const InstanceNormActKernels instance_norm_act_kernels{
    .forward = instance_norm_act_of_type,
    .backward = instance_norm_act_backward_of_type,
};

}  // namespace ganart::cpu::GANART_LEVEL

#endif
