// Bindings of bias, activation, gain and clamp: schema, checks and dispatch.
#include <optional>
#include <string>
#include <tuple>

#include "bindings/arguments.h"
#include "bindings/cuda.h"
#include "cpu/bias_act.h"
#include "cuda/bias_act.h"

namespace {

using namespace ganart::bindings;
using ganart::ActivationParameters;

Tensor bias_act(const Tensor& x, const OptionalTensor& bias, std::string act, double negative_slope, double gain,
                std::optional<double> clamp) {
  constexpr const char* op = "bias_act";
  check_features(op, "x", x);
  check_channels(op, "bias", bias, x, false);
  const ActivationParameters layer = activation_parameters(op, act, negative_slope, gain, clamp);
  const Input in = read(x);
  Tensor y = empty_result(in);
  if (in.is_empty()) return y;
  const OptionalTensor biases = contiguous_of(bias);
  if (x.is_cuda())
    on_gpu(op, x, [&](auto& gpu) {
      return ganart::cuda::bias_act(in.features, data_of(biases), layer, y.mutable_data_ptr(), gpu.stream);
    });
  else
    GANART_KERNELS(bias_act_kernels).forward(in.features, data_of(biases), layer, y.mutable_data_ptr(), run_tasks);
  return y;
}

std::tuple<Tensor, Tensor> bias_act_backward(const Tensor& grad, const Tensor& kept, const OptionalTensor& bias,
                                             std::string act, double negative_slope, double gain,
                                             std::optional<double> clamp, bool sum_bias) {
  constexpr const char* op = "bias_act_backward";
  check_features(op, "kept", kept);
  check_like(op, "grad", grad, kept);
  check_channels(op, "bias", bias, kept, false);
  const ActivationParameters layer = activation_parameters(op, act, negative_slope, gain, clamp);
  const Input in = read(kept), outer = read_like(grad, in);
  Tensor grad_x = empty_result(in), grad_bias = empty_sums(kept, {sum_bias ? kept.size(1) : 0});
  if (in.is_empty()) return {grad_x, torch::stable::fill_(grad_bias, 0)};
  const OptionalTensor biases = contiguous_of(bias);
  void* const sums = sum_bias ? grad_bias.mutable_data_ptr() : nullptr;
  if (kept.is_cuda())
    on_gpu(op, kept, [&](auto& gpu) {
      void* const workspace = gpu.workspace(sum_bias ? ganart::cuda::bias_act_backward_workspace(in.features) : 0);
      return ganart::cuda::bias_act_backward(outer.features, in.features, data_of(biases), layer,
                                             grad_x.mutable_data_ptr(), sums, workspace, gpu.stream);
    });
  else
    GANART_KERNELS(bias_act_kernels)
        .backward(outer.features, in.features, data_of(biases), layer, grad_x.mutable_data_ptr(), sums, run_tasks);
  return {grad_x, grad_bias};
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(ganart, library) {
  library.def("bias_act(Tensor x, Tensor? bias, str act, float negative_slope, float gain, float? clamp) -> Tensor");
  library.def(
      "bias_act_backward(Tensor grad, Tensor kept, Tensor? bias, str act, float negative_slope, float gain, "
      "float? clamp, bool sum_bias) -> (Tensor grad_x, Tensor grad_bias)");
}

GANART_IMPLEMENTATIONS(library) {
  library.impl("bias_act", TORCH_BOX(&bias_act));
  library.impl("bias_act_backward", TORCH_BOX(&bias_act_backward));
}
