// Sums over the threads of a team, in an order that never changes.
#pragma once

#include "ptx.cuh"

namespace ganart::cuda {

// Threads that work on one line together: a warp, of which a block has several, or a block.
enum class Team { warp, block };

// The sum over the team's `threads` (32 for a warp; a multiple of 32, at most 1024, for a block): every thread gets it.
// Successive sums of a block may not share a `slot` without a barrier between them.
template <Team team, int slot, class S>
GANART_DEVICE S sum_over_team(S value, int threads) {
#pragma unroll
  for (int distance = 16; distance > 0; distance /= 2) value += shuffle_xor(value, distance);
  if constexpr (team == Team::block) {
    __shared__ S warp_sums[32];
    if (threadIdx.x % 32 == 0) warp_sums[threadIdx.x / 32] = value;
    __syncthreads();
    value = 0;
    for (int warp = 0; warp < threads / 32; ++warp) value += warp_sums[warp];
  }
  return value;
}

}  // namespace ganart::cuda
