// Launchers of scale, noise, bias, activation, gain and clamp: choose the width of loads and the division into blocks,
// and queue kernels.
#include "scaled_bias_act.cuh"

#include "column_sums.cuh"
#include "launch.cuh"
#include "scaled_bias_act.h"

namespace ganart::cuda {
namespace {

// Whether lines consist of aligned runs of 16 bytes.
template <class Element>
bool has_runs(const LineShape& shape, const LineView<Element>& view, const void* result, const AffineTerms& terms) {
  return shape.length % elements_per_vector<Element> == 0 && view.aligned() && is_aligned(result) &&
         is_aligned(terms.noise);
}

// How a sample is divided for sums: into pieces of its pixels and parts of its channels.
struct AffinePlan {
  int64_t pieces, pixels_per_piece;
  int parts, channels_per_part;
  int across;  // threads that take runs of one pixel's channels
  int64_t channel_partials, noise_partials;

  AffinePlan(const LineShape& shape, int count) {
    constexpr int64_t large = 1 << 21;  // elements: enough for parts of many channels, which need fewer partial sums
    across = 1;
    if (shape.by_channel) {
      channels_per_part = shape.size() < large ? 8 : 32;
      pixels_per_piece = 32 * count;
    } else {
      while (across < 32 && across * count < shape.length) across *= 2;
      channels_per_part = across * count;
      pixels_per_piece = gradient_threads / across * gradient_rows;
    }
    pieces = ceil_divide(shape.pixels(), pixels_per_piece);
    parts = static_cast<int>(ceil_divide(shape.channels(), channels_per_part));
    channel_partials = shape.samples * pieces * shape.channels();
    noise_partials = shape.samples * parts * shape.pixels();
  }
};

template <class Element>
cudaError_t queue_gradients(const LineShape& shape, const AffinePlan& plan, const LineView<Element>& grad,
                            const LineView<Element>& x, const Terms<Sum<Element>>& terms,
                            const Layer<Sum<Element>>& layer, const Gradients<Element>& gradients, bool runs,
                            cudaStream_t stream) {
  constexpr int width = elements_per_vector<Element>;
  const int channels = static_cast<int>(shape.channels());
  const int64_t cuts = shape.samples * plan.pieces * plan.parts;
  const auto queue = [&](auto count_constant) {
    constexpr int count = count_constant;
    if (shape.by_channel) {
      return launch(scaled_bias_act_gradient_by_channel<Element, count>, ceil_divide(cuts, gradient_threads / 32),
                    gradient_threads, 0, stream, cuts, shape.length, plan.pieces, channels, plan.parts,
                    plan.channels_per_part, grad, x, terms, layer, gradients);
    }
    return launch(scaled_bias_act_gradient_by_pixel<Element, count>, cuts, gradient_threads, 0, stream, shape.pixels(),
                  plan.pieces, plan.pixels_per_piece, channels, plan.parts, plan.across, grad, x, terms, layer,
                  gradients);
  };
  return runs ? queue(Constant<width>{}) : queue(Constant<1>{});
}

}  // namespace

cudaError_t scaled_bias_act(const Features& x, const AffineTerms& terms, const ActivationParameters& act, void* y,
                            cudaStream_t stream) {
  return with_element(x.type, [&](auto element) {
    using Element = decltype(element);
    using S = Sum<Element>;
    const LineShape shape(x);
    const LineView<Element> view(shape, x);
    const bool runs = has_runs(shape, view, y, terms);
    return with_flat<Element>(shape, runs, [&](auto count, auto index) {
      const int64_t blocks = ceil_divide(shape.size(), flat_threads * flat_runs * count);
      return launch(scaled_bias_act_forward<Element, decltype(index), count>, blocks, flat_threads, 0, stream,
                    FlatShape<decltype(index)>(shape), view, Terms<S>(terms, shape.channels()), Layer<S>(act),
                    static_cast<Element*>(y));
    });
  });
}

size_t scaled_bias_act_backward_workspace(const Features& x) {
  const AffinePlan plan(LineShape(x), 1);  // single elements need the most partial sums
  return (2 * plan.channel_partials + plan.noise_partials) * (x.type == Type::float64 ? sizeof(double) : sizeof(float));
}

cudaError_t scaled_bias_act_backward(const Features& grad, const Features& x, const AffineTerms& terms,
                                     const ActivationParameters& act, const AffineGradients& gradients, void* workspace,
                                     cudaStream_t stream) {
  return with_element(x.type, [&](auto element) {
    using Element = decltype(element);
    using S = Sum<Element>;
    const LineShape shape(x);
    const LineView<Element> grads(shape, grad), view(shape, x);
    const bool runs = has_runs(shape, view, gradients.x, terms) && grads.aligned();
    const AffinePlan plan(shape, runs ? elements_per_vector<Element> : 1);
    auto* const partials = static_cast<S*>(workspace);
    Gradients<Element> to{static_cast<Element*>(gradients.x)};
    if (gradients.scale) to.scale = partials;
    if (gradients.bias) to.bias = partials + plan.channel_partials;
    if (gradients.noise) to.noise = partials + 2 * plan.channel_partials;
    cudaError_t error =
        queue_gradients(shape, plan, grads, view, Terms<S>(terms, shape.channels()), Layer<S>(act), to, runs, stream);
    const auto add = [&](const S* from, int64_t groups, int64_t lines, int64_t columns, void* sums) {
      if (from && error == cudaSuccess) {
        error = queue_column_sums(from, groups, lines, columns, static_cast<S*>(sums), stream);
      }
    };
    add(to.scale, shape.samples, plan.pieces, shape.channels(), gradients.scale);
    add(to.bias, 1, shape.samples * plan.pieces, shape.channels(), gradients.bias);
    add(to.noise, shape.samples, plan.parts, shape.pixels(), gradients.noise);
    return error;
  });
}

}  // namespace ganart::cuda
