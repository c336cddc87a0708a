// Argument checks that several ops share. They come before the first call into torch, where an error would lose its
// message.
#pragma once

#include <initializer_list>
#include <optional>
#include <string>
#include <vector>

#include "bindings/support.h"
#include "common/parameters.h"

namespace ganart::bindings {

// How a shape or a type reads in an error.
std::string shape_of(const Tensor& tensor);
const char* name_of(ScalarType type);

void check_type(const char* op, const char* name, const Tensor& tensor, std::initializer_list<ScalarType> types);

// [N, C, ...] of a type that fused layers have kernels for on x's device.
void check_features(const char* op, const char* name, const Tensor& x);

// The same for [N, C, H, W].
void check_pictures(const char* op, const char* name, const Tensor& x);

// [N, C, H, W] of one of the types.
void check_pictures(const char* op, const char* name, const Tensor& x, std::initializer_list<ScalarType> types);

void check_device(const char* op, const char* name, const Tensor& tensor, const Tensor& x);

// Of the type in which sums of x are kept.
void check_sum_type(const char* op, const char* name, const Tensor& tensor, const Tensor& x);

// Of x's shape, type and device, with `more_channels` channels appended.
void check_like(const char* op, const char* name, const Tensor& tensor, const Tensor& x, int64_t more_channels = 0);

// [C], or with `per_sample` perhaps [N, C], of x's sum type and on its device; or nothing.
void check_channels(const char* op, const char* name, const OptionalTensor& values, const Tensor& x, bool per_sample);

// [N, C], of x's sum type and on its device.
void check_statistics(const char* op, const char* name, const Tensor& values, const Tensor& x);

// The parameters of a layer; refuses an `act` that is not one of the activations.
ActivationParameters activation_parameters(const char* op, const std::string& act, double negative_slope, double gain,
                                           std::optional<double> clamp);

// The sizes of x with channels appended.
std::vector<int64_t> wider_sizes(const Tensor& x, int64_t more_channels);

}  // namespace ganart::bindings
