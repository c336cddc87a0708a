// Launchers of the CUDA Gram matrix and style loss: raw pointers and sizes only, no torch. csrc/bindings.cpp calls them.
//
// Formula   G(F) = F F^T / (C*P), F as [N, C, P] with P = H*W pixels; loss = mean over N, C, C of (G(F) - T)^2.
// Types     features float32, bfloat16 or float16, never float64; sums, Gram matrices and losses float32; TF32 products
//           only if allowed.
// Repeats   bit for bit from run to run: no float atomics, the split of P depends on sizes alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cuda_runtime_api.h>

#include "features.h"

namespace ganart::cuda {

// Scratch for any of the launchers below, in bytes; the binding allocates it (aligned to 256) and frees it after.
size_t workspace_bytes(const Features& features, bool allow_tf32);

// Each launcher queues its work on `stream` of the current device and returns the first CUDA error.

// gram [N, C, C], contiguous.
cudaError_t gram_matrix(const Features& features, float* gram, void* workspace, bool allow_tf32, cudaStream_t stream);

// target [N, C, C] with `target_sample_stride` 0 for one target for all samples, each matrix contiguous;
// difference [N, C, C] = G(F) - T, contiguous; loss [] = mean of its squares (NaN when it is empty).
cudaError_t style_loss(const Features& features, const float* target, int64_t target_sample_stride, float* difference,
                       float* loss, void* workspace, bool allow_tf32, cudaStream_t stream);

// grad_features = factor * scale * (S + S^T) F, with S = `matrix` [N, C, C] contiguous and the float32 scalar `scale` on the
// device (null means 1). The gradient has F's type and is dense: layout contiguous if features.pixel_stride == 1 and
// channels_last otherwise, whatever F's own strides. Serves gram_matrix (S = grad_gram, factor = 1/(C*P)) and
// style_loss (S = difference, scale = grad_loss, factor = 2/(N*C*C) / (C*P)).
cudaError_t gram_matrix_backward(const float* matrix, const float* scale, float factor, const Features& features,
                                 void* grad_features, void* workspace, bool allow_tf32, cudaStream_t stream);

}  // namespace ganart::cuda
