// Kernels of instance norm, scale, shift and activation. No torch, no launch.
//
// Formula   y = act(normal * weight + bias), normal = (x - mean) * scale, scale = 1 / sqrt(variance + eps), over a
//           channel's pixels. With g = grad * act'(...): grad_bias = sum g, grad_weight = sum g * normal, grad_x =
//           weight * scale * (g - mean g - normal * mean(g * normal)).
// Layouts   lines as in lines.cuh, at any alignment: 16 bytes per thread if all lines are aligned, else single
//           elements.
// Bytes     a channel that fits into shared memory is read once; of a longer one the end is kept, and the rest is read
//           again, from L2 if it is still there. Few long channels, and channels_last, take three kernels that read x
//           twice, the second time from L2 if it fits.
// Sums      of differences from the mean of the line's first part, in float (double for double); parts that several
//           blocks compute are joined in double.
// Repeats   bit for bit: how blocks divide the work depends on sizes alone; no atomics.
#pragma once

#include "activations.cuh"
#include "kept_lines.cuh"

namespace ganart::cuda {

// --- a team keeps its line: by warps for short lines of one channel, by blocks for others

template <class Element, int count, Team team>
__global__ void __launch_bounds__(most_threads<team>, team == Team::warp ? 3 : 2)
    instance_norm_lines(int64_t lines, int64_t channels, int64_t length, int64_t kept, int block_threads,
                        LineView<Element> x, ChannelValues<Sum<Element>> weight, ChannelValues<Sum<Element>> bias,
                        Layer<Sum<Element>> layer, Sum<Element> eps, Element* __restrict__ y, Sum<Element>* means,
                        Sum<Element>* scales) {
  using S = Sum<Element>;
  GANART_SHARED_MEMORY(shared);
  const LineTask<team> task(block_threads);
  if (task.line >= lines) return;  // for a whole team
  const int64_t sample = task.line / channels, channel = task.line - sample * channels;
  const KeptLine<Element, count> line = {x.line(sample, channel),
                                         reinterpret_cast<Element*>(shared) + task.first_of_block * kept, length, kept};
  line.bring(task.thread, task.threads);
  close_copy_group();
  await_copy_groups<0>();
  const int64_t step = int64_t{task.threads} * count, begin = task.thread * count;

  // The value that differences are taken from depends on the first part alone.
  S near = 0;
#pragma unroll 4
  for (int64_t i = begin; i < kept; i += step) {
    const auto run = load_run<count>(line.shared + i);
#pragma unroll
    for (int j = 0; j < count; ++j) near += widen(run.elements[j]);
  }
  near = sum_over_team<team, 0>(near, task.threads) / static_cast<S>(kept);

  S sum = 0, squares = 0;
#pragma unroll 4
  for (int64_t i = begin; i < length; i += step) {
    const auto run = line.at(i);
#pragma unroll
    for (int j = 0; j < count; ++j) {
      const S difference = widen(run.elements[j]) - near;
      sum += difference, squares += difference * difference;
    }
  }
  sum = sum_over_team<team, 1>(sum, task.threads);
  squares = sum_over_team<team, 2>(squares, task.threads);
  const S shift = sum / static_cast<S>(length), variance = (squares - sum * shift) / static_cast<S>(length);
  const S mean = near + shift, scale = inverse_root((variance < S(0) ? S(0) : variance) + eps);
  if (task.thread == 0) means[task.line] = mean, scales[task.line] = scale;

  const S w = weight.at(sample, channel), b = bias.at(sample, channel);
  Element* const to = y + task.line * length;
  with_activation(layer.activation, [&](auto act) {
#pragma unroll 2
    for (int64_t i = begin; i < length; i += step) {
      auto run = line.at(i);
#pragma unroll
      for (int j = 0; j < count; ++j) {
        const S normal = (widen(run.elements[j]) - mean) * scale;
        run.elements[j] = round_to(Element{}, act.value(normal * w + b, layer.negative_slope));
      }
      store_run(to + i, run);
    }
  });
}

// The activation's derivative at z.
template <class Act, class S>
GANART_DEVICE S slope_at(Act, S z, S negative_slope) {
  if constexpr (Act::from_output)
    return Act::slope(Act::value(z, negative_slope), negative_slope);
  else
    return Act::slope(z, negative_slope);
}

template <class Element, int count, Team team>
__global__ void __launch_bounds__(most_threads<team>, team == Team::warp ? 3 : 2)
    instance_norm_gradient_lines(int64_t lines, int64_t channels, int64_t length, int64_t kept, int block_threads,
                                 LineView<Element> grad, LineView<Element> x, const Sum<Element>* means,
                                 const Sum<Element>* scales, ChannelValues<Sum<Element>> weight,
                                 ChannelValues<Sum<Element>> bias, Layer<Sum<Element>> layer,
                                 Element* __restrict__ grad_x, Sum<Element>* grad_weight, Sum<Element>* grad_bias) {
  using S = Sum<Element>;
  GANART_SHARED_MEMORY(shared);
  const LineTask<team> task(block_threads);
  if (task.line >= lines) return;  // for a whole team
  const int64_t sample = task.line / channels, channel = task.line - sample * channels;
  Element* const own = reinterpret_cast<Element*>(shared) + task.first_of_block * 2 * kept;
  const KeptLine<Element, count> values = {x.line(sample, channel), own, length, kept};
  const KeptLine<Element, count> incoming = {grad.line(sample, channel), own + kept, length, kept};
  values.bring(task.thread, task.threads);
  incoming.bring(task.thread, task.threads);
  close_copy_group();
  await_copy_groups<0>();
  const int64_t step = int64_t{task.threads} * count, begin = task.thread * count;

  const S mean = means[task.line], scale = scales[task.line];
  const S w = weight.at(sample, channel), b = bias.at(sample, channel);
  Element* const to = grad_x + task.line * length;
  with_activation(layer.activation, [&](auto act) {
    S sum = 0, products = 0;
#pragma unroll 2
    for (int64_t i = begin; i < length; i += step) {
      const auto value_run = values.at(i), grad_run = incoming.at(i);
#pragma unroll
      for (int j = 0; j < count; ++j) {
        const S normal = (widen(value_run.elements[j]) - mean) * scale;
        const S inner = widen(grad_run.elements[j]) * slope_at(act, normal * w + b, layer.negative_slope);
        sum += inner, products += inner * normal;
      }
    }
    sum = sum_over_team<team, 0>(sum, task.threads);
    products = sum_over_team<team, 1>(products, task.threads);
    if (task.thread == 0) grad_bias[task.line] = sum, grad_weight[task.line] = products;

    const S mean_sum = sum / static_cast<S>(length), mean_product = products / static_cast<S>(length);
#pragma unroll 2
    for (int64_t i = begin; i < length; i += step) {
      auto value_run = values.at(i), grad_run = incoming.at(i);
#pragma unroll
      for (int j = 0; j < count; ++j) {
        const S normal = (widen(value_run.elements[j]) - mean) * scale;
        const S inner = widen(grad_run.elements[j]) * slope_at(act, normal * w + b, layer.negative_slope);
        value_run.elements[j] = round_to(Element{}, w * scale * (inner - mean_sum - normal * mean_product));
      }
      store_run(to + i, value_run);
    }
  });
}

// --- several blocks per channel, first stage: each block processes its part of the pixels
//
// A part's two numbers are at [sample][part][channel], the second one `results` later: the mean and the sum of squared
// differences from it (forward), or the sums of g and of g * normal (backward).

constexpr int part_threads = 256, part_runs = 8;

// The position of a block, and its part of a sample's pixels: a piece of one channel, or some lines of pixels.
struct PartPlan {
  int64_t samples, channels, pixels;
  int64_t parts = 1, part_pixels = 1;
  int across = 1, columns = 1;  // runs of channels side by side: of a block, and blocks; 1 and C if lines are channels

