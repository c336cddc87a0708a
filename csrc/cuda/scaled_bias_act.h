// Launchers of scale, noise, bias, activation, gain and clamp on CUDA: raw pointers and sizes only, no torch.
// cuda/scaled_bias_act.cuh describes the kernels.
#pragma once

#include <cstddef>

#include "common/features.h"
#include "common/parameters.h"
#include "cuda/runtime.h"

namespace ganart::cuda {

// Each launcher queues its work on `stream` of the current device and returns the first CUDA error.
// Workspaces are scratch memory, aligned to 256 bytes, that the caller keeps until the work is queued.

cudaError_t scaled_bias_act(const Features& x, const AffineTerms& terms, const ActivationParameters& act, void* y,
                            cudaStream_t stream);

size_t scaled_bias_act_backward_workspace(const Features& x);
cudaError_t scaled_bias_act_backward(const Features& grad, const Features& x, const AffineTerms& terms,
                                     const ActivationParameters& act, const AffineGradients& gradients, void* workspace,
                                     cudaStream_t stream);

}  // namespace ganart::cuda
