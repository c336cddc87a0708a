// The CUDA Gram matrix and style loss, launchers and kernels, compiled for the CPU emulator and given to Python through ctypes.
#include "emulator.h"
// The emulator comes first.
#include "../../../../csrc/cuda/gram_matrix.cu"
#include "../../../../csrc/cuda/style_loss.cu"
#include "python.h"

using ganart::Features;

extern "C" {

void plan(int64_t samples, int channels, int64_t positions, int depth, ganart::cuda::GramPlan* plan) {
  *plan = ganart::cuda::plan_gram(samples, channels, positions, ganart::cuda::choose_tile(channels), depth, 1);
}

bool upper_tiles(int side, int count, int (*tiles)[2]) {
  for (int index = 0; index < count; ++index) {
    const ganart::cuda::TileIndex tile = ganart::cuda::upper_tile(index, side);
    if (ganart::cuda::upper_index(tile, side) != index) return false;
    tiles[index][0] = tile.row, tiles[index][1] = tile.column;
  }
  return true;
}

size_t gram_matrix_workspace(const Features* features, bool allow_tf32) {
  return ganart::cuda::gram_matrix_workspace(*features, allow_tf32);
}

int gram_matrix(const Features* features, float* gram, void* workspace, bool allow_tf32) {
  return ganart::cuda::gram_matrix(*features, gram, workspace, allow_tf32, nullptr);
}

int style_loss(const Features* features, const float* target, int64_t target_sample_stride, float* difference,
               float* loss, void* workspace, bool allow_tf32) {
  return ganart::cuda::style_loss(*features, target, target_sample_stride, difference, loss, workspace, allow_tf32,
                                  nullptr);
}

int gram_matrix_backward(const float* matrix, const float* scale, float factor, const Features* features,
                         void* grad_features, void* workspace, bool allow_tf32) {
  return ganart::cuda::gram_matrix_backward(matrix, scale, factor, *features, grad_features, workspace, allow_tf32,
                                            nullptr);
}

}  // extern "C"