  GANART_HOST_DEVICE int64_t blocks() const { return samples * parts * columns; }
  GANART_HOST_DEVICE int64_t results() const { return samples * parts * channels; }
};

struct PartTask {
  int64_t sample, part, column, begin, end;

  GANART_DEVICE explicit PartTask(const PartPlan& plan) {
    column = blockIdx.x % plan.columns;
    const int64_t rest = blockIdx.x / plan.columns;
    part = rest % plan.parts, sample = rest / plan.parts;
    begin = part * plan.part_pixels, end = smaller(plan.pixels, begin + plan.part_pixels);
  }
  GANART_DEVICE int64_t result(const PartPlan& plan, int64_t channel) const {
    return (sample * plan.parts + part) * plan.channels + channel;
  }
};

template <class Element, int count>
__global__ void __launch_bounds__(part_threads, 2)
    instance_norm_part_by_channel(PartPlan plan, LineView<Element> x, Sum<Element>* __restrict__ results) {
  using S = Sum<Element>;
  const PartTask task(plan);
  const Element* const line = x.line(task.sample, task.column);
  const auto add_up = [&](S from, auto function) {
    S sum = 0;
#pragma unroll 4
    for (int64_t i = task.begin + threadIdx.x * count; i < task.end; i += part_threads * count) {
      const auto run = load_run<count>(line + i);
#pragma unroll
      for (int j = 0; j < count; ++j) sum += function(widen(run.elements[j]) - from);
    }
    return sum;
  };
  const S sum = sum_over_team<Team::block, 0>(add_up(S(0), [](S value) { return value; }), part_threads);
  const S mean = sum / static_cast<S>(task.end - task.begin);
  const S squares = sum_over_team<Team::block, 1>(add_up(mean, [](S d) { return d * d; }), part_threads);
  if (threadIdx.x != 0) return;
  results[task.result(plan, task.column)] = mean;
  results[plan.results() + task.result(plan, task.column)] = squares;
}

// The most runs of channels of a block, so that it has a thread for each channel.
constexpr int most_across = 32;

// The position of a thread in a block that processes lines of pixels.
template <int count>
struct PixelTask : PartTask {
  int64_t first, channel, pixel;  // of the block; of the thread's run; its first line
  int step;

