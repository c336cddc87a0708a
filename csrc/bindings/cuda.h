// How bindings call CUDA launchers. In a CPU build the same code compiles, and calls nothing.
#pragma once

#if defined(USE_CUDA)
#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/stable/accelerator.h>
#endif

#include "bindings/support.h"
#include "cuda/runtime.h"

namespace ganart::bindings {

#if defined(USE_CUDA)
// The device of a tensor, made current; the stream that its work is queued on; and scratch memory.
class Gpu {
  torch::stable::accelerator::DeviceGuard guard_;
  const Tensor& tensor_;
  std::optional<Tensor> workspace_;

 public:
  cudaStream_t stream;

  explicit Gpu(const Tensor& tensor)
      : guard_(tensor.get_device_index()), tensor_(tensor), stream(current_stream(tensor.get_device_index())) {}

  // Scratch memory of that many bytes. It may be freed once work is queued: the allocator reuses it in the stream's
  // order.
  void* workspace(size_t bytes) {
    const int64_t size = int64_t(bytes);
    workspace_ = torch::stable::new_empty(tensor_, Sizes(&size, 1), ScalarType::Byte);
    return workspace_->mutable_data_ptr();
  }

 private:
  static cudaStream_t current_stream(int32_t device) {
    void* stream = nullptr;
    STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(device, &stream));
    return static_cast<cudaStream_t>(stream);
  }
};

// Calls launch(gpu), which returns a launcher's error, on the device of `tensor`.
template <class Launch>
void on_gpu(const char* op, const Tensor& tensor, Launch launch) {
  Gpu gpu(tensor);
  const cudaError_t error = launch(gpu);
  STD_TORCH_CHECK(error == cudaSuccess, op, ": the CUDA kernel could not be started: ", cudaGetErrorString(error));
}
#else
// `launch` is a generic lambda, so the launcher that it names need not exist.
template <class Launch>
void on_gpu(const char* op, const Tensor&, Launch) {
  STD_TORCH_CHECK(false, op, ": this library was built without CUDA kernels");
}
#endif

}  // namespace ganart::bindings
