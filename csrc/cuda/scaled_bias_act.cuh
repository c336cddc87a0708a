// Kernels of scale, noise, bias, activation, gain and clamp: before and after a modulated convolution. No torch, no
// launch.
//
// Formula   z = x * scale + (noise + bias), y = clamp(act(z) * gain); backward with g = grad * d: grad_x = g * scale,
//           grad_scale = sum of g * x over pixels, grad_noise = sum of g over channels, grad_bias = sum of g over
//           samples and pixels.
// Layouts   lines as in lines.cuh, at any alignment: 16 bytes per thread if all lines are aligned, else single
//           elements.
// Bytes     forward one read and one write; backward two reads and one write, including the first stage of the sums.
// Sums      float (double for double) within a thread and a warp or block, those in double.
// Repeats   bit for bit: how blocks divide the work depends on sizes alone; no atomics.
#pragma once

#include "activations.cuh"
#include "lines.cuh"
#include "reductions.cuh"

namespace ganart::cuda {

// A value for each pixel, or for each sample and pixel, or no values.
template <class S>
struct PixelValues {
  const S* values;
  int64_t sample_stride;

  GANART_DEVICE S at(int64_t sample, int64_t pixel) const {
    return values ? values[sample * sample_stride + pixel] : S(-0.0);  // x + -0 equals x for every x
  }
  // The values of `count` pixels, after a multiple of `count` pixels, where 16 bytes can be read.
  template <int count>
  GANART_DEVICE void read(int64_t sample, int64_t pixel, S (&result)[count]) const {
    constexpr int part = smaller(count, static_cast<int>(16 / sizeof(S)));
#pragma unroll
    for (int i = 0; i < count; i += part) {
      Run<S, part> run;
#pragma unroll
      for (int j = 0; j < part; ++j) run.elements[j] = S(-0.0);
      if (values) run = load_run<part>(values + sample * sample_stride + pixel + i);
#pragma unroll
      for (int j = 0; j < part; ++j) result[i + j] = run.elements[j];
    }
  }
};

template <class S>
struct Terms {
  ChannelValues<S> scale, bias;
  PixelValues<S> noise;

  Terms(const AffineTerms& terms, int64_t channels)
      : scale(terms.scale, channels, S(1)), bias(terms.bias, 0, S(-0.0)),
        noise{static_cast<const S*>(terms.noise), terms.noise_stride} {}
};

// The factors of `count` neighbouring elements of a line, and the terms added to them.
template <class S, int count>
struct TermRun {
  S scales[count], shifts[count];

  TermRun() = default;

  // For pixels of one channel, with the noise of those pixels.
  GANART_DEVICE TermRun(const Terms<S>& terms, int64_t sample, int64_t channel, const S (&noises)[count]) {
    const S scale = terms.scale.at(sample, channel), bias = terms.bias.at(0, channel);
#pragma unroll
    for (int i = 0; i < count; ++i) scales[i] = scale, shifts[i] = noises[i] + bias;
  }

  GANART_DEVICE S z(int i, S x) const { return x * scales[i] + shifts[i]; }
};

// For the run at `index`, which is on one line.
template <int count, class S, class Index>
GANART_DEVICE TermRun<S, count> terms_at(const FlatShape<Index>& shape, const Terms<S>& terms, Index index) {
  const auto at = shape.place(index);
  if (shape.by_channel) {
    S noises[count];
    terms.noise.read(at.sample, at.position, noises);
    return {terms, static_cast<int64_t>(at.sample), static_cast<int64_t>(at.line), noises};
  }
  const S noise = terms.noise.at(at.sample, at.line);
  TermRun<S, count> run;
#pragma unroll
  for (int i = 0; i < count; ++i) {
    run.scales[i] = terms.scale.at(at.sample, at.position + i);
    run.shifts[i] = noise + terms.bias.at(0, at.position + i);
  }
  return run;
}

template <class Element, class Index, int count>
__global__ void __launch_bounds__(flat_threads)
    scaled_bias_act_forward(FlatShape<Index> shape, LineView<Element> x, Terms<Sum<Element>> terms,
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
      const auto own = terms_at<count>(shape, terms, index);
#pragma unroll
      for (int i = 0; i < count; ++i) {
        runs[r].elements[i] = round_to(Element{}, layer.apply(act, own.z(i, widen(runs[r].elements[i]))));
      }
      store_run(y + index, runs[r]);
    }
  });
}

