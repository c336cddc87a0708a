// What the CPU kernels of fused layers, resampling and norms take and offer, the same for every instruction set. No torch.
#pragma once

#include "cpu/kernels.h"

namespace ganart::cpu {

enum class Activation { linear, relu, lrelu, tanh, sigmoid, elu, selu, softplus, swish };

// A clamp of NaN is none.
struct ActivationParameters {
  Activation activation;
  double negative_slope, gain, clamp;
};

// Geometry of upfirdn2d. Taps are to be correlated, x gain, of type Sum: columns taps for each of `rows` rows; separable
// ones are `rows` vertical taps, then `columns` horizontal ones.
struct Resampling {
  const void* taps;
  bool separable;
  int64_t rows, columns, up_x, up_y, down_x, down_y, x0, y0, height, width, out_height, out_width;
};

// One instruction set's kernels. "Sum" is double for float64 features and float for the others. Outputs are dense, in
// layout channels_last where the features' channel_stride is 1 and they have several channels and pixels.
struct LayerKernels {
  // bias [C] Sum or null; y like x.
  void (*bias_act)(const Features& x, const void* bias, const ActivationParameters& act, void* y, RunTasks run);

  // kept: y, or x for activations whose derivative needs it. grad_bias [C] Sum or null.
  void (*bias_act_backward)(const Features& grad, const Features& kept, const void* bias,
                            const ActivationParameters& act, void* grad_x, void* grad_bias, RunTasks run);

  // weight and bias Sum, [C] with sample stride 0 or [N, C] with C, or null; mean and scale [N, C] Sum, scale = 1 / sqrt(v + eps).
  void (*instance_norm_act)(const Features& x, const void* weight, int64_t weight_stride, const void* bias,
                            int64_t bias_stride, const ActivationParameters& act, double eps, void* y, void* mean,
                            void* scale, RunTasks run);

  // grad_weight and grad_bias [N, C] Sum.
  void (*instance_norm_act_backward)(const Features& grad, const Features& x, const void* mean, const void* scale,
                                     const void* weight, int64_t weight_stride, const void* bias, int64_t bias_stride,
                                     const ActivationParameters& act, void* grad_x, void* grad_weight, void* grad_bias,
                                     RunTasks run);

  // x's pixel_stride is 1 or its channel_stride is; x_row_stride is between its rows of pixels.
  void (*upfirdn2d)(const Features& x, int64_t x_row_stride, const Resampling& geometry, void* y, RunTasks run);
};

namespace baseline { extern const LayerKernels layer_kernels; }
#if defined(__x86_64__)
namespace avx2 { extern const LayerKernels layer_kernels; }
namespace avx512 { extern const LayerKernels layer_kernels; }
namespace avx512bf16 { extern const LayerKernels layer_kernels; }
#endif

}  // namespace ganart::cpu
