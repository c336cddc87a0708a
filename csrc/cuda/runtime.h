// CUDA's error and stream types, with which launchers are declared. Bindings see these declarations in CPU builds too,
// where there may be no toolkit and stand-ins take their place.
#pragma once

#if defined(USE_CUDA)
#include <cuda_runtime_api.h>
#else
enum cudaError_t : int;
struct CUstream_st;
using cudaStream_t = CUstream_st*;
#endif
