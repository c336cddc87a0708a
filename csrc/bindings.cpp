// Every op's schema, argument checks, and dispatch to the launcher: the one place that knows torch (its stable ABI).

#include <initializer_list>
#include <limits>
#include <string>
#include <tuple>

#include "bindings/support.h"

#if defined(USE_CUDA)
#include "bindings/cuda_support.h"
#include "cuda/style_loss.h"
#endif

namespace {

using namespace ganart::bindings;

// ---- checks: all before the first call into torch, where an error would lose its message ----

void check_features(const char* op, const Tensor& features, std::initializer_list<ScalarType> types) {
  STD_TORCH_CHECK(features.dim() == 4, op, ": features have shape ", shape_of(features), ", expected [N, C, H, W]");
  bool known = false;
  std::string names;
  for (ScalarType type : types) {
    known = known || features.scalar_type() == type;
    names += std::string(names.empty() ? "" : ", ") + torch::headeronly::toString(type);
  }
  STD_TORCH_CHECK(known, op, ": features are ", torch::headeronly::toString(features.scalar_type()),
                  ", expected one of ", names);
}

void check_device(const char* op, const char* name, const Tensor& tensor, const Tensor& features) {
  STD_TORCH_CHECK(tensor.is_cuda() == features.is_cuda() && tensor.get_device_index() == features.get_device_index(),
                  op, ": ", name, " and features are on different devices");
}

// A matrix for each sample, or with `broadcast` one for all.
void check_matrix(const char* op, const char* name, const Tensor& matrix, const Tensor& features, bool broadcast) {
  const int64_t samples = features.size(0), channels = features.size(1), dim = matrix.dim();
  const bool square = dim >= 2 && matrix.size(dim - 1) == channels && matrix.size(dim - 2) == channels;
  const bool batch = (dim == 3 && (matrix.size(0) == samples || (broadcast && matrix.size(0) == 1))) ||
                     (broadcast && dim == 2);
  STD_TORCH_CHECK(square && batch, op, ": ", name, " has shape ", shape_of(matrix), ", expected [", samples, ", ",
                  channels, ", ", channels, "] for features ", shape_of(features));
  STD_TORCH_CHECK(matrix.scalar_type() == sum_type(features.scalar_type()), op, ": ", name, " is ",
                  torch::headeronly::toString(matrix.scalar_type()), ", expected ",
                  torch::headeronly::toString(sum_type(features.scalar_type())));
  check_device(op, name, matrix, features);
}

void check_scalar(const char* op, const char* name, const Tensor& scalar, const Tensor& features) {
  STD_TORCH_CHECK(scalar.numel() == 1 && scalar.scalar_type() == sum_type(features.scalar_type()), op, ": ", name,
                  " has shape ", shape_of(scalar), " and type ", torch::headeronly::toString(scalar.scalar_type()),
                  ", expected one ", torch::headeronly::toString(sum_type(features.scalar_type())));
  check_device(op, name, scalar, features);
}

// ---- results ----

// An uninitialised gradient for features read in that layout: dense, channels_last unless pixels are adjacent.
Tensor empty_gradient(const Tensor& features, const Layout& layout) {
  return empty_of(features, features.sizes(), format_of(features, layout));
}

Tensor empty_matrix(const Tensor& features) {
  const int64_t sizes[] = {features.size(0), features.size(1), features.size(1)};
  return torch::stable::new_empty(features, Sizes(sizes, 3), sum_type(features.scalar_type()));
}

Tensor empty_scalar(const Tensor& features) {
  return torch::stable::new_empty(features, Sizes(), sum_type(features.scalar_type()));
}

// Empty features have no mean: as in PyTorch, every entry of their Gram matrix is 0 / 0.
Tensor undefined_matrix(const Tensor& features) {
  return torch::stable::fill_(empty_matrix(features), std::numeric_limits<double>::quiet_NaN());
}

std::tuple<Tensor, Tensor> undefined_loss(const Tensor& features) {
  Tensor loss = torch::stable::fill_(empty_scalar(features), std::numeric_limits<double>::quiet_NaN());
  return {loss, undefined_matrix(features)};
}

// From one sample's target to the next: none where all have the same.
int64_t target_stride(const Tensor& target, const Layout& layout) {
  return target.dim() == 2 || target.size(0) == 1 ? 0 : layout.channels * layout.channels;
}

// What the difference is multiplied by for the loss's gradient, but for the factor 2 that M + M^T holds.
double loss_factor(const Layout& layout) {
  return 2.0 / (double(layout.samples) * double(layout.channels) * double(layout.channels));
}

double gram_factor(const Layout& layout) { return 1.0 / (double(layout.channels) * double(layout.pixels)); }

// ---- CPU ----

const ganart::cpu::StyleLossKernels& cpu_kernels() { return GANART_KERNELS(style_loss_kernels); }

constexpr std::initializer_list<ScalarType> CPU_TYPES{ScalarType::Float, ScalarType::BFloat16, ScalarType::Double};

Tensor gram_matrix_cpu(const Tensor& features, bool) {
  check_features("gram_matrix", features, CPU_TYPES);
  const auto [data, layout] = readable_features(features);
  if (layout.is_empty()) return undefined_matrix(features);
  Tensor gram = empty_matrix(features);
  cpu_kernels().gram_matrix(cpu_features(data, layout), gram.mutable_data_ptr(), run_tasks);
  return gram;
}

std::tuple<Tensor, Tensor> style_loss_cpu(const Tensor& features, const Tensor& target_gram, bool) {
  check_features("style_loss", features, CPU_TYPES);
  check_matrix("style_loss", "target_gram", target_gram, features, true);
  const auto [data, layout] = readable_features(features);
  if (layout.is_empty()) return undefined_loss(features);
  const Tensor target = torch::stable::contiguous(target_gram);
  Tensor difference = empty_matrix(features), loss = empty_scalar(features);
  cpu_kernels().style_loss(cpu_features(data, layout), target.const_data_ptr(), target_stride(target, layout),
                           difference.mutable_data_ptr(), loss.mutable_data_ptr(), run_tasks);
  return {loss, difference};
}

Tensor backward_cpu(const Tensor& matrix, double factor, const Tensor& data, const Layout& layout) {
  Tensor gradient = empty_gradient(data, layout);
  if (layout.is_empty()) return gradient;
  const Tensor contiguous = torch::stable::contiguous(matrix);
  cpu_kernels().gram_matrix_backward(contiguous.const_data_ptr(), factor * gram_factor(layout),
                                     cpu_features(data, layout), gradient.mutable_data_ptr(), run_tasks);
  return gradient;
}

Tensor gram_matrix_backward_cpu(const Tensor& grad_gram, const Tensor& features, bool) {
  check_features("gram_matrix_backward", features, CPU_TYPES);
  check_matrix("gram_matrix_backward", "grad_gram", grad_gram, features, false);
  const auto [data, layout] = readable_features(features);
  return backward_cpu(grad_gram, 1.0, data, layout);
}

Tensor style_loss_backward_cpu(const Tensor& grad_loss, const Tensor& difference, const Tensor& features, bool) {
  check_features("style_loss_backward", features, CPU_TYPES);
  check_matrix("style_loss_backward", "difference", difference, features, false);
  check_scalar("style_loss_backward", "grad_loss", grad_loss, features);
  const auto [data, layout] = readable_features(features);
  const double grad = features.scalar_type() == ScalarType::Double
                          ? *static_cast<const double*>(grad_loss.const_data_ptr())
                          : *static_cast<const float*>(grad_loss.const_data_ptr());
  return backward_cpu(difference, grad * loss_factor(layout), data, layout);
}

// ---- CUDA ----

#if defined(USE_CUDA)
constexpr std::initializer_list<ScalarType> CUDA_TYPES{ScalarType::Float, ScalarType::BFloat16, ScalarType::Half};

// What every launcher needs.
struct CudaCall : OnDevice {
  ganart::cuda::Features features;
  Tensor scratch;

