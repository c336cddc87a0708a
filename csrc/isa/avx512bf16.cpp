// The CPU kernels for AVX-512 with bfloat16 dot products.
#include "isa/level.h"

#if defined(__x86_64__)
#pragma GCC target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")
#define GANART_LEVEL avx512bf16
#define GANART_VECTOR_BYTES 64
#define GANART_BFLOAT16_PAIRS
#include "cpu/all.h"
#endif
