// Features as kernels read them, the same on every device: a pointer, sizes and strides. No torch.
#pragma once

#include <cstdint>

namespace ganart {

enum class Type { float32, bfloat16, float16, float64 };

// Strides are in elements; either pixel_stride == 1 (contiguous) or channel_stride == 1 (channels_last). Data is
// aligned to its element only, not to a vector, and strides need not be multiples of a vector's width. Sizes are at
// least 1.
struct Features {
  const void* data;
  Type type;
  int64_t samples, channels, pixels;
  int64_t sample_stride, channel_stride, pixel_stride;
};

}  // namespace ganart
