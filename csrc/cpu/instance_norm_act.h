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

// The channels of all samples, along their pixels or across.
template <class Element>
struct Channels {
  bool across;
  int64_t samples, channels, pixels;

  explicit Channels(const Features& f)
      : across(f.pixel_stride != 1 || (f.pixels == 1 && f.channel_stride == 1)), samples(f.samples),
        channels(f.channels), pixels(f.pixels) {}

  int64_t rows() const { return samples * channels; }  // along
  int64_t rows_together() const { return larger(1, Rows::TASK_ELEMENTS / pixels); }
  RunTasks runner(RunTasks run) const {
    return samples * channels * pixels < Rows::SERIAL_ELEMENTS ? run_serially : run;
  }
  bool stores_past_caches(const Element* to) const {
    const int64_t row_bytes = (across ? channels : pixels) * int64_t(sizeof(Element));
    return samples * channels * pixels * int64_t(sizeof(Element)) >= Rows::PAST_CACHES &&
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

// Some channels' rows that are processed together.
template <int MOST>
struct SomeRows {
  int64_t first;
  int count;
  int64_t sample[MOST], channel[MOST];
};

// Calls body(rows) for all rows, `together` at a time but at most MOST.
template <int MOST, class Element, class Body>
GANART_INLINE void for_rows_of_channels(const Channels<Element>& cut, int64_t together, RunTasks run, Body body,
                                        bool past_caches) {
  const int64_t few = larger(1, smaller(MOST, together)), all = cut.rows(), group = round_up(cut.rows_together(), few);
  for_each(cut.runner(run), (all + group - 1) / group, [&](int64_t task) {
    const int64_t end = smaller(all, (task + 1) * group);
    int64_t sample = task * group / cut.channels, channel = task * group % cut.channels;
    SomeRows<MOST> rows;
    for (rows.first = task * group; rows.first < end; rows.first += few) {
      rows.count = int(smaller(few, end - rows.first));
      for (int i = 0; i < rows.count; ++i) {
        rows.sample[i] = sample, rows.channel[i] = channel;
        if (++channel == cut.channels) channel = 0, ++sample;
      }
      body(rows);
    }
    if (past_caches) end_streaming();
  });
}

struct Deviations {
  double sum, squares;
};

// The totals of two vectors' lanes, added in their own type, which is accurate enough for bfloat16; in double for others.
template <int DISTANCE, class S, int... LANE>
GANART_INLINE Vector<S> halves_added(Vector<S> both, std::integer_sequence<int, LANE...> lanes) {
  if constexpr (DISTANCE == 0) {
    return both;
  } else {
    const Vector<S> shifted = __builtin_shufflevector(both, both, (LANE ^ DISTANCE)...);
    return halves_added<DISTANCE / 2, S>(both + shifted, lanes);
  }
}
template <class S, int... LANE>
GANART_INLINE Deviations quick_totals(Vector<S> sums, Vector<S> squares, std::integer_sequence<int, LANE...> lanes) {
  constexpr int N = sizeof...(LANE), HALF = N / 2;
  const Vector<S> both = __builtin_shufflevector(sums, squares, (LANE < HALF ? LANE : LANE + HALF)...) +
                         __builtin_shufflevector(sums, squares, (LANE < HALF ? LANE + HALF : LANE + N)...);
  const Vector<S> totals = halves_added<HALF / 2, S>(both, lanes);
  return {double(totals[0]), double(totals[HALF])};
}

// A row's differences from a centre, as one sum in each lane.
template <class Element>
struct LaneDeviations {
  Vector<Sum<Element>> sums, squares;
  double sums_of_zero;  // what the sums would add up to if all elements equalled the centre

#if defined(GANART_BFLOAT16_PAIRS)
  static constexpr bool BY_DOTS = sizeof(Element) == sizeof(Bfloat16);
#else
  static constexpr bool BY_DOTS = false;
#endif
  static constexpr double SUM_UNIT = BY_DOTS ? 4096 : 1;

  GANART_INLINE Deviations total() const {
    using S = Sum<Element>;
    if constexpr (sizeof(Element) == sizeof(S)) return {total_of<S>(sums), total_of<S>(squares)};
    const Deviations all = quick_totals<S>(sums, squares, std::make_integer_sequence<int, LANES<S>>{});
    return {SUM_UNIT * all.sum - sums_of_zero, all.squares};
  }
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

// The longest row that is one block. A first centre from a few elements costs bfloat16 no accuracy that its results show:
// what it differs from the mean by is part of the variance.
template <class Element>
constexpr int64_t SHORT_ROW = sizeof(Element) < sizeof(Sum<Element>) ? 4096 : 1024;

// The centre of a row's first block: about the mean of its start, or of some elements.
template <class Element>
GANART_INLINE Element first_centre(const Element* from, int64_t length) {
  if constexpr (sizeof(Element) < sizeof(Sum<Element>)) {
    const auto quarter_at = [=](int64_t i) GANART_INLINE_LAMBDA { return 0.25f * number_of(from[i]); };
    return element_of<Element>((quarter_at(0) + quarter_at(length / 4)) +
                               (quarter_at(length / 2) + quarter_at(length - 1)));
  } else {
    const int64_t count = smaller(SHORT_ROW<Element>, length);
    return element_of<Element>(double(number_of(from[0])) +
                               lane_deviations(from[0], from, count).total().sum / double(count));
  }
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

// Moments of a pair of vectors of channels, taken block by block; a block's pixels may come in several parts.
template <class Element>
struct LaneMoments {
  using S = Sum<Element>;
  static constexpr int N = STEP<Element>, L = WIDTH<Element>;
  static constexpr int64_t SHORTEST = 128;
  Pair<Element> centre, sum, square;
  Moments<N> moments;

  template <class Valid>
  GANART_INLINE void start(const Element* from, int64_t stride, int64_t pixels, Valid valid) {
    moments = Moments<N>{};
    centre = load_pair(from, valid), sum = square = Pair<Element>{};
    const int64_t count = smaller(SHORTEST, pixels);
    add(from, stride, count, valid);
    centre.first += sum.first / S(count), centre.second += sum.second / S(count);
    sum = square = Pair<Element>{};
  }
  // Adds pixels to the block.
  template <class Valid>
  GANART_INLINE void add(const Element* from, int64_t stride, int64_t pixels, Valid valid) {
    const Pair<Element> middle = centre;
    Pair<Element> sums = sum, squares = square;
    for (int64_t p = 0; p < pixels; ++p) {
      const Pair<Element> x = load_pair(from + p * stride, valid);
      const Vector<S> first = x.first - middle.first, second = x.second - middle.second;
      sums.first += first, squares.first += first * first;
      sums.second += second, squares.second += second * second;
    }
    sum = sums, square = squares;
  }
  void end_block(int64_t count) {
    double centres[N] = {}, sums[N] = {}, squares[N] = {};
    add_lanes<Element>(centre, centres);
    add_lanes<Element>(sum, sums);
    add_lanes<Element>(square, squares);
    moments.join(double(count), centres, sums, squares);
    for (int lane = 0; lane < L; ++lane)
      centre.first[lane] = S(moments.mean[lane]), centre.second[lane] = S(moments.mean[lane + L]);
    sum = square = Pair<Element>{};
  }
};

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

// Where channels are adjacent: pixels in pieces, and in small parts of those.
struct Pieces {
  // Pixels that are processed for one pair of vectors before the next: few enough to read and write in order.
  static constexpr int64_t PART = 8;
  int64_t pixels, channels, step, groups;
  int64_t piece, pieces;  // pixels of a piece, pieces

  Pieces(const Features& x, int64_t together)
      : pixels(x.pixels), channels(x.channels), step(together), groups((x.channels + together - 1) / together) {
    constexpr int64_t LEAST = 256, MOST = 4096;  // smaller pieces take less time than it takes to share them
    piece = smaller(larger(round_up((1 << 18) / channels, LEAST), LEAST), MOST);
    pieces = (pixels + piece - 1) / piece;
  }
  int64_t first(int64_t at) const { return at * piece; }
  int64_t end(int64_t at) const { return smaller(pixels, (at + 1) * piece); }

  // Calls early(sample, piece) for all pieces, between(sample) once all of a sample's are done, and then late(sample,
  // piece): for a sample at a time, which may stay in a cache meanwhile.
  template <class Early, class Between, class Late>
  void run(int64_t samples, RunTasks run, Early early, Between between, Late late) const {
    if (samples >= 8 || pieces == 1) {
      for_each(run, samples, [&](int64_t sample) {
        for (int64_t at = 0; at < pieces; ++at) early(sample, at);
        between(sample);
        for (int64_t at = 0; at < pieces; ++at) late(sample, at);
      });
    } else {
      for (int64_t sample = 0; sample < samples; ++sample) {
        for_each(run, pieces, [&](int64_t at) { early(sample, at); });
        between(sample);
        for_each(run, pieces, [&](int64_t at) { late(sample, at); });
      }
    }
  }
  // Calls body(channel, number of channels, a constant if whole) for each pair of vectors of channels.
  template <class Element, class Body>
  GANART_INLINE void for_groups(Body body) const {
    for (int64_t channel = 0; channel < channels; channel += step)
      with_valid<Element>(smaller(step, channels - channel),
                          [&](auto valid) GANART_INLINE_LAMBDA { body(channel, valid); });
  }
};

template <class Act, class Element>
void instance_norm_act_across(const Features& x, ChannelValues<Sum<Element>> weight, ChannelValues<Sum<Element>> bias,
                              Sum<Element> negative_slope, double eps, Element* y, Sum<Element>* means,
                              Sum<Element>* scales, RunTasks run) {
  using S = Sum<Element>;
  constexpr int N = STEP<Element>;
  const Channels<Element> cut(x);
  const auto* data = static_cast<const Element*>(x.data);
  const Pieces cuts(x, N);
  const int64_t groups = cuts.groups, stride = x.pixel_stride;
  const bool past_caches = cut.stores_past_caches(y);
  auto* parts = static_cast<Moments<N>*>(
      scratch(ScratchSlot::shared, x.samples * cuts.pieces * groups * int64_t(sizeof(Moments<N>))));
  const auto take_moments = [&](int64_t sample, int64_t piece) {
    auto* lanes = static_cast<LaneMoments<Element>*>(
        scratch(ScratchSlot::worker, groups * int64_t(sizeof(LaneMoments<Element>))));
    const Element* from = data + sample * x.sample_stride;
    const int64_t begin = cuts.first(piece), end = cuts.end(piece);
    cuts.for_groups<Element>([&](int64_t channel, auto valid) GANART_INLINE_LAMBDA {
      lanes[channel / N].start(from + begin * stride + channel, stride, end - begin, valid);
    });
    for (int64_t first = begin, count; first < end; first += count) {
      count = block_after(first - begin, LaneMoments<Element>::SHORTEST, LONGEST_BLOCK, end - begin);
      for (int64_t p = first; p < first + count; p += Pieces::PART)
        cuts.for_groups<Element>([&](int64_t channel, auto valid) GANART_INLINE_LAMBDA {
          lanes[channel / N].add(from + p * stride + channel, stride, smaller(Pieces::PART, first + count - p), valid);
        });
      for (int64_t g = 0; g < groups; ++g) lanes[g].end_block(count);
    }
    for (int64_t g = 0; g < groups; ++g) parts[(sample * cuts.pieces + piece) * groups + g] = lanes[g].moments;
    give_back_large_scratch(ScratchSlot::worker);
  };
  const auto join_pieces = [&](int64_t sample) {
    const double no_sums[N] = {};
    for (int64_t g = 0; g < groups; ++g) {
      Moments<N>* own = parts + sample * cuts.pieces * groups + g;
      for (int64_t p = 1; p < cuts.pieces; ++p)
        own->join(own[p * groups].count, own[p * groups].mean, no_sums, own[p * groups].squares);
      for (int64_t i = 0; i < smaller(N, x.channels - g * N); ++i) {
        means[sample * x.channels + g * N + i] = S(own->mean[place_in_pairs<Element>(i)]);
        scales[sample * x.channels + g * N + i] = S(own->scale(place_in_pairs<Element>(i), eps));
      }
    }
  };
  const auto normalize = [&](int64_t sample, int64_t piece) {
    using Normal = Normalizer<Act, Element>;
    auto* normals = static_cast<Normal*>(scratch(ScratchSlot::worker, 2 * groups * int64_t(sizeof(Normal))));
    const Element* from = data + sample * x.sample_stride;
    Element* to = y + sample * x.pixels * x.channels;
    cuts.for_groups<Element>([&](int64_t channel, auto valid) {
      const auto values = [&](ChannelValues<S> of) { return of.template pair<Element>(sample, channel, valid); };
      const auto mean = values({means, x.channels, 0}), scale = values({scales, x.channels, 0});
      const auto weights = values(weight), shift = values(bias);
      normals[channel / N * 2] = Normal(mean.first, scale.first * weights.first, shift.first, negative_slope);
      normals[channel / N * 2 + 1] = Normal(mean.second, scale.second * weights.second, shift.second, negative_slope);
    });
    for (int64_t first = cuts.first(piece); first < cuts.end(piece); first += Pieces::PART)
      cuts.for_groups<Element>([&](int64_t channel, auto valid) GANART_INLINE_LAMBDA {
        const Normal one = normals[channel / N * 2], other = normals[channel / N * 2 + 1];
        for (int64_t p = first; p < smaller(cuts.end(piece), first + Pieces::PART); ++p) {
          const Pair<Element> pair = load_pair(from + p * stride + channel, valid);
          const Pair<Element> result{one(pair.first), other(pair.second)};
          if (past_caches && valid == N)
            stream_pair(to + p * x.channels + channel, result);
          else
            store_pair(to + p * x.channels + channel, result, valid);
        }
      });
    if (past_caches) end_streaming();
    give_back_large_scratch(ScratchSlot::worker);
  };
  cuts.run(x.samples, cut.runner(run), take_moments, join_pieces, normalize);
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
  constexpr bool FEW_BYTES = sizeof(Element) < sizeof(S);
  const int64_t row_bytes = x.pixels * int64_t(sizeof(Element));
  const double inverse = 1 / double(x.pixels);
  // Short rows are processed a few at a time, so that the processor need not wait for what follows from one row's sums
  // but works on others meanwhile; few enough for the first-level cache.
  for_rows_of_channels<4>(
      cut, x.pixels > SHORT_ROW<Element> ? 1 : (FEW_BYTES ? 16384 : 4096) / row_bytes, run,
      [&](const auto& rows) GANART_INLINE_LAMBDA {
        const auto from = [&](int i) GANART_INLINE_LAMBDA {
          return data + rows.sample[i] * x.sample_stride + rows.channel[i] * x.channel_stride;
        };
        if (x.pixels > SHORT_ROW<Element>) {
          for (int i = 0; i < rows.count; ++i) {
            const Moments<1> moments = row_moments(from(i), x.pixels);
            means[rows.first + i] = S(moments.mean[0]);
            scales[rows.first + i] = S(moments.scale(0, eps));
          }
        } else {
          LaneDeviations<Element> deviations[4];
          Element centres[4];
          for (int i = 0; i < rows.count; ++i) {
            centres[i] = first_centre(from(i), x.pixels);
            deviations[i] = lane_deviations(centres[i], from(i), x.pixels);
          }
          for (int i = 0; i < rows.count; ++i) {
            const Deviations total = deviations[i].total();
            const double offset = total.sum * inverse, variance = total.squares * inverse - offset * offset;
            means[rows.first + i] = S(double(number_of(centres[i])) + offset);
            scales[rows.first + i] = S(1 / __builtin_sqrt((variance < 0 ? 0.0 : variance) + eps));
          }
        }
        for (int i = 0; i < rows.count; ++i) {
          const int64_t row = rows.first + i, sample = rows.sample[i], channel = rows.channel[i];
          const Element* in = from(i);
          const Normalizer<Act, Element> normal(splat(means[row]), splat(scales[row] * weight.at(sample, channel)),
                                                splat(bias.at(sample, channel)), negative_slope);
          write_row(y + row * x.pixels, x.pixels, past_caches, [=](int64_t i, auto valid) GANART_INLINE_LAMBDA {
            const Pair<Element> pair = load_pair(in + i, valid);
            return Pair<Element>{normal(pair.first), normal(pair.second)};
          });
        }
      },
      past_caches);
}

// ---- backward ----

// Of a channel, or of a vector of them. Where Normalizer folds the mean into the shift, all that is linear in x is.
template <class Act, class Element>
struct NormBackward {
  using S = Sum<Element>;
  using V = Vector<S>;
  static constexpr bool FOLDED = sizeof(Element) < sizeof(S);
  V mean, scale, weight, bias;
  S negative_slope;
  V offset, slope_of_z, offset_of_z, factor{}, from_sum{}, from_product{};

  GANART_INLINE NormBackward(V mean, V scale, V weight, V bias, S slope)
      : mean(mean), scale(scale), weight(weight), bias(bias), negative_slope(slope), offset(V{} - mean * scale),
        slope_of_z(scale * weight), offset_of_z(offset * weight + bias) {}

  GANART_INLINE V normal(V x) const {
    if constexpr (FOLDED) return x * scale + offset;
    return (x - mean) * scale;
  }
  // The gradient before the activation.
  GANART_INLINE V inner(V x, V grad) const {
    const V z = FOLDED ? x * slope_of_z + offset_of_z : normal(x) * weight + bias;
    if constexpr (__is_same(Act, Relu)) return z > S(0) ? grad : V{};
    return grad * slope_at<Act>(z, negative_slope);
  }
  // First every point is added up.
  GANART_INLINE void add(V x, V grad, V& sum, V& product) const {
    const V value = inner(x, grad);
    sum += value;
    product += value * normal(x);
  }
  // Then the means of these sums give the result at each point.
  GANART_INLINE void use_means(V mean_sum, V mean_product) {
    factor = weight * scale;
    from_sum = factor * mean_sum;
    from_product = factor * mean_product;
    if constexpr (FOLDED) {
      from_sum += from_product * offset;
      from_product *= scale;
    }
  }
  GANART_INLINE V result(V x, V grad) const {
    return factor * inner(x, grad) - ((FOLDED ? x : normal(x)) * from_product + from_sum);
  }
};

template <class Act, class Element>
void instance_norm_act_backward_across(const Features& grad, const Features& x, const Sum<Element>* means,
                                       const Sum<Element>* scales, ChannelValues<Sum<Element>> weight,
                                       ChannelValues<Sum<Element>> bias, Sum<Element> negative_slope, Element* grad_x,
                                       Sum<Element>* grad_weight, Sum<Element>* grad_bias, RunTasks run) {
  using S = Sum<Element>;
  using Backward = NormBackward<Act, Element>;
  constexpr int L = LANES<S>, N = STEP<Element>;
  struct Totals {
    double sums[N], products[N];
  };
  struct Lanes {
    Pair<Element> sum, product;
    Totals totals;
  };
  const Channels<Element> cut(x);
  const Pieces cuts(x, N);
  const int64_t groups = cuts.groups;
  const bool past_caches = cut.stores_past_caches(grad_x);
  const auto* data = static_cast<const Element*>(x.data);
  const auto* incoming = static_cast<const Element*>(grad.data);
  auto* parts =
      static_cast<Totals*>(scratch(ScratchSlot::shared, x.samples * cuts.pieces * groups * int64_t(sizeof(Totals))));
  // Two for each pair of vectors.
  const auto prepare = [&](int64_t sample, Backward* backwards) {
    cuts.for_groups<Element>([&](int64_t channel, auto valid) {
      const auto values = [&](ChannelValues<S> of) { return of.template pair<Element>(sample, channel, valid); };
      const auto mean = values({means, x.channels, 0}), scale = values({scales, x.channels, 0});
      const auto weights = values(weight), shift = values(bias);
      Backward* two = backwards + channel / N * 2;
      two[0] = Backward(mean.first, scale.first, weights.first, shift.first, negative_slope);
      two[1] = Backward(mean.second, scale.second, weights.second, shift.second, negative_slope);
    });
  };
  const auto add_up = [&](int64_t sample, int64_t piece) {
    auto* backwards =
        static_cast<Backward*>(scratch(ScratchSlot::worker, groups * int64_t(2 * sizeof(Backward) + sizeof(Lanes))));
    auto* lanes = reinterpret_cast<Lanes*>(backwards + 2 * groups);
    prepare(sample, backwards);
    for (int64_t g = 0; g < groups; ++g) lanes[g] = Lanes{};
    const Element *from = data + sample * x.sample_stride, *outer = incoming + sample * grad.sample_stride;
    for (int64_t first = cuts.first(piece), end; first < cuts.end(piece); first = end) {
      end = smaller(cuts.end(piece), first + LONGEST_BLOCK / 4);
      for (int64_t part = first; part < end; part += Pieces::PART)
        cuts.for_groups<Element>([&](int64_t channel, auto valid) GANART_INLINE_LAMBDA {
          const int64_t g = channel / N;
          const Backward one = backwards[2 * g], other = backwards[2 * g + 1];
          Pair<Element> sum = lanes[g].sum, product = lanes[g].product;
          for (int64_t p = part; p < smaller(end, part + Pieces::PART); ++p) {
            const Pair<Element> own = load_pair(from + p * x.pixel_stride + channel, valid);
            const Pair<Element> gradient = load_pair(outer + p * grad.pixel_stride + channel, valid);
            one.add(own.first, gradient.first, sum.first, product.first);
            other.add(own.second, gradient.second, sum.second, product.second);
          }
          lanes[g].sum = sum, lanes[g].product = product;
        });
      for (int64_t g = 0; g < groups; ++g) {
        add_lanes<Element>(lanes[g].sum, lanes[g].totals.sums);
        add_lanes<Element>(lanes[g].product, lanes[g].totals.products);
        lanes[g].sum = lanes[g].product = Pair<Element>{};
      }
    }
    for (int64_t g = 0; g < groups; ++g) parts[(sample * cuts.pieces + piece) * groups + g] = lanes[g].totals;
    give_back_large_scratch(ScratchSlot::worker);
  };
  const auto join_pieces = [&](int64_t sample) {
    for (int64_t g = 0; g < groups; ++g) {
      Totals* own = parts + sample * cuts.pieces * groups + g;
      for (int64_t p = 1; p < cuts.pieces; ++p)
        for (int lane = 0; lane < N; ++lane) {
          own->sums[lane] += own[p * groups].sums[lane];
          own->products[lane] += own[p * groups].products[lane];
        }
      for (int64_t i = 0; i < smaller(N, x.channels - g * N); ++i) {
        grad_bias[sample * x.channels + g * N + i] = S(own->sums[place_in_pairs<Element>(i)]);
        grad_weight[sample * x.channels + g * N + i] = S(own->products[place_in_pairs<Element>(i)]);
      }
    }
  };
  const auto write_results = [&](int64_t sample, int64_t piece) {
    auto* backwards = static_cast<Backward*>(scratch(ScratchSlot::worker, groups * int64_t(2 * sizeof(Backward))));
    prepare(sample, backwards);
    const double pixels = double(x.pixels);
    for (int64_t g = 0; g < groups; ++g) {
      const Totals& all = parts[sample * cuts.pieces * groups + g];
      Pair<Element> sum{}, product{};
      for (int lane = 0; lane < L; ++lane) {
        sum.first[lane] = S(all.sums[lane] / pixels), sum.second[lane] = S(all.sums[lane + L] / pixels);
        product.first[lane] = S(all.products[lane] / pixels), product.second[lane] = S(all.products[lane + L] / pixels);
      }
      backwards[2 * g].use_means(sum.first, product.first);
      backwards[2 * g + 1].use_means(sum.second, product.second);
    }
    const Element *from = data + sample * x.sample_stride, *outer = incoming + sample * grad.sample_stride;
    Element* to = grad_x + sample * x.pixels * x.channels;
    for (int64_t part = cuts.first(piece); part < cuts.end(piece); part += Pieces::PART)
      cuts.for_groups<Element>([&](int64_t channel, auto valid) GANART_INLINE_LAMBDA {
        const Backward one = backwards[channel / N * 2], other = backwards[channel / N * 2 + 1];
        for (int64_t p = part; p < smaller(cuts.end(piece), part + Pieces::PART); ++p) {
          const Pair<Element> own = load_pair(from + p * x.pixel_stride + channel, valid);
          const Pair<Element> g = load_pair(outer + p * grad.pixel_stride + channel, valid);
          const Pair<Element> result{one.result(own.first, g.first), other.result(own.second, g.second)};
          if (past_caches && valid == N)
            stream_pair(to + p * x.channels + channel, result);
          else
            store_pair(to + p * x.channels + channel, result, valid);
        }
      });
    if (past_caches) end_streaming();
    give_back_large_scratch(ScratchSlot::worker);
  };
  cuts.run(x.samples, cut.runner(run), add_up, join_pieces, write_results);
  give_back_large_scratch(ScratchSlot::shared);
}

template <class Act, class Element>
void instance_norm_act_backward(const Features& grad, const Features& x, const Sum<Element>* means,
                                const Sum<Element>* scales, ChannelValues<Sum<Element>> weight,
                                ChannelValues<Sum<Element>> bias, Sum<Element> negative_slope, Element* grad_x,
                                Sum<Element>* grad_weight, Sum<Element>* grad_bias, RunTasks run) {
  using S = Sum<Element>;
  constexpr int N = STEP<Element>;
  const Channels<Element> cut(x);
  const auto* data = static_cast<const Element*>(x.data);
  const auto* incoming = static_cast<const Element*>(grad.data);
  const bool past_caches = cut.stores_past_caches(grad_x);
  const double pixels = double(x.pixels);
  if (cut.across)
    return instance_norm_act_backward_across<Act>(grad, x, means, scales, weight, bias, negative_slope, grad_x,
                                                  grad_weight, grad_bias, run);
  // More rows of 4 KiB would share the sets of the first-level cache. A row of several is a block or less.
  constexpr bool FEW_BYTES = sizeof(Element) < sizeof(S);
  const int64_t row_bytes = x.pixels * int64_t(sizeof(Element));
  constexpr int64_t BLOCK = LONGEST_BLOCK / 2 * N;
  for_rows_of_channels<4>(
      cut, (FEW_BYTES ? 8192 : 4096) / row_bytes, run,
      [&](const auto& rows) GANART_INLINE_LAMBDA {
        const auto backward_of = [&](int i) GANART_INLINE_LAMBDA {
          const int64_t row = rows.first + i, sample = rows.sample[i], channel = rows.channel[i];
          return NormBackward<Act, Element>(splat(means[row]), splat(scales[row]), splat(weight.at(sample, channel)),
                                            splat(bias.at(sample, channel)), negative_slope);
        };
        const auto row_of = [&](const Features& f, const Element* all, int i) GANART_INLINE_LAMBDA {
          return all + rows.sample[i] * f.sample_stride + rows.channel[i] * f.channel_stride;
        };
        double totals[4] = {}, products[4] = {};
        for (int64_t first = 0; first < x.pixels; first += BLOCK) {
          Vector<S> sums[4], product_sums[4];
          const int64_t end = smaller(x.pixels, first + BLOCK);
          for (int row = 0; row < rows.count; ++row) {
            const auto backward = backward_of(row);
            const Element *own_row = row_of(x, data, row), *outer = row_of(grad, incoming, row);
            Vector<S> sum[2] = {}, product[2] = {};
            const auto add = [&](int64_t i, auto valid) GANART_INLINE_LAMBDA {
              // Elements past the end have a gradient of 0.
              const Pair<Element> own = load_pair(own_row + i, valid), g = load_pair(outer + i, valid);
              backward.add(own.first, g.first, sum[0], product[0]);
              backward.add(own.second, g.second, sum[1], product[1]);
            };
            int64_t i = first;
            for (; i + N <= end; i += N) add(i, Whole<Element>{});
            if (i < end) add(i, end - i);
            sums[row] = sum[0] + sum[1], product_sums[row] = product[0] + product[1];
          }
          for (int row = 0; row < rows.count; ++row) {
            totals[row] += total_of<S>(sums[row]);
            products[row] += total_of<S>(product_sums[row]);
          }
        }
        for (int row = 0; row < rows.count; ++row) {
          const int64_t at = rows.first + row;
          grad_bias[at] = S(totals[row]);
          grad_weight[at] = S(products[row]);
          auto backward = backward_of(row);
          backward.use_means(splat(S(totals[row] / pixels)), splat(S(products[row] / pixels)));
          const Element *own_row = row_of(x, data, row), *outer = row_of(grad, incoming, row);
          write_row(grad_x + at * x.pixels, x.pixels, past_caches, [=](int64_t i, auto valid) GANART_INLINE_LAMBDA {
            const Pair<Element> own = load_pair(own_row + i, valid), g = load_pair(outer + i, valid);
            return Pair<Element>{backward.result(own.first, g.first), backward.result(own.second, g.second)};
          });
        }
      },
      past_caches);
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