  GANART_DEVICE explicit PixelTask(const PartPlan& plan)
      : PartTask(plan), first(column * plan.across * count), channel(first + threadIdx.x % plan.across * count),
        pixel(begin + threadIdx.x / plan.across), step(part_threads / plan.across) {}

  // Whether this thread writes a result, for channel first + threadIdx.x.
  GANART_DEVICE bool has_result(const PartPlan& plan) const {
    return threadIdx.x < plan.across * count && first + threadIdx.x < plan.channels;
  }
};

template <class Element, int count>
__global__ void __launch_bounds__(part_threads, 2)
    instance_norm_part_by_pixel(PartPlan plan, LineView<Element> x, Sum<Element>* __restrict__ results) {
  using S = Sum<Element>;
  __shared__ S shared[part_threads * count], means[most_across * count];
  const PixelTask<count> task(plan);
  S from[count] = {}, sums[count] = {}, squares[count] = {};
  const auto add_up = [&](S(&totals)[count], auto function) {
    if (task.channel >= plan.channels) return;
#pragma unroll 4
    for (int64_t pixel = task.pixel; pixel < task.end; pixel += task.step) {
      const auto run = load_run<count>(x.line(task.sample, pixel) + task.channel);
#pragma unroll
      for (int j = 0; j < count; ++j) totals[j] += function(widen(run.elements[j]) - from[j]);
    }
  };
  add_up(sums, [](S value) { return value; });
  const S mean = sum_down(shared, sums, plan.across, part_threads) / static_cast<S>(task.end - task.begin);
  if (threadIdx.x < plan.across * count) means[threadIdx.x] = mean;
  __syncthreads();
#pragma unroll
  for (int j = 0; j < count; ++j) from[j] = means[threadIdx.x % plan.across * count + j];
  add_up(squares, [](S difference) { return difference * difference; });
  const S square = sum_down(shared, squares, plan.across, part_threads);
  if (!task.has_result(plan)) return;
  const int64_t result = task.result(plan, task.first + threadIdx.x);
  results[result] = mean, results[plan.results() + result] = square;
}

template <class Element, int count>
__global__ void __launch_bounds__(part_threads, 2)
    instance_norm_gradient_part_by_channel(PartPlan plan, LineView<Element> grad, LineView<Element> x,
                                           const Sum<Element>* means, const Sum<Element>* scales,
                                           ChannelValues<Sum<Element>> weight, ChannelValues<Sum<Element>> bias,
                                           Layer<Sum<Element>> layer, Sum<Element>* __restrict__ results) {
  using S = Sum<Element>;
  const PartTask task(plan);
  const Element* const values = x.line(task.sample, task.column);
  const Element* const incoming = grad.line(task.sample, task.column);
  const int64_t at = task.sample * plan.channels + task.column;
  const S mean = means[at], scale = scales[at];
  const S w = weight.at(task.sample, task.column), b = bias.at(task.sample, task.column);
  S sum = 0, products = 0;
  with_activation(layer.activation, [&](auto act) {
#pragma unroll 2
    for (int64_t i = task.begin + threadIdx.x * count; i < task.end; i += part_threads * count) {
      const auto value_run = load_run<count>(values + i), grad_run = load_run<count>(incoming + i);
#pragma unroll
      for (int j = 0; j < count; ++j) {
        const S normal = (widen(value_run.elements[j]) - mean) * scale;
        const S inner = widen(grad_run.elements[j]) * slope_at(act, normal * w + b, layer.negative_slope);
        sum += inner, products += inner * normal;
      }
    }
  });
  sum = sum_over_team<Team::block, 0>(sum, part_threads);
  products = sum_over_team<Team::block, 1>(products, part_threads);
  if (threadIdx.x != 0) return;
  const int64_t result = task.result(plan, task.column);
  results[result] = sum, results[plan.results() + result] = products;
}

template <class Element, int count>
__global__ void __launch_bounds__(part_threads, 2)
    instance_norm_gradient_part_by_pixel(PartPlan plan, LineView<Element> grad, LineView<Element> x,
                                         const Sum<Element>* means, const Sum<Element>* scales,
                                         ChannelValues<Sum<Element>> weight, ChannelValues<Sum<Element>> bias,
                                         Layer<Sum<Element>> layer, Sum<Element>* __restrict__ results) {
  using S = Sum<Element>;
  __shared__ S shared[part_threads * count];
  const PixelTask<count> task(plan);
  S sums[count] = {}, products[count] = {};
  if (task.channel < plan.channels) {
    S mean[count], scale[count], w[count], b[count];
#pragma unroll
    for (int j = 0; j < count; ++j) {
      const int64_t channel = task.channel + j, at = task.sample * plan.channels + channel;
      mean[j] = means[at], scale[j] = scales[at];
      w[j] = weight.at(task.sample, channel), b[j] = bias.at(task.sample, channel);
    }
    with_activation(layer.activation, [&](auto act) {
#pragma unroll 1
      for (int64_t pixel = task.pixel; pixel < task.end; pixel += task.step) {
        const auto value_run = load_run<count>(x.line(task.sample, pixel) + task.channel);
        const auto grad_run = load_run<count>(grad.line(task.sample, pixel) + task.channel);
#pragma unroll
        for (int j = 0; j < count; ++j) {
          const S normal = (widen(value_run.elements[j]) - mean[j]) * scale[j];
          const S inner = widen(grad_run.elements[j]) * slope_at(act, normal * w[j] + b[j], layer.negative_slope);
          sums[j] += inner, products[j] += inner * normal;
        }
      }
    });
  }
  const S sum = sum_down(shared, sums, plan.across, part_threads),
          product = sum_down(shared, products, plan.across, part_threads);
  if (!task.has_result(plan)) return;
  const int64_t result = task.result(plan, task.first + threadIdx.x);
  results[result] = sum, results[plan.results() + result] = product;
}

// --- second stage: joins the parts of each channel

constexpr int join_threads = 256, joined_channels = 32, joined_rows = join_threads / joined_channels;

// Calls use(part) for each part that this thread joins, and returns the sum of the block's results for its channel.
template <class Use>
GANART_DEVICE double join(double* shared, int64_t parts, bool present, const Use& use) {
  double sum = 0;
  if (present) {
#pragma unroll 4
    for (int64_t part = threadIdx.x / joined_channels; part < parts; part += joined_rows) sum += use(part);
  }
  __syncthreads();  // `shared` may be in use
  shared[threadIdx.x] = sum;
  __syncthreads();
  sum = 0;
  for (int row = 0; row < joined_rows; ++row) sum += shared[row * joined_channels + threadIdx.x % joined_channels];
  return sum;
}

// Forward: a[part] are means, b[part] squared differences (T. Chan et al. 1979); results mean and 1 / sqrt(v + eps).
// Backward: results are sums of a and of b.
template <class S, bool statistics>
__global__ void __launch_bounds__(join_threads)
    instance_norm_join(PartPlan plan, const S* parts, double eps, S* first_result, S* second_result) {
  __shared__ double shared[join_threads];
  const int64_t groups = ceil_divide(plan.channels, joined_channels), sample = blockIdx.x / groups;
  const int64_t channel = blockIdx.x % groups * joined_channels + threadIdx.x % joined_channels;
  const bool present = channel < plan.channels;
  const S* const a = parts + sample * plan.parts * plan.channels + channel;
  const S* const b = a + plan.results();
  const auto count = [&](int64_t part) {
    return static_cast<double>(smaller(plan.part_pixels, plan.pixels - part * plan.part_pixels));
  };
  double first = join(shared, plan.parts, present, [&](int64_t part) {
    return static_cast<double>(a[part * plan.channels]) * (statistics ? count(part) : 1.0);
  });
  if (statistics) first /= static_cast<double>(plan.pixels);
  double second = join(shared, plan.parts, present, [&](int64_t part) {
    const double own = b[part * plan.channels];
    if (!statistics) return own;
    const double difference = a[part * plan.channels] - first;
    return own + difference * difference * count(part);
  });
  if (statistics) second = 1.0 / sqrt(second / static_cast<double>(plan.pixels) + eps);
  if (threadIdx.x >= joined_channels || !present) return;
  first_result[sample * plan.channels + channel] = static_cast<S>(first);
  second_result[sample * plan.channels + channel] = static_cast<S>(second);
}

// --- third stage: element by element

template <class Element, class Index, int count>
__global__ void __launch_bounds__(flat_threads, 3)
    instance_norm_apply(FlatShape<Index> shape, LineView<Element> x, ChannelValues<Sum<Element>> mean,
                        ChannelValues<Sum<Element>> scale, ChannelValues<Sum<Element>> weight,
                        ChannelValues<Sum<Element>> bias, Layer<Sum<Element>> layer, Element* y) {
  using S = Sum<Element>;
  const Index index = (static_cast<Index>(blockIdx.x) * flat_threads + threadIdx.x) * count;
  if (index >= shape.size) return;
  auto run = shape.template load<count>(x, index);
  S means[count], scales[count], w[count], b[count];
  shape.read(mean, index, means);
  shape.read(scale, index, scales);
  shape.read(weight, index, w);
  shape.read(bias, index, b);
  with_activation(layer.activation, [&](auto act) {
#pragma unroll
    for (int j = 0; j < count; ++j) {
      const S normal = (widen(run.elements[j]) - means[j]) * scales[j];
      run.elements[j] = round_to(Element{}, act.value(normal * w[j] + b[j], layer.negative_slope));
    }
  });
  store_run(y + index, run);
}

template <class Element, class Index, int count>
__global__ void __launch_bounds__(flat_threads, 3)
    instance_norm_gradient_apply(FlatShape<Index> shape, LineView<Element> grad, LineView<Element> x,
                                 ChannelValues<Sum<Element>> mean, ChannelValues<Sum<Element>> scale,
                                 ChannelValues<Sum<Element>> weight, ChannelValues<Sum<Element>> bias,
                                 ChannelValues<Sum<Element>> sum, ChannelValues<Sum<Element>> product,
                                 Sum<Element> inverse_pixels, Layer<Sum<Element>> layer, Element* grad_x) {
  using S = Sum<Element>;
  const Index index = (static_cast<Index>(blockIdx.x) * flat_threads + threadIdx.x) * count;
  if (index >= shape.size) return;
  const auto value_run = shape.template load<count>(x, index), grad_run = shape.template load<count>(grad, index);
  S normals[count], inners[count], values[count], w[count];
  shape.read(mean, index, values);
#pragma unroll
  for (int j = 0; j < count; ++j) normals[j] = widen(value_run.elements[j]) - values[j];
  shape.read(scale, index, values);
#pragma unroll
  for (int j = 0; j < count; ++j) normals[j] *= values[j];
  shape.read(weight, index, w);
  shape.read(bias, index, values);
  with_activation(layer.activation, [&](auto act) {
#pragma unroll
    for (int j = 0; j < count; ++j) {
      inners[j] = widen(grad_run.elements[j]) * slope_at(act, normals[j] * w[j] + values[j], layer.negative_slope);
    }
  });
  shape.read(sum, index, values);
#pragma unroll
  for (int j = 0; j < count; ++j) inners[j] -= values[j] * inverse_pixels;
  shape.read(product, index, values);
#pragma unroll
  for (int j = 0; j < count; ++j) inners[j] -= normals[j] * (values[j] * inverse_pixels);
  shape.read(scale, index, values);
  Run<Element, count> result;
#pragma unroll
  for (int j = 0; j < count; ++j) result.elements[j] = round_to(Element{}, w[j] * values[j] * inners[j]);
  store_run(grad_x + index, result);
}

}  // namespace ganart::cuda
