// What the bindings of the Gram matrix and of the style loss share: checks, results, and their one backward.
#pragma once

#include "bindings/arguments.h"

namespace ganart::bindings {

// [N, C, H, W] of a type that the kernels take: on CUDA float16 but not float64.
void check_gram_features(const char* op, const Tensor& features);

// A matrix for each sample of the features, or with `broadcast` perhaps one for all.
void check_matrix(const char* op, const char* name, const Tensor& matrix, const Tensor& features, bool broadcast);

// [N, C, C], uninitialised.
Tensor empty_matrix(const Tensor& features);

// What a mean over no pixels is: all NaN, as in PyTorch, which divides 0 by 0.
Tensor undefined_matrix(const Tensor& features);

// scale * factor / (C*P) * (M + M^T) F for the matrices M. `scale` is a scalar in the type of M, or null for 1.
Tensor gram_gradient(const char* op, const Tensor& matrix, const Tensor* scale, double factor, const Tensor& features,
                     bool allow_tf32);

}  // namespace ganart::bindings
