// What the CPU kernels of fused layers, resampling and norms take and offer, the same for every instruction set. No torch.
#pragma once

#include "common/layer_types.h"
#include "cpu/kernels.h"

namespace ganart::cpu {

// One instruction set's kernels. "Sum" is double for float64 features and float for the others. Outputs are dense, in
// layout channels_last where the features' channel_stride is 1 and they have several channels and pixels.
struct LayerKernels {
  // bias [C] Sum or null; y like x.
  void (*bias_act)(const Features& x, const void* bias, const ActivationParameters& act, void* y, RunTasks run);

  // kept: y, or x for activations whose derivative needs it. grad_bias [C] Sum or null.
  void (*bias_act_backward)(const Features& grad, const Features& kept, const void* bias,
                            const ActivationParameters& act, void* grad_x, void* grad_bias, RunTasks run);

  // weight and bias Sum, [C] with sample stride 0 or [N, C] with C, or null; mean and scale [N, C] Sum, scale = 1 / sqrt(v + eps).
  // act's gain and clamp are not used.
  void (*instance_norm_act)(const Features& x, const void* weight, int64_t weight_stride, const void* bias,
                            int64_t bias_stride, const ActivationParameters& act, double eps, void* y, void* mean,
                            void* scale, RunTasks run);

  // grad_weight and grad_bias [N, C] Sum.
  void (*instance_norm_act_backward)(const Features& grad, const Features& x, const void* mean, const void* scale,
                                     const void* weight, int64_t weight_stride, const void* bias, int64_t bias_stride,
                                     const ActivationParameters& act, void* grad_x, void* grad_weight, void* grad_bias,
                                     RunTasks run);

  // y [N, C + runs, P].
  void (*minibatch_stddev)(const Features& x, const SampleGroups& groups, void* y, RunTasks run);

  // grad [N, C + runs, P].
  void (*minibatch_stddev_backward)(const Features& grad, const Features& x, const SampleGroups& groups, void* grad_x,
                                    RunTasks run);

  void (*pixel_norm)(const Features& x, double eps, void* y, RunTasks run);
  void (*pixel_norm_backward)(const Features& grad, const Features& x, double eps, void* grad_x, RunTasks run);

  void (*scaled_bias_act)(const Features& x, const AffineTerms& terms, const ActivationParameters& act, void* y,
                          RunTasks run);
  void (*scaled_bias_act_backward)(const Features& grad, const Features& x, const AffineTerms& terms,
                                   const ActivationParameters& act, const AffineGradients& gradients, RunTasks run);

  // x's pixel_stride is 1 or its channel_stride is; x_row_stride is between its rows of pixels. taps Sum, to be correlated,
  // times gain; separable ones are the vertical taps, then the horizontal ones.
  void (*upfirdn2d)(const Features& x, int64_t x_row_stride, const Resampling& geometry, const void* taps, void* y,
                    RunTasks run);
};

namespace baseline {
extern const LayerKernels layer_kernels;
}
#if defined(__x86_64__)
namespace avx2 {
extern const LayerKernels layer_kernels;
}
namespace avx512 {
extern const LayerKernels layer_kernels;
}
namespace avx512bf16 {
extern const LayerKernels layer_kernels;
}
#endif

}  // namespace ganart::cpu
