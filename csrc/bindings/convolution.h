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
// Where a mask is given, it decides the layout.
template <class Compute>
Tensor convolved(const char* op, const Tensor& x, const OptionalTensor& mask, int64_t out_channels, Compute compute) {
  if (mask) check_like(op, "mask", *mask, x);
  const Input leader = read(mask ? *mask : x), in = mask ? read_like(x, leader) : leader;
  const int64_t sizes[] = {x.size(0), out_channels, x.size(2), x.size(3)};
  Tensor y = empty_result(leader, Sizes(sizes, 4));
  cpu::Convolution convolution{in.features, x.size(3), out_channels, y.mutable_data_ptr()};
  if (mask) convolution.mask = leader.features;
  if (y.numel() > 0) compute(convolution);
  return y;
}

}  // namespace ganart::bindings
