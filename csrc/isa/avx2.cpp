// The CPU kernels for AVX2 with FMA.
#include "isa/level.h"

#if defined(__x86_64__)
#pragma GCC target("avx2,fma")
#define GANART_LEVEL avx2
#define GANART_VECTOR_BYTES 32
#include "cpu/all.h"
#endif
