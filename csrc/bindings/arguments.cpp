// Argument checks that several ops share.
#include "bindings/arguments.h"

#include <algorithm>
#include <array>
#include <limits>
#include <sstream>

namespace ganart::bindings {

std::string shape_of(const Tensor& tensor) {
  std::ostringstream text;
  text << '[';
  for (int64_t dim = 0; dim < tensor.dim(); ++dim) text << (dim ? ", " : "") << tensor.size(dim);
  text << ']';
  return text.str();
}

const char* name_of(ScalarType type) { return torch::headeronly::toString(type); }

void check_type(const char* op, const char* name, const Tensor& tensor, std::initializer_list<ScalarType> types) {
  const ScalarType type = tensor.scalar_type();
  if (std::find(types.begin(), types.end(), type) != types.end()) return;
  std::string expected;
  for (const ScalarType& known : types) {
    if (!expected.empty()) expected += &known + 1 == types.end() ? " or " : ", ";
    expected += name_of(known);
  }
  STD_TORCH_CHECK(false, op, ": ", name, " is ", name_of(type), ", expected ", expected);
}

namespace {

void check_layer_type(const char* op, const char* name, const Tensor& x) {
  if (x.is_cuda())
    check_type(op, name, x, {ScalarType::Half, ScalarType::Float, ScalarType::BFloat16, ScalarType::Double});
  else
    check_type(op, name, x, {ScalarType::Float, ScalarType::BFloat16, ScalarType::Double});
}

void check_picture_shape(const char* op, const char* name, const Tensor& x) {
  STD_TORCH_CHECK(x.dim() == 4, op, ": ", name, " has shape ", shape_of(x), ", expected [N, C, H, W]");
}

}  // namespace

void check_features(const char* op, const char* name, const Tensor& x) {
  STD_TORCH_CHECK(x.dim() >= 2, op, ": ", name, " has shape ", shape_of(x), ", expected [N, C, ...]");
  check_layer_type(op, name, x);
}

void check_pictures(const char* op, const char* name, const Tensor& x) {
  check_picture_shape(op, name, x);
  check_layer_type(op, name, x);
}

void check_pictures(const char* op, const char* name, const Tensor& x, std::initializer_list<ScalarType> types) {
  check_picture_shape(op, name, x);
  check_type(op, name, x, types);
}

void check_device(const char* op, const char* name, const Tensor& tensor, const Tensor& x) {
  STD_TORCH_CHECK(tensor.is_cuda() == x.is_cuda() && tensor.get_device_index() == x.get_device_index(), op, ": ", name,
                  " is on another device than x");
}

void check_sum_type(const char* op, const char* name, const Tensor& tensor, const Tensor& x) {
  const ScalarType expected = sum_type(x.scalar_type());
  STD_TORCH_CHECK(tensor.scalar_type() == expected, op, ": ", name, " is ", name_of(tensor.scalar_type()),
                  ", expected ", name_of(expected));
}

void check_like(const char* op, const char* name, const Tensor& tensor, const Tensor& x, int64_t more_channels) {
  const std::vector<int64_t> sizes = wider_sizes(x, more_channels);
  const bool same = tensor.scalar_type() == x.scalar_type() &&
                    std::equal(sizes.begin(), sizes.end(), tensor.sizes().begin(), tensor.sizes().end());
  STD_TORCH_CHECK(same, op, ": ", name, " is ", name_of(tensor.scalar_type()), " of shape ", shape_of(tensor),
                  ", expected ", name_of(x.scalar_type()), " of ", shape_of(x),
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
  STD_TORCH_CHECK(values.dim() == 2, op, ": ", name, " has shape ", shape_of(values), ", expected [N, C] for ",
                  shape_of(x));
  check_channels(op, name, values, x, true);
}

ActivationParameters activation_parameters(const char* op, const std::string& act, double negative_slope, double gain,
                                           std::optional<double> clamp) {
  constexpr std::array names{"linear", "relu", "lrelu", "tanh", "sigmoid", "elu", "selu", "softplus", "swish"};
  for (size_t index = 0; index < names.size(); ++index)
    if (act == names[index])
      return {Activation(index), negative_slope, gain, clamp.value_or(std::numeric_limits<double>::quiet_NaN())};
  STD_TORCH_CHECK(false, op, ": act is '", act,
                  "', expected linear, relu, lrelu, tanh, sigmoid, elu, selu, softplus or swish");
}

std::vector<int64_t> wider_sizes(const Tensor& x, int64_t more_channels) {
  std::vector<int64_t> sizes(x.sizes().begin(), x.sizes().end());
  sizes[1] += more_channels;
  return sizes;
}

}  // namespace ganart::bindings
