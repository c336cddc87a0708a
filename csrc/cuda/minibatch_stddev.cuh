// Kernels of minibatch standard deviation. No torch, no launch.
//
// Formula   s = sqrt(variance over a group's samples + 1e-8) at each channel and pixel; y = x and, appended to each
//           sample of the group, the mean of s over the pixels and over each run of channels, as a channel. grad_x =
//           grad + t * (x - mean) / s, t = sum of grad over the appended channel, in all samples of the group, /
//           (samples of the group * channels of the run * pixels).
// Layouts   rows of adjacent elements, at any alignment: 16 bytes a thread where all starts allow, else single
//           elements.
// Bytes     forward one read and one write; backward two reads and one write: a thread finds what it reads a second
//           time in L1. What is appended takes a kernel of its own.
// Sums      over a group, of differences from its first sample, in float (double for double): the variance loses no
//           more than one rounding per sample. Sums of blocks have the same type and are added in double.
// Repeats   bit for bit: how blocks divide the work depends on sizes alone; no atomics.
#pragma once

#include "common/parameters.h"
#include "lines.cuh"
#include "reductions.cuh"

namespace ganart::cuda {

constexpr int stddev_threads = 256;
constexpr int stddev_runs = 8;  // that a thread adds up, of a group's samples each
constexpr double stddev_epsilon = 1e-8;

// Where a run of a group's channels lies, in x or in features that are wider: rows of adjacent elements.
template <class Element>
struct RunView {
  Element* data;
  int64_t sample_stride, run_stride, row_stride;

  GANART_DEVICE Element* start(int64_t sample, int64_t run) const {
    return data + sample * sample_stride + run * run_stride;
  }
};

// The elements of a run, row by row, and the parts they are cut into, one a block.
template <class Index>
struct RunShape {
  SampleGroups groups;
  Index size;
  Divisor<Index> length;
  int64_t part, parts;  // elements, and how many

  RunShape(const SampleGroups& groups, int64_t rows, int64_t length, int count)
      : groups(groups), size(static_cast<Index>(rows * length)), length(length),
        part(int64_t{stddev_threads} * stddev_runs * count), parts(ceil_divide(rows * length, part)) {}

  int64_t blocks() const { return groups.count * groups.runs * parts; }
};

// Which part of which run of which group a block has; the group's first sample.
template <class Index>
struct RunTask {
  int64_t of_run, sample, run;
  Index begin, end;

  GANART_DEVICE explicit RunTask(const RunShape<Index>& shape)
      : of_run(blockIdx.x / shape.parts), sample(of_run / shape.groups.runs * shape.groups.group_step),
        run(of_run % shape.groups.runs), begin(static_cast<Index>(blockIdx.x % shape.parts * shape.part)),
        end(smaller(shape.size, static_cast<Index>(begin + static_cast<Index>(shape.part)))) {}
};

// How far the mean of a group is from its first sample, and its standard deviation, for a run of elements.
template <class S, int count>
struct GroupSpread {
  S mean[count], deviation[count];

  // Calls visit(member, its run of elements) on the way.
  template <class Element, class Visit>
  GANART_DEVICE GroupSpread(const Element* from, int64_t stride, int64_t members, const Visit& visit) {
    const Run<Element, count> first = load_run<count>(from);
    visit(0, first);
    S sums[count] = {}, squares[count] = {};
#pragma unroll 4
    for (int64_t member = 1; member < members; ++member) {
      const Run<Element, count> other = load_run<count>(from + member * stride);
      visit(member, other);
#pragma unroll
      for (int j = 0; j < count; ++j) {
        const S difference = widen(other.elements[j]) - widen(first.elements[j]);
        sums[j] += difference, squares[j] += difference * difference;
      }
    }
    const S share = S(1) / static_cast<S>(members);
#pragma unroll
    for (int j = 0; j < count; ++j) {
      const S variance = (squares[j] - sums[j] * sums[j] * share) * share;
      mean[j] = sums[j] * share;
      // Below 0 by rounding only; of NaN it stays NaN.
      deviation[j] = sqrt((variance < S(0) ? S(0) : variance) + static_cast<S>(stddev_epsilon));
    }
  }
};

// x's channels into y, and the sums of deviations, one a block.
template <class Element, class Index, int count>
__global__ void __launch_bounds__(stddev_threads, 2)
    minibatch_stddev_parts(RunShape<Index> shape, RunView<const Element> x, RunView<Element> y,
                           Sum<Element>* __restrict__ partials) {
  using S = Sum<Element>;
  const RunTask<Index> task(shape);
  const Element* const from = x.start(task.sample, task.run);
  Element* const to = y.start(task.sample, task.run);
  const int64_t x_step = shape.groups.member_step * x.sample_stride;
  const int64_t y_step = shape.groups.member_step * y.sample_stride;
  S sum = 0;
#pragma unroll 1
  for (Index i = task.begin + threadIdx.x * count; i < task.end; i += stddev_threads * count) {
    const Index row = shape.length.divide(i), place = i - row * shape.length.value;
    Element* const copy = to + row * y.row_stride + place;
    const GroupSpread<S, count> spread(
        from + row * x.row_stride + place, x_step, shape.groups.size,
        [&](int64_t member, const Run<Element, count>& run) { store_run(copy + member * y_step, run); });
#pragma unroll
    for (int j = 0; j < count; ++j) sum += spread.deviation[j];
  }
  sum = sum_over_team<Team::block, 0>(sum, stddev_threads);
  if (threadIdx.x == 0) partials[blockIdx.x] = sum;
}

// The sum of a run's partial sums: every thread of the block gets it.
template <class S>
GANART_DEVICE double sum_of_partials(const S* partials, int64_t count) {
  double sum = 0;
  for (int64_t i = threadIdx.x; i < count; i += stddev_threads) sum += partials[i];
  return sum_over_team<Team::block, 1>(sum, stddev_threads);
}

// Appended channels of y or of its gradient, cut into parts, one a block.
struct AppendedPlan {
  SampleGroups groups;
  int64_t first, pixels, sample_stride, channel_stride, pixel_stride;  // first: the channel
  int64_t parts;

