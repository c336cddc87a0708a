// Launchers of pixel norm: choose the threads for a pixel, and queue kernels.
#include "pixel_norm.cuh"

#include "pixel_norm.h"

namespace ganart::cuda {
namespace {

// Fewer pixels side by side if all channels then fit into shared memory, but at least a cache line of them.
PixelPlan plan_pixels(const LineShape& shape, int run_bytes, int count, int tensors, int bytes) {
  constexpr int line_bytes = 128;
  int across = 32;
  while (across > 1 && across / 2 * count >= shape.pixels()) across /= 2;
  const auto needs = [&] { return shape.channels() * across * run_bytes * tensors; };
  while (across > 1 && across * run_bytes > line_bytes && needs() > bytes) across /= 2;
  const int64_t kept = smaller<int64_t>(shape.channels(), bytes / (across * run_bytes * tensors));
  return {shape.samples,
          shape.channels(),
          shape.pixels(),
          across,
          column_threads_of_pixels / across,
          static_cast<int>(kept),
          ceil_divide(shape.pixels(), across * count)};
}

template <bool gradient>
cudaError_t normalize_pixels(const Features& grad, const Features& x, double eps, void* result, cudaStream_t stream) {
  constexpr int tensors = gradient ? 2 : 1, bytes = gradient ? kept_pair_bytes : kept_bytes;
  return with_element(x.type, [&](auto element) {
    using Element = decltype(element);
    using S = Sum<Element>;
    constexpr int width = elements_per_vector<Element>;
    const LineShape shape(x);
    const LineView<Element> grads(shape, grad), values(shape, x);
    Element* const to = static_cast<Element*>(result);
    const auto queue = [&](auto count_constant) {
      constexpr int count = count_constant;
      if (!shape.by_channel) {
        const auto kernel = [](auto team) { return pixel_norm_lines<gradient, Element, count, team>; };
        return queue_lines<Element>(shape, count, tensors, bytes, kernel, stream, grads, values, static_cast<S>(eps),
                                    to);
      }
      constexpr int run_bytes = count * sizeof(Element);
      const PixelPlan plan = plan_pixels(shape, run_bytes, count, tensors, bytes);
      return launch(pixel_norm_columns<gradient, Element, count>, plan.samples * plan.blocks_per_sample,
                    column_threads_of_pixels, plan.kept * plan.across * run_bytes * tensors, stream, plan, grads,
                    values, static_cast<S>(eps), to);
    };
    const bool runs = shape.length % width == 0 && values.aligned() && grads.aligned() && is_aligned(to);
    return runs ? queue(Constant<width>{}) : queue(Constant<1>{});
  });
}

}  // namespace

cudaError_t pixel_norm(const Features& x, double eps, void* y, cudaStream_t stream) {
  return normalize_pixels<false>(x, x, eps, y, stream);
}

cudaError_t pixel_norm_backward(const Features& grad, const Features& x, double eps, void* grad_x,
                                cudaStream_t stream) {
  return normalize_pixels<true>(grad, x, eps, grad_x, stream);
}

}  // namespace ganart::cuda
