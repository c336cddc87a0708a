// The CPU kernels for AVX-512 (F, BW, DQ, VL).
#include "isa/level.h"

#if defined(__x86_64__)
#pragma GCC target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")
#define GANART_LEVEL avx512
#define GANART_VECTOR_BYTES 64
#include "cpu/all.h"
#endif
