// Schemas, argument checks and dispatch of Winograd's convolution.
#include <optional>

#include "bindings/layer_arguments.h"
#include "bindings/support.h"

namespace {

using namespace ganart::bindings;

constexpr int64_t POINTS = 64, PANEL = 32;

const ganart::cpu::ConvolutionKernels& kernels() { return GANART_KERNELS(convolution_kernels); }

int64_t panels_of(int64_t channels) { return (channels + PANEL - 1) / PANEL; }

void check_pictures(const char* op, const char* name, const Tensor& x) {
  STD_TORCH_CHECK(x.dim() == 4, op, ": ", name, " has shape ", shape_of(x), ", expected [N, C, H, W]");
  STD_TORCH_CHECK(x.scalar_type() == ScalarType::Float || x.scalar_type() == ScalarType::BFloat16, op, ": ", name,
                  " is ", torch::headeronly::toString(x.scalar_type()), ", expected Float or BFloat16");
}

void check_bias(const char* op, const std::optional<Tensor>& bias, int64_t out_channels) {
  STD_TORCH_CHECK(
      !bias || (bias->dim() == 1 && bias->size(0) == out_channels && bias->scalar_type() == ScalarType::Float), op,
      ": bias must be Float of shape [", out_channels, "]");
}

// Calls compute(convolution), still without kernel and bias, unless there is nothing to compute; returns its y.
template <class Compute>
Tensor convolved(const Tensor& x, int64_t out_channels, Compute compute) {
  const auto [data, layout] = readable_features(x);
  const int64_t sizes[] = {x.size(0), out_channels, x.size(2), x.size(3)};
  Tensor y = empty_of(x, Sizes(sizes, 4), format_of(data, layout));
  if (y.numel() > 0)
    compute(ganart::cpu::Convolution{cpu_features(data, layout), x.size(3), out_channels, y.mutable_data_ptr()});
  return y;
}

// `adjoint` is for the derivative alone.
Tensor winograd_conv2d_cpu(const Tensor& x, const Tensor& kernel, const Tensor&, const std::optional<Tensor>& bias,
                           int64_t out_channels) {
  constexpr const char* op = "winograd_conv2d";
  check_pictures(op, "x", x);
  const int64_t channels = x.size(1), panels = panels_of(out_channels);
  STD_TORCH_CHECK(out_channels >= 1 && kernel.dim() == 4 && kernel.size(0) == POINTS && kernel.size(1) == panels &&
                      kernel.size(2) == channels && kernel.size(3) == PANEL &&
                      kernel.scalar_type() == ScalarType::Float,
                  op, ": kernel is ", torch::headeronly::toString(kernel.scalar_type()), " of shape ", shape_of(kernel),
                  ", expected Float of [64, ", panels, ", ", channels, ", 32] for x ", shape_of(x), " and ",
                  out_channels, " channels out");
  check_bias(op, bias, out_channels);
  const Tensor weights = torch::stable::contiguous(kernel), biases = bias ? torch::stable::contiguous(*bias) : weights;
  return convolved(x, out_channels, [&](ganart::cpu::Convolution convolution) {
    convolution.kernel = weights.const_data_ptr();
    if (bias) convolution.bias = biases.const_data_ptr();
    kernels().winograd_conv2d(convolution, run_tasks);
  });
}

void check_weight(const char* op, const Tensor& x, const Tensor& weight, bool turned) {
  check_pictures(op, "x", x);
  STD_TORCH_CHECK(weight.dim() == 4 && weight.size(turned ? 0 : 1) == x.size(1) && weight.size(turned ? 1 : 0) >= 1 &&
                      x.size(1) >= 1 && weight.size(2) == 3 && weight.size(3) == 3,
                  op, ": weight has shape ", shape_of(weight), ", expected ",
                  turned ? "[C, K, 3, 3] with C that of x " : "[K, C, 3, 3] with C that of x ", shape_of(x));
  STD_TORCH_CHECK(weight.scalar_type() == x.scalar_type(), op, ": weight is ",
                  torch::headeronly::toString(weight.scalar_type()), " and x ",
                  torch::headeronly::toString(x.scalar_type()));
}

Tensor conv3x3_cpu(const Tensor& x, const Tensor& weight, bool turned) {
  check_weight("conv3x3", x, weight, turned);
  const Tensor weights = torch::stable::contiguous(weight);
  return convolved(x, weight.size(turned ? 1 : 0), [&](const ganart::cpu::Convolution& convolution) {
    kernels().conv3x3(convolution, weights.const_data_ptr(), turned, run_tasks);
  });
}

Tensor conv3x3_bias_act_cpu(const Tensor& x, const Tensor& weight, const std::optional<Tensor>& bias, std::string act,
                            double negative_slope, double gain, std::optional<double> clamp) {
  constexpr const char* op = "conv3x3_bias_act";
  check_weight(op, x, weight, false);
  const int64_t out_channels = weight.size(0);
  check_bias(op, bias, out_channels);
  const ganart::ActivationParameters layer = parameters(op, act, negative_slope, gain, clamp);
  const bool leaky = layer.activation == ganart::Activation::lrelu, flat = layer.activation == ganart::Activation::relu;
  STD_TORCH_CHECK(leaky || flat || layer.activation == ganart::Activation::linear, op, ": act is ", act,
                  ", expected linear, relu or lrelu");
  const Tensor weights = torch::stable::contiguous(weight), biases = bias ? torch::stable::contiguous(*bias) : weights;
  return convolved(x, out_channels, [&](ganart::cpu::Convolution convolution) {
    if (bias) convolution.bias = biases.const_data_ptr();
    convolution.gain = float(layer.gain);
    convolution.negative_gain = float(flat ? 0 : leaky ? layer.gain * layer.negative_slope : layer.gain);
    if (clamp) convolution.limit = float(*clamp);
    kernels().conv3x3(convolution, weights.const_data_ptr(), false, run_tasks);
  });
}

Tensor conv3x3_weight_cpu(const Tensor& x, const Tensor& grad) {
  constexpr const char* op = "conv3x3_weight";
  check_pictures(op, "x", x);
  check_pictures(op, "grad", grad);
  STD_TORCH_CHECK(grad.scalar_type() == x.scalar_type() && grad.size(0) == x.size(0) && grad.size(2) == x.size(2) &&
                      grad.size(3) == x.size(3) && x.size(1) >= 1 && grad.size(1) >= 1,
                  op, ": grad is ", torch::headeronly::toString(grad.scalar_type()), " of shape ", shape_of(grad),
                  ", expected the type of x and [N, K, H, W] for x ", shape_of(x));
  const int64_t sizes[] = {grad.size(1), x.size(1), 3, 3};
  Tensor weight = torch::stable::new_empty(x, Sizes(sizes, 4));
  if (x.numel() == 0) return torch::stable::fill_(weight, 0);
  const auto [data, layout] = readable_features(x);
  const auto [incoming, grad_layout] = readable_features(grad);
  kernels().conv3x3_weight(cpu_features(data, layout), cpu_features(incoming, grad_layout), x.size(3),
                           weight.mutable_data_ptr(), run_tasks);
  return weight;
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(ganart, library) {
  library.def("winograd_conv2d(Tensor x, Tensor kernel, Tensor adjoint, Tensor? bias, int out_channels) -> Tensor");
  library.def("conv3x3(Tensor x, Tensor weight, bool turned) -> Tensor");
  library.def(
      "conv3x3_bias_act(Tensor x, Tensor weight, Tensor? bias, str act, float negative_slope, float gain, float? clamp) -> "
      "Tensor");
  library.def("conv3x3_weight(Tensor x, Tensor grad) -> Tensor");
}

STABLE_TORCH_LIBRARY_IMPL(ganart, CPU, library) {
  library.impl("winograd_conv2d", TORCH_BOX(&winograd_conv2d_cpu));
  library.impl("conv3x3", TORCH_BOX(&conv3x3_cpu));
  library.impl("conv3x3_bias_act", TORCH_BOX(&conv3x3_bias_act_cpu));
  library.impl("conv3x3_weight", TORCH_BOX(&conv3x3_weight_cpu));
}
