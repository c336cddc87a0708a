// Bindings of a 3x3 convolution by Winograd's algorithm, its derivatives, and the same with an activation: schemas,
// checks and dispatch.
#include <optional>
#include <string>

#include "bindings/convolution.h"
#include "cpu/conv3x3.h"

namespace {

using namespace ganart::bindings;
using ganart::Activation;
using ganart::cpu::Convolution;

void check_weight(const char* op, const Tensor& x, const Tensor& weight, bool turned) {
  check_convolved(op, "x", x);
  const bool fits = weight.dim() == 4 && weight.size(turned ? 0 : 1) == x.size(1) && weight.size(turned ? 1 : 0) >= 1 &&
                    x.size(1) >= 1 && weight.size(2) == 3 && weight.size(3) == 3;
  STD_TORCH_CHECK(fits, op, ": weight has shape ", shape_of(weight), ", expected ",
                  turned ? "[C, K, 3, 3] with C that of x " : "[K, C, 3, 3] with C that of x ", shape_of(x));
  STD_TORCH_CHECK(weight.scalar_type() == x.scalar_type(), op, ": weight is ", name_of(weight.scalar_type()), " and x ",
                  name_of(x.scalar_type()));
}

Tensor conv3x3(const Tensor& x, const Tensor& weight, bool turned, const OptionalTensor& mask) {
  check_weight("conv3x3", x, weight, turned);
  const Tensor weights = torch::stable::contiguous(weight);
  return convolved("conv3x3", x, mask, weight.size(turned ? 1 : 0), [&](Convolution convolution) {
    convolution.turned = turned;
    GANART_KERNELS(conv3x3_kernels).forward(convolution, weights.const_data_ptr(), run_tasks);
  });
}

Tensor conv3x3_bias_act(const Tensor& x, const Tensor& weight, const OptionalTensor& bias, std::string act,
                        double negative_slope, double gain, std::optional<double> clamp) {
  constexpr const char* op = "conv3x3_bias_act";
  check_weight(op, x, weight, false);
  const int64_t out_channels = weight.size(0);
  check_convolution_bias(op, bias, out_channels);
  const ganart::ActivationParameters layer = activation_parameters(op, act, negative_slope, gain, clamp);
  const bool leaky = layer.activation == Activation::lrelu, flat = layer.activation == Activation::relu;
  STD_TORCH_CHECK(leaky || flat || layer.activation == Activation::linear, op, ": act is ", act,
                  ", expected linear, relu or lrelu");
  const Tensor weights = torch::stable::contiguous(weight);
  const OptionalTensor biases = contiguous_of(bias);
  return convolved(op, x, std::nullopt, out_channels, [&](Convolution convolution) {
    convolution.bias = data_of(biases);
    convolution.gain = float(layer.gain);
    convolution.negative_gain = float(flat ? 0 : leaky ? layer.gain * layer.negative_slope : layer.gain);
    if (clamp) convolution.limit = float(*clamp);
    GANART_KERNELS(conv3x3_kernels).forward(convolution, weights.const_data_ptr(), run_tasks);
  });
}

Tensor conv3x3_weight(const Tensor& x, const Tensor& grad) {
  constexpr const char* op = "conv3x3_weight";
  check_convolved(op, "x", x);
  check_convolved(op, "grad", grad);
  const bool fits = grad.scalar_type() == x.scalar_type() && grad.size(0) == x.size(0) && grad.size(2) == x.size(2) &&
                    grad.size(3) == x.size(3) && x.size(1) >= 1 && grad.size(1) >= 1;
  STD_TORCH_CHECK(fits, op, ": grad is ", name_of(grad.scalar_type()), " of shape ", shape_of(grad),
                  ", expected the type of x and [N, K, H, W] for x ", shape_of(x));
  const int64_t sizes[] = {grad.size(1), x.size(1), 3, 3};
  Tensor weight = torch::stable::new_empty(x, Sizes(sizes, 4));
  if (x.numel() == 0) return torch::stable::fill_(weight, 0);
  GANART_KERNELS(conv3x3_kernels)
      .weight(read(x).features, read(grad).features, x.size(3), weight.mutable_data_ptr(), run_tasks);
  return weight;
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(ganart, library) {
  library.def("conv3x3(Tensor x, Tensor weight, bool turned, Tensor? mask) -> Tensor");
  library.def(
      "conv3x3_bias_act(Tensor x, Tensor weight, Tensor? bias, str act, float negative_slope, float gain, "
      "float? clamp) -> Tensor");
  library.def("conv3x3_weight(Tensor x, Tensor grad) -> Tensor");
}

STABLE_TORCH_LIBRARY_IMPL(ganart, CPU, library) {
  library.impl("conv3x3", TORCH_BOX(&conv3x3));
  library.impl("conv3x3_bias_act", TORCH_BOX(&conv3x3_bias_act));
  library.impl("conv3x3_weight", TORCH_BOX(&conv3x3_weight));
}
