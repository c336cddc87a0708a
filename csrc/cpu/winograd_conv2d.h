// Winograd's 3x3 convolution with weights that were transformed beforehand, on the CPU; see cpu/winograd.h.
#pragma once

#include "cpu/winograd.h"

namespace ganart::cpu {

struct WinogradConv2dKernels {
  void (*forward)(const Convolution& convolution, RunTasks run);
};
GANART_DECLARE_KERNELS(WinogradConv2dKernels, winograd_conv2d_kernels)

}  // namespace ganart::cpu

#if defined(GANART_LEVEL)

namespace ganart::cpu::GANART_LEVEL {
namespace {

void winograd_conv2d_of_type(const Convolution& c, RunTasks run) {
  if (c.kernel_type == Type::bfloat16) return winograd::Winograd<winograd::Four, winograd::Pairs, Bfloat16>(c).run(run);
  winograd::with_element(c.x.type, [&](auto element) {
    winograd::Winograd<winograd::Six, winograd::Floats, decltype(element)>(c).run(run);
  });
}

}  // namespace

const WinogradConv2dKernels winograd_conv2d_kernels{
    .forward = winograd_conv2d_of_type,
};

}  // namespace ganart::cpu::GANART_LEVEL

#endif
