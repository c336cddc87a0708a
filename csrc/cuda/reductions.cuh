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

// The sum down each column of a block's `across * count` values, of what each thread holds for its own `count`: thread
// i gets the i-th column's.
template <int count, class S>
GANART_DEVICE S sum_down(S* shared, const S (&values)[count], int across, int threads) {
  __syncthreads();  // `shared` may be in use
#pragma unroll
  for (int i = 0; i < count; ++i) shared[threadIdx.x * count + i] = values[i];
  __syncthreads();
  S sum = 0;
  if (threadIdx.x < across * count) {
    for (int row = 0; row < threads / across; ++row) sum += shared[row * across * count + threadIdx.x];
  }
  return sum;
}

// Adds all threads' values in a fixed order; thread 0 gets the sum, others a part of it.
template <int threads>
GANART_DEVICE double sum_over_block(double value) {
  __shared__ double sums[threads];
  sums[threadIdx.x] = value;
#pragma unroll 1
  for (int half = threads / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
  }
  return sums[threadIdx.x];
}

}  // namespace ganart::cuda
