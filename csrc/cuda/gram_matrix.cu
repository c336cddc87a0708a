// Launchers of the Gram matrix: choose the tile and the product, lay out the workspace, queue kernels.
#include "gram_matrix.h"

#include "gram_matrix.cuh"
#include "launch.cuh"

namespace ganart::cuda {
namespace {

// How blocks multiply elements of one kind. `depth` fills 64-byte lines in shared memory for large tiles, 128-byte ones
// for small, which have room for more bytes in flight; `blocks` is the number that a multiprocessor's registers hold.
template <class Element>
struct Recipe {
  static constexpr int depth(int tile) { return (tile == 128 ? 64 : 128) / static_cast<int>(sizeof(Element)); }
  static constexpr int depth_groups(int tile) { return tile == 32 ? 4 : 1; }
  static constexpr int blocks(int tile) { return tile == 128 ? 2 : 3; }

  // A 32 x 32 tile is too small to be divided among warps: they take turns along the depth instead.
  template <Major a, Major b, int rows, int columns, int tile = std::max(rows, columns)>
  using Product = TensorCoreProduct<Element, a, b, rows, columns, depth(tile), tile == 32 ? 1 : 2, tile == 32 ? 1 : 2,
                                    depth_groups(tile)>;
};

template <>
struct Recipe<float> {
  static constexpr int depth(int tile) { return tile == 128 ? 16 : 32; }
  static constexpr int depth_groups(int) { return 1; }
  static constexpr int blocks(int tile) { return tile == 128 ? 1 : 2; }

