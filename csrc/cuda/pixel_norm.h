// Launchers of pixel norm on CUDA: raw pointers and sizes only, no torch. cuda/pixel_norm.cuh describes the kernels.
#pragma once

#include "common/features.h"
#include "cuda/runtime.h"

namespace ganart::cuda {

// Each launcher queues its work on `stream` of the current device and returns the first CUDA error.

cudaError_t pixel_norm(const Features& x, double eps, void* y, cudaStream_t stream);
cudaError_t pixel_norm_backward(const Features& grad, const Features& x, double eps, void* grad_x, cudaStream_t stream);

}  // namespace ganart::cuda
