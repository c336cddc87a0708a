// Starts a kernel and reports what went wrong. Apart, so that the CPU emulation in tests/ops/cuda can stand in for it.
#ifndef GANART_CUDA_LAUNCH
#define GANART_CUDA_LAUNCH

#include <cuda_runtime_api.h>

#include <cstdint>
#include <limits>

namespace ganart::cuda {

template <class... Parameters, class... Arguments>
cudaError_t launch(void (*kernel)(Parameters...), int64_t blocks, int threads, int shared_bytes, cudaStream_t stream,
                   const Arguments&... arguments) {
  if (blocks == 0) return cudaSuccess;
  if (blocks > std::numeric_limits<int32_t>::max()) return cudaErrorInvalidConfiguration;
  // 48 KiB, but for what the kernel declares itself.
  constexpr int granted_without_asking = 32 * 1024;
  if (shared_bytes > granted_without_asking) {
    const cudaError_t error = cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                                                   cudaFuncAttributeMaxDynamicSharedMemorySize, shared_bytes);
    if (error != cudaSuccess) return error;
  }
  kernel<<<static_cast<unsigned>(blocks), threads, shared_bytes, stream>>>(arguments...);
  return cudaGetLastError();
}

}  // namespace ganart::cuda
#endif
