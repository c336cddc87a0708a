// What the CPU kernels take and offer, the same for every instruction set. No torch.
#pragma once

#include <cstdint>

namespace ganart::cpu {

enum class Type { float32, bfloat16, float64 };

// Features as they lie in memory. Strides are in elements; either pixel_stride == 1 (contiguous) or channel_stride == 1
// (channels_last). Data is aligned to its element only. Sizes are at least 1.
struct Features {
  const void* data;
  Type type;
  int64_t samples, channels, pixels;
  int64_t sample_stride, channel_stride, pixel_stride;
};

// Calls task(closure, index) once for each index below count, on as many threads as there are, in any order.
using RunTasks = void (*)(int64_t count, void* closure, void (*task)(void* closure, int64_t index));

// One instruction set's kernels. "Sum" is double for float64 features and float for the others.
struct StyleLossKernels {
  // gram [N, C, C] Sum.
  void (*gram_matrix)(const Features& features, void* gram, RunTasks run);

  // target [N, C, C] Sum (sample stride 0: one for all), difference [N, C, C] Sum, loss [1] Sum.
  void (*style_loss)(const Features& features, const void* target, int64_t target_sample_stride, void* difference,
                     void* loss, RunTasks run);

  // grad_features = factor * (M + M^T) F, of F's type; dense, channels_last unless features.pixel_stride == 1.
  void (*gram_matrix_backward)(const void* matrix, double factor, const Features& features, void* grad_features,
                               RunTasks run);
};

// A 3x3 convolution of step 1 and padding 1 of features with rows of `width` pixels. All floating point numbers but those
// of features, results and weights, float32 or bfloat16, are float.
struct Convolution {
  Features x;
  int64_t width, out_channels;
  void* y;                       // of x's type, dense: channels_last unless x.pixel_stride == 1
  const void* kernel = nullptr;  // [64, ceil(K / 32), C, 32]
  const void* bias = nullptr;    // [K] or null

  // What follows: results above 0 times gain, others times negative_gain, no further from 0 than limit.
  float gain = 1, negative_gain = 1, limit = __builtin_inff();
};

struct ConvolutionKernels {
  void (*winograd_conv2d)(const Convolution& convolution, RunTasks run);

  // As before, with a weight [K, C, 3, 3] of x's type in place of convolution.kernel; or, `turned`, the gradient with
  // respect to x, given that of y as convolution.x, for a weight [C, K, 3, 3].
  void (*conv3x3)(const Convolution& convolution, const void* weight, bool turned, RunTasks run);

  // The gradient with respect to weight, [K, C, 3, 3] of x's type.
  void (*conv3x3_weight)(const Features& x, const Features& grad, int64_t width, void* grad_weight, RunTasks run);
};

#define GANART_LEVEL(level)                            \
  namespace level {                                    \
  extern const StyleLossKernels style_loss_kernels;    \
  extern const ConvolutionKernels convolution_kernels; \
  }
GANART_LEVEL(baseline)
#if defined(__x86_64__)
GANART_LEVEL(avx2)
GANART_LEVEL(avx512)
GANART_LEVEL(avx512bf16)
#endif
#undef GANART_LEVEL

}  // namespace ganart::cpu
