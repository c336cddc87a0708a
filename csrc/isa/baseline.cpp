// The CPU kernels for whatever every processor of the architecture has: SSE2 or NEON.
#include "isa/level.h"

#define GANART_VECTOR_BYTES 16

namespace ganart::cpu::baseline {
#include "cpu/style_loss.h"
#include "cpu/layers.h"
#include "cpu/winograd_conv2d.h"
}  // namespace ganart::cpu::baseline
