// CUDA dispatch of fused layers, resampling and norms; layers.cpp has their schemas.
#if defined(USE_CUDA)
#include <limits>
#include <tuple>

#include "bindings/cuda_support.h"
#include "bindings/layer_arguments.h"
#include "cuda/layers.h"

namespace {

using namespace ganart::bindings;
using ganart::ActivationParameters;

Tensor bias_act_cuda(const Tensor& x, const OptionalTensor& bias, std::string act, double negative_slope, double gain,
                     std::optional<double> clamp) {
  check_features("bias_act", "x", x);
  check_channels("bias_act", "bias", bias, x, false);
  const ActivationParameters layer = parameters("bias_act", act, negative_slope, gain, clamp);
  const auto [data, layout] = readable_features(x);
  Tensor y = empty_of(x, x.sizes(), format_of(data, layout));
  if (layout.is_empty()) return y;
  const OptionalTensor biases = contiguous_of(bias);
  const OnDevice device(data);
  check_queued("bias_act", ganart::cuda::bias_act(cuda_features(data, layout), data_of(biases), layer,
                                                  y.mutable_data_ptr(), device.stream));
  return y;
}

std::tuple<Tensor, Tensor> bias_act_backward_cuda(const Tensor& grad, const Tensor& kept, const OptionalTensor& bias,
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
  const OnDevice device(data);
  const ganart::cuda::Features keeps = cuda_features(data, layout);
  Tensor scratch = scratch_bytes(data, sum_bias ? ganart::cuda::bias_act_backward_workspace(keeps) : 0);
  check_queued("bias_act_backward", ganart::cuda::bias_act_backward(cuda_features(incoming, grad_layout), keeps,
                                                                    data_of(biases), layer, grad_x.mutable_data_ptr(),
                                                                    sum_bias ? grad_bias.mutable_data_ptr() : nullptr,
                                                                    scratch.mutable_data_ptr(), device.stream));
  return {grad_x, grad_bias};
}

ganart::cuda::ChannelParameters channel_parameters(const OptionalTensor& values) {
  return {data_of(values), sample_stride(values)};
}

// Uninitialised values for each channel of each sample.
Tensor empty_values(const Tensor& x) {
  const int64_t size[] = {x.size(0), x.size(1)};
  return torch::stable::new_empty(x, Sizes(size, 2), sum_type(x.scalar_type()));
}

std::tuple<Tensor, Tensor, Tensor> instance_norm_act_cuda(const Tensor& x, const OptionalTensor& weight,
                                                          const OptionalTensor& bias, std::string act,
                                                          double negative_slope, double eps) {
  check_pictures("instance_norm_act", "x", x);
  check_channels("instance_norm_act", "weight", weight, x, true);
  check_channels("instance_norm_act", "bias", bias, x, true);
  const ActivationParameters layer = parameters("instance_norm_act", act, negative_slope, 1, std::nullopt);
  const auto [data, layout] = readable_features(x);
  Tensor y = empty_of(x, x.sizes(), format_of(data, layout)), mean = empty_values(x), scale = empty_values(x);
  if (layout.is_empty()) return {y, torch::stable::fill_(mean, 0), torch::stable::fill_(scale, 0)};
  const OptionalTensor weights = contiguous_of(weight), biases = contiguous_of(bias);
  const OnDevice device(data);
  const ganart::cuda::Features features = cuda_features(data, layout);
  Tensor scratch = scratch_bytes(data, ganart::cuda::instance_norm_act_workspace(features));
  check_queued("instance_norm_act",
               ganart::cuda::instance_norm_act(features, channel_parameters(weights), channel_parameters(biases), layer,
                                               eps, y.mutable_data_ptr(), mean.mutable_data_ptr(),
                                               scale.mutable_data_ptr(), scratch.mutable_data_ptr(), device.stream));
  return {y, mean, scale};
}

std::tuple<Tensor, Tensor, Tensor> instance_norm_act_backward_cuda(const Tensor& grad, const Tensor& x,
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
  Tensor grad_weight = empty_values(x), grad_bias = empty_values(x);
  if (layout.is_empty()) return {grad_x, torch::stable::fill_(grad_weight, 0), torch::stable::fill_(grad_bias, 0)};
  const OptionalTensor weights = contiguous_of(weight), biases = contiguous_of(bias);
  const Tensor means = torch::stable::contiguous(mean), scales = torch::stable::contiguous(scale);
  const OnDevice device(data);
  const ganart::cuda::Features features = cuda_features(data, layout);
  Tensor scratch = scratch_bytes(data, ganart::cuda::instance_norm_act_backward_workspace(features));
  check_queued(
      "instance_norm_act_backward",
      ganart::cuda::instance_norm_act_backward(
          cuda_features(incoming, grad_layout), features, means.const_data_ptr(), scales.const_data_ptr(),
          channel_parameters(weights), channel_parameters(biases), layer, grad_x.mutable_data_ptr(),
          grad_weight.mutable_data_ptr(), grad_bias.mutable_data_ptr(), scratch.mutable_data_ptr(), device.stream));
  return {grad_x, grad_weight, grad_bias};
}

Tensor minibatch_stddev_cuda(const Tensor& x, int64_t group_size, int64_t num_channels, bool neighbours) {
  const ganart::SampleGroups groups = sample_groups("minibatch_stddev", x, group_size, num_channels, neighbours);
  const auto [data, layout] = readable_features(x);
  Tensor y = empty_of(x, wider_sizes(x, num_channels), format_of(data, layout));
  if (layout.is_empty())
    return torch::stable::fill_(y, std::numeric_limits<double>::quiet_NaN());  // there is nothing to average
  const OnDevice device(data);
  const ganart::cuda::Features features = cuda_features(data, layout);
  Tensor scratch = scratch_bytes(data, ganart::cuda::minibatch_stddev_workspace(features, groups));
  check_queued("minibatch_stddev", ganart::cuda::minibatch_stddev(features, groups, y.mutable_data_ptr(),
                                                                  scratch.mutable_data_ptr(), device.stream));
  return y;
}

Tensor minibatch_stddev_backward_cuda(const Tensor& grad, const Tensor& x, int64_t group_size, int64_t num_channels,
                                      bool neighbours) {
  const ganart::SampleGroups groups =
      sample_groups("minibatch_stddev_backward", x, group_size, num_channels, neighbours);
  check_like("minibatch_stddev_backward", "grad", grad, x, num_channels);
  const auto [data, layout] = readable_features(x);
  const auto [incoming, grad_layout] = read_like(grad, data, layout);
  Tensor grad_x = empty_of(x, x.sizes(), format_of(data, layout));
  if (layout.is_empty()) return grad_x;
  const OnDevice device(data);
  const ganart::cuda::Features features = cuda_features(data, layout);
  Tensor scratch = scratch_bytes(data, ganart::cuda::minibatch_stddev_backward_workspace(features, groups));
  check_queued("minibatch_stddev_backward", ganart::cuda::minibatch_stddev_backward(
                                                cuda_features(incoming, grad_layout), features, groups,
                                                grad_x.mutable_data_ptr(), scratch.mutable_data_ptr(), device.stream));
  return grad_x;
}

Tensor pixel_norm_cuda(const Tensor& x, double eps) {
  check_features("pixel_norm", "x", x);
  const auto [data, layout] = readable_features(x);
  Tensor y = empty_of(x, x.sizes(), format_of(data, layout));
  if (layout.is_empty()) return y;
  const OnDevice device(data);
  check_queued("pixel_norm",
               ganart::cuda::pixel_norm(cuda_features(data, layout), eps, y.mutable_data_ptr(), device.stream));
  return y;
}

Tensor pixel_norm_backward_cuda(const Tensor& grad, const Tensor& x, double eps) {
  check_features("pixel_norm_backward", "x", x);
  check_like("pixel_norm_backward", "grad", grad, x);
  const auto [data, layout] = readable_features(x);
  const auto [incoming, grad_layout] = read_like(grad, data, layout);
  Tensor grad_x = empty_of(x, x.sizes(), format_of(data, layout));
  if (layout.is_empty()) return grad_x;
  const OnDevice device(data);
  check_queued("pixel_norm_backward",
               ganart::cuda::pixel_norm_backward(cuda_features(incoming, grad_layout), cuda_features(data, layout), eps,
                                                 grad_x.mutable_data_ptr(), device.stream));
  return grad_x;
}

Tensor scaled_bias_act_cuda(const Tensor& x, const OptionalTensor& scale, const OptionalTensor& noise,
                            const OptionalTensor& bias, std::string act, double negative_slope, double gain,
                            std::optional<double> clamp) {
  check_features("scaled_bias_act", "x", x);
  const ActivationParameters layer = parameters("scaled_bias_act", act, negative_slope, gain, clamp);
  const AffineArguments affine("scaled_bias_act", x, scale, noise, bias);
  const auto [data, layout] = readable_features(x);
  Tensor y = empty_of(x, x.sizes(), format_of(data, layout));
  if (layout.is_empty()) return y;
  const OnDevice device(data);
  check_queued("scaled_bias_act", ganart::cuda::scaled_bias_act(cuda_features(data, layout), affine.terms(), layer,
                                                                y.mutable_data_ptr(), device.stream));
  return y;
}

std::tuple<Tensor, Tensor, Tensor, Tensor> scaled_bias_act_backward_cuda(
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
  if (layout.is_empty()) {
    results.fill_with_zeros();
  } else {
    const OnDevice device(data);
    const ganart::cuda::Features features = cuda_features(data, layout);
    Tensor scratch = scratch_bytes(data, ganart::cuda::scaled_bias_act_backward_workspace(features));
    check_queued("scaled_bias_act_backward", ganart::cuda::scaled_bias_act_backward(
                                                 cuda_features(incoming, grad_layout), features, affine.terms(), layer,
                                                 results.gradients(), scratch.mutable_data_ptr(), device.stream));
  }
  return {results.x, results.scale, results.noise, results.bias};
}

Tensor upfirdn2d_cuda(const Tensor& x, const Tensor& taps, std::vector<int64_t> up, std::vector<int64_t> down,
                      std::vector<int64_t> padding, double gain, bool flip) {
  const ResamplingCall call(x, taps, up, down, padding);
  Tensor y = call.y;
  if (call.layout.is_empty()) return torch::stable::fill_(y, 0);
  const Tensor dense_taps = torch::stable::contiguous(taps);
  const OnDevice device(call.data);
  check_queued("upfirdn2d",
               ganart::cuda::upfirdn2d(cuda_features(call.data, call.layout), call.row_stride, call.geometry,
                                       dense_taps.const_data_ptr(), gain, flip, y.mutable_data_ptr(), device.stream));
  return y;
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(ganart, CUDA, library) {
  library.impl("bias_act", TORCH_BOX(&bias_act_cuda));
  library.impl("bias_act_backward", TORCH_BOX(&bias_act_backward_cuda));
  library.impl("instance_norm_act", TORCH_BOX(&instance_norm_act_cuda));
  library.impl("instance_norm_act_backward", TORCH_BOX(&instance_norm_act_backward_cuda));
  library.impl("minibatch_stddev", TORCH_BOX(&minibatch_stddev_cuda));
  library.impl("minibatch_stddev_backward", TORCH_BOX(&minibatch_stddev_backward_cuda));
  library.impl("pixel_norm", TORCH_BOX(&pixel_norm_cuda));
  library.impl("pixel_norm_backward", TORCH_BOX(&pixel_norm_backward_cuda));
  library.impl("scaled_bias_act", TORCH_BOX(&scaled_bias_act_cuda));
  library.impl("scaled_bias_act_backward", TORCH_BOX(&scaled_bias_act_backward_cuda));
  library.impl("upfirdn2d", TORCH_BOX(&upfirdn2d_cuda));
}
#endif
