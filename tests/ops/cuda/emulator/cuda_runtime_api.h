// Stands in for CUDA's header of that name: just what csrc/cuda/*.h name.
#pragma once

struct CUstream_st;
using cudaStream_t = CUstream_st*;
enum cudaError_t { cudaSuccess = 0, cudaErrorInvalidValue = 1, cudaErrorInvalidConfiguration = 9 };
