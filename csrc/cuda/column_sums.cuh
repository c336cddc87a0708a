// The second stage of sums over many blocks: the sum of each column of their partial sums.
#pragma once

#include "arithmetic.h"
#include "launch.cuh"
#include "ptx.cuh"

namespace ganart::cuda {

constexpr int column_threads = 256, columns_per_block = 32;

// partials [groups, lines, columns], sums [groups, columns].
template <class S>
__global__ void __launch_bounds__(column_threads)
    sum_columns(const S* partials, int64_t lines, int64_t columns, S* sums) {
  __shared__ double shared[column_threads];
  const int64_t blocks_across = ceil_divide(columns, columns_per_block), group = blockIdx.x / blocks_across;
  const int64_t column = blockIdx.x % blocks_across * columns_per_block + threadIdx.x % columns_per_block;
  const S* const own = partials + group * lines * columns + column;
  double sum = 0;
  if (column < columns) {
#pragma unroll 4
    for (int64_t line = threadIdx.x / columns_per_block; line < lines; line += column_threads / columns_per_block) {
      sum += own[line * columns];
    }
  }
  shared[threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.x >= columns_per_block || column >= columns) return;
  for (int row = 1; row < column_threads / columns_per_block; ++row) {
    sum += shared[row * columns_per_block + threadIdx.x];
  }
  sums[group * columns + column] = static_cast<S>(sum);
}

template <class S>
cudaError_t queue_column_sums(const S* partials, int64_t groups, int64_t lines, int64_t columns, S* sums,
                              cudaStream_t stream) {
  return launch(sum_columns<S>, groups * ceil_divide(columns, columns_per_block), column_threads, 0, stream, partials,
                lines, columns, sums);
}

}  // namespace ganart::cuda
