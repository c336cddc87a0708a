// Schemas and CPU dispatch of fused layers, resampling and norms.
#include <limits>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "bindings/layer_arguments.h"
#include "cpu/layer_kernels.h"

namespace {

using namespace ganart::bindings;
using ganart::ActivationParameters;

const ganart::cpu::LayerKernels& kernels() { return GANART_KERNELS(layer_kernels); }

Tensor bias_act_cpu(const Tensor& x, const OptionalTensor& bias, std::string act, double negative_slope, double gain,
                    std::optional<double> clamp) {
  check_features("bias_act", "x", x);
  check_channels("bias_act", "bias", bias, x, false);
  const ActivationParameters layer = parameters("bias_act", act, negative_slope, gain, clamp);
  const auto [data, layout] = readable_features(x);
  Tensor y = empty_of(x, x.sizes(), format_of(data, layout));
  if (layout.is_empty()) return y;
  const OptionalTensor biases = contiguous_of(bias);
  kernels().bias_act(cpu_features(data, layout), data_of(biases), layer, y.mutable_data_ptr(), run_tasks);
  return y;
}

std::tuple<Tensor, Tensor> bias_act_backward_cpu(const Tensor& grad, const Tensor& kept, const OptionalTensor& bias,
                                                 std::string act, double negative_slope, double gain,
                                                 std::optional<double> clamp, bool sum_bias) {
  check_features("bias_act_backward", "kept", kept);
  check_like("bias_act_backward", "grad", grad, kept);
  check_channels("bias_act_backward", "bias", bias, kept, false);
  const ActivationParameters layer = parameters("bias_act_backward", act, negative_slope, gain, clamp);
  const auto [data, layout] = readable_features(kept);
  const auto [incoming, grad_layout] = read_like(grad, data, layout);
  Tensor grad_x = empty_of(kept, kept.sizes(), format_of(data, layout));
  const int64_t size[] = {sum_bias ? kept.size(1) : 0};
  Tensor grad_bias = torch::stable::new_empty(kept, Sizes(size, 1), sum_type(kept.scalar_type()));
  if (layout.is_empty()) return {grad_x, torch::stable::fill_(grad_bias, 0)};
  const OptionalTensor biases = contiguous_of(bias);
  kernels().bias_act_backward(cpu_features(incoming, grad_layout), cpu_features(data, layout), data_of(biases), layer,
                              grad_x.mutable_data_ptr(), sum_bias ? grad_bias.mutable_data_ptr() : nullptr, run_tasks);
  return {grad_x, grad_bias};
}

std::tuple<Tensor, Tensor, Tensor> instance_norm_act_cpu(const Tensor& x, const OptionalTensor& weight,
                                                         const OptionalTensor& bias, std::string act,
                                                         double negative_slope, double eps) {
  check_pictures("instance_norm_act", "x", x);
  check_channels("instance_norm_act", "weight", weight, x, true);
  check_channels("instance_norm_act", "bias", bias, x, true);
  const ActivationParameters layer = parameters("instance_norm_act", act, negative_slope, 1, std::nullopt);
  const auto [data, layout] = readable_features(x);
  Tensor y = empty_of(x, x.sizes(), format_of(data, layout));
  const int64_t size[] = {x.size(0), x.size(1)};
  Tensor mean = torch::stable::new_empty(x, Sizes(size, 2), sum_type(x.scalar_type()));
  Tensor scale = torch::stable::new_empty(x, Sizes(size, 2), sum_type(x.scalar_type()));
  if (layout.is_empty()) return {y, torch::stable::fill_(mean, 0), torch::stable::fill_(scale, 0)};
  const OptionalTensor weights = contiguous_of(weight), biases = contiguous_of(bias);
  kernels().instance_norm_act(cpu_features(data, layout), data_of(weights), sample_stride(weights), data_of(biases),
                              sample_stride(biases), layer, eps, y.mutable_data_ptr(), mean.mutable_data_ptr(),
                              scale.mutable_data_ptr(), run_tasks);
  return {y, mean, scale};
}

std::tuple<Tensor, Tensor, Tensor> instance_norm_act_backward_cpu(const Tensor& grad, const Tensor& x,
                                                                  const Tensor& mean, const Tensor& scale,
                                                                  const OptionalTensor& weight,
                                                                  const OptionalTensor& bias, std::string act,
                                                                  double negative_slope, double) {
  check_pictures("instance_norm_act_backward", "x", x);
  check_like("instance_norm_act_backward", "grad", grad, x);
  check_statistics("instance_norm_act_backward", "mean", mean, x);
  check_statistics("instance_norm_act_backward", "scale", scale, x);
  check_channels("instance_norm_act_backward", "weight", weight, x, true);
  check_channels("instance_norm_act_backward", "bias", bias, x, true);
  const ActivationParameters layer = parameters("instance_norm_act_backward", act, negative_slope, 1, std::nullopt);
  const auto [data, layout] = readable_features(x);
  const auto [incoming, grad_layout] = read_like(grad, data, layout);
  Tensor grad_x = empty_of(x, x.sizes(), format_of(data, layout));
  const int64_t size[] = {x.size(0), x.size(1)};
  Tensor grad_weight = torch::stable::new_empty(x, Sizes(size, 2), sum_type(x.scalar_type()));
  Tensor grad_bias = torch::stable::new_empty(x, Sizes(size, 2), sum_type(x.scalar_type()));
  if (layout.is_empty()) return {grad_x, torch::stable::fill_(grad_weight, 0), torch::stable::fill_(grad_bias, 0)};
  const OptionalTensor weights = contiguous_of(weight), biases = contiguous_of(bias);
  const Tensor means = torch::stable::contiguous(mean), scales = torch::stable::contiguous(scale);
  kernels().instance_norm_act_backward(
      cpu_features(incoming, grad_layout), cpu_features(data, layout), means.const_data_ptr(), scales.const_data_ptr(),
      data_of(weights), sample_stride(weights), data_of(biases), sample_stride(biases), layer,
      grad_x.mutable_data_ptr(), grad_weight.mutable_data_ptr(), grad_bias.mutable_data_ptr(), run_tasks);
  return {grad_x, grad_weight, grad_bias};
}

Tensor minibatch_stddev_cpu(const Tensor& x, int64_t group_size, int64_t num_channels, bool neighbours) {
  const ganart::SampleGroups groups = sample_groups("minibatch_stddev", x, group_size, num_channels, neighbours);
  const auto [data, layout] = readable_features(x);
  Tensor y = empty_of(x, wider_sizes(x, num_channels), format_of(data, layout));
  if (layout.is_empty())
    return torch::stable::fill_(y, std::numeric_limits<double>::quiet_NaN());  // there is nothing to average
  kernels().minibatch_stddev(cpu_features(data, layout), groups, y.mutable_data_ptr(), run_tasks);
  return y;
}

Tensor minibatch_stddev_backward_cpu(const Tensor& grad, const Tensor& x, int64_t group_size, int64_t num_channels,
                                     bool neighbours) {
  const ganart::SampleGroups groups =
      sample_groups("minibatch_stddev_backward", x, group_size, num_channels, neighbours);
  check_like("minibatch_stddev_backward", "grad", grad, x, num_channels);
  const auto [data, layout] = readable_features(x);
  const auto [incoming, grad_layout] = read_like(grad, data, layout);
  Tensor grad_x = empty_of(x, x.sizes(), format_of(data, layout));
  if (layout.is_empty()) return grad_x;
  kernels().minibatch_stddev_backward(cpu_features(incoming, grad_layout), cpu_features(data, layout), groups,
                                      grad_x.mutable_data_ptr(), run_tasks);
  return grad_x;
}

Tensor pixel_norm_cpu(const Tensor& x, double eps) {
  check_features("pixel_norm", "x", x);
  const auto [data, layout] = readable_features(x);
  Tensor y = empty_of(x, x.sizes(), format_of(data, layout));
  if (layout.is_empty()) return y;
  kernels().pixel_norm(cpu_features(data, layout), eps, y.mutable_data_ptr(), run_tasks);
  return y;
}

Tensor pixel_norm_backward_cpu(const Tensor& grad, const Tensor& x, double eps) {
  check_features("pixel_norm_backward", "x", x);
  check_like("pixel_norm_backward", "grad", grad, x);
  const auto [data, layout] = readable_features(x);
  const auto [incoming, grad_layout] = read_like(grad, data, layout);
  Tensor grad_x = empty_of(x, x.sizes(), format_of(data, layout));
  if (layout.is_empty()) return grad_x;
  kernels().pixel_norm_backward(cpu_features(incoming, grad_layout), cpu_features(data, layout), eps,
                                grad_x.mutable_data_ptr(), run_tasks);
  return grad_x;
}

Tensor scaled_bias_act_cpu(const Tensor& x, const OptionalTensor& scale, const OptionalTensor& noise,
                           const OptionalTensor& bias, std::string act, double negative_slope, double gain,
                           std::optional<double> clamp) {
  check_features("scaled_bias_act", "x", x);
  const ActivationParameters layer = parameters("scaled_bias_act", act, negative_slope, gain, clamp);
  const AffineArguments affine("scaled_bias_act", x, scale, noise, bias);
  const auto [data, layout] = readable_features(x);
  Tensor y = empty_of(x, x.sizes(), format_of(data, layout));
  if (layout.is_empty()) return y;
  kernels().scaled_bias_act(cpu_features(data, layout), affine.terms(), layer, y.mutable_data_ptr(), run_tasks);
  return y;
}

std::tuple<Tensor, Tensor, Tensor, Tensor> scaled_bias_act_backward_cpu(
    const Tensor& grad, const Tensor& x, const OptionalTensor& scale, const OptionalTensor& noise,
    const OptionalTensor& bias, std::string act, double negative_slope, double gain, std::optional<double> clamp,
    bool wants_x, bool wants_scale, bool wants_noise, bool wants_bias) {
  check_features("scaled_bias_act_backward", "x", x);
  check_like("scaled_bias_act_backward", "grad", grad, x);
  const ActivationParameters layer = parameters("scaled_bias_act_backward", act, negative_slope, gain, clamp);
  const AffineArguments affine("scaled_bias_act_backward", x, scale, noise, bias);
  const auto [data, layout] = readable_features(x);
  const auto [incoming, grad_layout] = read_like(grad, data, layout);
  AffineResults results(x, format_of(data, layout), wants_x, wants_scale, wants_noise, wants_bias);
  if (layout.is_empty())
    results.fill_with_zeros();
  else
    kernels().scaled_bias_act_backward(cpu_features(incoming, grad_layout), cpu_features(data, layout), affine.terms(),
                                       layer, results.gradients(), run_tasks);
  return {results.x, results.scale, results.noise, results.bias};
}

// Taps as the kernel correlates them, times gain: the vertical ones, then the horizontal, or a matrix of both.
template <class S>
std::vector<char> prepared_taps(const Tensor& taps, double gain, bool flip) {
  const int64_t count = taps.numel(), copies = taps.dim() == 1 ? 2 : 1;
  std::vector<char> bytes(copies * count * sizeof(S));
  auto* to = reinterpret_cast<S*>(bytes.data());
  const auto* from = static_cast<const S*>(taps.const_data_ptr());
  for (int64_t i = 0; i < count; ++i) {
    const S tap = from[flip ? i : count - 1 - i];
    to[i] = S(tap * gain);
    if (copies == 2) to[count + i] = tap;
  }
  return bytes;
}

Tensor upfirdn2d_cpu(const Tensor& x, const Tensor& taps, std::vector<int64_t> up, std::vector<int64_t> down,
                     std::vector<int64_t> padding, double gain, bool flip) {
  const ResamplingCall call(x, taps, up, down, padding);
  Tensor y = call.y;
  if (call.layout.is_empty()) return torch::stable::fill_(y, 0);
  const Tensor dense_taps = torch::stable::contiguous(taps);
  const std::vector<char> weights = x.scalar_type() == ScalarType::Double
                                        ? prepared_taps<double>(dense_taps, gain, flip)
                                        : prepared_taps<float>(dense_taps, gain, flip);
  kernels().upfirdn2d(cpu_features(call.data, call.layout), call.row_stride, call.geometry, weights.data(),
                      y.mutable_data_ptr(), run_tasks);
  return y;
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(ganart, library) {
  library.def("bias_act(Tensor x, Tensor? bias, str act, float negative_slope, float gain, float? clamp) -> Tensor");
  library.def(
      "bias_act_backward(Tensor grad, Tensor kept, Tensor? bias, str act, float negative_slope, float gain, float? clamp, "
      "bool sum_bias) -> (Tensor grad_x, Tensor grad_bias)");
  library.def(
      "instance_norm_act(Tensor x, Tensor? weight, Tensor? bias, str act, float negative_slope, float eps) -> (Tensor y, "
      "Tensor mean, Tensor scale)");
  library.def(
      "instance_norm_act_backward(Tensor grad, Tensor x, Tensor mean, Tensor scale, Tensor? weight, Tensor? bias, str act, "
      "float negative_slope, float eps) -> (Tensor grad_x, Tensor grad_weight, Tensor grad_bias)");
  library.def("minibatch_stddev(Tensor x, int group_size, int num_channels, bool neighbours) -> Tensor");
  library.def(
      "minibatch_stddev_backward(Tensor grad, Tensor x, int group_size, int num_channels, bool neighbours) -> Tensor");
  library.def("pixel_norm(Tensor x, float eps) -> Tensor");
  library.def("pixel_norm_backward(Tensor grad, Tensor x, float eps) -> Tensor");
  library.def(
      "scaled_bias_act(Tensor x, Tensor? scale, Tensor? noise, Tensor? bias, str act, float negative_slope, float gain, "
      "float? clamp) -> Tensor");
  library.def(
      "scaled_bias_act_backward(Tensor grad, Tensor x, Tensor? scale, Tensor? noise, Tensor? bias, str act, "
      "float negative_slope, float gain, float? clamp, bool wants_x, bool wants_scale, bool wants_noise, bool wants_bias) "
      "-> (Tensor grad_x, Tensor grad_scale, Tensor grad_noise, Tensor grad_bias)");
  library.def("upfirdn2d(Tensor x, Tensor taps, int[] up, int[] down, int[] padding, float gain, bool flip) -> Tensor");
}

STABLE_TORCH_LIBRARY_IMPL(ganart, CPU, library) {
  library.impl("bias_act", TORCH_BOX(&bias_act_cpu));
  library.impl("bias_act_backward", TORCH_BOX(&bias_act_backward_cpu));
  library.impl("instance_norm_act", TORCH_BOX(&instance_norm_act_cpu));
  library.impl("instance_norm_act_backward", TORCH_BOX(&instance_norm_act_backward_cpu));
  library.impl("minibatch_stddev", TORCH_BOX(&minibatch_stddev_cpu));
  library.impl("minibatch_stddev_backward", TORCH_BOX(&minibatch_stddev_backward_cpu));
  library.impl("pixel_norm", TORCH_BOX(&pixel_norm_cpu));
  library.impl("pixel_norm_backward", TORCH_BOX(&pixel_norm_backward_cpu));
  library.impl("scaled_bias_act", TORCH_BOX(&scaled_bias_act_cpu));
  library.impl("scaled_bias_act_backward", TORCH_BOX(&scaled_bias_act_backward_cpu));
  library.impl("upfirdn2d", TORCH_BOX(&upfirdn2d_cpu));
}
