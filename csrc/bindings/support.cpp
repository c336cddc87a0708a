// What the bindings of all ops share.
#include "bindings/support.h"

#include <algorithm>
#include <atomic>
#include <sstream>

namespace ganart::bindings {

std::string shape_of(const Tensor& tensor) {
  std::ostringstream text;
  text << '[';
  for (int64_t dim = 0; dim < tensor.dim(); ++dim) text << (dim ? ", " : "") << tensor.size(dim);
  text << ']';
  return text.str();
}

ScalarType sum_type(ScalarType type) { return type == ScalarType::Double ? ScalarType::Double : ScalarType::Float; }

// ---- layout ----

bool readable(const Tensor& features, Layout& layout) {
  // Pixels in memory order are what the dimensions from the last to the third walk through.
  int64_t pixels = 1, pixel = 1;
  if (features.numel() == 0) {  // nothing is read
    for (int64_t dim = 2; dim < features.dim(); ++dim) pixels *= features.size(dim);
    layout = {features.size(0), features.size(1), pixels, 0, 1, 1};
    return true;
  }
  for (int64_t dim = features.dim() - 1; dim >= 2; --dim) {
    if (features.size(dim) == 1) continue;
    if (pixels == 1)
      pixel = features.stride(dim);
    else if (features.stride(dim) != pixel * pixels)
      return false;
    pixels *= features.size(dim);
  }
  const int64_t channels = features.size(1), channel = channels > 1 ? features.stride(1) : 1;
  if (channels == 1 && pixel != 1) return false;
  if (pixels != 1 && pixel != 1 && features.dim() != 4) return false;  // only pictures have a channels_last layout
  if (pixels == 1 && features.dim() == 2) {
    // A matrix is one sample whose pixels are its rows.
    layout = {1, channels, features.size(0), 0, channel, features.size(0) > 1 ? features.stride(0) : channels};
    // Where rows overlap so that both strides are 1, its pixels would be taken for adjacent ones.
    return channel == 1 && (channels == 1) == (layout.pixel_stride == 1);
  }
  layout = {features.size(0), channels, pixels, features.stride(0), channel, pixel};
  return pixel == 1 || channel == 1;
}

std::pair<Tensor, Layout> readable_features(const Tensor& features) {
  Layout layout;
  if (readable(features, layout)) return {features, layout};
  Tensor copy = torch::stable::contiguous(features);
  readable(copy, layout);
  return {copy, layout};
}

MemoryFormat format_of(const Tensor& features, const Layout& layout) {
  return features.dim() == 4 && layout.pixel_stride != 1 ? MemoryFormat::ChannelsLast : MemoryFormat::Contiguous;
}

Tensor empty_of(const Tensor& like, Sizes sizes, MemoryFormat format) {
  return torch::stable::empty(sizes, like.scalar_type(), std::nullopt, like.device(), std::nullopt, format);
}

// ---- CPU ----

namespace {
// -1 until the first use, so that a wrong GANART_CPU_ISA is an error of that call and not of loading the library.
std::atomic<int> chosen_level{-1};
}  // namespace

CpuLevel cpu_level() {
  int level = chosen_level.load(std::memory_order_relaxed);
  if (level < 0) chosen_level = level = int(level_from_environment());
  return CpuLevel(level);
}

std::string use_cpu_isa(std::string name) {
  const std::string before = name_of(cpu_level());
  if (!name.empty()) chosen_level = int(level_named(name));
  return before;
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

cpu::Type cpu_type(ScalarType type) {
  return type == ScalarType::Float      ? cpu::Type::float32
         : type == ScalarType::BFloat16 ? cpu::Type::bfloat16
                                        : cpu::Type::float64;
}

cpu::Features cpu_features(const Tensor& features, const Layout& layout) {
  return {features.const_data_ptr(),
          cpu_type(features.scalar_type()),
          layout.samples,
          layout.channels,
          layout.pixels,
          layout.sample_stride,
          layout.channel_stride,
          layout.pixel_stride};
}

}  // namespace ganart::bindings