  template <Major a, Major b, int rows, int columns, int tile = std::max(rows, columns)>
  using Product = FusedProduct<a, b, tile, depth(tile), tile == 32 ? 8 : 16>;
};

constexpr int stages = 4;

// Calls use(Element{}) with the type that the features are multiplied as.
template <class Use>
auto with_factor(const Features& features, bool allow_tf32, const Use& use) {
  switch (features.type) {
    case Type::bfloat16: return use(bfloat16{});
    case Type::float16: return use(float16{});
    default: return allow_tf32 ? use(tfloat32{}) : use(float{});
  }
}

template <class Use>
auto with_tile(int tile, const Use& use) {
  switch (tile) {
    case 32: return use(std::integral_constant<int, 32>{});
    case 64: return use(std::integral_constant<int, 64>{});
    default: return use(std::integral_constant<int, 128>{});
  }
}

template <class Element>
GramPlan plan_for(const Features& features) {
  const int channels = static_cast<int>(features.channels);
  const int tile = choose_tile(channels);
  return plan_gram(features.samples, channels, features.pixels, tile, Recipe<Element>::depth(tile),
                   Recipe<Element>::depth_groups(tile));
}

bool pixels_contiguous(const Features& features) { return features.pixel_stride == 1; }

template <class Element>
FeatureView<Element> view(const Features& features) {
  const int64_t line_stride = pixels_contiguous(features) ? features.channel_stride : features.pixel_stride;
  constexpr int64_t width = 16 / sizeof(Element);
  const bool aligned = reinterpret_cast<uintptr_t>(features.data) % 16 == 0 && line_stride % width == 0 &&
                       features.sample_stride % width == 0;
  return {static_cast<const Element*>(features.data), features.sample_stride, line_stride, aligned};
}

// --- workspace: forward partial sums and sums of squares, backward weights and their scales

size_t round_up(size_t bytes) { return ceil_divide(bytes, 256) * 256; }

size_t partials_bytes(const GramPlan& plan) { return round_up(plan.partials() * sizeof(float)); }

int64_t finish_blocks(const GramPlan& plan) { return plan.samples * triangle(patches_along(plan.channels)); }

template <class Element>
int weights_stride(const Features& features) {
  constexpr int width = 16 / sizeof(Element);
  return static_cast<int>(ceil_divide(features.channels, width) * width);
}

template <class Element>
size_t weights_bytes(const Features& features) {
  return round_up(features.samples * features.channels * weights_stride<Element>(features) * sizeof(Element));
}

// --- queueing

// Queues partial sums, then G or G - T into `result`, with sums of squares for a target.
template <class Element>
cudaError_t queue_gram(const GramPlan& plan, const Features& features, const float* target,
                       int64_t target_sample_stride, float* result, void* workspace, cudaStream_t stream) {
  float* const partials = static_cast<float*>(workspace);
  double* const square_sums = reinterpret_cast<double*>(static_cast<char*>(workspace) + partials_bytes(plan));
  const cudaError_t error = with_tile(plan.tile, [&](auto tile_constant) {
    constexpr int tile = tile_constant;
    const auto start = [&](auto major_constant) {
      constexpr Major major = major_constant;
      using Product = typename Recipe<Element>::template Product<major, major, tile, tile>;
      using Pipe = Pipeline<Product, stages>;
      return launch(gram_partials<Pipe, Product, Recipe<Element>::blocks(tile)>, plan.blocks(), Product::threads,
                    Pipe::shared_bytes, stream, plan, view<Element>(features), partials);
    };
    return pixels_contiguous(features) ? start(std::integral_constant<Major, Major::depth>{})
                                       : start(std::integral_constant<Major, Major::row>{});
  });
  if (error != cudaSuccess) return error;
  return launch(target ? gram_finish<true> : gram_finish<false>, finish_blocks(plan), finish_threads, 0, stream, plan,
                static_cast<const float*>(partials), target, target_sample_stride, result, square_sums);
}

template <class Element>
cudaError_t queue_gradient(const Features& features, const Element* weights, const float* row_scales,
                           void* grad_features, cudaStream_t stream) {
  const int channels = static_cast<int>(features.channels);
  const auto start = [&](auto pixels_contiguous_constant, auto channel_tile_constant) {
    constexpr bool by_pixels = pixels_contiguous_constant;
    constexpr int channel_tile = channel_tile_constant;
    constexpr int pixel_tile = std::is_same_v<Element, float> ? channel_tile : 128;
    constexpr int rows = by_pixels ? channel_tile : pixel_tile;
    constexpr int columns = by_pixels ? pixel_tile : channel_tile;
    using Product =
        typename Recipe<Element>::template Product<Major::depth, by_pixels ? Major::row : Major::depth, rows, columns>;
    using Pipe = Pipeline<Product, stages>;
    const int64_t blocks = features.samples * ceil_divide(channels, channel_tile) *
                           ceil_divide(features.pixels, pixel_tile);
    return launch(weighted_features<Pipe, Product, by_pixels, Recipe<Element>::blocks(rows + columns < 256 ? 64 : 128)>,
                  blocks, Product::threads, gradient_shared_bytes<Pipe, Product>, stream, view<Element>(features),
                  channels, features.pixels, weights, weights_stride<Element>(features), row_scales,
                  static_cast<Element*>(grad_features));
  };
  const auto with_layout = [&](auto channel_tile_constant) {
    return pixels_contiguous(features) ? start(std::true_type{}, channel_tile_constant)
                                       : start(std::false_type{}, channel_tile_constant);
  };
  return channels <= 64 ? with_layout(std::integral_constant<int, 64>{})
                        : with_layout(std::integral_constant<int, 128>{});
}

}  // namespace

size_t gram_matrix_workspace(const Features& features, bool allow_tf32) {
  return with_factor(features, allow_tf32, [&](auto element) {
    using Element = decltype(element);
    const GramPlan plan = plan_for<Element>(features);
    const size_t forward = partials_bytes(plan) + finish_blocks(plan) * sizeof(double);
    const size_t backward = weights_bytes<Element>(features) + features.samples * features.channels * sizeof(float);
    return std::max(forward, backward);
  });
}

cudaError_t gram_matrix(const Features& features, float* gram, void* workspace, bool allow_tf32, cudaStream_t stream) {
  return with_factor(features, allow_tf32, [&](auto element) {
    using Element = decltype(element);
    return queue_gram<Element>(plan_for<Element>(features), features, nullptr, 0, gram, workspace, stream);
  });
}

cudaError_t gram_difference(const Features& features, const float* target, int64_t target_sample_stride,
                            float* difference, SquareSums& squares, void* workspace, bool allow_tf32,
                            cudaStream_t stream) {
  return with_factor(features, allow_tf32, [&](auto element) {
    using Element = decltype(element);
    const GramPlan plan = plan_for<Element>(features);
    squares = {reinterpret_cast<const double*>(static_cast<char*>(workspace) + partials_bytes(plan)),
               finish_blocks(plan)};
    return queue_gram<Element>(plan, features, target, target_sample_stride, difference, workspace, stream);
  });
}

cudaError_t gram_matrix_backward(const float* matrix, const float* scale, float factor, const Features& features,
                                 void* grad_features, void* workspace, bool allow_tf32, cudaStream_t stream) {
  return with_factor(features, allow_tf32, [&](auto element) {
    using Element = decltype(element);
    auto* const weights = static_cast<Element*>(workspace);
    auto* const row_scales = reinterpret_cast<float*>(static_cast<char*>(workspace) + weights_bytes<Element>(features));
    const cudaError_t error = launch(symmetrize<Element>, features.samples * features.channels, symmetrize_threads, 0,
                                     stream, matrix, static_cast<int>(features.channels), scale, factor, weights,
                                     weights_stride<Element>(features), row_scales);
    if (error != cudaSuccess) return error;
    return queue_gradient<Element>(features, weights, row_scales, grad_features, stream);
  });
}

}  // namespace ganart::cuda