  CudaCall(const Tensor& data, const Layout& layout, bool allow_tf32)
      : OnDevice(data), features(cuda_features(data, layout)),
        scratch(scratch_bytes(data, ganart::cuda::workspace_bytes(features, allow_tf32))) {}
};

const float* floats(const Tensor& tensor) { return static_cast<const float*>(tensor.const_data_ptr()); }
float* floats(Tensor& tensor) { return static_cast<float*>(tensor.mutable_data_ptr()); }

Tensor gram_matrix_cuda(const Tensor& features, bool allow_tf32) {
  check_features("gram_matrix", features, CUDA_TYPES);
  const auto [data, layout] = readable_features(features);
  if (layout.is_empty()) return undefined_matrix(features);
  CudaCall call(data, layout, allow_tf32);
  Tensor gram = empty_matrix(features);
  check_queued("gram_matrix", ganart::cuda::gram_matrix(call.features, floats(gram), call.scratch.mutable_data_ptr(),
                                                        allow_tf32, call.stream));
  return gram;
}

std::tuple<Tensor, Tensor> style_loss_cuda(const Tensor& features, const Tensor& target_gram, bool allow_tf32) {
  check_features("style_loss", features, CUDA_TYPES);
  check_matrix("style_loss", "target_gram", target_gram, features, true);
  const auto [data, layout] = readable_features(features);
  if (layout.is_empty()) return undefined_loss(features);
  CudaCall call(data, layout, allow_tf32);
  const Tensor target = torch::stable::contiguous(target_gram);
  Tensor difference = empty_matrix(features), loss = empty_scalar(features);
  check_queued("style_loss", ganart::cuda::style_loss(call.features, floats(target), target_stride(target, layout),
                                                      floats(difference), floats(loss), call.scratch.mutable_data_ptr(),
                                                      allow_tf32, call.stream));
  return {loss, difference};
}

// `scale`: a scalar on the device, or none.
Tensor backward_cuda(const char* op, const Tensor& matrix, const Tensor* scale, double factor, const Tensor& data,
                     const Layout& layout, bool allow_tf32) {
  Tensor gradient = empty_gradient(data, layout);
  if (layout.is_empty()) return gradient;
  CudaCall call(data, layout, allow_tf32);
  const Tensor contiguous = torch::stable::contiguous(matrix);
  check_queued(op, ganart::cuda::gram_matrix_backward(floats(contiguous), scale ? floats(*scale) : nullptr,
                                                      float(factor * gram_factor(layout)), call.features,
                                                      gradient.mutable_data_ptr(), call.scratch.mutable_data_ptr(),
                                                      allow_tf32, call.stream));
  return gradient;
}

Tensor gram_matrix_backward_cuda(const Tensor& grad_gram, const Tensor& features, bool allow_tf32) {
  check_features("gram_matrix_backward", features, CUDA_TYPES);
  check_matrix("gram_matrix_backward", "grad_gram", grad_gram, features, false);
  const auto [data, layout] = readable_features(features);
  return backward_cuda("gram_matrix_backward", grad_gram, nullptr, 1.0, data, layout, allow_tf32);
}

Tensor style_loss_backward_cuda(const Tensor& grad_loss, const Tensor& difference, const Tensor& features,
                                bool allow_tf32) {
  check_features("style_loss_backward", features, CUDA_TYPES);
  check_matrix("style_loss_backward", "difference", difference, features, false);
  check_scalar("style_loss_backward", "grad_loss", grad_loss, features);
  const auto [data, layout] = readable_features(features);
  return backward_cuda("style_loss_backward", difference, &grad_loss, loss_factor(layout), data, layout, allow_tf32);
}
#endif

}  // namespace

