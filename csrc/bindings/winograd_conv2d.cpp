// Bindings of Winograd's convolution with weights that were transformed beforehand: schema, checks and dispatch.
#include "bindings/convolution.h"
#include "cpu/winograd_conv2d.h"

namespace {

using namespace ganart::bindings;

// `adjoint` is for the derivative alone.
Tensor winograd_conv2d(const Tensor& x, const Tensor& kernel, const Tensor&, const OptionalTensor& bias,
                       int64_t out_channels) {
  constexpr const char* op = "winograd_conv2d";
  constexpr int64_t POINTS = 64, PANEL = 32;
  check_convolved(op, "x", x);
  const int64_t channels = x.size(1), panels = (out_channels + PANEL - 1) / PANEL;
  const bool fits = out_channels >= 1 && kernel.dim() == 4 && kernel.size(0) == POINTS && kernel.size(1) == panels &&
                    kernel.size(2) == channels && kernel.size(3) == PANEL && kernel.scalar_type() == ScalarType::Float;
  STD_TORCH_CHECK(fits, op, ": kernel is ", name_of(kernel.scalar_type()), " of shape ", shape_of(kernel),
                  ", expected Float of [64, ", panels, ", ", channels, ", 32] for x ", shape_of(x), " and ",
                  out_channels, " output channels");
  check_convolution_bias(op, bias, out_channels);
  const Tensor weights = torch::stable::contiguous(kernel);
  const OptionalTensor biases = contiguous_of(bias);
  return convolved(x, out_channels, [&](ganart::cpu::Convolution convolution) {
    convolution.kernel = weights.const_data_ptr();
    convolution.bias = data_of(biases);
    GANART_KERNELS(winograd_conv2d_kernels).forward(convolution, run_tasks);
  });
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(ganart, library) {
  library.def("winograd_conv2d(Tensor x, Tensor kernel, Tensor adjoint, Tensor? bias, int out_channels) -> Tensor");
}

STABLE_TORCH_LIBRARY_IMPL(ganart, CPU, library) { library.impl("winograd_conv2d", TORCH_BOX(&winograd_conv2d)); }
