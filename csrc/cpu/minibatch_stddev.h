// Minibatch standard deviation on the CPU.
//
// Formula   s = sqrt(variance over a group's samples + 1e-8) at each channel and pixel; y = x and, appended to each
//           sample of the group, the mean of s over the pixels and over each run of channels, as a channel. grad_x =
//           grad + t * (x - mean) / s, t = sum of grad over the appended channel, in all samples of the group, /
//           (samples of the group * channels of the run * pixels).
// Shapes    x, grad_x [N, C, P], y, grad [N, C + runs, P], pixels or channels adjacent.
// Cost      forward one read and one write; backward two reads and one write.
// Sums      over a group, of differences from its first sample, in float (double for double): the variance loses no
//           more than one rounding per sample. Pieces are added in double; their sizes depend on shapes alone.
// Repeats   bit for bit.
#pragma once

#include "common/parameters.h"
#include "cpu/kernels.h"

namespace ganart::cpu {

struct MinibatchStddevKernels {
  // y [N, C + runs, P].
  void (*forward)(const Features& x, const SampleGroups& groups, void* y, RunTasks run);

  // grad [N, C + runs, P].
  void (*backward)(const Features& grad, const Features& x, const SampleGroups& groups, void* grad_x, RunTasks run);
};
GANART_DECLARE_KERNELS(MinibatchStddevKernels, minibatch_stddev_kernels)

}  // namespace ganart::cpu

#if defined(GANART_LEVEL)

#include "cpu/rows.h"

namespace ganart::cpu::GANART_LEVEL {
namespace {

constexpr double STDDEV_EPSILON = 1e-8;

// For a pair of places, the mean of a group relative to its first sample, and the standard deviation.
template <class Element>
struct Spread {
  Pair<Element> mean, deviation;
};

// The members' elements are `stride` apart.
template <class Element>
GANART_INLINE Spread<Element> spread_of(const Element* from, int64_t stride, int64_t members, int64_t valid) {
  using S = Sum<Element>;
  const Pair<Element> first = load_pair(from, valid);
  Pair<Element> sums{}, squares{};
  for (int64_t member = 1; member < members; ++member) {
    const Pair<Element> other = load_pair(from + member * stride, valid);
    const Vector<S> one = other.first - first.first, two = other.second - first.second;
    sums.first += one, squares.first += one * one;
    sums.second += two, squares.second += two * two;
  }
  const S share = S(1) / S(members);
  const auto root = [=](Vector<S> square, Vector<S> sum) {
    const Vector<S> variance = (square - sum * sum * share) * share;
    return square_root<S>(at_least<S>(Vector<S>{}, variance) + S(STDDEV_EPSILON));  // negative through rounding only
  };
  return {{sums.first * share, sums.second * share},
          {root(squares.first, sums.first), root(squares.second, sums.second)}};
}

// Each run of a group's channels as rows with the same layout in all samples, of x and of the wider features (y, or its
// gradient) with appended channels. Rows are divided into pieces, which stay in the caches until all samples have been
// read again, and are written one after another, since memory is fastest with few streams. Tasks take turns with
// pieces.
struct GroupRows {
  static constexpr int64_t PIECE_ELEMENTS = 4096, SHORTEST_PIECE = 128, TASK_ELEMENTS = 16384;

  const Features &x, &wide;
  SampleGroups groups;
  bool across;
  int64_t channels;  // of a run
  int64_t rows, length, x_stride, wide_stride, result_stride;
  int64_t piece, pieces, pieces_per_task, tasks_per_run, tasks;

  GroupRows(const Features& x, const Features& wide, const SampleGroups& groups, int64_t step)
      : x(x), wide(wide), groups(groups), across(x.pixel_stride != 1), channels(x.channels / groups.runs),
        rows(across ? x.pixels : channels), length(across ? channels : x.pixels),
        x_stride(across ? x.pixel_stride : x.channel_stride),
        wide_stride(across ? wide.pixel_stride : wide.channel_stride), result_stride(across ? x.channels : x.pixels) {
    if (x_stride == length && wide_stride == length && result_stride == length) length *= rows, rows = 1;
    piece = smaller(length, round_up(larger(PIECE_ELEMENTS / groups.size, SHORTEST_PIECE), step));
    pieces = (length + piece - 1) / piece;
    pieces_per_task = larger(1, TASK_ELEMENTS / (piece * groups.size));
    tasks_per_run = (rows * pieces + pieces_per_task - 1) / pieces_per_task;
    tasks = groups.count * groups.runs * tasks_per_run;
  }

  int64_t elements() const { return x.samples * x.channels * x.pixels; }
  RunTasks runner(RunTasks run) const { return elements() < Rows::SERIAL_ELEMENTS ? run_serially : run; }

