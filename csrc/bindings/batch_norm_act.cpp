// Bindings of batch normalisation, scale, shift and activation: schema, checks and dispatch. They run on CPUs alone.
#include <optional>
#include <string>
#include <tuple>

#include "bindings/arguments.h"
#include "cpu/batch_norm_act.h"

namespace {

using namespace ganart::bindings;
using ganart::Activation;
using ganart::ChannelParameters;

ChannelParameters channel_parameters(const OptionalTensor& values) {
  return {data_of(values), values && values->dim() == 2 ? values->size(1) : 0};
}

// What values below 0 are multiplied by.
double negative_gain(const char* op, const std::string& act, double negative_slope) {
  const Activation activation = activation_parameters(op, act, negative_slope, 1, std::nullopt).activation;
  const bool leaky = activation == Activation::lrelu, flat = activation == Activation::relu;
  STD_TORCH_CHECK(leaky || flat || activation == Activation::linear, op, ": act is ", act,
                  ", expected linear, relu or lrelu");
  return flat ? 0 : leaky ? negative_slope : 1;
}

// Features whose rows are adjacent elements: pixels, or all channels of a sample's pixels.
Input read_rows(const Tensor& x) {
  Input in = read(x);
  const ganart::Features& f = in.features;
  const bool gaps = f.pixel_stride != 1 && f.pixels > 1 && f.pixel_stride != f.channels;
  return gaps ? read(torch::stable::contiguous(x, in.format())) : in;
}

void check_statistic(const char* op, const char* name, const Tensor& values, const Tensor& x) {
  STD_TORCH_CHECK(values.dim() == 1, op, ": ", name, " has shape ", shape_of(values), ", expected [C] for ",
                  shape_of(x));
  check_channels(op, name, values, x, false);
}

std::tuple<Tensor, Tensor, Tensor> batch_norm_act(const Tensor& x, const OptionalTensor& weight,
                                                  const OptionalTensor& bias, std::string act, double negative_slope,
                                                  double eps) {
  constexpr const char* op = "batch_norm_act";
  check_pictures(op, "x", x);
  check_channels(op, "weight", weight, x, true);
  check_channels(op, "bias", bias, x, true);
  const double below = negative_gain(op, act, negative_slope);
  const Input in = read_rows(x);
  Tensor y = empty_result(in), mean = empty_sums(x, {x.size(1)}), variance = empty_sums(x, {x.size(1)});
  if (in.is_empty()) return {y, torch::stable::fill_(mean, 0), torch::stable::fill_(variance, 0)};
  const OptionalTensor weights = contiguous_of(weight), biases = contiguous_of(bias);
  GANART_KERNELS(batch_norm_act_kernels)
      .forward(in.features, channel_parameters(weights), channel_parameters(biases), below, eps, y.mutable_data_ptr(),
               mean.mutable_data_ptr(), variance.mutable_data_ptr(), run_tasks);
  return {y, mean, variance};
}

std::tuple<Tensor, Tensor, Tensor> batch_norm_act_backward(const Tensor& grad, const Tensor& x, const Tensor& mean,
                                                           const Tensor& variance, const OptionalTensor& weight,
                                                           const OptionalTensor& bias, std::string act,
                                                           double negative_slope, double eps) {
  constexpr const char* op = "batch_norm_act_backward";
  check_pictures(op, "x", x);
  check_like(op, "grad", grad, x);
  check_statistic(op, "mean", mean, x);
  check_statistic(op, "variance", variance, x);
  check_channels(op, "weight", weight, x, true);
  check_channels(op, "bias", bias, x, true);
  const double below = negative_gain(op, act, negative_slope);
  const Input in = read_rows(x);
  Input outer = read_like(grad, in);
  if (in.features.pixel_stride != 1 && outer.features.pixel_stride != in.features.pixel_stride)
    outer = read(torch::stable::contiguous(grad, in.format()));
  Tensor grad_x = empty_result(in);
  Tensor grad_weight = empty_sums(x, {x.size(0), x.size(1)}), grad_bias = empty_sums(x, {x.size(0), x.size(1)});
  if (in.is_empty()) return {grad_x, torch::stable::fill_(grad_weight, 0), torch::stable::fill_(grad_bias, 0)};
  const OptionalTensor weights = contiguous_of(weight), biases = contiguous_of(bias);
  const Tensor means = torch::stable::contiguous(mean), variances = torch::stable::contiguous(variance);
  GANART_KERNELS(batch_norm_act_kernels)
      .backward(outer.features, in.features, means.const_data_ptr(), variances.const_data_ptr(),
                channel_parameters(weights), channel_parameters(biases), below, eps, grad_x.mutable_data_ptr(),
                grad_weight.mutable_data_ptr(), grad_bias.mutable_data_ptr(), run_tasks);
  return {grad_x, grad_weight, grad_bias};
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(ganart, library) {
  library.def(
      "batch_norm_act(Tensor x, Tensor? weight, Tensor? bias, str act, float negative_slope, float eps) -> "
      "(Tensor y, Tensor mean, Tensor variance)");
  library.def(
      "batch_norm_act_backward(Tensor grad, Tensor x, Tensor mean, Tensor variance, Tensor? weight, Tensor? bias, "
      "str act, float negative_slope, float eps) -> (Tensor grad_x, Tensor grad_weight, Tensor grad_bias)");
}

STABLE_TORCH_LIBRARY_IMPL(ganart, CPU, library) {
  library.impl("batch_norm_act", TORCH_BOX(&batch_norm_act));
  library.impl("batch_norm_act_backward", TORCH_BOX(&batch_norm_act_backward));
}
