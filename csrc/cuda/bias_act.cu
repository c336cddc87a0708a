// Launchers of bias, activation, gain and clamp: choose the width of loads, the index type and the division into
// blocks, and queue kernels.
#include "bias_act.cuh"

#include "column_sums.cuh"
#include "launch.cuh"
#include "bias_act.h"

namespace ganart::cuda {
namespace {

// How lines are divided for sums.
struct SumPlan {
  int64_t partial_lines;
  int pieces;               // of a line of pixels, one per warp
  int across;               // runs of a line of channels that a block processes side by side
  int64_t lines_per_block;  // of channels

  SumPlan(const LineShape& shape, int count) {
    if (shape.by_channel) {
      pieces = static_cast<int>(ceil_divide(shape.length, 32 * count * sum_runs));
      partial_lines = shape.samples * pieces;
    } else {
      across = 1;
      while (across < 32 && across * count < shape.length) across *= 2;
      lines_per_block = sum_threads / across * sum_runs;
      partial_lines = ceil_divide(shape.lines(), lines_per_block);
    }
  }
};

template <class Element>
cudaError_t queue_sums(const LineShape& shape, const LineView<Element>& grad, const LineView<Element>& kept,
                       const ChannelValues<Sum<Element>>& bias, const Layer<Sum<Element>>& layer, Element* grad_x,
                       Sum<Element>* grad_bias, Sum<Element>* partials, cudaStream_t stream) {
  constexpr int width = elements_per_vector<Element>;
  const int channels = static_cast<int>(shape.channels());
  const auto queue = [&](auto count_constant) {
    constexpr int count = count_constant;
    const SumPlan plan(shape, count);
    cudaError_t error;
    if (!shape.by_channel) {
      const int64_t blocks = plan.partial_lines * ceil_divide(channels, plan.across * count);
      error = launch(bias_act_gradient_by_pixel<Element, count>, blocks, sum_threads, 0, stream, shape.lines(),
                     shape.lines_per_sample, plan.lines_per_block, channels, plan.across, grad, kept, bias, layer,
                     grad_x, partials);
    } else {
      const int64_t blocks = ceil_divide(shape.lines() * plan.pieces, sum_threads / 32);
      error = launch(bias_act_gradient_by_channel<Element, count>, blocks, sum_threads, 0, stream, shape.lines(),
                     channels, shape.length, plan.pieces, grad, kept, bias, layer, grad_x, partials);
    }
    if (error != cudaSuccess) return error;
    return queue_column_sums<Sum<Element>>(partials, 1, plan.partial_lines, channels, grad_bias, stream);
  };
  const bool runs = shape.length % width == 0 && grad.aligned() && kept.aligned() && is_aligned(grad_x);
  return runs ? queue(Constant<width>{}) : queue(Constant<1>{});
}

}  // namespace

cudaError_t bias_act(const Features& x, const void* bias, const ActivationParameters& act, void* y,
                     cudaStream_t stream) {
  return with_element(x.type, [&](auto element) {
    using Element = decltype(element);
    using S = Sum<Element>;
    const LineShape shape(x);
    const LineView<Element> view(shape, x);
    return with_flat<Element>(shape, view.has_runs(shape) && is_aligned(y), [&](auto count, auto index) {
      const int64_t blocks = ceil_divide(shape.size(), flat_threads * flat_runs * count);
      return launch(bias_act_forward<Element, decltype(index), count>, blocks, flat_threads, 0, stream,
                    FlatShape<decltype(index)>(shape), view, ChannelValues<S>(bias, 0, S(0)), Layer<S>(act),
                    static_cast<Element*>(y));
    });
  });
}

size_t bias_act_backward_workspace(const Features& kept) {
  const LineShape shape(kept);
  const SumPlan plan(shape, 1);  // single elements need the most partial sums
  return plan.partial_lines * shape.channels() * (kept.type == Type::float64 ? sizeof(double) : sizeof(float));
}

cudaError_t bias_act_backward(const Features& grad, const Features& kept, const void* bias,
                              const ActivationParameters& act, void* grad_x, void* grad_bias, void* workspace,
                              cudaStream_t stream) {
  return with_element(kept.type, [&](auto element) {
    using Element = decltype(element);
    using S = Sum<Element>;
    const LineShape shape(kept);
    const LineView<Element> grads(shape, grad), keeps(shape, kept);
    const ChannelValues<S> biases(bias, 0, S(0));
    auto* const to = static_cast<Element*>(grad_x);
    if (grad_bias) {
      return queue_sums<Element>(shape, grads, keeps, biases, Layer<S>(act), to, static_cast<S*>(grad_bias),
                                 static_cast<S*>(workspace), stream);
    }
    const bool runs = grads.has_runs(shape) && keeps.has_runs(shape) && is_aligned(to);
    return with_flat<Element>(shape, runs, [&](auto count, auto index) {
      const int64_t blocks = ceil_divide(shape.size(), flat_threads * flat_pairs * count);
      return launch(bias_act_gradient<Element, decltype(index), count>, blocks, flat_threads, 0, stream,
                    FlatShape<decltype(index)>(shape), grads, keeps, biases, Layer<S>(act), to);
    });
  });
}

}  // namespace ganart::cuda
