// Parameters that the CPU and CUDA kernels of an op share. "Sum" is the type in which sums and statistics are kept:
// double for float64 features, float for all others.
#pragma once

#include <cstdint>

namespace ganart {

enum class Activation { linear, relu, lrelu, tanh, sigmoid, elu, selu, softplus, swish };

// `clamp` is NaN where the result is not clamped.
struct ActivationParameters {
  Activation activation;
  double negative_slope, gain, clamp;
};

// One Sum per channel: [C] with sample stride 0, or [N, C] with sample stride C. Null values mean a default.
struct ChannelParameters {
  const void* values;
  int64_t sample_stride;
};

// The terms of z = x * scale + noise + bias, each of type Sum and each perhaps null: scale [N, C]; noise [N, P], or [P]
// with stride 0 for all samples; bias [C].
struct AffineTerms {
  const void *scale, *noise, *bias;
  int64_t noise_stride;
};

// Where to write the gradients of x and of the affine terms (noise's as [N, P]); null for a gradient that is not
// needed.
struct AffineGradients {
  void *x, *scale, *noise, *bias;
};

// The geometry of upfirdn2d. Separable taps are `rows` vertical taps followed by `columns` horizontal ones; other taps
// are [rows, columns]. x0 and y0 are the padding before the first pixel.
struct Resampling {
  bool separable;
  int64_t rows, columns, up_x, up_y, down_x, down_y, x0, y0, height, width, out_height, out_width;
};

// How minibatch_stddev groups samples: member g of group m is sample g * member_step + m * group_step. Channels are
// divided into `runs` runs, each with its own statistic.
struct SampleGroups {
  int64_t size, count, member_step, group_step, runs;
};

}  // namespace ganart