  // Whether a result with these strides leaves the caches before it is next read, and is aligned for streaming stores.
  bool stores_past_caches(const void* to, int64_t sample_stride, int64_t row_stride, int64_t size) const {
    const int64_t run_stride = channels * (across ? 1 : x.pixels);
    const int64_t bytes = (sample_stride | run_stride | (rows > 1 ? row_stride : 0)) * size;
    return elements() * size >= Rows::PAST_CACHES && (uintptr_t(to) | uintptr_t(bytes)) % GANART_VECTOR_BYTES == 0;
  }

  int64_t first_sample(int64_t group) const { return group * groups.group_step; }

  // Calls body(first sample, run, row, place on the row, count) for each piece of a task.
  template <class Body>
  GANART_INLINE void for_pieces(int64_t task, Body body) const {
    const int64_t of_run = task / tasks_per_run, sample = first_sample(of_run / groups.runs),
                  run = of_run % groups.runs;
    const int64_t first = task % tasks_per_run * pieces_per_task;
    for (int64_t unit = first; unit < smaller(rows * pieces, first + pieces_per_task); ++unit) {
      const int64_t place = unit % pieces * piece;
      body(sample, run, unit / pieces, place, smaller(piece, length - place));
    }
  }

  // The offset of a run's channels.
  GANART_INLINE int64_t run_offset(int64_t run, int64_t channel_stride) const {
    return run * channels * channel_stride;
  }
};

// Ones for the first `valid` elements of a pair, else zeros.
template <class Element>
Pair<Element> presence(int64_t valid) {
  Sum<Element> lanes[STEP<Element>] = {};
  for (int64_t i = 0; i < valid; ++i) lanes[place_in_pairs<Element>(i)] = 1;
  return {load(lanes), load(lanes + WIDTH<Element>)};
}

// The sum of `count` elements that are `stride` apart.
template <class Element>
double total_of_line(const Element* from, int64_t stride, int64_t count) {
  double total = 0;
  if (stride != 1) {
    for (int64_t i = 0; i < count; ++i) total += double(number_of(from[i * stride]));
    return total;
  }
  for (int64_t begin = 0; begin < count; begin += Rows::PIECE_ELEMENTS) {
    Pair<Element> sum{};
    for_steps<Element>(smaller(Rows::PIECE_ELEMENTS, count - begin), [&](int64_t i, auto valid) {
      const Pair<Element> values = load_pair(from + begin + i, valid);
      sum.first += values.first, sum.second += values.second;
    });
    total += total_of<Sum<Element>>(sum.first + sum.second);
  }
  return total;
}

template <class Element>
void minibatch_stddev(const Features& x, const Features& wide, const SampleGroups& groups, Element* y, RunTasks run) {
  using S = Sum<Element>;
  const GroupRows cut(x, wide, groups, STEP<Element>);
  const int64_t members = groups.size, x_step = groups.member_step * x.sample_stride;
  const int64_t y_step = groups.member_step * wide.sample_stride;
  const bool past_caches = cut.stores_past_caches(y, wide.sample_stride, cut.wide_stride, sizeof(Element));
  auto* sums = static_cast<double*>(scratch(ScratchSlot::shared, cut.tasks * sizeof(double)));
  for_each(cut.runner(run), cut.tasks, [&](int64_t task) {
    double total = 0;
    cut.for_pieces(task, [&](int64_t sample, int64_t run, int64_t row, int64_t place, int64_t count) {
      const Element* from = static_cast<const Element*>(x.data) + sample * x.sample_stride +
                            cut.run_offset(run, x.channel_stride) + row * cut.x_stride + place;
      Element* to = y + sample * wide.sample_stride + cut.run_offset(run, wide.channel_stride) + row * cut.wide_stride +
                    place;
      for (int64_t member = 0; member < members; ++member)
        copy_row(to + member * y_step, from + member * x_step, count, past_caches);
      Vector<S> sum{};
      for_steps<Element>(count, [&](int64_t i, auto valid) {
        const Pair<Element> deviation = spread_of(from + i, x_step, members, valid).deviation;
        if (valid == STEP<Element>) {
          sum += deviation.first + deviation.second;
        } else {
          const Pair<Element> present = presence<Element>(valid);
          sum += deviation.first * present.first + deviation.second * present.second;
        }
      });
      total += total_of<S>(sum);
    });
    sums[task] = total;
    if (past_caches) end_streaming();
  });
  for_each(cut.runner(run), groups.count * groups.runs, [&](int64_t of_run) {
    const int64_t sample = cut.first_sample(of_run / groups.runs), channel = x.channels + of_run % groups.runs;
    double total = 0;
    for (int64_t task = 0; task < cut.tasks_per_run; ++task) total += sums[of_run * cut.tasks_per_run + task];
    const auto value = element_of<Element>(total / double(cut.channels * x.pixels));
    for (int64_t member = 0; member < members; ++member) {
      Element* to = y + (sample + member * groups.member_step) * wide.sample_stride + channel * wide.channel_stride;
      for (int64_t p = 0; p < x.pixels; ++p) to[p * wide.pixel_stride] = value;
    }
  });
  give_back_large_scratch(ScratchSlot::shared);
}

template <class Element>
void minibatch_stddev_backward(const Features& grad, const Features& x, const SampleGroups& groups, Element* grad_x,
                               RunTasks run) {
  using S = Sum<Element>;
  constexpr int L = LANES<S>;
  const GroupRows cut(x, grad, groups, STEP<Element>);
  const auto* incoming = static_cast<const Element*>(grad.data);
  const int64_t members = groups.size, x_step = groups.member_step * x.sample_stride;
  const int64_t grad_step = groups.member_step * grad.sample_stride, to_stride = x.channels * x.pixels;
  const int64_t to_step = groups.member_step * to_stride;
  const bool past_caches = cut.stores_past_caches(grad_x, to_stride, cut.result_stride, sizeof(Element));
  auto* factors = static_cast<S*>(scratch(ScratchSlot::shared, groups.count * groups.runs * sizeof(S)));
  for_each(cut.runner(run), groups.count * groups.runs, [&](int64_t of_run) {
    const int64_t sample = cut.first_sample(of_run / groups.runs), channel = x.channels + of_run % groups.runs;
    double total = 0;
    for (int64_t member = 0; member < members; ++member)
      total += total_of_line(
          incoming + (sample + member * groups.member_step) * grad.sample_stride + channel * grad.channel_stride,
          grad.pixel_stride, grad.pixels);
    factors[of_run] = S(total / (double(members) * double(cut.channels) * double(x.pixels)));
  });
  for_each(cut.runner(run), cut.tasks, [&](int64_t task) {
    const Vector<S> factor = splat(factors[task / cut.tasks_per_run]);
    const int64_t width = round_up(cut.piece, STEP<Element>);
    S *means = static_cast<S*>(scratch(ScratchSlot::worker, 2 * width * sizeof(S))), *scales = means + width;
    cut.for_pieces(task, [&](int64_t sample, int64_t run, int64_t row, int64_t place, int64_t count) {
      const Element* own = static_cast<const Element*>(x.data) + sample * x.sample_stride +
                           cut.run_offset(run, x.channel_stride) + row * cut.x_stride + place;
      const Element* outer = incoming + sample * grad.sample_stride + cut.run_offset(run, grad.channel_stride) +
                             row * cut.wide_stride + place;
      Element* to = grad_x + sample * to_stride + cut.run_offset(run, cut.across ? 1 : x.pixels) +
                    row * cut.result_stride + place;
      for_steps<Element>(count, [=](int64_t i, auto valid) {
        const Spread<Element> spread = spread_of(own + i, x_step, members, valid);
        store(means + i, spread.mean.first), store(means + i + L, spread.mean.second);
        store(scales + i, factor / spread.deviation.first), store(scales + i + L, factor / spread.deviation.second);
      });
      for (int64_t member = 0; member < members; ++member) {
        const Element *values = own + member * x_step, *gradients = outer + member * grad_step;
        write_row(to + member * to_step, count, past_caches, [=](int64_t i, auto valid) {
          const Pair<Element> value = load_pair(values + i, valid), first = load_pair(own + i, valid);
          const Pair<Element> g = load_pair(gradients + i, valid);
          return Pair<Element>{g.first + (value.first - first.first - load(means + i)) * load(scales + i),
                               g.second + (value.second - first.second - load(means + i + L)) * load(scales + i + L)};
        });
      }
    });
    if (past_caches) end_streaming();
  });
  give_back_large_scratch(ScratchSlot::shared);
}

void minibatch_stddev_of_type(const Features& x, const SampleGroups& groups, void* y, RunTasks run) {
  const int64_t channels = x.channels + groups.runs;
  const bool across = x.pixel_stride != 1;
  const Features wide{
      y, x.type, x.samples, channels, x.pixels, channels * x.pixels, across ? 1 : x.pixels, across ? channels : 1};
  with_element(x.type,
               [&](auto element) { minibatch_stddev(x, wide, groups, static_cast<decltype(element)*>(y), run); });
}

void minibatch_stddev_backward_of_type(const Features& grad, const Features& x, const SampleGroups& groups,
                                       void* grad_x, RunTasks run) {
  with_element(x.type, [&](auto element) {
    minibatch_stddev_backward(grad, x, groups, static_cast<decltype(element)*>(grad_x), run);
  });
}

}  // namespace

const MinibatchStddevKernels minibatch_stddev_kernels{
    .forward = minibatch_stddev_of_type,
    .backward = minibatch_stddev_backward_of_type,
};

}  // namespace ganart::cpu::GANART_LEVEL

#endif
