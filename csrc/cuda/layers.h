// Launchers of the CUDA fused layers, norms and resampling: raw pointers and sizes only, no torch.
// csrc/bindings/layers_cuda.cpp calls them; their kernels say more, each in its own .cuh.
//
// Types     float32, bfloat16, float16, float64. "Sum" is double for float64 features and float for the others.
// Layouts   results are dense, in layout channels_last where the features' pixel_stride is not 1.
// Repeats   bit for bit from run to run: no float atomics, the split of sums depends on sizes alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cuda_runtime_api.h>

#include "common/layer_types.h"
#include "features.h"

namespace ganart::cuda {

// Each launcher queues its work on `stream` of the current device and returns the first CUDA error. Workspaces are scratch,
// aligned to 256 bytes, that the binding allocates before and frees after the call. No size is zero.

// bias [C] Sum or null; y like x.
cudaError_t bias_act(const Features& x, const void* bias, const ActivationParameters& act, void* y,
                     cudaStream_t stream);

// kept: y, or x for activations whose derivative needs it. grad_bias [C] Sum or null; only with it is a workspace needed.
size_t bias_act_backward_workspace(const Features& kept);
cudaError_t bias_act_backward(const Features& grad, const Features& kept, const void* bias,
                              const ActivationParameters& act, void* grad_x, void* grad_bias, void* workspace,
                              cudaStream_t stream);

// Values for each channel: [C] with sample stride 0 or [N, C] with C, of type Sum, or null.
struct ChannelParameters {
  const void* values;
  int64_t sample_stride;
};

// mean and scale [N, C] Sum, scale = 1 / sqrt(v + eps).
size_t instance_norm_act_workspace(const Features& x);
cudaError_t instance_norm_act(const Features& x, ChannelParameters weight, ChannelParameters bias,
                              const ActivationParameters& act, double eps, void* y, void* mean, void* scale,
                              void* workspace, cudaStream_t stream);

// grad_weight and grad_bias [N, C] Sum.
size_t instance_norm_act_backward_workspace(const Features& x);
cudaError_t instance_norm_act_backward(const Features& grad, const Features& x, const void* mean, const void* scale,
                                       ChannelParameters weight, ChannelParameters bias,
                                       const ActivationParameters& act, void* grad_x, void* grad_weight,
                                       void* grad_bias, void* workspace, cudaStream_t stream);

// y, and the gradient of it, [N, C + runs, P].
size_t minibatch_stddev_workspace(const Features& x, const SampleGroups& groups);
cudaError_t minibatch_stddev(const Features& x, const SampleGroups& groups, void* y, void* workspace,
                             cudaStream_t stream);
size_t minibatch_stddev_backward_workspace(const Features& x, const SampleGroups& groups);
cudaError_t minibatch_stddev_backward(const Features& grad, const Features& x, const SampleGroups& groups, void* grad_x,
                                      void* workspace, cudaStream_t stream);

cudaError_t pixel_norm(const Features& x, double eps, void* y, cudaStream_t stream);
cudaError_t pixel_norm_backward(const Features& grad, const Features& x, double eps, void* grad_x, cudaStream_t stream);

cudaError_t scaled_bias_act(const Features& x, const AffineTerms& terms, const ActivationParameters& act, void* y,
                            cudaStream_t stream);

size_t scaled_bias_act_backward_workspace(const Features& x);
cudaError_t scaled_bias_act_backward(const Features& grad, const Features& x, const AffineTerms& terms,
                                     const ActivationParameters& act, const AffineGradients& gradients, void* workspace,
                                     cudaStream_t stream);

// x's pixel_stride is 1 or its channel_stride is; x_row_stride is between its rows of pixels. taps, contiguous Sum, are
// [K], for both axes, or [KH, KW]; they are convolved unless `flip`, and their sums multiplied by gain.
cudaError_t upfirdn2d(const Features& x, int64_t x_row_stride, const Resampling& geometry, const void* taps,
                      double gain, bool flip, void* y, cudaStream_t stream);

}  // namespace ganart::cuda
