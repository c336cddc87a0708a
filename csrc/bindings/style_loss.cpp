// Bindings of the style loss: schema, checks and dispatch.
#include <limits>
#include <tuple>

#include "bindings/cuda.h"
#include "bindings/gram_matrix.h"
#include "cpu/style_loss.h"
#include "cuda/gram_matrix.h"
#include "cuda/style_loss.h"

namespace {

using namespace ganart::bindings;

std::tuple<Tensor, Tensor> style_loss(const Tensor& features, const Tensor& target_gram, bool allow_tf32) {
  constexpr const char* op = "style_loss";
  check_gram_features(op, features);
  check_matrix(op, "target_gram", target_gram, features, true);
  const Input in = read(features);
  Tensor loss = empty_sums(features, {});
  if (in.is_empty())
    return {torch::stable::fill_(loss, std::numeric_limits<double>::quiet_NaN()), undefined_matrix(features)};
  const Tensor target = torch::stable::contiguous(target_gram);
  const int64_t channels = in.features.channels;
  const int64_t target_stride = target.dim() == 2 || target.size(0) == 1 ? 0 : channels * channels;
  Tensor difference = empty_matrix(features);
  if (features.is_cuda())
    on_gpu(op, features, [&](auto& gpu) {
      void* const workspace = gpu.workspace(ganart::cuda::gram_matrix_workspace(in.features, allow_tf32));
      return ganart::cuda::style_loss(in.features, static_cast<const float*>(target.const_data_ptr()), target_stride,
                                      static_cast<float*>(difference.mutable_data_ptr()),
                                      static_cast<float*>(loss.mutable_data_ptr()), workspace, allow_tf32, gpu.stream);
    });
  else
    GANART_KERNELS(style_loss_kernels)
        .forward(in.features, target.const_data_ptr(), target_stride, difference.mutable_data_ptr(),
                 loss.mutable_data_ptr(), run_tasks);
  return {loss, difference};
}

Tensor style_loss_backward(const Tensor& grad_loss, const Tensor& difference, const Tensor& features, bool allow_tf32) {
  constexpr const char* op = "style_loss_backward";
  check_gram_features(op, features);
  check_matrix(op, "difference", difference, features, false);
  STD_TORCH_CHECK(grad_loss.numel() == 1, op, ": grad_loss has shape ", shape_of(grad_loss), ", expected one number");
  check_sum_type(op, "grad_loss", grad_loss, features);
  check_device(op, "grad_loss", grad_loss, features);
  // The mean's share; the other factor 2 of the square's derivative is in M + M^T.
  const double channels = double(features.size(1)), factor = 2 / (double(features.size(0)) * channels * channels);
  return gram_gradient(op, difference, &grad_loss, factor, features, allow_tf32);
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(ganart, library) {
  library.def("style_loss(Tensor features, Tensor target_gram, bool allow_tf32) -> (Tensor loss, Tensor difference)");
  library.def("style_loss_backward(Tensor grad_loss, Tensor difference, Tensor features, bool allow_tf32) -> Tensor");
}

GANART_IMPLEMENTATIONS(library) {
  library.impl("style_loss", TORCH_BOX(&style_loss));
  library.impl("style_loss_backward", TORCH_BOX(&style_loss_backward));
}
