// Bindings of minibatch standard deviation: schema, checks and dispatch.
#include <limits>

#include "bindings/arguments.h"
#include "bindings/cuda.h"
#include "cpu/minibatch_stddev.h"
#include "cuda/minibatch_stddev.h"

namespace {

using namespace ganart::bindings;
using ganart::SampleGroups;

// Checks x too. The samples of a group follow one another where they are `neighbours`, else they are as far apart as
// can be.
SampleGroups sample_groups(const char* op, const Tensor& x, int64_t group_size, int64_t num_channels, bool neighbours) {
  check_pictures(op, "x", x);
  STD_TORCH_CHECK(group_size >= 1 && x.size(0) % group_size == 0, op, ": group_size is ", group_size,
                  ", expected a divisor of the batch ", x.size(0));
  STD_TORCH_CHECK(num_channels >= 1 && x.size(1) % num_channels == 0, op, ": num_channels is ", num_channels,
                  ", expected a divisor of ", x.size(1), " channels");
  const int64_t count = x.size(0) / group_size;
  return {group_size, count, neighbours ? 1 : count, neighbours ? group_size : 1, num_channels};
}

Tensor minibatch_stddev(const Tensor& x, int64_t group_size, int64_t num_channels, bool neighbours) {
  constexpr const char* op = "minibatch_stddev";
  const SampleGroups groups = sample_groups(op, x, group_size, num_channels, neighbours);
  const Input in = read(x);
  Tensor y = empty_result(in, wider_sizes(x, num_channels));
  if (in.is_empty()) return torch::stable::fill_(y, std::numeric_limits<double>::quiet_NaN());  // the mean of nothing
  if (x.is_cuda())
    on_gpu(op, x, [&](auto& gpu) {
      void* const workspace = gpu.workspace(ganart::cuda::minibatch_stddev_workspace(in.features, groups));
      return ganart::cuda::minibatch_stddev(in.features, groups, y.mutable_data_ptr(), workspace, gpu.stream);
    });
  else
    GANART_KERNELS(minibatch_stddev_kernels).forward(in.features, groups, y.mutable_data_ptr(), run_tasks);
  return y;
}

Tensor minibatch_stddev_backward(const Tensor& grad, const Tensor& x, int64_t group_size, int64_t num_channels,
                                 bool neighbours) {
  constexpr const char* op = "minibatch_stddev_backward";
  const SampleGroups groups = sample_groups(op, x, group_size, num_channels, neighbours);
  check_like(op, "grad", grad, x, num_channels);
  const Input in = read(x), outer = read_like(grad, in);
  Tensor grad_x = empty_result(in);
  if (in.is_empty()) return grad_x;
  if (x.is_cuda())
    on_gpu(op, x, [&](auto& gpu) {
      void* const workspace = gpu.workspace(ganart::cuda::minibatch_stddev_backward_workspace(in.features, groups));
      return ganart::cuda::minibatch_stddev_backward(outer.features, in.features, groups, grad_x.mutable_data_ptr(),
                                                     workspace, gpu.stream);
    });
  else
    GANART_KERNELS(minibatch_stddev_kernels)
        .backward(outer.features, in.features, groups, grad_x.mutable_data_ptr(), run_tasks);
  return grad_x;
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(ganart, library) {
  library.def("minibatch_stddev(Tensor x, int group_size, int num_channels, bool neighbours) -> Tensor");
  library.def(
      "minibatch_stddev_backward(Tensor grad, Tensor x, int group_size, int num_channels, bool neighbours) -> Tensor");
}

GANART_IMPLEMENTATIONS(library) {
  library.impl("minibatch_stddev", TORCH_BOX(&minibatch_stddev));
  library.impl("minibatch_stddev_backward", TORCH_BOX(&minibatch_stddev_backward));
}
