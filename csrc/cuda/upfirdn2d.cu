// Launcher of upsampling, FIR filtering and downsampling: chooses tiles that shared memory holds, and the kernel.
#include "upfirdn2d.cuh"

#include "launch.cuh"
#include "upfirdn2d.h"

namespace ganart::cuda {
namespace {

constexpr int most_shared_bytes = 96 * 1024;  // of a block
constexpr int results_of_a_tile = 2048;       // times channels
constexpr int widest_tile = 64, most_channels = 32, widest_tile_of_pixels = 8;

int round_up(int64_t value) { return static_cast<int>(ceil_divide(value, tile_step) * tile_step); }

// Columns of input for a tile: what its results need, rounded to whole runs at both ends.
int columns_for(const Axis& axis, int tile_width) {
  const int needed = ((tile_width - 1) * axis.down + axis.up + axis.taps - 2) / axis.up + 1;
  return round_up(needed + 2 * (tile_step - 1));
}

bool has_runs(const void* data, int size, std::initializer_list<int64_t> lengths) {
  if (size == 8 || reinterpret_cast<uintptr_t>(data) % (size * tile_step) != 0) return false;
  for (int64_t length : lengths) {
    if (length % tile_step != 0) return false;
  }
  return true;
}

// Fills in the division into tiles; false if shared memory does not hold even the smallest tile.
bool cut(ResamplingPlan& plan, int sum_size) {
  const int out_width = round_up(plan.horizontal.out), out_height = round_up(plan.vertical.out);
  // Tiles of pixels are narrower, since all their channels need lines in shared memory.
  plan.channels = plan.by_channel ? 1 : static_cast<int>(smaller<int64_t>(plan.all_channels, most_channels));
  plan.tile_width = smaller(out_width, plan.by_channel ? widest_tile : widest_tile_of_pixels);
  plan.tile_height = smaller(out_height, larger(round_up(results_of_a_tile / (plan.tile_width * plan.channels)), 4));
  const auto fits = [&] {
    plan.columns = columns_for(plan.horizontal, plan.tile_width);
    return int64_t{plan.tile_height} * plan.line() * sum_size <= most_shared_bytes;
  };
  while (!fits()) {
    if (plan.tile_height > tile_step)
      plan.tile_height = round_up(plan.tile_height / 2);
    else if (plan.tile_width > tile_step)
      plan.tile_width = round_up(plan.tile_width / 2);
    else if (plan.channels > tile_step)
      plan.channels = round_up(plan.channels / 2);
    else
      return false;
  }
  plan.tiles_down = static_cast<int>(ceil_divide(plan.vertical.out, plan.tile_height));
  plan.tiles_across = static_cast<int>(ceil_divide(plan.horizontal.out, plan.tile_width));
  plan.groups = static_cast<int>(ceil_divide(plan.all_channels, plan.channels));
  return true;
}

bool has(const Axis& axis, int up, int down) { return axis.taps == 4 && axis.up == up && axis.down == down; }

// Calls use(Filter{}) with the filter of both axes.
template <class Element, class Use>
cudaError_t with_filter(const ResamplingPlan& plan, const Use& use) {
  if constexpr (sizeof(Element) < 8) {
    const auto both = [&](int up, int down) { return has(plan.vertical, up, down) && has(plan.horizontal, up, down); };
    if (both(1, 1)) return use(Filter<1, 1, 4>{});
    if (both(2, 1)) return use(Filter<2, 1, 4>{});
    if (both(1, 2)) return use(Filter<1, 2, 4>{});
  }
  return use(AnyFilter{});
}

template <class Element>
cudaError_t queue(ResamplingPlan plan, bool separable, const void* input, const void* taps, double gain, bool flip,
                  void* output, cudaStream_t stream) {
  using S = Sum<Element>;
  constexpr int size = sizeof(Element);
  const auto* const x = static_cast<const Element*>(input);
  auto* const y = static_cast<Element*>(output);
  const int64_t count = separable ? plan.vertical.taps : int64_t{plan.vertical.taps} * plan.horizontal.taps;
  const Taps<S> weights = {static_cast<const S*>(taps), count, flip};
  if (!separable || !cut(plan, sizeof(S))) {
    const int64_t results = plan.samples * plan.all_channels * plan.vertical.out * plan.horizontal.out;
    return launch(upfirdn2d_direct<Element>, ceil_divide(results, direct_threads), direct_threads, 0, stream, plan, x,
                  weights, separable, static_cast<S>(gain), y);
  }
  if (plan.by_channel) {
    plan.input_runs = has_runs(x, size, {plan.horizontal.in, plan.row_stride, plan.channel_stride, plan.sample_stride});
    plan.output_runs = has_runs(y, size, {plan.horizontal.out});
  } else {
    plan.input_runs = has_runs(x, size, {plan.all_channels, plan.pixel_stride, plan.row_stride, plan.sample_stride});
    plan.output_runs = has_runs(y, size, {plan.all_channels});
  }
  return with_filter<Element>(plan, [&](auto filter) {
    using F = decltype(filter);
    return launch(plan.by_channel ? upfirdn2d_separable<Element, F, true> : upfirdn2d_separable<Element, F, false>,
                  plan.blocks(), resampling_threads, plan.tile_height * plan.line() * static_cast<int>(sizeof(S)),
                  stream, plan, x, weights, static_cast<S>(gain), y);
  });
}

}  // namespace

cudaError_t upfirdn2d(const Features& x, int64_t x_row_stride, const Resampling& r, const void* taps, double gain,
                      bool flip, void* y, cudaStream_t stream) {
  constexpr int64_t limit = 1 << 30;  // indices along one axis are int
  for (int64_t number : {r.rows * r.up_y, r.columns * r.up_x, r.height * r.up_y, r.width * r.up_x,
                         r.out_height * r.down_y, r.out_width * r.down_x, r.y0, -r.y0, r.x0, -r.x0}) {
    if (number >= limit) return cudaErrorInvalidValue;
  }
  const auto axis = [](int64_t taps_along, int64_t up, int64_t down, int64_t padding, int64_t in, int64_t out) {
    return Axis{static_cast<int>(taps_along), static_cast<int>(up), static_cast<int>(down),
                static_cast<int>(padding),    static_cast<int>(in), static_cast<int>(out)};
  };
  ResamplingPlan plan = {};
  plan.vertical = axis(r.rows, r.up_y, r.down_y, r.y0, r.height, r.out_height);
  plan.horizontal = axis(r.columns, r.up_x, r.down_x, r.x0, r.width, r.out_width);
  plan.by_channel = x.pixel_stride == 1;
  plan.samples = x.samples, plan.all_channels = x.channels;
  plan.sample_stride = x.sample_stride, plan.channel_stride = x.channel_stride;
  plan.row_stride = x_row_stride, plan.pixel_stride = x.pixel_stride;
  return with_element(x.type, [&](auto element) {
    return queue<decltype(element)>(plan, r.separable, x.data, taps, gain, flip, y, stream);
  });
}

}  // namespace ganart::cuda
