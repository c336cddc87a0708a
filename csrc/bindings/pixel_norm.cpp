// Bindings of pixel norm: schema, checks and dispatch.
#include "bindings/arguments.h"
#include "bindings/cuda.h"
#include "cpu/pixel_norm.h"
#include "cuda/pixel_norm.h"

namespace {

using namespace ganart::bindings;

Tensor pixel_norm(const Tensor& x, double eps) {
  check_features("pixel_norm", "x", x);
  const Input in = read(x);
  Tensor y = empty_result(in);
  if (in.is_empty()) return y;
  if (x.is_cuda())
    on_gpu("pixel_norm", x,
           [&](auto& gpu) { return ganart::cuda::pixel_norm(in.features, eps, y.mutable_data_ptr(), gpu.stream); });
  else
    GANART_KERNELS(pixel_norm_kernels).forward(in.features, eps, y.mutable_data_ptr(), run_tasks);
  return y;
}

Tensor pixel_norm_backward(const Tensor& grad, const Tensor& x, double eps) {
  constexpr const char* op = "pixel_norm_backward";
  check_features(op, "x", x);
  check_like(op, "grad", grad, x);
  const Input in = read(x), outer = read_like(grad, in);
  Tensor grad_x = empty_result(in);
  if (in.is_empty()) return grad_x;
  if (x.is_cuda())
    on_gpu(op, x, [&](auto& gpu) {
      return ganart::cuda::pixel_norm_backward(outer.features, in.features, eps, grad_x.mutable_data_ptr(), gpu.stream);
    });
  else
    GANART_KERNELS(pixel_norm_kernels).backward(outer.features, in.features, eps, grad_x.mutable_data_ptr(), run_tasks);
  return grad_x;
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(ganart, library) {
  library.def("pixel_norm(Tensor x, float eps) -> Tensor");
  library.def("pixel_norm_backward(Tensor grad, Tensor x, float eps) -> Tensor");
}

GANART_IMPLEMENTATIONS(library) {
  library.impl("pixel_norm", TORCH_BOX(&pixel_norm));
  library.impl("pixel_norm_backward", TORCH_BOX(&pixel_norm_backward));
}
