// Launchers of upsampling, FIR filtering and downsampling on CUDA: raw pointers and sizes only, no torch.
// cuda/upfirdn2d.cuh describes the kernels.
#pragma once

#include "common/features.h"
#include "common/parameters.h"
#include "cuda/runtime.h"

namespace ganart::cuda {

// Each launcher queues its work on `stream` of the current device and returns the first CUDA error.

// x_row_stride: elements between rows of pixels. taps, contiguous Sum, are [K], for both axes, or [KH, KW]; they are
// convolved, or with `flip` correlated, and the sums are multiplied by gain.
cudaError_t upfirdn2d(const Features& x, int64_t x_row_stride, const Resampling& geometry, const void* taps,
                      double gain, bool flip, void* y, cudaStream_t stream);

}  // namespace ganart::cuda
