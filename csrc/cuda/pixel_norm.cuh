// Kernels of pixel norm. No torch, no launch.
//
// Formula   y = x * s, s = 1 / sqrt(mean of x^2 + eps), with the mean over the channels of a pixel.
//           grad_x = s * grad - s^3 * mean(grad * x) * x.
// Layouts   lines as in lines.cuh, at any alignment: 16 bytes per thread if all lines are aligned, else single
//           elements.
// Bytes     what fits in shared memory is read once: a pixel's channels where they are adjacent, else all channels of
//           some pixels; of more channels the rest is read again, from L2 if it is there. s is not kept for the
//           gradient.
// Sums      float (double for double).
// Repeats   bit for bit: how blocks divide the work depends on sizes alone; no atomics.
#pragma once

#include "kept_lines.cuh"

namespace ganart::cuda {

// Adds up what is averaged over the channels of a pixel: squares of x and, of a gradient, its products with x.
template <bool gradient, class S>
GANART_DEVICE void add_to_sums(S value, S grad, S& squares, S& products) {
  squares += value * value;
  if constexpr (gradient) products += grad * value;
}

// What a pixel's x, or its gradient, is multiplied by, and what of x is then taken off.
template <class S>
struct PixelFactors {
  S scale, share;

  GANART_DEVICE PixelFactors() {}
  GANART_DEVICE PixelFactors(S squares, S products, S channels, S eps)
      : scale(inverse_root(squares / channels + eps)), share(scale * scale * scale * (products / channels)) {}
};

// `values` become results.
template <bool gradient, class Element, int count>
GANART_DEVICE void normalize(Run<Element, count>& values, const Run<Element, count>& grads,
                             const PixelFactors<Sum<Element>> (&factors)[count]) {
#pragma unroll
  for (int j = 0; j < count; ++j) {
    const Sum<Element> value = widen(values.elements[j]);
    values.elements[j] = round_to(
        Element{},
        gradient ? widen(grads.elements[j]) * factors[j].scale - value * factors[j].share : value * factors[j].scale);
  }
}

// --- channels adjacent: a line is a pixel

template <bool gradient, class Element, int count, Team team>
__global__ void __launch_bounds__(most_threads<team>, team == Team::warp ? 3 : 2)
    pixel_norm_lines(int64_t lines, int64_t pixels, int64_t length, int64_t kept, int block_threads,
                     LineView<Element> grad, LineView<Element> x, Sum<Element> eps, Element* __restrict__ result) {
  using S = Sum<Element>;
  GANART_SHARED_MEMORY(shared);
  const LineTask<team> task(block_threads);
  if (task.line >= lines) return;  // for a whole team
  const int64_t sample = task.line / pixels, pixel = task.line - sample * pixels;
  Element* const own = reinterpret_cast<Element*>(shared) + task.first_of_block * (gradient ? 2 : 1) * kept;
  const KeptLine<Element, count> values = {x.line(sample, pixel), own, length, kept};
  const KeptLine<Element, count> incoming = {grad.line(sample, pixel), own + kept, length, kept};
  values.bring(task.thread, task.threads);
  if constexpr (gradient) incoming.bring(task.thread, task.threads);
  close_copy_group();
  await_copy_groups<0>();
  const int64_t step = int64_t{task.threads} * count, begin = task.thread * count;

  S squares = 0, products = 0;
#pragma unroll 2
  for (int64_t i = begin; i < length; i += step) {
    const auto value_run = values.at(i), grad_run = gradient ? incoming.at(i) : value_run;
#pragma unroll
    for (int j = 0; j < count; ++j) {
      add_to_sums<gradient>(widen(value_run.elements[j]), widen(grad_run.elements[j]), squares, products);
    }
  }
  squares = sum_over_team<team, 0>(squares, task.threads);
  if constexpr (gradient) products = sum_over_team<team, 1>(products, task.threads);

  PixelFactors<S> factors[count];
#pragma unroll
  for (int j = 0; j < count; ++j) factors[j] = PixelFactors<S>(squares, products, static_cast<S>(length), eps);
  Element* const to = result + task.line * length;
#pragma unroll 2
  for (int64_t i = begin; i < length; i += step) {
    auto run = values.at(i);
    normalize<gradient>(run, gradient ? incoming.at(i) : run, factors);
    store_run(to + i, run);
  }
}

// --- pixels adjacent: a block has all channels of some pixels

constexpr int column_threads_of_pixels = 256;

// Threads side by side take runs of pixels, the others channels, each every `rows`-th; of those below `kept` a thread
// finds in shared memory what it brought itself.
struct PixelPlan {
  int64_t samples, channels, pixels;
  int across, rows, kept;
  int64_t blocks_per_sample;
};

template <bool gradient, class Element, int count>
__global__ void __launch_bounds__(column_threads_of_pixels, 2)
    pixel_norm_columns(PixelPlan plan, LineView<Element> grad, LineView<Element> x, Sum<Element> eps,
                       Element* __restrict__ result) {
  using S = Sum<Element>;
  GANART_SHARED_MEMORY(shared);
  __shared__ S sums[column_threads_of_pixels * count];
  __shared__ PixelFactors<S> factors_of_block[column_threads_of_pixels];
  const int64_t sample = blockIdx.x / plan.blocks_per_sample;
  const int column = threadIdx.x % plan.across * count, row = threadIdx.x / plan.across, width = plan.across * count;
  const int64_t pixel = blockIdx.x % plan.blocks_per_sample * width + column;
  const bool present = pixel < plan.pixels;
  Element* const values_kept = reinterpret_cast<Element*>(shared) + column;
  Element* const grads_kept = values_kept + plan.kept * width;
  const auto bring = [&](const LineView<Element>& view, Element* to) {
    for (int channel = row; channel < plan.kept; channel += plan.rows) {
      const Element* const from = view.line(sample, channel) + pixel;
      if constexpr (count * sizeof(Element) == 16)
        copy_async(to + channel * width, from, 16);
      else
        store_run(to + channel * width, load_run<count>(from));
    }
  };
  const auto at = [&](const LineView<Element>& view, const Element* kept, int64_t channel) {
    return load_run<count>(channel < plan.kept ? kept + channel * width : view.line(sample, channel) + pixel);
  };
  if (present) {
    bring(x, values_kept);
    if constexpr (gradient) bring(grad, grads_kept);
  }
  close_copy_group();
  await_copy_groups<0>();

  S squares[count] = {}, products[count] = {};
  if (present) {
#pragma unroll 2
    for (int64_t channel = row; channel < plan.channels; channel += plan.rows) {
      const auto value_run = at(x, values_kept, channel);
      const auto grad_run = gradient ? at(grad, grads_kept, channel) : value_run;
#pragma unroll
      for (int j = 0; j < count; ++j) {
        add_to_sums<gradient>(widen(value_run.elements[j]), widen(grad_run.elements[j]), squares[j], products[j]);
      }
    }
  }
  const S square = sum_down(sums, squares, plan.across, column_threads_of_pixels);
  S product = 0;
  if constexpr (gradient) product = sum_down(sums, products, plan.across, column_threads_of_pixels);
  if (threadIdx.x < width) {
    factors_of_block[threadIdx.x] = PixelFactors<S>(square, product, static_cast<S>(plan.channels), eps);
  }
  __syncthreads();
  if (!present) return;

  PixelFactors<S> factors[count];
#pragma unroll
  for (int j = 0; j < count; ++j) factors[j] = factors_of_block[column + j];
#pragma unroll 2
  for (int64_t channel = row; channel < plan.channels; channel += plan.rows) {
    auto run = at(x, values_kept, channel);
    normalize<gradient>(run, gradient ? at(grad, grads_kept, channel) : run, factors);
    store_run(result + (sample * plan.channels + channel) * plan.pixels + pixel, run);
  }
}

}  // namespace ganart::cuda
