// Bindings of Winograd's convolution with weights that were transformed beforehand: schema, checks and dispatch.
#include "bindings/convolution.h"
#include "cpu/winograd_conv2d.h"

namespace {

using namespace ganart::bindings;

Tensor winograd_conv2d(const Tensor& x, const Tensor& kernel, const OptionalTensor& bias, int64_t out_channels,
                       bool turned, bool relu, const OptionalTensor& mask) {
  constexpr const char* op = "winograd_conv2d";
  constexpr int64_t PANEL = 32;
  check_convolved(op, "x", x);
  const int64_t ends[] = {x.size(1), out_channels}, in = ends[turned ? 1 : 0], out = ends[turned ? 0 : 1];
  const bool pairs = kernel.scalar_type() == ScalarType::BFloat16;
  const int64_t points = pairs ? 36 : 64, panels = (out + PANEL - 1) / PANEL, items = pairs ? (in + 1) / 2 : in;
  const bool fits = out_channels >= 1 && kernel.dim() == (pairs ? 5 : 4) && kernel.size(0) == points &&
                    kernel.size(1) == panels && kernel.size(2) == items && kernel.size(3) == PANEL &&
                    (!pairs || kernel.size(4) == 2) &&
                    (kernel.scalar_type() == ScalarType::Float || kernel.scalar_type() == x.scalar_type());
  STD_TORCH_CHECK(fits, op, ": kernel is ", name_of(kernel.scalar_type()), " of shape ", shape_of(kernel),
                  ", expected Float or the type of x, of [", points, ", ", panels, ", ", items, ", 32",
                  pairs ? ", 2" : "", "] for x ", shape_of(x), " and ", out_channels, " output channels");
  check_convolution_bias(op, bias, out_channels);
  const Tensor weights = torch::stable::contiguous(kernel);
  const OptionalTensor biases = contiguous_of(bias);
  return convolved(op, x, mask, out_channels, [&](ganart::cpu::Convolution convolution) {
    convolution.kernel = weights.const_data_ptr();
    convolution.kernel_type = pairs ? ganart::Type::bfloat16 : ganart::Type::float32;
    convolution.turned = turned;
    convolution.bias = data_of(biases);
    if (relu) convolution.negative_gain = 0;
    GANART_KERNELS(winograd_conv2d_kernels).forward(convolution, run_tasks);
  });
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(ganart, library) {
  library.def(
      "winograd_conv2d(Tensor x, Tensor kernel, Tensor? bias, int out_channels, bool turned, bool relu, Tensor? mask) "
      "-> Tensor");
}

STABLE_TORCH_LIBRARY_IMPL(ganart, CPU, library) { library.impl("winograd_conv2d", TORCH_BOX(&winograd_conv2d)); }
