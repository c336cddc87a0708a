// Arguments of fused layers, resampling and norms: their checks, and how they are read.
#include "bindings/layer_arguments.h"

#include <algorithm>
#include <array>
#include <initializer_list>
#include <limits>

namespace ganart::bindings {

void check_features(const char* op, const char* name, const Tensor& x) {
  STD_TORCH_CHECK(x.dim() >= 2, op, ": ", name, " has shape ", shape_of(x), ", expected [N, C, ...]");
  const ScalarType type = x.scalar_type();
  const bool on_cpu_too = type == ScalarType::Float || type == ScalarType::BFloat16 || type == ScalarType::Double;
  STD_TORCH_CHECK(on_cpu_too || (type == ScalarType::Half && x.is_cuda()), op, ": ", name, " is ",
                  torch::headeronly::toString(type), ", expected ", x.is_cuda() ? "Half, " : "",
                  "Float, BFloat16 or Double");
}

void check_pictures(const char* op, const char* name, const Tensor& x) {
  check_features(op, name, x);
  STD_TORCH_CHECK(x.dim() == 4, op, ": ", name, " has shape ", shape_of(x), ", expected [N, C, H, W]");
}

namespace {

void check_device(const char* op, const char* name, const Tensor& tensor, const Tensor& x) {
  STD_TORCH_CHECK(tensor.is_cuda() == x.is_cuda() && tensor.get_device_index() == x.get_device_index(), op, ": ", name,
                  " is on another device than x");
}

void check_sum_type(const char* op, const char* name, const Tensor& values, const Tensor& x) {
  STD_TORCH_CHECK(values.scalar_type() == sum_type(x.scalar_type()), op, ": ", name, " is ",
                  torch::headeronly::toString(values.scalar_type()), ", expected ",
                  torch::headeronly::toString(sum_type(x.scalar_type())));
}

}  // namespace

std::vector<int64_t> wider_sizes(const Tensor& x, int64_t more_channels) {
  std::vector<int64_t> sizes(x.sizes().begin(), x.sizes().end());
  sizes[1] += more_channels;
  return sizes;
}

void check_like(const char* op, const char* name, const Tensor& tensor, const Tensor& x, int64_t more_channels) {
  const std::vector<int64_t> sizes = wider_sizes(x, more_channels);
  const bool same = tensor.scalar_type() == x.scalar_type() &&
                    std::equal(sizes.begin(), sizes.end(), tensor.sizes().begin(), tensor.sizes().end());
  STD_TORCH_CHECK(same, op, ": ", name, " is ", torch::headeronly::toString(tensor.scalar_type()), " of shape ",
                  shape_of(tensor), ", expected ", torch::headeronly::toString(x.scalar_type()), " of ", shape_of(x),
                  more_channels ? " and appended channels" : "");
  check_device(op, name, tensor, x);
}

void check_channels(const char* op, const char* name, const OptionalTensor& values, const Tensor& x, bool per_sample) {
  if (!values) return;
  const Tensor& v = *values;
  const bool fits = (v.dim() == 1 && v.size(0) == x.size(1)) ||
                    (per_sample && v.dim() == 2 && v.size(0) == x.size(0) && v.size(1) == x.size(1));
  STD_TORCH_CHECK(fits, op, ": ", name, " has shape ", shape_of(v), ", expected [", x.size(1), "]",
                  per_sample ? " or [N, C]" : "", " for ", shape_of(x));
  check_sum_type(op, name, v, x);
  check_device(op, name, v, x);
}

void check_statistics(const char* op, const char* name, const Tensor& values, const Tensor& x) {
  check_channels(op, name, values, x, true);
  STD_TORCH_CHECK(values.dim() == 2, op, ": ", name, " has shape ", shape_of(values), ", expected [N, C] for ",
                  shape_of(x));
}

ActivationParameters parameters(const char* op, const std::string& act, double negative_slope, double gain,
                                std::optional<double> clamp) {
  constexpr std::array names{"linear", "relu", "lrelu", "tanh", "sigmoid", "elu", "selu", "softplus", "swish"};
  for (size_t index = 0; index < names.size(); ++index)
    if (act == names[index])
      return {Activation(index), negative_slope, gain, clamp.value_or(std::numeric_limits<double>::quiet_NaN())};
  STD_TORCH_CHECK(false, op, ": act is '", act,
                  "', not one of linear, relu, lrelu, tanh, sigmoid, elu, selu, softplus, swish");
}

AffineArguments::AffineArguments(const char* op, const Tensor& x, const OptionalTensor& scale,
                                 const OptionalTensor& noise, const OptionalTensor& bias) {
  STD_TORCH_CHECK(x.dim() == 4, op, ": x has shape ", shape_of(x), ", expected [N, C, H, W]");
  check_channels(op, "scale", scale, x, true);
  STD_TORCH_CHECK(!scale || scale->dim() == 2, op, ": scale has shape ", shape_of(*scale), ", expected [N, C]");
  check_channels(op, "bias", bias, x, false);
  if (noise) {
    const bool fits = noise->dim() == 4 && (noise->size(0) == x.size(0) || noise->size(0) == 1) &&
                      noise->size(1) == 1 && noise->size(2) == x.size(2) && noise->size(3) == x.size(3);
    STD_TORCH_CHECK(fits, op, ": noise has shape ", shape_of(*noise), ", expected [N or 1, 1, H, W] for ", shape_of(x));
    check_sum_type(op, "noise", *noise, x);
    check_device(op, "noise", *noise, x);
  }
  this->scale = contiguous_of(scale);
  this->noise = contiguous_of(noise);
  this->bias = contiguous_of(bias);
}

AffineTerms AffineArguments::terms() const {
  const int64_t noise_stride = noise && noise->size(0) > 1 ? noise->size(2) * noise->size(3) : 0;
  return {data_of(scale), data_of(noise), data_of(bias), noise_stride};
}

namespace {

constexpr int64_t none = 0;  // elements of what is not wanted

Tensor empty_unless(bool wanted, const Tensor& x, std::initializer_list<int64_t> sizes) {
  return torch::stable::new_empty(x, wanted ? Sizes(sizes.begin(), sizes.size()) : Sizes(&none, 1),
                                  sum_type(x.scalar_type()));
}

void* data_if_any(Tensor& tensor) { return tensor.numel() ? tensor.mutable_data_ptr() : nullptr; }

}  // namespace

AffineResults::AffineResults(const Tensor& x, MemoryFormat format, bool wants_x, bool wants_scale, bool wants_noise,
                             bool wants_bias)
    : x(wants_x ? empty_of(x, x.sizes(), format) : torch::stable::new_empty(x, Sizes(&none, 1))),
      scale(empty_unless(wants_scale, x, {x.size(0), x.size(1)})),
      noise(empty_unless(wants_noise, x, {x.size(0), 1, x.size(2), x.size(3)})),
      bias(empty_unless(wants_bias, x, {x.size(1)})) {}

AffineGradients AffineResults::gradients() {
  return {data_if_any(x), data_if_any(scale), data_if_any(noise), data_if_any(bias)};
}

void AffineResults::fill_with_zeros() {
  for (Tensor* tensor : {&x, &scale, &noise, &bias}) torch::stable::fill_(*tensor, 0);
}

OptionalTensor contiguous_of(const OptionalTensor& tensor) {
  return tensor ? OptionalTensor(torch::stable::contiguous(*tensor)) : std::nullopt;
}

const void* data_of(const OptionalTensor& tensor) { return tensor ? tensor->const_data_ptr() : nullptr; }

int64_t sample_stride(const OptionalTensor& values) { return values && values->dim() == 2 ? values->size(1) : 0; }

std::pair<Tensor, Layout> read_like(const Tensor& grad, const Tensor& features, const Layout& wanted) {
  Layout layout;
  const auto same = [&] {
    return readable(grad, layout) && (layout.pixel_stride == 1) == (wanted.pixel_stride == 1) &&
           (layout.channel_stride == 1 || wanted.channel_stride != 1 || wanted.channels == 1);
  };
  if (same()) return {grad, layout};
  Tensor copy = torch::stable::contiguous(grad, format_of(features, wanted));
  readable(copy, layout);
  return {copy, layout};
}

SampleGroups sample_groups(const char* op, const Tensor& x, int64_t group_size, int64_t num_channels, bool neighbours) {
  check_pictures(op, "x", x);
  STD_TORCH_CHECK(group_size >= 1 && x.size(0) % group_size == 0, op, ": group_size is ", group_size,
                  ", expected a divisor of the batch ", x.size(0));
  STD_TORCH_CHECK(num_channels >= 1 && x.size(1) % num_channels == 0, op, ": num_channels is ", num_channels,
                  ", expected a divisor of ", x.size(1), " channels");
  const int64_t count = x.size(0) / group_size;
  return {group_size, count, neighbours ? 1 : count, neighbours ? group_size : 1, num_channels};
}

ResamplingCall::ResamplingCall(const Tensor& x, const Tensor& taps, const std::vector<int64_t>& up,
                               const std::vector<int64_t>& down, const std::vector<int64_t>& padding)
    : data(x) {
  check_pictures("upfirdn2d", "x", x);
  STD_TORCH_CHECK(up.size() == 2 && down.size() == 2 && padding.size() == 4,
                  "upfirdn2d: up and down need two values as (x, y), padding four as (x0, x1, y0, y1)");
  STD_TORCH_CHECK(std::min({up[0], up[1], down[0], down[1]}) >= 1, "upfirdn2d: up and down must be 1 or more");
  STD_TORCH_CHECK((taps.dim() == 1 || taps.dim() == 2) && taps.numel() > 0, "upfirdn2d: taps have shape ",
                  shape_of(taps), ", expected [K] or [KH, KW]");
  STD_TORCH_CHECK(taps.scalar_type() == sum_type(x.scalar_type()), "upfirdn2d: taps are ",
                  torch::headeronly::toString(taps.scalar_type()), ", expected ",
                  torch::headeronly::toString(sum_type(x.scalar_type())));
  check_device("upfirdn2d", "taps", taps, x);
  const int64_t rows = taps.size(0), columns = taps.size(taps.dim() - 1);
  const int64_t channels = x.size(1), height = x.size(2), width = x.size(3);
  const int64_t over_y = height * up[1] + padding[2] + padding[3] - rows;
  const int64_t over_x = width * up[0] + padding[0] + padding[1] - columns;
  STD_TORCH_CHECK(over_x >= 0 && over_y >= 0, "upfirdn2d: x ", shape_of(x), " is smaller than its ", rows, " x ",
                  columns, " taps once padded");
  geometry = {taps.dim() == 1,
              rows,
              columns,
              up[0],
              up[1],
              down[0],
              down[1],
              padding[0],
              padding[2],
              height,
              width,
              over_y / down[1] + 1,
              over_x / down[0] + 1};

  const bool last = channels > 1 && x.stride(1) == 1 && x.stride(3) == channels;
  if (!last && width > 1 && x.stride(3) != 1) data = torch::stable::contiguous(x);
  layout = {x.size(0), channels, height * width, data.stride(0), data.stride(1), last ? channels : 1};
  row_stride = data.stride(2);
  const int64_t sizes[] = {x.size(0), channels, geometry.out_height, geometry.out_width};
  y = empty_of(x, Sizes(sizes, 4), format_of(data, layout));
}

}  // namespace ganart::bindings
