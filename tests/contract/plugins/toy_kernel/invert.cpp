// toy_kernel::invert: y = 1 - x on the CPU, in float32 and of any shape; on LibTorch's stable ABI.

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>

namespace {

using torch::stable::Tensor;

Tensor invert(const Tensor& pictures) {
  STD_TORCH_CHECK(pictures.scalar_type() == torch::headeronly::ScalarType::Float, "pictures must be float32");
  const Tensor dense = torch::stable::contiguous(pictures);
  Tensor inverted = torch::stable::empty_like(dense);
  const float* from = dense.const_data_ptr<float>();
  float* to = inverted.mutable_data_ptr<float>();
  for (int64_t i = 0; i < dense.numel(); ++i) to[i] = 1.0f - from[i];
  return inverted;
}

}  // namespace

STABLE_TORCH_LIBRARY(toy_kernel, library) { library.def("invert(Tensor pictures) -> Tensor"); }

STABLE_TORCH_LIBRARY_IMPL(toy_kernel, CPU, library) { library.impl("invert", TORCH_BOX(&invert)); }
