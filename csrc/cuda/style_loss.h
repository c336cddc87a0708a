// Launcher of the style loss on CUDA: raw pointers and sizes only, no torch.
//
// Formula   loss = mean over N, C, C of (G(F) - T)^2, with G as in cuda/gram_matrix.h; its backward is that of G.
#pragma once

#include "common/features.h"
#include "cuda/runtime.h"

namespace ganart::cuda {

// target [N, C, C] with `target_sample_stride` 0 for one target for all samples, each matrix contiguous; difference [N,
// C, C] = G(F) - T, contiguous; loss [] = mean of its squares (NaN when there are none). The workspace has
// gram_matrix_workspace(features, allow_tf32) bytes, aligned to 256. Returns the first CUDA error.
cudaError_t style_loss(const Features& features, const float* target, int64_t target_sample_stride, float* difference,
                       float* loss, void* workspace, bool allow_tf32, cudaStream_t stream);

}  // namespace ganart::cuda
