// Kernels of upsampling, FIR filtering and downsampling. No torch, no launch.
//
// Formula   y[o] = gain * sum over k of taps[k] * x[(o * down + k - padding) / up], where the division is exact; each
//           axis separately, or both at once for a matrix of taps.
// Layouts   x [N, C, H, W] with pixels or channels adjacent, rows anywhere; y dense in the same layout.
// Bytes     one read and one write of memory; the overlap of neighbouring tiles is read from L2.
// Work      separable taps: a block filters down the columns from memory into shared memory, and along the rows from
//           there; KH / up_y + KW / up_x multiply-adds per result; zeros are never multiplied. Four taps with factors
//           (1, 1), (2, 1) and (1, 2), those of StyleGAN, are unrolled. Each thread processes four elements at once, so
//           that no two threads' accesses to shared memory share a bank.
// Sums      float (double for double).
// Repeats   bit for bit.
#pragma once

#include "elements.cuh"

namespace ganart::cuda {

GANART_HOST_DEVICE constexpr int floor_divide(int a, int b) { return a / b - (a % b < 0); }

// One axis. Output o starts at `at = o * down - padding` of the upsampled input, where input i lies at i * up.
struct Axis {
  int taps, up, down, padding, in, out;

  // The last input at or before the start of an output.
  GANART_HOST_DEVICE int input(int output) const { return floor_divide(output * down - padding, up); }
  // The distance from that input to the start of the output, 0 to up - 1.
  GANART_HOST_DEVICE int phase(int output) const { return output * down - padding - input(output) * up; }
};

// Sizes and strides in elements.
struct ResamplingPlan {
  Axis vertical, horizontal;
  bool by_channel;  // planes of one channel; otherwise pixels of all channels
  int channels;     // of a pixel that a block processes, and the stride of its results in shared memory; 1 for planes
  int64_t samples, all_channels;
  int tile_height, tile_width;           // of results; multiples of 4
  int tiles_down, tiles_across, groups;  // groups of channels
  int columns;                           // of input that a tile needs, rounded up
  int64_t sample_stride, channel_stride, row_stride, pixel_stride;
  bool input_runs, output_runs;  // whether 4 elements can be moved at once

  GANART_HOST_DEVICE int64_t blocks() const { return samples * groups * tiles_down * tiles_across; }
  GANART_HOST_DEVICE int line() const { return columns * channels; }
};

// Taps in memory, read in the order of multiplication: reversed unless `flip`.
template <class S>
struct Taps {
  const S* taps;
  int64_t count;
  bool flip;

  GANART_DEVICE S at(int64_t index) const { return taps[flip ? index : count - 1 - index]; }
};

// Both axes' factors and number of taps, known to the compiler; 0 for any.
template <int up_, int down_, int taps_>
struct Filter {
  static constexpr int up = up_, down = down_, taps = taps_;
};
using AnyFilter = Filter<0, 0, 0>;

constexpr int resampling_threads = 128;
constexpr int tile_step = 4;  // results of a column, or of a row, that a thread computes together

// Calls use(Constant<value>{}) with the value, which is at least 0 and below `end`.
template <int end, class Use>
GANART_DEVICE void with_constant(int value, const Use& use) {
  if constexpr (end == 1) {
    use(std::integral_constant<int, 0>{});
  } else {
    if (value == end - 1)
      use(std::integral_constant<int, end - 1>{});
    else
      with_constant<end - 1>(value, use);
  }
}

// Adds to `sums` the products of `tile_step` consecutive results. input(i) returns the i-th input after the last one at
// or before the first result's start, from which `phase` is the distance. Every input is requested once.
template <class F, int phase, int width, class S, class Input>
GANART_DEVICE void filter(S (&sums)[tile_step][width], const S (&weights)[F::taps], const Input& input) {
  constexpr int inputs = (phase + (tile_step - 1) * F::down + F::taps - 1) / F::up + 1;
#pragma unroll
  for (int i = 0; i < inputs; ++i) {
    const Run<S, width> values = input(i);
#pragma unroll
    for (int result = 0; result < tile_step; ++result) {
      const int tap = i * F::up - phase - result * F::down;
      if (tap < 0 || tap >= F::taps) continue;
#pragma unroll
      for (int j = 0; j < width; ++j) sums[result][j] += values.elements[j] * weights[tap];
    }
  }
}

// The same for any factors and taps.
template <int width, class S, class Input>
GANART_DEVICE void filter(S (&sums)[tile_step][width], const Axis& axis, int first_result, const Taps<S>& taps,
                          const Input& input) {
  const int first_input = axis.input(first_result);
#pragma unroll
  for (int result = 0; result < tile_step; ++result) {
    const int phase = axis.phase(first_result + result);
    int i = axis.input(first_result + result) - first_input + (phase > 0);
#pragma unroll 2
    for (int tap = phase > 0 ? axis.up - phase : 0; tap < axis.taps; tap += axis.up, ++i) {
      const Run<S, width> values = input(i);
#pragma unroll
      for (int j = 0; j < width; ++j) sums[result][j] += values.elements[j] * taps.at(tap);
    }
  }
}

// The work of a block.
struct ResamplingTask {
  int64_t sample, first_channel;
  int first_row, first_column;  // of results
  int channels;                 // at most plan.channels
  int input_column;             // the first in shared memory

