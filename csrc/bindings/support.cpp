// What the bindings of all ops share, and the op that chooses the instruction set.
#include "bindings/support.h"

#include <algorithm>
#include <atomic>

namespace ganart::bindings {

Type type_of(ScalarType type) {
  switch (type) {
    case ScalarType::BFloat16: return Type::bfloat16;
    case ScalarType::Half: return Type::float16;
    case ScalarType::Double: return Type::float64;
    default: return Type::float32;  // the ops refuse all others
  }
}

ScalarType sum_type(ScalarType type) { return type == ScalarType::Double ? ScalarType::Double : ScalarType::Float; }

namespace {

// Whether `x` can be read where it is; if so, `features` says how.
bool readable(const Tensor& x, Features& features) {
  features.data = x.const_data_ptr();
  features.type = type_of(x.scalar_type());
  features.samples = x.size(0);
  features.channels = x.size(1);
  // Pixels in memory order are what the dimensions from the last to the third walk through.
  int64_t pixels = 1, pixel = 1;
  if (x.numel() == 0) {  // nothing is read
    for (int64_t dim = 2; dim < x.dim(); ++dim) pixels *= x.size(dim);
    features.pixels = pixels;
    features.sample_stride = 0;
    features.channel_stride = features.pixel_stride = 1;
    return true;
  }
  for (int64_t dim = x.dim() - 1; dim >= 2; --dim) {
    if (x.size(dim) == 1) continue;
    if (pixels == 1)
      pixel = x.stride(dim);
    else if (x.stride(dim) != pixel * pixels)
      return false;
    pixels *= x.size(dim);
  }
  const int64_t channels = features.channels, channel = channels > 1 ? x.stride(1) : 1;
  if (channels == 1 && pixel != 1) return false;
  if (pixels != 1 && pixel != 1 && x.dim() != 4) return false;  // only pictures have a channels_last layout
  features.channel_stride = channel;
  if (pixels == 1 && x.dim() == 2) {
    // A matrix is one sample whose pixels are its rows.
    features.samples = 1;
    features.pixels = x.size(0);
    features.sample_stride = 0;
    features.pixel_stride = x.size(0) > 1 ? x.stride(0) : channels;
    // Where rows overlap so that both strides are 1, its pixels would be taken for adjacent ones.
    return channel == 1 && (channels == 1) == (features.pixel_stride == 1);
  }
  features.pixels = pixels;
  features.sample_stride = x.stride(0);
  features.pixel_stride = pixel;
  return pixel == 1 || channel == 1;
}

}  // namespace

MemoryFormat Input::format() const {
  return tensor.dim() == 4 && features.pixel_stride != 1 ? MemoryFormat::ChannelsLast : MemoryFormat::Contiguous;
}

Input read(const Tensor& x) {
  Input input{x, {}};
  if (!readable(x, input.features)) {
    input.tensor = torch::stable::contiguous(x);
    readable(input.tensor, input.features);
  }
  return input;
}

Input read_like(const Tensor& grad, const Input& x) {
  Input input{grad, {}};
  const Features &own = input.features, &wanted = x.features;
  const bool as_it_is = readable(grad, input.features) && (own.pixel_stride == 1) == (wanted.pixel_stride == 1) &&
                        (own.channel_stride == 1 || wanted.channel_stride != 1 || wanted.channels == 1);
  if (!as_it_is) {
    input.tensor = torch::stable::contiguous(grad, x.format());
    readable(input.tensor, input.features);
  }
  return input;
}

OptionalTensor contiguous_of(const OptionalTensor& tensor) {
  return tensor ? OptionalTensor(torch::stable::contiguous(*tensor)) : std::nullopt;
}

const void* data_of(const OptionalTensor& tensor) { return tensor ? tensor->const_data_ptr() : nullptr; }

Tensor empty_result(const Input& x, Sizes sizes) {
  const Tensor& like = x.tensor;
  return torch::stable::empty(sizes, like.scalar_type(), std::nullopt, like.device(), std::nullopt, x.format());
}

Tensor empty_result(const Input& x) { return empty_result(x, x.tensor.sizes()); }

Tensor empty_sums(const Tensor& x, std::initializer_list<int64_t> sizes) {
  return torch::stable::new_empty(x, Sizes(sizes.begin(), sizes.size()), sum_type(x.scalar_type()));
}

// ---- CPU kernels ----

namespace {

// -1 until the first use, so that a wrong GANART_CPU_ISA is an error of that call and not of loading the library.
std::atomic<int> chosen_level{-1};

// Chooses the level for later calls unless `name` is empty, and returns the one in force before.
std::string use_cpu_isa(std::string name) {
  const std::string before = name_of(cpu_level());
  if (!name.empty()) chosen_level = int(level_named(name));
  return before;
}

}  // namespace

CpuLevel cpu_level() {
  int level = chosen_level.load(std::memory_order_relaxed);
  if (level < 0) chosen_level = level = int(level_from_environment());
  return CpuLevel(level);
}

void run_tasks(int64_t count, void* closure, void (*task)(void* closure, int64_t index)) {
  if (count == 1) return task(closure, 0);
  std::atomic<int64_t> next{0};
  const int64_t workers = std::min<int64_t>(count, torch::stable::get_num_threads());
  torch::stable::parallel_for(0, workers, 1, [&](int64_t begin, int64_t end) {
    for (; begin < end; ++begin)
      for (int64_t index; (index = next.fetch_add(1, std::memory_order_relaxed)) < count;) task(closure, index);
  });
}

}  // namespace ganart::bindings

STABLE_TORCH_LIBRARY_FRAGMENT(ganart, library) { library.def("use_cpu_isa(str name) -> str"); }

STABLE_TORCH_LIBRARY_IMPL(ganart, CompositeExplicitAutograd, library) {
  library.impl("use_cpu_isa", TORCH_BOX(&ganart::bindings::use_cpu_isa));
}