// --- backward, first stage: grad_x, and partial sums

// Where results are written; null if not needed. Line p of a sample's partials belongs to piece p.
template <class Element>
struct Gradients {
  Element* x;
  Sum<Element>*scale, *bias;  // [N, pieces, C]
  Sum<Element>* noise;        // [N, parts, P]
};

// Computes g for each element of a run and its part of the sums; writes the run of grad_x.
template <class Act, class Element, int count>
GANART_DEVICE void differentiate(Act act, const Layer<Sum<Element>>& layer, const TermRun<Sum<Element>, count>& terms,
                                 const Run<Element, count>& grad, const Run<Element, count>& x, Element* grad_x,
                                 Sum<Element> (&g)[count], Sum<Element> (&products)[count]) {
  using S = Sum<Element>;
  Run<Element, count> result;
#pragma unroll
  for (int i = 0; i < count; ++i) {
    const S own = widen(x.elements[i]), z = terms.z(i, own);
    S kept = z;
    if constexpr (Act::from_output) kept = layer.apply(act, z);
    g[i] = widen(grad.elements[i]) * layer.derivative(act, kept);
    products[i] = g[i] * own;
    result.elements[i] = round_to(Element{}, g[i] * terms.scales[i]);
  }
  if (grad_x) store_run(grad_x, result);
}

constexpr int gradient_threads = 256, gradient_blocks = 2;  // per multiprocessor: more would spill registers
constexpr int gradient_rows = 16;                           // the most pixels that a thread processes one after another

// Lines of one channel each: a warp takes a piece of a sample's pixels in a part of its channels. Each lane keeps the
// noise sums of its pixels; the sums of a channel are added up over the warp.
template <class Element, int count>
__global__ void __launch_bounds__(gradient_threads, gradient_blocks)
    scaled_bias_act_gradient_by_channel(int64_t warps, int64_t length, int64_t pieces, int channels, int parts,
                                        int channels_per_part, LineView<Element> grad, LineView<Element> x,
                                        Terms<Sum<Element>> terms, Layer<Sum<Element>> layer,
                                        Gradients<Element> gradients) {
  using S = Sum<Element>;
  const int lane = threadIdx.x % 32;
  const int64_t warp = static_cast<int64_t>(blockIdx.x) * (gradient_threads / 32) + threadIdx.x / 32;
  if (warp >= warps) return;
  const int part = static_cast<int>(warp % parts);
  const int64_t piece = warp / parts % pieces, sample = warp / parts / pieces;
  const int64_t pixel = (piece * 32 + lane) * count;
  const bool within = pixel < length;
  const int begin = part * channels_per_part, end = smaller(channels, begin + channels_per_part);
  S noises[count] = {}, noise_sums[count] = {};
  if (within) terms.noise.read(sample, pixel, noises);
  with_activation(layer.activation, [&](auto act) {
    for (int channel = begin; channel < end; ++channel) {
      S sum = 0, product_sum = 0;
      if (within) {
        S g[count], products[count];
        Element* const to = gradients.x ? gradients.x + (sample * channels + channel) * length + pixel : nullptr;
        differentiate(act, layer, TermRun<S, count>(terms, sample, channel, noises),
                      load_run<count>(grad.line(sample, channel) + pixel),
                      load_run<count>(x.line(sample, channel) + pixel), to, g, products);
#pragma unroll
        for (int i = 0; i < count; ++i) sum += g[i], product_sum += products[i], noise_sums[i] += g[i];
      }
      const int64_t at = (sample * pieces + piece) * channels + channel;
      if (gradients.bias) {
        sum = sum_over_team<Team::warp, 0>(sum, 32);
        if (lane == 0) gradients.bias[at] = sum;
      }
      if (gradients.scale) {
        product_sum = sum_over_team<Team::warp, 0>(product_sum, 32);
        if (lane == 0) gradients.scale[at] = product_sum;
      }
    }
  });
  if (!gradients.noise || !within) return;
#pragma unroll
  for (int i = 0; i < count; ++i) gradients.noise[(sample * parts + part) * length + pixel + i] = noise_sums[i];
}

