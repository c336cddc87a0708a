// The CPU kernels for AVX-512 (F, BW, DQ, VL).
#include "isa/level.h"

#if defined(__x86_64__)
#pragma GCC target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")
#define GANART_VECTOR_BYTES 64

namespace ganart::cpu::avx512 {
#include "cpu/style_loss.h"
#include "cpu/layers.h"
#include "cpu/winograd_conv2d.h"
}  // namespace ganart::cpu::avx512
#endif
