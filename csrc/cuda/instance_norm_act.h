// Launchers of instance normalisation, scale, shift and activation on CUDA: raw pointers and sizes only, no torch.
// cuda/instance_norm_act.cuh describes the kernels.
#pragma once

#include <cstddef>

#include "common/features.h"
#include "common/parameters.h"
#include "cuda/runtime.h"

namespace ganart::cuda {

// Each launcher queues its work on `stream` of the current device and returns the first CUDA error.
// Workspaces are scratch memory, aligned to 256 bytes, that the caller keeps until the work is queued.

// mean and scale [N, C] Sum, with scale = 1 / sqrt(v + eps). The gain and clamp of `act` are not used.
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

}  // namespace ganart::cuda
