// What the CUDA bindings of all ops share. Only where USE_CUDA is defined.
#pragma once

#include <cuda_runtime_api.h>
#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/stable/accelerator.h>

#include "bindings/support.h"
#include "cuda/features.h"

namespace ganart::bindings {

inline cuda::Type cuda_type(ScalarType type) {
  switch (type) {
    case ScalarType::BFloat16: return cuda::Type::bfloat16;
    case ScalarType::Half: return cuda::Type::float16;
    case ScalarType::Double: return cuda::Type::float64;
    default: return cuda::Type::float32;
  }
}

inline cuda::Features cuda_features(const Tensor& features, const Layout& layout) {
  return {features.const_data_ptr(),
          cuda_type(features.scalar_type()),
          layout.samples,
          layout.channels,
          layout.pixels,
          layout.sample_stride,
          layout.channel_stride,
          layout.pixel_stride};
}

// A tensor's device made current, and the stream that its work is queued on.
struct OnDevice {
  torch::stable::accelerator::DeviceGuard guard;
  cudaStream_t stream;

  explicit OnDevice(const Tensor& tensor)
      : guard(tensor.get_device_index()), stream(current_stream(tensor.get_device_index())) {}

 private:
  static cudaStream_t current_stream(int32_t device) {
    void* stream = nullptr;
    STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(device, &stream));
    return static_cast<cudaStream_t>(stream);
  }
};

// Scratch on the device of `like`. It may be freed when the call returns: the allocator reuses it in the stream's order.
inline Tensor scratch_bytes(const Tensor& like, size_t count) {
  const int64_t size = int64_t(count);
  return torch::stable::new_empty(like, Sizes(&size, 1), ScalarType::Byte);
}

inline void check_queued(const char* op, cudaError_t error) {
  STD_TORCH_CHECK(error == cudaSuccess, op, ": the CUDA kernel could not be started: ", cudaGetErrorString(error));
}

}  // namespace ganart::bindings
