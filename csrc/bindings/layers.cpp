// Schemas, argument checks and dispatch of fused layers, resampling and norms.
#include <algorithm>
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

int64_t sample_stride(const OptionalTensor& values) { return values && values->dim() == 2 ? values->size(1) : 0; }

std::tuple<Tensor, Tensor, Tensor> instance_norm_act_cpu(const Tensor& x, const OptionalTensor& weight,
                                                         const OptionalTensor& bias, std::string act,
                                                         double negative_slope, double eps) {
  check_features("instance_norm_act", "x", x);
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
  check_features("instance_norm_act_backward", "x", x);
  check_like("instance_norm_act_backward", "grad", grad, x);
  check_channels("instance_norm_act_backward", "mean", mean, x, true);
  check_channels("instance_norm_act_backward", "scale", scale, x, true);
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
      data_of(weights), sample_stride(weights), data_of(biases), sample_stride(biases), layer, grad_x.mutable_data_ptr(),
      grad_weight.mutable_data_ptr(), grad_bias.mutable_data_ptr(), run_tasks);
  return {grad_x, grad_weight, grad_bias};
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
  check_features("upfirdn2d", "x", x);
  STD_TORCH_CHECK(x.dim() == 4, "upfirdn2d: x has shape ", shape_of(x), ", expected [N, C, H, W]");
  STD_TORCH_CHECK(up.size() == 2 && down.size() == 2 && padding.size() == 4,
                  "upfirdn2d: up and down need two values as (x, y), padding four as (x0, x1, y0, y1)");
  STD_TORCH_CHECK(std::min({up[0], up[1], down[0], down[1]}) >= 1, "upfirdn2d: up and down must be 1 or more");
  STD_TORCH_CHECK((taps.dim() == 1 || taps.dim() == 2) && taps.numel() > 0, "upfirdn2d: taps have shape ", shape_of(taps),
                  ", expected [K] or [KH, KW]");
  STD_TORCH_CHECK(taps.scalar_type() == sum_type(x.scalar_type()), "upfirdn2d: taps are ",
                  torch::headeronly::toString(taps.scalar_type()), ", expected ",
                  torch::headeronly::toString(sum_type(x.scalar_type())));
  const bool separable = taps.dim() == 1;
  const int64_t rows = taps.size(0), columns = taps.size(taps.dim() - 1);
  const int64_t height = x.size(2), width = x.size(3);
  const int64_t over_y = height * up[1] + padding[2] + padding[3] - rows;
  const int64_t over_x = width * up[0] + padding[0] + padding[1] - columns;
  STD_TORCH_CHECK(over_x >= 0 && over_y >= 0, "upfirdn2d: x ", shape_of(x), " is smaller than its ", rows, " x ", columns,
                  " taps once padded");
  const int64_t out_height = over_y / down[1] + 1, out_width = over_x / down[0] + 1;

  // Rows are read where they lie, also those of a crop; the pixels of one must be dense.
  Layout layout;
  Tensor data = x;
  const int64_t channels = x.size(1);
  const bool last = channels > 1 && x.stride(1) == 1 && x.stride(3) == channels;
  if (!last && width > 1 && x.stride(3) != 1) data = torch::stable::contiguous(x);
  layout = {x.size(0), channels, height * width, data.stride(0), data.stride(1), last ? channels : 1};
  const int64_t row_stride = data.stride(2);
  const int64_t sizes[] = {x.size(0), x.size(1), out_height, out_width};
  Tensor y = empty_of(x, Sizes(sizes, 4), format_of(data, layout));
  if (layout.is_empty()) return torch::stable::fill_(y, 0);
  const Tensor dense_taps = torch::stable::contiguous(taps);
  const std::vector<char> weights = x.scalar_type() == ScalarType::Double ? prepared_taps<double>(dense_taps, gain, flip)
                                                                          : prepared_taps<float>(dense_taps, gain, flip);
  kernels().upfirdn2d(cpu_features(data, layout), row_stride,
                      {weights.data(), separable, rows, columns, up[0], up[1], down[0], down[1], padding[0],
                       padding[2], height, width, out_height, out_width},
                      y.mutable_data_ptr(), run_tasks);
  return y;
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(ganart, library) {
  library.def(
      "bias_act(Tensor x, Tensor? bias, str act, float negative_slope, float gain, float? clamp) -> Tensor");
  library.def(
      "bias_act_backward(Tensor grad, Tensor kept, Tensor? bias, str act, float negative_slope, float gain, float? clamp, "
      "bool sum_bias) -> (Tensor grad_x, Tensor grad_bias)");
  library.def(
      "instance_norm_act(Tensor x, Tensor? weight, Tensor? bias, str act, float negative_slope, float eps) -> (Tensor y, "
      "Tensor mean, Tensor scale)");
  library.def(
      "instance_norm_act_backward(Tensor grad, Tensor x, Tensor mean, Tensor scale, Tensor? weight, Tensor? bias, str act, "
      "float negative_slope, float eps) -> (Tensor grad_x, Tensor grad_weight, Tensor grad_bias)");
  library.def("upfirdn2d(Tensor x, Tensor taps, int[] up, int[] down, int[] padding, float gain, bool flip) -> Tensor");
}

STABLE_TORCH_LIBRARY_IMPL(ganart, CPU, library) {
  library.impl("bias_act", TORCH_BOX(&bias_act_cpu));
  library.impl("bias_act_backward", TORCH_BOX(&bias_act_backward_cpu));
  library.impl("instance_norm_act", TORCH_BOX(&instance_norm_act_cpu));
  library.impl("instance_norm_act_backward", TORCH_BOX(&instance_norm_act_backward_cpu));
  library.impl("upfirdn2d", TORCH_BOX(&upfirdn2d_cpu));
}
