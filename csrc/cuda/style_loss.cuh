// The kernel of the style loss that follows those of cuda/gram_matrix.cuh: the mean of the squares. No torch, no
// launch.
#pragma once

#include "reductions.cuh"

namespace ganart::cuda {

constexpr int mean_threads = 256;

// loss = sum of square_sums / entries, NaN when there are none.
__global__ void __launch_bounds__(mean_threads)
    mean_of_squares(const double* square_sums, int64_t blocks, double entries, float* loss) {
  double sum = 0;
  for (int64_t block = threadIdx.x; block < blocks; block += mean_threads) sum += square_sums[block];
  sum = sum_over_block<mean_threads>(sum);
  if (threadIdx.x == 0) *loss = static_cast<float>(sum / entries);
}

}  // namespace ganart::cuda
