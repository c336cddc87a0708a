// Launcher of the style loss: the difference of Gram matrices, then the mean of its squares.
#include "style_loss.h"

#include "gram_matrix.h"
#include "launch.cuh"
#include "style_loss.cuh"

namespace ganart::cuda {

cudaError_t style_loss(const Features& features, const float* target, int64_t target_sample_stride, float* difference,
                       float* loss, void* workspace, bool allow_tf32, cudaStream_t stream) {
  SquareSums squares;
  const cudaError_t error =
      gram_difference(features, target, target_sample_stride, difference, squares, workspace, allow_tf32, stream);
  if (error != cudaSuccess) return error;
  const double entries = static_cast<double>(features.samples) * features.channels * features.channels;
  return launch(mean_of_squares, 1, mean_threads, 0, stream, squares.sums, squares.count, entries, loss);
}

}  // namespace ganart::cuda
