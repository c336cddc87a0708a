// The CPU kernels for what every processor of the architecture has: SSE2 or NEON.
#include "isa/level.h"

#define GANART_LEVEL baseline
#define GANART_VECTOR_BYTES 16
#include "cpu/all.h"
