// What fused layers and resampling are asked to do, the same on every device.
#pragma once

#include <cstdint>

namespace ganart {

enum class Activation { linear, relu, lrelu, tanh, sigmoid, elu, selu, softplus, swish };

// A clamp of NaN is none.
struct ActivationParameters {
  Activation activation;
  double negative_slope, gain, clamp;
};

// z = x * scale + noise + bias: scale [N, C], noise [N, P] or, with stride 0, [P] for all samples, bias [C]; of the type
// that sums are kept in, each perhaps null.
struct AffineTerms {
  const void *scale, *noise, *bias;
  int64_t noise_stride;
};

// Where the gradients of x and of its terms go, noise's as [N, P]; null where none is wanted.
struct AffineGradients {
  void *x, *scale, *noise, *bias;
};

// Geometry of upfirdn2d: `columns` taps for each of `rows` rows; separable ones are `rows` vertical taps and `columns`
// horizontal ones. x0 and y0 are the padding before.
struct Resampling {
  bool separable;
  int64_t rows, columns, up_x, up_y, down_x, down_y, x0, y0, height, width, out_height, out_width;
};

// The groups that minibatch_stddev takes samples in: member g of group m is sample g * member_step + m * group_step. Each
// of `runs` runs of channels has a statistic of its own.
struct SampleGroups {
  int64_t size, count, member_step, group_step, runs;
};

}  // namespace ganart