  static constexpr int64_t part = int64_t{stddev_threads} * 4;  // pixels
  int64_t blocks() const { return groups.count * groups.runs * parts; }
};

struct AppendedTask {
  int64_t of_run, offset, begin, end;  // offset: of the channel in the group's first sample

  GANART_DEVICE explicit AppendedTask(const AppendedPlan& plan) : of_run(blockIdx.x / plan.parts) {
    const int64_t sample = of_run / plan.groups.runs * plan.groups.group_step;
    offset = sample * plan.sample_stride + (plan.first + of_run % plan.groups.runs) * plan.channel_stride;
    begin = blockIdx.x % plan.parts * AppendedPlan::part;
    end = smaller(plan.pixels, begin + AppendedPlan::part);
  }
};

template <class Element>
__global__ void __launch_bounds__(stddev_threads)
    minibatch_stddev_append(AppendedPlan plan, const Sum<Element>* partials, int64_t partials_per_run, double divisor,
                            Element* __restrict__ y) {
  const AppendedTask task(plan);
  const double total = sum_of_partials(partials + task.of_run * partials_per_run, partials_per_run);
  const Element value = round_to(Element{}, static_cast<Sum<Element>>(total / divisor));
  for (int64_t member = 0; member < plan.groups.size; ++member) {
    Element* const to = y + task.offset + member * plan.groups.member_step * plan.sample_stride;
    for (int64_t pixel = task.begin + threadIdx.x; pixel < task.end; pixel += stddev_threads) {
      to[pixel * plan.pixel_stride] = value;
    }
  }
}

template <class Element>
__global__ void __launch_bounds__(stddev_threads)
    minibatch_stddev_gradient_sums(AppendedPlan plan, const Element* grad, Sum<Element>* __restrict__ partials) {
  const AppendedTask task(plan);
  Sum<Element> sum = 0;
  for (int64_t member = 0; member < plan.groups.size; ++member) {
    const Element* const from = grad + task.offset + member * plan.groups.member_step * plan.sample_stride;
#pragma unroll 4
    for (int64_t pixel = task.begin + threadIdx.x; pixel < task.end; pixel += stddev_threads) {
      sum += widen(from[pixel * plan.pixel_stride]);
    }
  }
  sum = sum_over_team<Team::block, 0>(sum, stddev_threads);
  if (threadIdx.x == 0) partials[blockIdx.x] = sum;
}

template <class Element, class Index, int count>
__global__ void __launch_bounds__(stddev_threads, 2)
    minibatch_stddev_gradient(RunShape<Index> shape, RunView<const Element> grad, RunView<const Element> x,
                              const Sum<Element>* partials, int64_t partials_per_run, double divisor,
                              RunView<Element> grad_x) {
  using S = Sum<Element>;
  const RunTask<Index> task(shape);
  const Element* const values = x.start(task.sample, task.run);
  const Element* const incoming = grad.start(task.sample, task.run);
  Element* const to = grad_x.start(task.sample, task.run);
  const int64_t x_step = shape.groups.member_step * x.sample_stride;
  const int64_t grad_step = shape.groups.member_step * grad.sample_stride;
  const int64_t to_step = shape.groups.member_step * grad_x.sample_stride;
  const S factor =
      static_cast<S>(sum_of_partials(partials + task.of_run * partials_per_run, partials_per_run) / divisor);
#pragma unroll 1
  for (Index i = task.begin + threadIdx.x * count; i < task.end; i += stddev_threads * count) {
    const Index row = shape.length.divide(i), place = i - row * shape.length.value;
    const Element* const own = values + row * x.row_stride + place;
    const GroupSpread<S, count> spread(own, x_step, shape.groups.size, [](int64_t, const Run<Element, count>&) {});
    S scale[count];
    const auto first = load_run<count>(own);
#pragma unroll
    for (int j = 0; j < count; ++j) scale[j] = factor / spread.deviation[j];
#pragma unroll 2
    for (int64_t member = 0; member < shape.groups.size; ++member) {
      auto run = load_run<count>(own + member * x_step);
      const auto grads = load_run<count>(incoming + row * grad.row_stride + place + member * grad_step);
#pragma unroll
      for (int j = 0; j < count; ++j) {
        const S difference = widen(run.elements[j]) - widen(first.elements[j]);
        run.elements[j] = round_to(Element{}, widen(grads.elements[j]) + (difference - spread.mean[j]) * scale[j]);
      }
      store_run(to + row * grad_x.row_stride + place + member * to_step, run);
    }
  }
}

}  // namespace ganart::cuda
