// Everything that a level's file includes before it chooses its target: headers must not be compiled for it.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "common/scratch.h"
#include "cpu/kernels.h"
