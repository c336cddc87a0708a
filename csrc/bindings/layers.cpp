// Schemas, argument checks and dispatch of fused layers, resampling and norms.
#include <array>
#include <initializer_list>
#include <limits>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "bindings/support.h"
#include "cpu/layer_kernels.h"

namespace {

using namespace ganart::bindings;
using ganart::cpu::Activation;
using ganart::cpu::ActivationParameters;
using OptionalTensor = std::optional<Tensor>;

// ---- checks: all before the first call into torch, where an error would lose its message ----

void check_features(const char* op, const char* name, const Tensor& x) {
  STD_TORCH_CHECK(x.dim() >= 2, op, ": ", name, " has shape ", shape_of(x), ", expected [N, C, ...]");
  const ScalarType type = x.scalar_type();
  STD_TORCH_CHECK(type == ScalarType::Float || type == ScalarType::BFloat16 || type == ScalarType::Double, op, ": ", name,
                  " is ", torch::headeronly::toString(type), ", expected Float, BFloat16 or Double");
}

void check_like(const char* op, const char* name, const Tensor& tensor, const Tensor& x) {
  bool same = tensor.dim() == x.dim() && tensor.scalar_type() == x.scalar_type();
  for (int64_t dim = 0; same && dim < x.dim(); ++dim) same = tensor.size(dim) == x.size(dim);
  STD_TORCH_CHECK(same, op, ": ", name, " is ", torch::headeronly::toString(tensor.scalar_type()), " of shape ",
                  shape_of(tensor), ", expected ", torch::headeronly::toString(x.scalar_type()), " of ", shape_of(x));
}

// Values for each channel, and with `per_sample` perhaps for each channel of each sample, as [C] or [N, C] of x's sum type.
void check_channels(const char* op, const char* name, const OptionalTensor& values, const Tensor& x, bool per_sample) {
  if (!values) return;
  const Tensor& v = *values;
  const bool fits = (v.dim() == 1 && v.size(0) == x.size(1)) ||
                    (per_sample && v.dim() == 2 && v.size(0) == x.size(0) && v.size(1) == x.size(1));
  STD_TORCH_CHECK(fits, op, ": ", name, " has shape ", shape_of(v), ", expected [", x.size(1), "]",
                  per_sample ? " or [N, C]" : "", " for ", shape_of(x));
  STD_TORCH_CHECK(v.scalar_type() == sum_type(x.scalar_type()), op, ": ", name, " is ",
                  torch::headeronly::toString(v.scalar_type()), ", expected ",
                  torch::headeronly::toString(sum_type(x.scalar_type())));
}

ActivationParameters parameters(const char* op, const std::string& act, double negative_slope, double gain,
                                std::optional<double> clamp) {
  constexpr std::array names{"linear", "relu", "lrelu", "tanh", "sigmoid", "elu", "selu", "softplus", "swish"};
  for (size_t index = 0; index < names.size(); ++index)
    if (act == names[index])
      return {Activation(index), negative_slope, gain, clamp.value_or(std::numeric_limits<double>::quiet_NaN())};
  STD_TORCH_CHECK(false, op, ": act is '", act, "', not one of linear, relu, lrelu, tanh, sigmoid, elu, selu, softplus, swish");
}

// ---- CPU ----

const ganart::cpu::LayerKernels& kernels() {
  switch (cpu_level()) {
#if defined(__x86_64__)
    case ganart::CpuLevel::avx512bf16: return ganart::cpu::avx512bf16::layer_kernels;
    case ganart::CpuLevel::avx512: return ganart::cpu::avx512::layer_kernels;
    case ganart::CpuLevel::avx2: return ganart::cpu::avx2::layer_kernels;
#endif
    default: return ganart::cpu::baseline::layer_kernels;
  }
}

OptionalTensor contiguous_of(const OptionalTensor& tensor) {
  return tensor ? OptionalTensor(torch::stable::contiguous(*tensor)) : std::nullopt;
}
const void* data_of(const OptionalTensor& tensor) { return tensor ? tensor->const_data_ptr() : nullptr; }

// A gradient in the layout that other features are read in, copied if need be.
std::pair<Tensor, Layout> read_like(const Tensor& grad, const Tensor& features, const Layout& wanted) {
  Layout layout;
  const auto same = [&] {
    return readable(grad, layout) && (layout.pixel_stride == 1) == (wanted.pixel_stride == 1) &&
           (layout.channel_stride == 1 || wanted.channel_stride != 1 || wanted.channels == 1);
  };
  if (same()) return {grad, layout};
  Tensor copy = torch::stable::contiguous(grad, format_of(features, wanted));
  readable(copy, layout);
  return {copy, layout};
}

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

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(ganart, library) {
  library.def(
      "bias_act(Tensor x, Tensor? bias, str act, float negative_slope, float gain, float? clamp) -> Tensor");
  library.def(
      "bias_act_backward(Tensor grad, Tensor kept, Tensor? bias, str act, float negative_slope, float gain, float? clamp, "
      "bool sum_bias) -> (Tensor grad_x, Tensor grad_bias)");
}

STABLE_TORCH_LIBRARY_IMPL(ganart, CPU, library) {
  library.impl("bias_act", TORCH_BOX(&bias_act_cpu));
  library.impl("bias_act_backward", TORCH_BOX(&bias_act_backward_cpu));
}
