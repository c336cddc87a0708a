// Bindings of scale, noise, bias, activation, gain and clamp: schema, checks and dispatch.
#include <optional>
#include <string>
#include <tuple>

#include "bindings/arguments.h"
#include "bindings/cuda.h"
#include "cpu/scaled_bias_act.h"
#include "cuda/scaled_bias_act.h"

namespace {

using namespace ganart::bindings;
using ganart::ActivationParameters;
using ganart::AffineGradients;
using ganart::AffineTerms;

// Scale [N, C], noise [N or 1, 1, H, W] and bias [C] for features [N, C, H, W]: checked, and contiguous.
struct AffineArguments {
  OptionalTensor scale, noise, bias;

  AffineArguments(const char* op, const Tensor& x, const OptionalTensor& scale, const OptionalTensor& noise,
                  const OptionalTensor& bias) {
    if (scale) check_statistics(op, "scale", *scale, x);
    check_channels(op, "bias", bias, x, false);
    if (noise) {
      const bool fits = noise->dim() == 4 && (noise->size(0) == x.size(0) || noise->size(0) == 1) &&
                        noise->size(1) == 1 && noise->size(2) == x.size(2) && noise->size(3) == x.size(3);
      STD_TORCH_CHECK(fits, op, ": noise has shape ", shape_of(*noise), ", expected [N or 1, 1, H, W] for ",
                      shape_of(x));
      check_sum_type(op, "noise", *noise, x);
      check_device(op, "noise", *noise, x);
    }
    this->scale = contiguous_of(scale);
    this->noise = contiguous_of(noise);
    this->bias = contiguous_of(bias);
  }

  AffineTerms terms() const {
    const int64_t noise_stride = noise && noise->size(0) > 1 ? noise->size(2) * noise->size(3) : 0;
    return {data_of(scale), data_of(noise), data_of(bias), noise_stride};
  }
};

void* data_if_any(Tensor& tensor) { return tensor.numel() ? tensor.mutable_data_ptr() : nullptr; }

Tensor scaled_bias_act(const Tensor& x, const OptionalTensor& scale, const OptionalTensor& noise,
                       const OptionalTensor& bias, std::string act, double negative_slope, double gain,
                       std::optional<double> clamp) {
  constexpr const char* op = "scaled_bias_act";
  check_pictures(op, "x", x);
  const ActivationParameters layer = activation_parameters(op, act, negative_slope, gain, clamp);
  const AffineArguments affine(op, x, scale, noise, bias);
  const Input in = read(x);
  Tensor y = empty_result(in);
  if (in.is_empty()) return y;
  if (x.is_cuda())
    on_gpu(op, x, [&](auto& gpu) {
      return ganart::cuda::scaled_bias_act(in.features, affine.terms(), layer, y.mutable_data_ptr(), gpu.stream);
    });
  else
    GANART_KERNELS(scaled_bias_act_kernels)
        .forward(in.features, affine.terms(), layer, y.mutable_data_ptr(), run_tasks);
  return y;
}

// A gradient that is not wanted is returned without elements.
std::tuple<Tensor, Tensor, Tensor, Tensor> scaled_bias_act_backward(
    const Tensor& grad, const Tensor& x, const OptionalTensor& scale, const OptionalTensor& noise,
    const OptionalTensor& bias, std::string act, double negative_slope, double gain, std::optional<double> clamp,
    bool wants_x, bool wants_scale, bool wants_noise, bool wants_bias) {
  constexpr const char* op = "scaled_bias_act_backward";
  check_pictures(op, "x", x);
  check_like(op, "grad", grad, x);
  const ActivationParameters layer = activation_parameters(op, act, negative_slope, gain, clamp);
  const AffineArguments affine(op, x, scale, noise, bias);
  const Input in = read(x), outer = read_like(grad, in);
  const int64_t none = 0;
  const auto sums_if = [&](bool wanted, std::initializer_list<int64_t> sizes) {
    return wanted ? empty_sums(x, sizes) : empty_sums(x, {0});
  };
  Tensor grad_x = wants_x ? empty_result(in) : torch::stable::new_empty(x, Sizes(&none, 1));
  Tensor grad_scale = sums_if(wants_scale, {x.size(0), x.size(1)});
  Tensor grad_noise = sums_if(wants_noise, {x.size(0), 1, x.size(2), x.size(3)});
  Tensor grad_bias = sums_if(wants_bias, {x.size(1)});
  const AffineGradients gradients{data_if_any(grad_x), data_if_any(grad_scale), data_if_any(grad_noise),
                                  data_if_any(grad_bias)};
  if (in.is_empty())
    for (Tensor* tensor : {&grad_x, &grad_scale, &grad_noise, &grad_bias}) torch::stable::fill_(*tensor, 0);
  else if (x.is_cuda())
    on_gpu(op, x, [&](auto& gpu) {
      void* const workspace = gpu.workspace(ganart::cuda::scaled_bias_act_backward_workspace(in.features));
      return ganart::cuda::scaled_bias_act_backward(outer.features, in.features, affine.terms(), layer, gradients,
                                                    workspace, gpu.stream);
    });
  else
    GANART_KERNELS(scaled_bias_act_kernels)
        .backward(outer.features, in.features, affine.terms(), layer, gradients, run_tasks);
  return {grad_x, grad_scale, grad_noise, grad_bias};
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(ganart, library) {
  library.def(
      "scaled_bias_act(Tensor x, Tensor? scale, Tensor? noise, Tensor? bias, str act, float negative_slope, "
      "float gain, float? clamp) -> Tensor");
  library.def(
      "scaled_bias_act_backward(Tensor grad, Tensor x, Tensor? scale, Tensor? noise, Tensor? bias, str act, "
      "float negative_slope, float gain, float? clamp, bool wants_x, bool wants_scale, bool wants_noise, "
      "bool wants_bias) -> (Tensor grad_x, Tensor grad_scale, Tensor grad_noise, Tensor grad_bias)");
}

GANART_IMPLEMENTATIONS(library) {
  library.impl("scaled_bias_act", TORCH_BOX(&scaled_bias_act));
  library.impl("scaled_bias_act_backward", TORCH_BOX(&scaled_bias_act_backward));
}
