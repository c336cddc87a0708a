// Launchers of the CUDA Gram matrix and style loss: raw pointers and sizes only, no torch. csrc/bindings.cpp calls them.
//
// Formula   G(F) = F F^T / (C*P), F as [N, C, P] with P = H*W pixels; loss = mean over N, C, C of (G(F) - T)^2.
// Types     features float32, bfloat16 or float16; sums, Gram matrices and losses float32; TF32 products only if allowed.
// Repeats   bit for bit from run to run: no float atomics, the split of P depends on sizes alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cuda_runtime_api.h>

namespace ganart::cuda {

enum class Type { float32, bfloat16, float16 };

// Features as they lie in memory. Strides are in elements; either pixel_stride == 1 (contiguous) or
// channel_stride == 1 (channels_last), and the binding has copied anything else. Sizes may be zero; data is aligned to
// its element only, not to 16 bytes, and strides need not be multiples of a vector's width.
struct Features {
  const void* data;
  Type type;
  int64_t samples, channels, pixels;
  int64_t sample_stride, channel_stride, pixel_stride;
};

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
cudaError_t gram_matrix_backward(const float* matrix, const float* scale, float factor,
                                 const Features& features, void* grad_features, void* workspace, bool allow_tf32,
                                 cudaStream_t stream);

}  // namespace ganart::cuda
