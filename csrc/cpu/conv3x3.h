// A 3x3 convolution by Winograd's algorithm with weights as they are, and its derivatives, on the CPU; see
// cpu/winograd.h.
#pragma once

#include "cpu/winograd.h"

namespace ganart::cpu {

struct Conv3x3Kernels {
  // weight [K, C, 3, 3], of x's type, or [C, K, 3, 3] if the convolution is turned.
  void (*forward)(const Convolution& convolution, const void* weight, RunTasks run);

  // The gradient with respect to weight, [K, C, 3, 3] of x's type.
  void (*weight)(const Features& x, const Features& grad, int64_t width, void* grad_weight, RunTasks run);
};
GANART_DECLARE_KERNELS(Conv3x3Kernels, conv3x3_kernels)

}  // namespace ganart::cpu

#if defined(GANART_LEVEL)

namespace ganart::cpu::GANART_LEVEL {
namespace {

void conv3x3_of_type(const Convolution& c, const void* weight, RunTasks run) {
  winograd::with_element(c.x.type, [&](auto element) {
    using Element = decltype(element);
    winograd::with_tiles(c.x.samples, c.x.pixels / c.width, c.width, [&](auto algorithm) {
      winograd::Winograd<decltype(algorithm), winograd::Floats, Element>(c, static_cast<const Element*>(weight))
          .run(run);
    });
  });
}

void conv3x3_weight_of_type(const Features& x, const Features& grad, int64_t width, void* grad_weight, RunTasks run) {
  winograd::with_element(x.type, [&](auto element) {
    winograd::with_tiles(x.samples, x.pixels / width, width, [&](auto algorithm) {
      winograd::weight_gradient<decltype(algorithm)>(x, grad, width, static_cast<decltype(element)*>(grad_weight), run);
    });
  });
}

}  // namespace

const Conv3x3Kernels conv3x3_kernels{
    .forward = conv3x3_of_type,
    .weight = conv3x3_weight_of_type,
};

}  // namespace ganart::cpu::GANART_LEVEL

#endif
