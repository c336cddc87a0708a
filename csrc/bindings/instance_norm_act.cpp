// Bindings of instance normalisation, scale, shift and activation: schema, checks and dispatch.
#include <optional>
#include <string>
#include <tuple>

#include "bindings/arguments.h"
#include "bindings/cuda.h"
#include "cpu/instance_norm_act.h"
#include "cuda/instance_norm_act.h"

namespace {

using namespace ganart::bindings;
using ganart::ActivationParameters;
using ganart::ChannelParameters;

ChannelParameters channel_parameters(const OptionalTensor& values) {
  return {data_of(values), values && values->dim() == 2 ? values->size(1) : 0};
}

std::tuple<Tensor, Tensor, Tensor> instance_norm_act(const Tensor& x, const OptionalTensor& weight,
                                                     const OptionalTensor& bias, std::string act, double negative_slope,
                                                     double eps) {
  constexpr const char* op = "instance_norm_act";
  check_pictures(op, "x", x);
  check_channels(op, "weight", weight, x, true);
  check_channels(op, "bias", bias, x, true);
  const ActivationParameters layer = activation_parameters(op, act, negative_slope, 1, std::nullopt);
  const Input in = read(x);
  Tensor y = empty_result(in), mean = empty_sums(x, {x.size(0), x.size(1)}),
         scale = empty_sums(x, {x.size(0), x.size(1)});
  if (in.is_empty()) return {y, torch::stable::fill_(mean, 0), torch::stable::fill_(scale, 0)};
  const OptionalTensor weights = contiguous_of(weight), biases = contiguous_of(bias);
  if (x.is_cuda())
    on_gpu(op, x, [&](auto& gpu) {
      void* const workspace = gpu.workspace(ganart::cuda::instance_norm_act_workspace(in.features));
      return ganart::cuda::instance_norm_act(in.features, channel_parameters(weights), channel_parameters(biases),
                                             layer, eps, y.mutable_data_ptr(), mean.mutable_data_ptr(),
                                             scale.mutable_data_ptr(), workspace, gpu.stream);
    });
  else
    GANART_KERNELS(instance_norm_act_kernels)
        .forward(in.features, channel_parameters(weights), channel_parameters(biases), layer, eps, y.mutable_data_ptr(),
                 mean.mutable_data_ptr(), scale.mutable_data_ptr(), run_tasks);
  return {y, mean, scale};
}

std::tuple<Tensor, Tensor, Tensor> instance_norm_act_backward(const Tensor& grad, const Tensor& x, const Tensor& mean,
                                                              const Tensor& scale, const OptionalTensor& weight,
                                                              const OptionalTensor& bias, std::string act,
                                                              double negative_slope, double) {
  constexpr const char* op = "instance_norm_act_backward";
  check_pictures(op, "x", x);
  check_like(op, "grad", grad, x);
  check_statistics(op, "mean", mean, x);
  check_statistics(op, "scale", scale, x);
  check_channels(op, "weight", weight, x, true);
  check_channels(op, "bias", bias, x, true);
  const ActivationParameters layer = activation_parameters(op, act, negative_slope, 1, std::nullopt);
  const Input in = read(x), outer = read_like(grad, in);
  Tensor grad_x = empty_result(in);
  Tensor grad_weight = empty_sums(x, {x.size(0), x.size(1)}), grad_bias = empty_sums(x, {x.size(0), x.size(1)});
  if (in.is_empty()) return {grad_x, torch::stable::fill_(grad_weight, 0), torch::stable::fill_(grad_bias, 0)};
  const OptionalTensor weights = contiguous_of(weight), biases = contiguous_of(bias);
  const Tensor means = torch::stable::contiguous(mean), scales = torch::stable::contiguous(scale);
  if (x.is_cuda())
    on_gpu(op, x, [&](auto& gpu) {
      void* const workspace = gpu.workspace(ganart::cuda::instance_norm_act_backward_workspace(in.features));
      return ganart::cuda::instance_norm_act_backward(
          outer.features, in.features, means.const_data_ptr(), scales.const_data_ptr(), channel_parameters(weights),
          channel_parameters(biases), layer, grad_x.mutable_data_ptr(), grad_weight.mutable_data_ptr(),
          grad_bias.mutable_data_ptr(), workspace, gpu.stream);
    });
  else
    GANART_KERNELS(instance_norm_act_kernels)
        .backward(outer.features, in.features, means.const_data_ptr(), scales.const_data_ptr(),
                  channel_parameters(weights), channel_parameters(biases), layer, grad_x.mutable_data_ptr(),
                  grad_weight.mutable_data_ptr(), grad_bias.mutable_data_ptr(), run_tasks);
  return {grad_x, grad_weight, grad_bias};
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(ganart, library) {
  library.def(
      "instance_norm_act(Tensor x, Tensor? weight, Tensor? bias, str act, float negative_slope, float eps) -> "
      "(Tensor y, Tensor mean, Tensor scale)");
  library.def(
      "instance_norm_act_backward(Tensor grad, Tensor x, Tensor mean, Tensor scale, Tensor? weight, Tensor? bias, "
      "str act, float negative_slope, float eps) -> (Tensor grad_x, Tensor grad_weight, Tensor grad_bias)");
}

GANART_IMPLEMENTATIONS(library) {
  library.impl("instance_norm_act", TORCH_BOX(&instance_norm_act));
  library.impl("instance_norm_act_backward", TORCH_BOX(&instance_norm_act_backward));
}
