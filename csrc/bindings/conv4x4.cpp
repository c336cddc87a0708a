// Bindings of a 4x4 convolution of step 2 by Winograd's algorithm, its derivatives, and the same with an activation:
// schemas, checks and dispatch.
#include <optional>
#include <string>

#include "bindings/convolution.h"
#include "cpu/conv4x4.h"

namespace {

using namespace ganart::bindings;
using ganart::Activation;
using ganart::cpu::Convolution;

void check_features_of(const char* op, const char* name, const Tensor& x) {
  check_pictures(op, name, x, {ScalarType::Float});
}

void check_weight(const char* op, const Tensor& x, const Tensor& weight, int64_t dim) {
  check_features_of(op, "x", x);
  const bool fits = weight.dim() == 4 && weight.size(dim) == x.size(1) && weight.size(0) >= 1 && weight.size(1) >= 1 &&
                    weight.size(2) == 4 && weight.size(3) == 4;
  STD_TORCH_CHECK(fits, op, ": weight has shape ", shape_of(weight), ", expected ",
                  dim == 1 ? "[K, C, 4, 4] with C that of x " : "[C, K, 4, 4] with C that of x ", shape_of(x));
  STD_TORCH_CHECK(weight.scalar_type() == ScalarType::Float, op, ": weight is ", name_of(weight.scalar_type()),
                  ", expected Float");
}

// Calls compute(convolution), which has no bias yet, unless there is nothing to compute; returns its y.
template <class Compute>
Tensor halved(const Tensor& x, int64_t out_channels, Compute compute) {
  const Input in = read(x);
  const int64_t sizes[] = {x.size(0), out_channels, x.size(2) / 2, x.size(3) / 2};
  Tensor y = empty_result(in, Sizes(sizes, 4));
  if (y.numel() > 0) compute(Convolution{in.features, x.size(3), out_channels, y.mutable_data_ptr()});
  return y;
}

Tensor conv4x4(const Tensor& x, const Tensor& weight) {
  check_weight("conv4x4", x, weight, 1);
  const Tensor weights = torch::stable::contiguous(weight);
  return halved(x, weight.size(0), [&](const Convolution& convolution) {
    GANART_KERNELS(conv4x4_kernels).forward(convolution, weights.const_data_ptr(), run_tasks);
  });
}

Tensor conv4x4_bias_act(const Tensor& x, const Tensor& weight, const OptionalTensor& bias, std::string act,
                        double negative_slope, double gain, std::optional<double> clamp) {
  constexpr const char* op = "conv4x4_bias_act";
  check_weight(op, x, weight, 1);
  check_convolution_bias(op, bias, weight.size(0));
  const ganart::ActivationParameters layer = activation_parameters(op, act, negative_slope, gain, clamp);
  const bool leaky = layer.activation == Activation::lrelu, flat = layer.activation == Activation::relu;
  STD_TORCH_CHECK(leaky || flat || layer.activation == Activation::linear, op, ": act is ", act,
                  ", expected linear, relu or lrelu");
  const Tensor weights = torch::stable::contiguous(weight);
  const OptionalTensor biases = contiguous_of(bias);
  return halved(x, weight.size(0), [&](Convolution convolution) {
    convolution.bias = data_of(biases);
    convolution.gain = float(layer.gain);
    convolution.negative_gain = float(flat ? 0 : leaky ? layer.gain * layer.negative_slope : layer.gain);
    if (clamp) convolution.limit = float(*clamp);
    GANART_KERNELS(conv4x4_kernels).forward(convolution, weights.const_data_ptr(), run_tasks);
  });
}

Tensor conv4x4_transposed(const Tensor& x, const Tensor& weight, bool odd_height, bool odd_width) {
  check_weight("conv4x4_transposed", x, weight, 0);
  const Input in = read(x);
  const int64_t height = 2 * x.size(2) + odd_height, width = 2 * x.size(3) + odd_width;
  const int64_t sizes[] = {x.size(0), weight.size(1), height, width};
  Tensor y = empty_result(in, Sizes(sizes, 4));
  if (y.numel() == 0) return y;
  if (x.numel() == 0) return torch::stable::fill_(y, 0);
  const Tensor weights = torch::stable::contiguous(weight);
  GANART_KERNELS(conv4x4_kernels)
      .gradient({in.features, x.size(3), weight.size(1), height, width, y.mutable_data_ptr()}, weights.const_data_ptr(),
                run_tasks);
  return y;
}

Tensor conv4x4_weight(const Tensor& x, const Tensor& grad) {
  constexpr const char* op = "conv4x4_weight";
  check_features_of(op, "x", x);
  check_features_of(op, "grad", grad);
  const bool fits = grad.size(0) == x.size(0) && grad.size(2) == x.size(2) / 2 && grad.size(3) == x.size(3) / 2 &&
                    x.size(1) >= 1 && grad.size(1) >= 1;
  STD_TORCH_CHECK(fits, op, ": grad has shape ", shape_of(grad), ", expected [N, K, H / 2, W / 2] for x ", shape_of(x));
  const int64_t sizes[] = {grad.size(1), x.size(1), 4, 4};
  Tensor weight = torch::stable::new_empty(x, Sizes(sizes, 4));
  if (grad.numel() == 0) return torch::stable::fill_(weight, 0);
  GANART_KERNELS(conv4x4_kernels)
      .weight(read(x).features, x.size(3), read(grad).features, weight.mutable_data_ptr(), run_tasks);
  return weight;
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(ganart, library) {
  library.def("conv4x4(Tensor x, Tensor weight) -> Tensor");
  library.def(
      "conv4x4_bias_act(Tensor x, Tensor weight, Tensor? bias, str act, float negative_slope, float gain, "
      "float? clamp) -> Tensor");
  library.def("conv4x4_transposed(Tensor x, Tensor weight, bool odd_height, bool odd_width) -> Tensor");
  library.def("conv4x4_weight(Tensor x, Tensor grad) -> Tensor");
}

STABLE_TORCH_LIBRARY_IMPL(ganart, CPU, library) {
  library.impl("conv4x4", TORCH_BOX(&conv4x4));
  library.impl("conv4x4_bias_act", TORCH_BOX(&conv4x4_bias_act));
  library.impl("conv4x4_transposed", TORCH_BOX(&conv4x4_transposed));
  library.impl("conv4x4_weight", TORCH_BOX(&conv4x4_weight));
}
