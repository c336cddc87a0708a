// Schema, argument checks and dispatch of Winograd's convolution.
#include <optional>

#include "bindings/support.h"

namespace {

using namespace ganart::bindings;

constexpr int64_t POINTS = 64, PANEL = 32;

const ganart::cpu::ConvolutionKernels& kernels() { return GANART_KERNELS(convolution_kernels); }

// `adjoint` is for the derivative alone.
Tensor winograd_conv2d_cpu(const Tensor& x, const Tensor& kernel, const Tensor&, const std::optional<Tensor>& bias,
                           int64_t out_channels) {
  constexpr const char* op = "winograd_conv2d";
  STD_TORCH_CHECK(x.dim() == 4, op, ": x has shape ", shape_of(x), ", expected [N, C, H, W]");
  STD_TORCH_CHECK(x.scalar_type() == ScalarType::Float || x.scalar_type() == ScalarType::BFloat16, op, ": x is ",
                  torch::headeronly::toString(x.scalar_type()), ", expected Float or BFloat16");
  const int64_t channels = x.size(1), panels = (out_channels + PANEL - 1) / PANEL;
  STD_TORCH_CHECK(out_channels >= 1 && kernel.dim() == 4 && kernel.size(0) == POINTS && kernel.size(1) == panels &&
                      kernel.size(2) == channels && kernel.size(3) == PANEL && kernel.scalar_type() == ScalarType::Float,
                  op, ": kernel is ", torch::headeronly::toString(kernel.scalar_type()), " of shape ", shape_of(kernel),
                  ", expected Float of [64, ", panels, ", ", channels, ", 32] for x ", shape_of(x), " and ", out_channels,
                  " channels out");
  STD_TORCH_CHECK(!bias || (bias->dim() == 1 && bias->size(0) == out_channels && bias->scalar_type() == ScalarType::Float),
                  op, ": bias must be Float of shape [", out_channels, "]");
  Layout layout;
  const bool last = readable(x, layout) && layout.pixel_stride != 1;
  const int64_t sizes[] = {x.size(0), out_channels, x.size(2), x.size(3)};
  Tensor y = empty_of(x, Sizes(sizes, 4), MemoryFormat::ChannelsLast);
  if (y.numel() > 0) {
    const Tensor pixels = torch::stable::contiguous(x, MemoryFormat::ChannelsLast);
    const Tensor weights = torch::stable::contiguous(kernel);
    const Tensor biases = bias ? torch::stable::contiguous(*bias) : weights;
    kernels().winograd_conv2d({pixels.const_data_ptr(), weights.const_data_ptr(), bias ? biases.const_data_ptr() : nullptr,
                               y.mutable_data_ptr(), cpu_type(x.scalar_type()), x.size(0), x.size(2), x.size(3), channels,
                               out_channels},
                              run_tasks);
  }
  return last ? y : torch::stable::contiguous(y);
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(ganart, library) {
  library.def("winograd_conv2d(Tensor x, Tensor kernel, Tensor adjoint, Tensor? bias, int out_channels) -> Tensor");
}

STABLE_TORCH_LIBRARY_IMPL(ganart, CPU, library) { library.impl("winograd_conv2d", TORCH_BOX(&winograd_conv2d_cpu)); }
