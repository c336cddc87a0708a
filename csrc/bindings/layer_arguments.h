// Arguments of fused layers, resampling and norms: their checks, and how they are read; the same on every device.
// Checks come before the first call into torch, where an error would lose its message.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bindings/support.h"
#include "common/layer_types.h"

namespace ganart::bindings {

using OptionalTensor = std::optional<Tensor>;

void check_features(const char* op, const char* name, const Tensor& x);

// As check_features, for pictures alone.
void check_pictures(const char* op, const char* name, const Tensor& x);

// Of x's shape, but for channels that it may have besides.
void check_like(const char* op, const char* name, const Tensor& tensor, const Tensor& x, int64_t more_channels = 0);

// Values for each channel, and with `per_sample` perhaps for each channel of each sample, as [C] or [N, C] of x's sum
// type and on its device.
void check_channels(const char* op, const char* name, const OptionalTensor& values, const Tensor& x, bool per_sample);

// As check_channels, for values of each sample's own, [N, C].
void check_statistics(const char* op, const char* name, const Tensor& values, const Tensor& x);

ActivationParameters parameters(const char* op, const std::string& act, double negative_slope, double gain,
                                std::optional<double> clamp);

// Scale [N, C], noise [N or 1, 1, H, W] and bias [C] for features [N, C, H, W], checked; of x's sum type, contiguous.
struct AffineArguments {
  OptionalTensor scale, noise, bias;

  AffineArguments(const char* op, const Tensor& x, const OptionalTensor& scale, const OptionalTensor& noise,
                  const OptionalTensor& bias);
  AffineTerms terms() const;
};

// The gradients of features and of these, uninitialised; one that is not wanted has no elements.
struct AffineResults {
  Tensor x, scale, noise, bias;

  AffineResults(const Tensor& x, MemoryFormat format, bool wants_x, bool wants_scale, bool wants_noise,
                bool wants_bias);
  AffineGradients gradients();
  void fill_with_zeros();
};

OptionalTensor contiguous_of(const OptionalTensor& tensor);
const void* data_of(const OptionalTensor& tensor);

// Between the values of one sample and the next's: 0 where all have the same.
int64_t sample_stride(const OptionalTensor& values);

// A gradient in the layout that other features are read in, copied if need be.
std::pair<Tensor, Layout> read_like(const Tensor& grad, const Tensor& features, const Layout& wanted);

// The groups of minibatch_stddev: samples that are a number of groups apart, or `neighbours`.
SampleGroups sample_groups(const char* op, const Tensor& x, int64_t group_size, int64_t num_channels, bool neighbours);

// The sizes of x with channels appended.
std::vector<int64_t> wider_sizes(const Tensor& x, int64_t more_channels);

// An upfirdn2d whose arguments have been checked: what to read, how, and where to put the result.
struct ResamplingCall {
  Tensor data;  // rows are read where they lie, also those of a crop; the pixels of one are dense
  Layout layout;
  int64_t row_stride;
  Resampling geometry;
  Tensor y;  // uninitialised

  ResamplingCall(const Tensor& x, const Tensor& taps, const std::vector<int64_t>& up, const std::vector<int64_t>& down,
                 const std::vector<int64_t>& padding);
};

}  // namespace ganart::bindings
