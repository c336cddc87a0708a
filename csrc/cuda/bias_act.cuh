// Kernels of bias, activation, gain and clamp. No torch, no launch.
//
// Formula   y = clamp(act(x + bias) * gain); backward grad_x = grad * d, grad_bias = sum of grad_x over samples and
//           pixels.
// Layouts   lines as in lines.cuh, at any alignment: 16 bytes per thread if all lines are aligned, else single
//           elements.
// Bytes     forward one read and one write; backward two reads and one write, including the first stage of the sums.
// Sums      float (double for double) within a block, blocks in double.
// Repeats   bit for bit: how blocks divide the work depends on sizes alone; no atomics.
#pragma once

#include "activations.cuh"
#include "lines.cuh"
#include "reductions.cuh"

namespace ganart::cuda {

template <class Element, class Index, int count>
__global__ void __launch_bounds__(flat_threads)
    bias_act_forward(FlatShape<Index> shape, LineView<Element> x, ChannelValues<Sum<Element>> bias,
                     Layer<Sum<Element>> layer, Element* y) {
  constexpr Index step = flat_threads * count;
  const Index first = static_cast<Index>(blockIdx.x) * (flat_runs * step) + threadIdx.x * count;
  Run<Element, count> runs[flat_runs];
#pragma unroll
  for (int r = 0; r < flat_runs; ++r) {
    if (first + r * step < shape.size) runs[r] = shape.template load<count>(x, first + r * step);
  }
  with_activation(layer.activation, [&](auto act) {
#pragma unroll
    for (int r = 0; r < flat_runs; ++r) {
      const Index index = first + r * step;
      if (index >= shape.size) return;
      Sum<Element> biases[count];
      shape.read(bias, index, biases);
#pragma unroll
      for (int i = 0; i < count; ++i) {
        runs[r].elements[i] = round_to(Element{}, layer.apply(act, widen(runs[r].elements[i]) + biases[i]));
      }
      store_run(y + index, runs[r]);
    }
  });
}

// The gradient of one run; for activations that keep x, `biases` are added to get their argument.
template <class Act, class Element, int count>
GANART_DEVICE void multiply_by_derivative(Act act, const Layer<Sum<Element>>& layer,
                                          const Sum<Element> (&biases)[count], const Run<Element, count>& kept,
                                          const Run<Element, count>& grad, Sum<Element> (&results)[count]) {
#pragma unroll
  for (int i = 0; i < count; ++i) {
    const Sum<Element> at = widen(kept.elements[i]);
    results[i] = widen(grad.elements[i]) * layer.derivative(act, Act::from_output ? at : at + biases[i]);
  }
}

template <class Element, int count>
GANART_DEVICE void store_rounded(Element* to, const Sum<Element> (&values)[count]) {
  Run<Element, count> run;
#pragma unroll
  for (int i = 0; i < count; ++i) run.elements[i] = round_to(Element{}, values[i]);
  store_run(to, run);
}

constexpr int flat_pairs = flat_runs / 2;  // of gradients and kept values

template <class Element, class Index, int count>
__global__ void __launch_bounds__(flat_threads)
    bias_act_gradient(FlatShape<Index> shape, LineView<Element> grad, LineView<Element> kept,
                      ChannelValues<Sum<Element>> bias, Layer<Sum<Element>> layer, Element* grad_x) {
  constexpr Index step = flat_threads * count;
  const Index first = static_cast<Index>(blockIdx.x) * (flat_pairs * step) + threadIdx.x * count;
  Run<Element, count> grads[flat_pairs], keeps[flat_pairs];
#pragma unroll
  for (int r = 0; r < flat_pairs; ++r) {
    if (first + r * step >= shape.size) continue;
    grads[r] = shape.template load<count>(grad, first + r * step);
    keeps[r] = shape.template load<count>(kept, first + r * step);
  }
  with_activation(layer.activation, [&](auto act) {
#pragma unroll
    for (int r = 0; r < flat_pairs; ++r) {
      const Index index = first + r * step;
      if (index >= shape.size) return;
      Sum<Element> biases[count], results[count];
      shape.read(bias, index, biases);
      multiply_by_derivative(act, layer, biases, keeps[r], grads[r], results);
      store_rounded(grad_x + index, results);
    }
  });
}

// --- with sums, first stage: grad_x, and partial sums [lines of partials][C]

constexpr int sum_threads = 256;
constexpr int sum_runs = 16;  // the most that a thread adds

// Lines of one channel each, in pieces, one per warp: piece p of a sample writes its sum to line sample * pieces + p.
template <class Element, int count>
__global__ void __launch_bounds__(sum_threads)
    bias_act_gradient_by_channel(int64_t lines, int channels, int64_t length, int pieces, LineView<Element> grad,
                                 LineView<Element> kept, ChannelValues<Sum<Element>> bias, Layer<Sum<Element>> layer,
                                 Element* __restrict__ grad_x, Sum<Element>* __restrict__ partials) {
  using S = Sum<Element>;
  const int lane = threadIdx.x % 32;
  const int64_t task = static_cast<int64_t>(blockIdx.x) * (sum_threads / 32) + threadIdx.x / 32;
  if (task >= lines * pieces) return;
  const int64_t line = task / pieces, piece = task - line * pieces, sample = line / channels;
  const int channel = static_cast<int>(line - sample * channels);
  const int64_t begin = piece * (32 * count * sum_runs), end = smaller<int64_t>(length, begin + 32 * count * sum_runs);
  const Element* const incoming = grad.line(sample, channel);
  const Element* const from = kept.line(sample, channel);
  Element* const to = grad_x + line * length;
  S biases[count];
#pragma unroll
  for (int i = 0; i < count; ++i) biases[i] = bias.at(0, channel);
  S sum = 0;
  with_activation(layer.activation, [&](auto act) {
#pragma unroll 2
    for (int64_t i = begin + lane * count; i < end; i += 32 * count) {
      S results[count];
      multiply_by_derivative(act, layer, biases, load_run<count>(from + i), load_run<count>(incoming + i), results);
      store_rounded(to + i, results);
      S run_sum = results[0];
#pragma unroll
      for (int j = 1; j < count; ++j) run_sum += results[j];
      sum += run_sum;
    }
  });
  sum = sum_over_team<Team::warp, 0>(sum, 32);
  if (lane == 0) partials[(sample * pieces + piece) * channels + channel] = sum;
}

// Lines of one pixel's channels: a block takes `across` runs of channels of some lines, and writes one line of
// partials.
template <class Element, int count>
__global__ void __launch_bounds__(sum_threads)
    bias_act_gradient_by_pixel(int64_t lines, int64_t lines_per_sample, int64_t lines_per_block, int channels,
                               int across, LineView<Element> grad, LineView<Element> kept,
                               ChannelValues<Sum<Element>> bias, Layer<Sum<Element>> layer,
                               Element* __restrict__ grad_x, Sum<Element>* __restrict__ partials) {
  using S = Sum<Element>;
  __shared__ S shared[sum_threads * count];
  const int columns = static_cast<int>(ceil_divide(channels, across * count));  // blocks side by side
  const int64_t chunk = blockIdx.x / columns;
  const int first_channel = static_cast<int>(blockIdx.x % columns) * across * count;
  const int channel = first_channel + threadIdx.x % across * count;
  const int64_t end = smaller(lines, (chunk + 1) * lines_per_block);
  S sums[count] = {};
  if (channel < channels) {
    S biases[count];
#pragma unroll
    for (int i = 0; i < count; ++i) biases[i] = bias.at(0, channel + i);
    with_activation(layer.activation, [&](auto act) {
#pragma unroll 2
      for (int64_t line = chunk * lines_per_block + threadIdx.x / across; line < end; line += sum_threads / across) {
        const int64_t sample = line / lines_per_sample, pixel = line - sample * lines_per_sample;
        S results[count];
        multiply_by_derivative(act, layer, biases, load_run<count>(kept.line(sample, pixel) + channel),
                               load_run<count>(grad.line(sample, pixel) + channel), results);
        store_rounded(grad_x + line * channels + channel, results);
#pragma unroll
        for (int i = 0; i < count; ++i) sums[i] += results[i];
      }
    });
  }
#pragma unroll
  for (int i = 0; i < count; ++i) shared[threadIdx.x * count + i] = sums[i];
  __syncthreads();
  const int width = across * count;
  for (int i = threadIdx.x; i < width && first_channel + i < channels; i += sum_threads) {
    S sum = 0;
    for (int row = 0; row < sum_threads / across; ++row) sum += shared[row * width + i];
    partials[chunk * channels + first_channel + i] = sum;
  }
}

}  // namespace ganart::cuda
