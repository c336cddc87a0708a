// Bindings of the Gram matrix: schema, checks and dispatch.
#include "bindings/gram_matrix.h"

#include <limits>

#include "bindings/cuda.h"
#include "cpu/gram_matrix.h"
#include "cuda/gram_matrix.h"

namespace ganart::bindings {

void check_gram_features(const char* op, const Tensor& features) {
  if (features.is_cuda())
    check_pictures(op, "features", features, {ScalarType::Float, ScalarType::BFloat16, ScalarType::Half});
  else
    check_pictures(op, "features", features, {ScalarType::Float, ScalarType::BFloat16, ScalarType::Double});
}

void check_matrix(const char* op, const char* name, const Tensor& matrix, const Tensor& features, bool broadcast) {
  const int64_t samples = features.size(0), channels = features.size(1), dim = matrix.dim();
  const bool square = dim >= 2 && matrix.size(dim - 1) == channels && matrix.size(dim - 2) == channels;
  const bool for_samples = dim == 3 && (matrix.size(0) == samples || (broadcast && matrix.size(0) == 1));
  STD_TORCH_CHECK(square && (for_samples || (broadcast && dim == 2)), op, ": ", name, " has shape ", shape_of(matrix),
                  ", expected [", samples, ", ", channels, ", ", channels, "] for features ", shape_of(features));
  check_sum_type(op, name, matrix, features);
  check_device(op, name, matrix, features);
}

Tensor empty_matrix(const Tensor& features) {
  return empty_sums(features, {features.size(0), features.size(1), features.size(1)});
}

Tensor undefined_matrix(const Tensor& features) {
  return torch::stable::fill_(empty_matrix(features), std::numeric_limits<double>::quiet_NaN());
}

Tensor gram_gradient(const char* op, const Tensor& matrix, const Tensor* scale, double factor, const Tensor& features,
                     bool allow_tf32) {
  const Input in = read(features);
  Tensor gradient = empty_result(in);
  if (in.is_empty()) return gradient;
  factor /= double(in.features.channels) * double(in.features.pixels);
  const Tensor matrices = torch::stable::contiguous(matrix);
  const void* const scale_data = scale ? scale->const_data_ptr() : nullptr;
  if (features.is_cuda()) {
    on_gpu(op, features, [&](auto& gpu) {
      void* const workspace = gpu.workspace(ganart::cuda::gram_matrix_workspace(in.features, allow_tf32));
      return ganart::cuda::gram_matrix_backward(static_cast<const float*>(matrices.const_data_ptr()),
                                                static_cast<const float*>(scale_data), float(factor), in.features,
                                                gradient.mutable_data_ptr(), workspace, allow_tf32, gpu.stream);
    });
  } else {
    if (scale)
      factor *= in.features.type == Type::float64 ? *static_cast<const double*>(scale_data)
                                                  : *static_cast<const float*>(scale_data);
    GANART_KERNELS(gram_matrix_kernels)
        .backward(matrices.const_data_ptr(), factor, in.features, gradient.mutable_data_ptr(), run_tasks);
  }
  return gradient;
}

}  // namespace ganart::bindings

namespace {

using namespace ganart::bindings;

Tensor gram_matrix(const Tensor& features, bool allow_tf32) {
  constexpr const char* op = "gram_matrix";
  check_gram_features(op, features);
  const Input in = read(features);
  if (in.is_empty()) return undefined_matrix(features);
  Tensor gram = empty_matrix(features);
  if (features.is_cuda())
    on_gpu(op, features, [&](auto& gpu) {
      void* const workspace = gpu.workspace(ganart::cuda::gram_matrix_workspace(in.features, allow_tf32));
      return ganart::cuda::gram_matrix(in.features, static_cast<float*>(gram.mutable_data_ptr()), workspace, allow_tf32,
                                       gpu.stream);
    });
  else
    GANART_KERNELS(gram_matrix_kernels).forward(in.features, gram.mutable_data_ptr(), run_tasks);
  return gram;
}

Tensor gram_matrix_backward(const Tensor& grad_gram, const Tensor& features, bool allow_tf32) {
  constexpr const char* op = "gram_matrix_backward";
  check_gram_features(op, features);
  check_matrix(op, "grad_gram", grad_gram, features, false);
  return gram_gradient(op, grad_gram, nullptr, 1, features, allow_tf32);
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(ganart, library) {
  library.def("gram_matrix(Tensor features, bool allow_tf32) -> Tensor");
  library.def("gram_matrix_backward(Tensor grad_gram, Tensor features, bool allow_tf32) -> Tensor");
}

GANART_IMPLEMENTATIONS(library) {
  library.impl("gram_matrix", TORCH_BOX(&gram_matrix));
  library.impl("gram_matrix_backward", TORCH_BOX(&gram_matrix_backward));
}
