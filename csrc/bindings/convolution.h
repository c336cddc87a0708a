// What the bindings of convolutions by Winograd's algorithm share. They run on CPUs alone.
#pragma once

#include "bindings/arguments.h"
#include "cpu/winograd.h"

namespace ganart::bindings {

// [N, C, H, W], float32 or bfloat16.
inline void check_convolved(const char* op, const char* name, const Tensor& x) {
  check_pictures(op, name, x, {ScalarType::Float, ScalarType::BFloat16});
}

inline void check_convolution_bias(const char* op, const OptionalTensor& bias, int64_t out_channels) {
  const bool fits = !bias ||
                    (bias->dim() == 1 && bias->size(0) == out_channels && bias->scalar_type() == ScalarType::Float);
  STD_TORCH_CHECK(fits, op, ": bias must be Float of shape [", out_channels, "]");
}

// Calls compute(convolution), which has no kernel and no bias yet, unless there is nothing to compute; returns its y.
template <class Compute>
Tensor convolved(const Tensor& x, int64_t out_channels, Compute compute) {
  const Input in = read(x);
  const int64_t sizes[] = {x.size(0), out_channels, x.size(2), x.size(3)};
  Tensor y = empty_result(in, Sizes(sizes, 4));
  if (y.numel() > 0) compute(cpu::Convolution{in.features, x.size(3), out_channels, y.mutable_data_ptr()});
  return y;
}

}  // namespace ganart::bindings
