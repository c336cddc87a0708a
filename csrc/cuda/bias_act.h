// Launchers of bias, activation, gain and clamp on CUDA: raw pointers and sizes only, no torch. cuda/bias_act.cuh
// describes the kernels.
#pragma once

#include <cstddef>

#include "common/features.h"
#include "common/parameters.h"
#include "cuda/runtime.h"

namespace ganart::cuda {

// Each launcher queues its work on `stream` of the current device and returns the first CUDA error.
// Workspaces are scratch memory, aligned to 256 bytes, that the caller keeps until the work is queued.

// bias [C] Sum or null; y like x.
cudaError_t bias_act(const Features& x, const void* bias, const ActivationParameters& act, void* y,
                     cudaStream_t stream);

// kept: y, or x for the activations whose derivative needs it. grad_bias [C] Sum, or null if it is not needed; only
// with it is a workspace needed.
size_t bias_act_backward_workspace(const Features& kept);
cudaError_t bias_act_backward(const Features& grad, const Features& kept, const void* bias,
                              const ActivationParameters& act, void* grad_x, void* grad_bias, void* workspace,
                              cudaStream_t stream);

}  // namespace ganart::cuda
