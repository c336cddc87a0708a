// The CPU kernels for AVX2 with FMA.
#include "isa/level.h"

#if defined(__x86_64__)
#pragma GCC target("avx2,fma")
#define GANART_VECTOR_BYTES 32

namespace ganart::cpu::avx2 {
#include "cpu/style_loss.h"
#include "cpu/layers.h"
#include "cpu/winograd_conv2d.h"
}  // namespace ganart::cpu::avx2
#endif
