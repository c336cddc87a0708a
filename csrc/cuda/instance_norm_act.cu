// Launchers of instance norm, scale, shift and activation: choose the threads for a channel, lay out the workspace, and
// queue kernels.
#include "instance_norm_act.cuh"

#include "instance_norm_act.h"

namespace ganart::cuda {
namespace {

// --- the threads for a channel depend on sizes alone

constexpr int64_t few_lines = 264;  // two per SM of an H100

// Whether several blocks share a channel: if channels are not lines, or are few and too long to be kept.
bool in_parts(const LineShape& shape, Type type, int tensors, int bytes) {
  const int64_t size = type == Type::float64 ? 8 : type == Type::float32 ? 4 : 2;
  return !shape.by_channel || (shape.length * size * tensors > bytes && shape.lines() < few_lines);
}

bool forward_in_parts(const LineShape& shape, Type type) { return in_parts(shape, type, 1, kept_bytes); }
bool backward_in_parts(const LineShape& shape, Type type) { return in_parts(shape, type, 2, kept_pair_bytes); }

PartPlan plan_parts(const LineShape& shape, int count) {
  PartPlan plan = {shape.samples, shape.channels(), shape.pixels()};
  if (shape.by_channel) {
    plan.part_pixels = int64_t{part_threads} * part_runs * count;
    plan.columns = static_cast<int>(plan.channels);
  } else {
    while (plan.across < most_across && plan.across * count < plan.channels) plan.across *= 2;
    plan.part_pixels = int64_t{part_threads} / plan.across * part_runs;
    plan.columns = static_cast<int>(ceil_divide(plan.channels, plan.across * count));
  }
  plan.parts = ceil_divide(plan.pixels, plan.part_pixels);
  return plan;
}

// Single elements need the most parts.
size_t parts_bytes(const LineShape& shape, Type type) {
  return 2 * plan_parts(shape, 1).results() * (type == Type::float64 ? sizeof(double) : sizeof(float));
}

template <class Element>
cudaError_t forward(const LineShape& shape, const LineView<Element>& x, const ChannelValues<Sum<Element>>& weight,
                    const ChannelValues<Sum<Element>>& bias, const Layer<Sum<Element>>& layer, double eps, Element* y,
                    Sum<Element>* means, Sum<Element>* scales, void* workspace, bool parts, cudaStream_t stream) {
  using S = Sum<Element>;
  constexpr int width = elements_per_vector<Element>;
  const bool runs = shape.length % width == 0 && x.aligned();
  if (!parts) {
    const auto queue = [&](auto count) {
      const auto kernel = [](auto team) { return instance_norm_lines<Element, decltype(count)::value, team>; };
      return queue_lines<Element>(shape, count, 1, kept_bytes, kernel, stream, x, weight, bias, layer,
                                  static_cast<S>(eps), y, means, scales);
    };
    return runs && is_aligned(y) ? queue(Constant<width>{}) : queue(Constant<1>{});
  }
  S* const results = static_cast<S*>(workspace);
  const auto queue_parts = [&](auto count) {
    const PartPlan plan = plan_parts(shape, count);
    const cudaError_t error = launch(
        shape.by_channel ? instance_norm_part_by_channel<Element, count> : instance_norm_part_by_pixel<Element, count>,
        plan.blocks(), part_threads, 0, stream, plan, x, results);
    if (error != cudaSuccess) return error;
    return launch(instance_norm_join<S, true>, plan.samples * ceil_divide(plan.channels, joined_channels), join_threads,
                  0, stream, plan, static_cast<const S*>(results), eps, means, scales);
  };
  const cudaError_t error = runs ? queue_parts(Constant<width>{}) : queue_parts(Constant<1>{});
  if (error != cudaSuccess) return error;
  return with_flat<Element>(shape, x.has_runs(shape) && is_aligned(y), [&](auto count, auto index) {
    using Index = decltype(index);
    return launch(instance_norm_apply<Element, Index, count>, ceil_divide(shape.size(), flat_threads * count),
                  flat_threads, 0, stream, FlatShape<Index>(shape), x, ChannelValues<S>(means, shape.channels(), S(0)),
                  ChannelValues<S>(scales, shape.channels(), S(0)), weight, bias, layer, y);
  });
}

template <class Element>
cudaError_t backward(const LineShape& shape, const LineView<Element>& grad, const LineView<Element>& x,
                     const Sum<Element>* means, const Sum<Element>* scales, const ChannelValues<Sum<Element>>& weight,
                     const ChannelValues<Sum<Element>>& bias, const Layer<Sum<Element>>& layer, Element* grad_x,
                     Sum<Element>* grad_weight, Sum<Element>* grad_bias, void* workspace, bool parts,
                     cudaStream_t stream) {
  using S = Sum<Element>;
  constexpr int width = elements_per_vector<Element>;
  const bool runs = shape.length % width == 0 && x.aligned() && grad.aligned();
  if (!parts) {
    const auto queue = [&](auto count) {
      const auto kernel = [](auto team) { return instance_norm_gradient_lines<Element, decltype(count)::value, team>; };
      return queue_lines<Element>(shape, count, 2, kept_pair_bytes, kernel, stream, grad, x, means, scales, weight,
                                  bias, layer, grad_x, grad_weight, grad_bias);
    };
    return runs && is_aligned(grad_x) ? queue(Constant<width>{}) : queue(Constant<1>{});
  }
  S* const results = static_cast<S*>(workspace);
  const auto queue_parts = [&](auto count) {
    const PartPlan plan = plan_parts(shape, count);
    const cudaError_t error = launch(shape.by_channel ? instance_norm_gradient_part_by_channel<Element, count>
                                                      : instance_norm_gradient_part_by_pixel<Element, count>,
                                     plan.blocks(), part_threads, 0, stream, plan, grad, x, means, scales, weight, bias,
                                     layer, results);
    if (error != cudaSuccess) return error;
    return launch(instance_norm_join<S, false>, plan.samples * ceil_divide(plan.channels, joined_channels),
                  join_threads, 0, stream, plan, static_cast<const S*>(results), 0.0, grad_bias, grad_weight);
  };
  const cudaError_t error = runs ? queue_parts(Constant<width>{}) : queue_parts(Constant<1>{});
  if (error != cudaSuccess) return error;
  const bool flat_runs = x.has_runs(shape) && grad.has_runs(shape) && is_aligned(grad_x);
  return with_flat<Element>(shape, flat_runs, [&](auto count, auto index) {
    using Index = decltype(index);
    const auto of_channels = [&](const S* values) { return ChannelValues<S>(values, shape.channels(), S(0)); };
    return launch(instance_norm_gradient_apply<Element, Index, count>, ceil_divide(shape.size(), flat_threads * count),
                  flat_threads, 0, stream, FlatShape<Index>(shape), grad, x, of_channels(means), of_channels(scales),
                  weight, bias, of_channels(grad_bias), of_channels(grad_weight),
                  static_cast<S>(1 / static_cast<double>(shape.pixels())), layer, grad_x);
  });
}

}  // namespace

size_t instance_norm_act_workspace(const Features& x) {
  const LineShape shape(x);
  return forward_in_parts(shape, x.type) ? parts_bytes(shape, x.type) : 0;
}

cudaError_t instance_norm_act(const Features& x, ChannelParameters weight, ChannelParameters bias,
                              const ActivationParameters& act, double eps, void* y, void* mean, void* scale,
                              void* workspace, cudaStream_t stream) {
  return with_element(x.type, [&](auto element) {
    using Element = decltype(element);
    using S = Sum<Element>;
    const LineShape shape(x);
    return forward<Element>(
        shape, LineView<Element>(shape, x), ChannelValues<S>(weight.values, weight.sample_stride, S(1)),
        ChannelValues<S>(bias.values, bias.sample_stride, S(0)), Layer<S>(act), eps, static_cast<Element*>(y),
        static_cast<S*>(mean), static_cast<S*>(scale), workspace, forward_in_parts(shape, x.type), stream);
  });
}

size_t instance_norm_act_backward_workspace(const Features& x) {
  const LineShape shape(x);
  return backward_in_parts(shape, x.type) ? parts_bytes(shape, x.type) : 0;
}

cudaError_t instance_norm_act_backward(const Features& grad, const Features& x, const void* mean, const void* scale,
                                       ChannelParameters weight, ChannelParameters bias,
                                       const ActivationParameters& act, void* grad_x, void* grad_weight,
                                       void* grad_bias, void* workspace, cudaStream_t stream) {
  return with_element(x.type, [&](auto element) {
    using Element = decltype(element);
    using S = Sum<Element>;
    const LineShape shape(x);
    return backward<Element>(
        shape, LineView<Element>(shape, grad), LineView<Element>(shape, x), static_cast<const S*>(mean),
        static_cast<const S*>(scale), ChannelValues<S>(weight.values, weight.sample_stride, S(1)),
        ChannelValues<S>(bias.values, bias.sample_stride, S(0)), Layer<S>(act), static_cast<Element*>(grad_x),
        static_cast<S*>(grad_weight), static_cast<S*>(grad_bias), workspace, backward_in_parts(shape, x.type), stream);
  });
}

}  // namespace ganart::cuda
