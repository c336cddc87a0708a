// Bindings of upsampling, FIR filtering and downsampling: schema, checks and dispatch.
#include <algorithm>
#include <vector>

#include "bindings/arguments.h"
#include "bindings/cuda.h"
#include "cpu/upfirdn2d.h"
#include "cuda/upfirdn2d.h"

namespace {

using namespace ganart::bindings;
using ganart::Resampling;

Resampling checked_geometry(const char* op, const Tensor& x, const Tensor& taps, const std::vector<int64_t>& up,
                            const std::vector<int64_t>& down, const std::vector<int64_t>& padding) {
  check_pictures(op, "x", x);
  STD_TORCH_CHECK(up.size() == 2 && down.size() == 2 && padding.size() == 4, op,
                  ": up and down need two values as (x, y), padding four as (x0, x1, y0, y1)");
  STD_TORCH_CHECK(std::min({up[0], up[1], down[0], down[1]}) >= 1, op, ": up and down must be 1 or more");
  STD_TORCH_CHECK((taps.dim() == 1 || taps.dim() == 2) && taps.numel() > 0, op, ": taps have shape ", shape_of(taps),
                  ", expected [K] or [KH, KW]");
  check_sum_type(op, "taps", taps, x);
  check_device(op, "taps", taps, x);
  const int64_t rows = taps.size(0), columns = taps.size(taps.dim() - 1), height = x.size(2), width = x.size(3);
  const int64_t over_y = height * up[1] + padding[2] + padding[3] - rows;
  const int64_t over_x = width * up[0] + padding[0] + padding[1] - columns;
  STD_TORCH_CHECK(over_x >= 0 && over_y >= 0, op, ": x ", shape_of(x), " is smaller than its ", rows, " x ", columns,
                  " taps once padded");
  return {
      .separable = taps.dim() == 1,
      .rows = rows,
      .columns = columns,
      .up_x = up[0],
      .up_y = up[1],
      .down_x = down[0],
      .down_y = down[1],
      .x0 = padding[0],
      .y0 = padding[2],
      .height = height,
      .width = width,
      .out_height = over_y / down[1] + 1,
      .out_width = over_x / down[0] + 1,
  };
}

// Rows are read where they lie, even those of a crop; the pixels of a row are dense.
Input read_rows(const Tensor& x) {
  const int64_t channels = x.size(1), width = x.size(3);
  const bool last = channels > 1 && x.stride(1) == 1 && x.stride(3) == channels;
  Input in{!last && width > 1 && x.stride(3) != 1 ? torch::stable::contiguous(x) : x, {}};
  in.features = {in.tensor.const_data_ptr(), type_of(x.scalar_type()), x.size(0),           channels,
                 x.size(2) * width,          in.tensor.stride(0),      in.tensor.stride(1), last ? channels : 1};
  return in;
}

Tensor upfirdn2d(const Tensor& x, const Tensor& taps, std::vector<int64_t> up, std::vector<int64_t> down,
                 std::vector<int64_t> padding, double gain, bool flip) {
  constexpr const char* op = "upfirdn2d";
  const Resampling geometry = checked_geometry(op, x, taps, up, down, padding);
  const Input in = read_rows(x);
  const int64_t sizes[] = {x.size(0), x.size(1), geometry.out_height, geometry.out_width};
  Tensor y = empty_result(in, Sizes(sizes, 4));
  if (in.is_empty()) return torch::stable::fill_(y, 0);
  const Tensor dense_taps = torch::stable::contiguous(taps);
  const int64_t row_stride = in.tensor.stride(2);
  if (x.is_cuda())
    on_gpu(op, x, [&](auto& gpu) {
      return ganart::cuda::upfirdn2d(in.features, row_stride, geometry, dense_taps.const_data_ptr(), gain, flip,
                                     y.mutable_data_ptr(), gpu.stream);
    });
  else
    GANART_KERNELS(upfirdn2d_kernels)
        .forward(in.features, row_stride, geometry, dense_taps.const_data_ptr(), gain, flip, y.mutable_data_ptr(),
                 run_tasks);
  return y;
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(ganart, library) {
  library.def("upfirdn2d(Tensor x, Tensor taps, int[] up, int[] down, int[] padding, float gain, bool flip) -> Tensor");
}

GANART_IMPLEMENTATIONS(library) { library.impl("upfirdn2d", TORCH_BOX(&upfirdn2d)); }
