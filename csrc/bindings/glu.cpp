// Bindings of a gated linear unit: schema, checks and dispatch.
#include "bindings/arguments.h"
#include "cpu/glu.h"

namespace {

using namespace ganart::bindings;

void check_halves(const char* op, const Tensor& x) {
  check_pictures(op, "x", x);
  STD_TORCH_CHECK(x.size(1) % 2 == 0, op, ": x has shape ", shape_of(x), ", expected an even number of channels");
}

Tensor glu(const Tensor& x) {
  check_halves("glu", x);
  const Input in = read(x);
  Tensor y = empty_result(in, wider_sizes(x, -x.size(1) / 2));
  if (!in.is_empty()) GANART_KERNELS(glu_kernels).forward(in.features, y.mutable_data_ptr(), run_tasks);
  return y;
}

Tensor glu_backward(const Tensor& grad, const Tensor& x) {
  constexpr const char* op = "glu_backward";
  check_halves(op, x);
  check_like(op, "grad", grad, x, -x.size(1) / 2);
  const Input in = read(x), outer = read_like(grad, in);
  Tensor grad_x = empty_result(in);
  if (!in.is_empty())
    GANART_KERNELS(glu_kernels).backward(outer.features, in.features, grad_x.mutable_data_ptr(), run_tasks);
  return grad_x;
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(ganart, library) {
  library.def("glu(Tensor x) -> Tensor");
  library.def("glu_backward(Tensor grad, Tensor x) -> Tensor");
}

STABLE_TORCH_LIBRARY_IMPL(ganart, CPU, library) {
  library.impl("glu", TORCH_BOX(&glu));
  library.impl("glu_backward", TORCH_BOX(&glu_backward));
}