// Lines of one pixel's channels: a block takes a part, `across` runs of channels, of a piece of a sample's pixels.
template <class Element, int count>
__global__ void __launch_bounds__(gradient_threads, gradient_blocks)
    scaled_bias_act_gradient_by_pixel(int64_t pixels, int64_t pieces, int64_t pixels_per_piece, int channels, int parts,
                                      int across, LineView<Element> grad, LineView<Element> x,
                                      Terms<Sum<Element>> terms, Layer<Sum<Element>> layer,
                                      Gradients<Element> gradients) {
  using S = Sum<Element>;
  __shared__ S shared[2][gradient_threads * count];
  const int part = static_cast<int>(blockIdx.x % parts);
  const int64_t piece = blockIdx.x / parts % pieces, sample = blockIdx.x / parts / pieces;
  const int first_channel = part * across * count, channel = first_channel + threadIdx.x % across * count;
  const int rows = gradient_threads / across, row = threadIdx.x / across;
  const int64_t end = smaller(pixels, (piece + 1) * pixels_per_piece);
  TermRun<S, count> own;
  S biases[count], sums[count] = {}, product_sums[count] = {};
#pragma unroll
  for (int i = 0; i < count; ++i) {
    const int64_t within = smaller(channel + i, channels - 1);
    own.scales[i] = terms.scale.at(sample, within), biases[i] = terms.bias.at(0, within);
  }
  with_activation(layer.activation, [&](auto act) {
    // All threads of a warp loop equally often, since they sum over channels together.
    for (int64_t first = piece * pixels_per_piece; first < end; first += rows) {
      const int64_t pixel = first + row;
      S sum = 0;
      if (pixel < end && channel < channels) {
        const S noise = terms.noise.at(sample, pixel);
        S g[count], products[count];
#pragma unroll
        for (int i = 0; i < count; ++i) own.shifts[i] = noise + biases[i];
        Element* const to = gradients.x ? gradients.x + (sample * pixels + pixel) * channels + channel : nullptr;
        differentiate(act, layer, own, load_run<count>(grad.line(sample, pixel) + channel),
                      load_run<count>(x.line(sample, pixel) + channel), to, g, products);
#pragma unroll
        for (int i = 0; i < count; ++i) sum += g[i], sums[i] += g[i], product_sums[i] += products[i];
      }
      if (!gradients.noise) continue;
      for (int distance = across / 2; distance > 0; distance /= 2) sum += shuffle_xor(sum, distance);
      if (threadIdx.x % across == 0 && pixel < end) gradients.noise[(sample * parts + part) * pixels + pixel] = sum;
    }
  });
#pragma unroll
  for (int i = 0; i < count; ++i) {
    shared[0][threadIdx.x * count + i] = sums[i];
    shared[1][threadIdx.x * count + i] = product_sums[i];
  }
  __syncthreads();
  const int width = across * count;
  const auto finish = [&](int kind, S* partials) {
    for (int i = threadIdx.x; partials && i < width && first_channel + i < channels; i += gradient_threads) {
      S sum = 0;
      for (int row = 0; row < rows; ++row) sum += shared[kind][row * width + i];
      partials[(sample * pieces + piece) * channels + first_channel + i] = sum;
    }
  };
  finish(0, gradients.bias);
  finish(1, gradients.scale);
}

}  // namespace ganart::cuda
