// What every csrc/isa/<level>.cpp includes before it chooses its target: these headers must not be compiled for it.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "common/features.h"
#include "common/parameters.h"
#include "common/scratch.h"
#include "cpu/kernels.h"