STABLE_TORCH_LIBRARY(ganart, library) {
  library.def("gram_matrix(Tensor features, bool allow_tf32) -> Tensor");
  library.def("gram_matrix_backward(Tensor grad_gram, Tensor features, bool allow_tf32) -> Tensor");
  library.def("style_loss(Tensor features, Tensor target_gram, bool allow_tf32) -> (Tensor loss, Tensor difference)");
  library.def("style_loss_backward(Tensor grad_loss, Tensor difference, Tensor features, bool allow_tf32) -> Tensor");
  library.def("use_cpu_isa(str name) -> str");
}

STABLE_TORCH_LIBRARY_IMPL(ganart, CPU, library) {
  library.impl("gram_matrix", TORCH_BOX(&gram_matrix_cpu));
  library.impl("gram_matrix_backward", TORCH_BOX(&gram_matrix_backward_cpu));
  library.impl("style_loss", TORCH_BOX(&style_loss_cpu));
  library.impl("style_loss_backward", TORCH_BOX(&style_loss_backward_cpu));
}

STABLE_TORCH_LIBRARY_IMPL(ganart, CompositeExplicitAutograd, library) {
  library.impl("use_cpu_isa", TORCH_BOX(&ganart::bindings::use_cpu_isa));
}

#if defined(USE_CUDA)
STABLE_TORCH_LIBRARY_IMPL(ganart, CUDA, library) {
  library.impl("gram_matrix", TORCH_BOX(&gram_matrix_cuda));
  library.impl("gram_matrix_backward", TORCH_BOX(&gram_matrix_backward_cuda));
  library.impl("style_loss", TORCH_BOX(&style_loss_cuda));
  library.impl("style_loss_backward", TORCH_BOX(&style_loss_backward_cuda));
}
#endif
