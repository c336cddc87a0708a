// Launchers of minibatch standard deviation: find the rows of a run of channels, choose the width of loads, and queue.
#include "minibatch_stddev.cuh"

#include "launch.cuh"
#include "minibatch_stddev.h"

namespace ganart::cuda {
namespace {

// A run of a group's channels as rows: each channel's pixels or each pixel's channels, or all of them as one row if
// they are adjacent in all tensors.
struct RunRows {
  bool by_pixel;
  int64_t channels, rows, length;  // channels of a run

  RunRows(const Features& x, const SampleGroups& groups)
      : by_pixel(x.pixel_stride != 1), channels(x.channels / groups.runs), rows(by_pixel ? x.pixels : channels),
        length(by_pixel ? channels : x.pixels) {}

  template <class Element>
  RunView<Element> view(Element* data, const Features& f) const {
    return {data, f.sample_stride, channels * f.channel_stride, by_pixel ? f.pixel_stride : f.channel_stride};
  }
  template <class Element>
  RunView<const Element> view(const Features& f) const {
    return view(static_cast<const Element*>(f.data), f);
  }

  template <class... View>
  void join(View&... views) {
    if (((views.row_stride == length) && ...)) {
      length *= rows;
      rows = 1;
    }
    if (rows == 1) ((views.row_stride = 0), ...);
  }

  // Whether runs of a vector's length are aligned.
  template <class Element>
  bool has_runs(const RunView<Element>& view) const {
    constexpr int width = elements_per_vector<std::remove_const_t<Element>>;
    return is_aligned(view.data) && (view.sample_stride | view.run_stride | view.row_stride | length) % width == 0;
  }
};

// Calls use(count, shape) with the width of loads as a constant.
template <class Element, class Use>
cudaError_t with_runs(const SampleGroups& groups, const RunRows& cut, bool runs, const Use& use) {
  const auto with_index = [&](auto count) {
    if (cut.rows * cut.length < int64_t{1} << 31)
      return use(count, RunShape<uint32_t>(groups, cut.rows, cut.length, count));
    return use(count, RunShape<uint64_t>(groups, cut.rows, cut.length, count));
  };
  return runs ? with_index(Constant<elements_per_vector<Element>>{}) : with_index(Constant<1>{});
}

// Dense features in the layout of others.
Features dense_like(const Features& x, void* data, int64_t channels) {
  const bool by_pixel = x.pixel_stride != 1;
  return {data,
          x.type,
          x.samples,
          channels,
          x.pixels,
          channels * x.pixels,
          by_pixel ? 1 : x.pixels,
          by_pixel ? channels : 1};
}

AppendedPlan plan_appended(const Features& wide, const SampleGroups& groups) {
  return {groups,
          wide.channels - groups.runs,
          wide.pixels,
          wide.sample_stride,
          wide.channel_stride,
          wide.pixel_stride,
          ceil_divide(wide.pixels, AppendedPlan::part)};
}

size_t sum_bytes(Type type) { return type == Type::float64 ? sizeof(double) : sizeof(float); }

}  // namespace

size_t minibatch_stddev_workspace(const Features& x, const SampleGroups& groups) {
  const RunRows cut(x, groups);
  return RunShape<uint64_t>(groups, cut.rows, cut.length, 1).blocks() *
         sum_bytes(x.type);  // single elements need the most
}

cudaError_t minibatch_stddev(const Features& x, const SampleGroups& groups, void* y, void* workspace,
                             cudaStream_t stream) {
  return with_element(x.type, [&](auto element) {
    using Element = decltype(element);
    using S = Sum<Element>;
    const Features wide = dense_like(x, y, x.channels + groups.runs);
    Element* const to = static_cast<Element*>(y);
    S* const partials = static_cast<S*>(workspace);
    RunRows cut(x, groups);
    auto values = cut.view<Element>(x);
    auto copies = cut.view(to, wide);
    cut.join(values, copies);
    return with_runs<Element>(groups, cut, cut.has_runs(values) && cut.has_runs(copies), [&](auto count, auto shape) {
      using Index = decltype(shape.size);
      const cudaError_t error = launch(minibatch_stddev_parts<Element, Index, count>, shape.blocks(), stddev_threads, 0,
                                       stream, shape, values, copies, partials);
      if (error != cudaSuccess) return error;
      const AppendedPlan plan = plan_appended(wide, groups);
      const double divisor = static_cast<double>(cut.channels) * static_cast<double>(x.pixels);
      return launch(minibatch_stddev_append<Element>, plan.blocks(), stddev_threads, 0, stream, plan,
                    static_cast<const S*>(partials), shape.parts, divisor, to);
    });
  });
}

size_t minibatch_stddev_backward_workspace(const Features& x, const SampleGroups& groups) {
  return plan_appended(x, groups).blocks() * sum_bytes(x.type);
}

cudaError_t minibatch_stddev_backward(const Features& grad, const Features& x, const SampleGroups& groups, void* grad_x,
                                      void* workspace, cudaStream_t stream) {
  return with_element(x.type, [&](auto element) {
    using Element = decltype(element);
    using S = Sum<Element>;
    Element* const to = static_cast<Element*>(grad_x);
    S* const partials = static_cast<S*>(workspace);
    const AppendedPlan plan = plan_appended(grad, groups);
    const cudaError_t error = launch(minibatch_stddev_gradient_sums<Element>, plan.blocks(), stddev_threads, 0, stream,
                                     plan, static_cast<const Element*>(grad.data), partials);
    if (error != cudaSuccess) return error;
    RunRows cut(x, groups);
    auto values = cut.view<Element>(x), grads = cut.view<Element>(grad);
    auto results = cut.view(to, dense_like(x, grad_x, x.channels));
    cut.join(values, grads, results);
    const bool runs = cut.has_runs(values) && cut.has_runs(grads) && cut.has_runs(results);
    return with_runs<Element>(groups, cut, runs, [&](auto count, auto shape) {
      using Index = decltype(shape.size);
      const double divisor = static_cast<double>(groups.size) * static_cast<double>(cut.channels) *
                             static_cast<double>(x.pixels);
      return launch(minibatch_stddev_gradient<Element, Index, count>, shape.blocks(), stddev_threads, 0, stream, shape,
                    grads, values, static_cast<const S*>(partials), plan.parts, divisor, results);
    });
  });
}

}  // namespace ganart::cuda
