// Features as CUDA launchers take them: raw pointers, sizes and strides. No torch.
#pragma once

#include <cstdint>

namespace ganart::cuda {

enum class Type { float32, bfloat16, float16, float64 };

// Features as they lie in memory. Strides are in elements; either pixel_stride == 1 (contiguous) or
// channel_stride == 1 (channels_last), and the binding has copied anything else. Sizes may be zero; data is aligned to
// its element only, not to 16 bytes, and strides need not be multiples of a vector's width.
struct Features {
  const void* data;
  Type type;
  int64_t samples, channels, pixels;
  int64_t sample_stride, channel_stride, pixel_stride;
};

}  // namespace ganart::cuda
