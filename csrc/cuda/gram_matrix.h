// Launchers of the Gram matrix on CUDA: raw pointers and sizes only, no torch.
//
// Formula   G(F) = F F^T / (C*P), F as [N, C, P] with P = H*W pixels.
// Types     features float32, bfloat16 or float16, never float64; sums and Gram matrices float32; TF32 products only if
//           allowed.
// Repeats   bit for bit from run to run: no float atomics, the split of P depends on sizes alone.
#pragma once

#include <cstddef>

#include "common/features.h"
#include "cuda/runtime.h"

namespace ganart::cuda {

// The size in bytes of a workspace for any launcher below; the caller aligns it to 256 and keeps it until work is
// queued.
size_t gram_matrix_workspace(const Features& features, bool allow_tf32);

// Each launcher queues its work on `stream` of the current device and returns the first CUDA error.

// gram [N, C, C], contiguous.
cudaError_t gram_matrix(const Features& features, float* gram, void* workspace, bool allow_tf32, cudaStream_t stream);

// Sums of squares, one per block of a kernel, in a workspace.
struct SquareSums {
  const double* sums;
  int64_t count;
};

// difference [N, C, C] = G(F) - T, contiguous, with target [N, C, C] as for style_loss; and where the sums of its
// squares are.
cudaError_t gram_difference(const Features& features, const float* target, int64_t target_sample_stride,
                            float* difference, SquareSums& squares, void* workspace, bool allow_tf32,
                            cudaStream_t stream);

// grad_features = factor * scale * (S + S^T) F, with S = `matrix` [N, C, C] contiguous and the float32 scalar `scale`
// on the device (null means 1). The gradient has F's type and is dense: contiguous if features.pixel_stride == 1 and
// channels_last otherwise, whatever F's own strides. Serves gram_matrix (S = grad_gram, factor = 1/(C*P)) and
// style_loss (S = difference, scale = grad_loss, factor = 2/(N*C*C) / (C*P)).
cudaError_t gram_matrix_backward(const float* matrix, const float* scale, float factor, const Features& features,
                                 void* grad_features, void* workspace, bool allow_tf32, cudaStream_t stream);

}  // namespace ganart::cuda