  GANART_DEVICE explicit ResamplingTask(const ResamplingPlan& plan) {
    int64_t index = blockIdx.x;
    first_column = static_cast<int>(index % plan.tiles_across) * plan.tile_width;
    index /= plan.tiles_across;
    first_row = static_cast<int>(index % plan.tiles_down) * plan.tile_height;
    index /= plan.tiles_down;
    first_channel = index % plan.groups * plan.channels;
    sample = index / plan.groups;
    channels = static_cast<int>(smaller<int64_t>(plan.channels, plan.all_channels - first_channel));
    input_column = plan.horizontal.input(first_column);
    if (plan.by_channel) input_column = floor_divide(input_column, tile_step) * tile_step;  // the start of a run
  }
};

// Filters down the columns: `lines` gets tile_height lines of plan.line(). `width` elements at once.
template <class F, int width, class Element>
GANART_DEVICE void filter_columns(const ResamplingPlan& plan, const ResamplingTask& task, const Element* corner,
                                  const Taps<Sum<Element>>& taps, Sum<Element>* lines) {
  using S = Sum<Element>;
  const Axis& axis = plan.vertical;
  S weights[F::taps > 0 ? F::taps : 1];
#pragma unroll
  for (int tap = 0; tap < F::taps; ++tap) weights[tap] = taps.at(tap);
  const int runs = plan.line() / width;
  for (int item = threadIdx.x; item < runs * (plan.tile_height / tile_step); item += resampling_threads) {
    const int row = item / runs * tile_step, element = item % runs * width;
    const int column = task.input_column + element / plan.channels, channel = element % plan.channels;
    const bool present = column >= 0 && column < plan.horizontal.in && channel < task.channels;
    const Element* const from = corner + column * plan.pixel_stride + channel;
    const int input_row = axis.input(task.first_row + row);
    const auto input = [&](int i) {
      Run<S, width> values = {};
      if (!present || input_row + i < 0 || input_row + i >= axis.in) return values;
      const auto run = load_run<width>(from + (input_row + i) * plan.row_stride);
#pragma unroll
      for (int j = 0; j < width; ++j) values.elements[j] = widen(run.elements[j]);
      return values;
    };
    S sums[tile_step][width] = {};
    if constexpr (F::taps > 0) {
      // Tiles and their steps are multiples of every such up, so the phase is that of the first result everywhere.
      with_constant<F::up>(axis.phase(0), [&](auto phase) { filter<F, decltype(phase)::value>(sums, weights, input); });
    } else {
      filter(sums, axis, task.first_row + row, taps, input);
    }
#pragma unroll
    for (int result = 0; result < tile_step; ++result) {
      Run<S, width> run;
#pragma unroll
      for (int j = 0; j < width; ++j) run.elements[j] = sums[result][j];
      store_run(lines + (row + result) * plan.line() + element, run);
    }
  }
}

// Filters along the rows of `lines`, each thread `tile_step` results of one channel.
template <class F, class Element>
GANART_DEVICE void filter_rows_of_channel(const ResamplingPlan& plan, const ResamplingTask& task,
                                          const Sum<Element>* lines, const Taps<Sum<Element>>& taps, Sum<Element> gain,
                                          Element* corner) {
  using S = Sum<Element>;
  const Axis& axis = plan.horizontal;
  // The step in shared memory between the starts of neighbouring threads.
  constexpr int grain = F::taps > 0 ? smaller(4, tile_step * F::down / larger(F::up, 1)) : 1;
  S weights[F::taps > 0 ? F::taps : 1];
#pragma unroll
  for (int tap = 0; tap < F::taps; ++tap) weights[tap] = taps.at(tap);
  const int begin = axis.input(task.first_column) - task.input_column;
  const int steps = plan.tile_width / tile_step;
  const auto work = [&](auto offset_constant, auto phase_constant) {
    for (int item = threadIdx.x; item < plan.tile_height * steps; item += resampling_threads) {
      const int row = item / steps, column = item % steps * tile_step;
      const int y = task.first_row + row, x = task.first_column + column;
      if (y >= plan.vertical.out || x >= axis.out) continue;
      const S* const line = lines + row * plan.line() + (axis.input(x) - task.input_column);
      S sums[tile_step][1] = {};
      if constexpr (F::taps > 0) {
        constexpr int offset = decltype(offset_constant)::value, phase = decltype(phase_constant)::value;
        constexpr int inputs = (phase + (tile_step - 1) * F::down + F::taps - 1) / F::up + 1;
        constexpr int grains = (offset + inputs + grain - 1) / grain;
        Run<S, grain> window[grains];
#pragma unroll
        for (int i = 0; i < grains; ++i) window[i] = load_run<grain>(line - offset + i * grain);
        filter<F, phase>(sums, weights,
                         [&](int i) { return Run<S, 1>{window[(offset + i) / grain].elements[(offset + i) % grain]}; });
      } else {
        filter(sums, axis, x, taps, [&](int i) { return load_run<1>(line + i); });
      }
      Run<Element, tile_step> run;
#pragma unroll
      for (int i = 0; i < tile_step; ++i) run.elements[i] = round_to(Element{}, sums[i][0] * gain);
      Element* const to = corner + static_cast<int64_t>(y) * axis.out + x;
      if (plan.output_runs) {
        store_run(to, run);
      } else {
#pragma unroll
        for (int i = 0; i < tile_step; ++i) {
          if (x + i < axis.out) to[i] = run.elements[i];
        }
      }
    }
  };
  if constexpr (F::taps > 0) {
    with_constant<grain>(begin % grain, [&](auto offset) {
      with_constant<F::up>(axis.phase(0), [&](auto phase) { work(offset, phase); });
    });
  } else {
    work(std::integral_constant<int, 0>{}, std::integral_constant<int, 0>{});
  }
}

// Filters along the rows of `lines`, each thread `width` channels of `tile_step` pixels.
template <class F, int width, class Element>
GANART_DEVICE void filter_rows_of_pixels(const ResamplingPlan& plan, const ResamplingTask& task,
                                         const Sum<Element>* lines, const Taps<Sum<Element>>& taps, Sum<Element> gain,
                                         Element* corner) {
  using S = Sum<Element>;
  const Axis& axis = plan.horizontal;
  S weights[F::taps > 0 ? F::taps : 1];
#pragma unroll
  for (int tap = 0; tap < F::taps; ++tap) weights[tap] = taps.at(tap);
  const int runs = plan.channels / width, steps = plan.tile_width / tile_step;
  for (int item = threadIdx.x; item < plan.tile_height * steps * runs; item += resampling_threads) {
    const int channel = item % runs * width, step = item / runs;
    const int row = step / steps, column = step % steps * tile_step;
    const int y = task.first_row + row, x = task.first_column + column;
    if (y >= plan.vertical.out || x >= axis.out || channel >= task.channels) continue;
    const S* const line = lines + row * plan.line() + (axis.input(x) - task.input_column) * plan.channels + channel;
    const auto input = [&](int i) { return load_run<width>(line + i * plan.channels); };
    S sums[tile_step][width] = {};
    if constexpr (F::taps > 0) {
      with_constant<F::up>(axis.phase(0), [&](auto phase) { filter<F, decltype(phase)::value>(sums, weights, input); });
    } else {
      filter(sums, axis, x, taps, input);
    }
#pragma unroll
    for (int i = 0; i < tile_step; ++i) {
      if (x + i >= axis.out) break;
      Run<Element, width> run;
#pragma unroll
      for (int j = 0; j < width; ++j) run.elements[j] = round_to(Element{}, sums[i][j] * gain);
      store_run(corner + (static_cast<int64_t>(y) * axis.out + x + i) * plan.all_channels + channel, run);
    }
  }
}

template <class Element, class F, bool by_channel>
__global__ void __launch_bounds__(resampling_threads, 5)
    upfirdn2d_separable(ResamplingPlan plan, const Element* __restrict__ x, Taps<Sum<Element>> taps, Sum<Element> gain,
                        Element* __restrict__ y) {
  using S = Sum<Element>;
  constexpr int width = sizeof(Element) == 8 ? 1 : tile_step;
  GANART_SHARED_MEMORY(shared);
  S* const lines = reinterpret_cast<S*>(shared);
  const ResamplingTask task(plan);
  const Element* const from = x + task.sample * plan.sample_stride + task.first_channel * plan.channel_stride;
  if (plan.input_runs)
    filter_columns<F, width>(plan, task, from, taps, lines);
  else
    filter_columns<F, 1>(plan, task, from, taps, lines);
  __syncthreads();
  const int64_t pixels = static_cast<int64_t>(plan.vertical.out) * plan.horizontal.out;
  if constexpr (by_channel) {
    Element* const to = y + (task.sample * plan.all_channels + task.first_channel) * pixels;
    filter_rows_of_channel<F>(plan, task, lines, taps, gain, to);
  } else {
    Element* const to = y + task.sample * plan.all_channels * pixels + task.first_channel;
    if (plan.output_runs)
      filter_rows_of_pixels<F, width>(plan, task, lines, taps, gain, to);
    else
      filter_rows_of_pixels<F, 1>(plan, task, lines, taps, gain, to);
  }
}

// --- a matrix of taps, or separable taps whose line does not fit into shared memory: each result directly from memory

constexpr int direct_threads = 256;

template <class Element>
__global__ void __launch_bounds__(direct_threads)
    upfirdn2d_direct(ResamplingPlan plan, const Element* __restrict__ x, Taps<Sum<Element>> taps, bool separable,
                     Sum<Element> gain, Element* __restrict__ y) {
  using S = Sum<Element>;
  const Axis &vertical = plan.vertical, &horizontal = plan.horizontal;
  const int64_t index = static_cast<int64_t>(blockIdx.x) * direct_threads + threadIdx.x;
  const int64_t pixels = static_cast<int64_t>(vertical.out) * horizontal.out;
  const int64_t sample = index / (pixels * plan.all_channels), rest = index - sample * pixels * plan.all_channels;
  if (sample >= plan.samples) return;
  const int64_t pixel = plan.by_channel ? rest % pixels : rest / plan.all_channels;
  const int64_t channel = plan.by_channel ? rest / pixels : rest % plan.all_channels;
  const int out_row = static_cast<int>(pixel / horizontal.out), out_column = static_cast<int>(pixel % horizontal.out);
  const Element* const from = x + sample * plan.sample_stride + channel * plan.channel_stride;
  const int phase_y = vertical.phase(out_row), phase_x = horizontal.phase(out_column);
  S sum = 0;
  int row = vertical.input(out_row) + (phase_y > 0);
  for (int tap_y = phase_y > 0 ? vertical.up - phase_y : 0; tap_y < vertical.taps; tap_y += vertical.up, ++row) {
    if (row < 0 || row >= vertical.in) continue;
    int column = horizontal.input(out_column) + (phase_x > 0);
    for (int tap_x = phase_x > 0 ? horizontal.up - phase_x : 0; tap_x < horizontal.taps;
         tap_x += horizontal.up, ++column) {
      if (column < 0 || column >= horizontal.in) continue;
      const S tap = separable ? taps.at(tap_y) * taps.at(tap_x)
                              : taps.at(static_cast<int64_t>(tap_y) * horizontal.taps + tap_x);
      sum += tap * widen(from[row * plan.row_stride + column * plan.pixel_stride]);
    }
  }
  y[index] = round_to(Element{}, sum * gain);
}

}  // namespace ganart::cuda
