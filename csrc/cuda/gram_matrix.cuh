// Kernels of the Gram matrix, and of its difference from a target, which the style loss takes. No torch, no launch.
//
// Formula   G = F F^T / (C*P); loss = mean (G - T)^2; grad F = factor * scale * (S + S^T) F.
// Layouts   F [N, C, P] with pixels or channels contiguous, any alignment; matrices [N, C, C] contiguous, float32.
// Bytes     forward reads F once from memory (tiles of one piece run together, so that they share it in L2) and leaves
//           partial sums that stay in L2; backward reads F once and writes the gradient once.
// FLOPs     forward C*(C + tile)*P multiply-adds, half of what a full product and its padding take; backward 2*C*C*P.
// Repeats   bit for bit: pieces and block sums are added in an order that the shape fixes; no atomics.
#pragma once

#include <algorithm>
#include <type_traits>

#include "block_product.cuh"
#include "gram_plan.h"
#include "reductions.cuh"

namespace ganart::cuda {

// Features as kernels see them: lines of pixels, one a channel, or lines of channels, one a pixel.
template <class Element>
struct FeatureView {
  const Element* data;
  int64_t sample_stride, line_stride;
  bool aligned;
};

// --- forward, first stage: partial sums of each upper tile over each piece of the pixels

// partials [sample][tile][piece][depth group][tile * tile]
template <class Pipe, class Product, int blocks_per_multiprocessor>
__global__ void __launch_bounds__(Product::threads, blocks_per_multiprocessor)
    gram_partials(GramPlan plan, FeatureView<typename Product::LayoutA::Element> features, float* partials) {
  GANART_SHARED_MEMORY(shared);
  constexpr Major major = Product::LayoutA::major;
  int64_t index = blockIdx.x;
  const int tile = static_cast<int>(index % plan.tiles);
  index /= plan.tiles;
  const int piece = static_cast<int>(index % plan.pieces);
  const int64_t sample = index / plan.pieces;
  const TileIndex at = upper_tile(tile, plan.side);
  const int64_t first_pixel = piece * plan.piece_length;
  const int64_t pixels_left = plan.positions - first_pixel;
  const int64_t pixels = pixels_left < plan.piece_length ? pixels_left : plan.piece_length;

  const auto operand = [&](int tile_index) {
    const int64_t channel = static_cast<int64_t>(tile_index) * plan.tile;
    const int64_t lines = major == Major::depth ? channel : first_pixel;
    const int64_t along = major == Major::depth ? first_pixel : channel;
    return Operand<typename Product::LayoutA::Element>{
        features.data + sample * features.sample_stride + lines * features.line_stride + along, features.line_stride,
        features.aligned};
  };
  const auto channels_from = [&](int tile_index) { return plan.channels - tile_index * plan.tile; };

  Product product;
  Pipe::run(product, shared, operand(at.row), operand(at.column), channels_from(at.row), channels_from(at.column),
            pixels, at.row == at.column);

  const int64_t sum_index = ((sample * plan.tiles + tile) * plan.pieces + piece) * Product::depth_groups +
                            Product::depth_group();
  float* const sums = partials + sum_index * (Product::rows * Product::columns);
  product.visit([&](int row, int column, const Run<float, Product::run>& values) {
    *reinterpret_cast<Run<float, Product::run>*>(sums + row * Product::columns + column) = values;
  });
}

// --- forward, second stage: adds the pieces, mirrors the tile, and takes the difference from the target

constexpr int patch = 16;        // a block finishes a patch x patch part of the matrix
constexpr int piece_groups = 8;  // groups of threads that add pieces in parallel, since there can be hundreds
constexpr int finish_threads = patch * patch / 4 * piece_groups;

GANART_HOST_DEVICE inline int64_t patches_along(int64_t channels) { return ceil_divide(channels, patch); }

// Without a target: result = G. With one: result = G - T, and the patch's sum of squares goes to square_sums.
template <bool with_target>
__global__ void __launch_bounds__(finish_threads)
    gram_finish(GramPlan plan, const float* partials, const float* target, int64_t target_sample_stride, float* result,
                double* square_sums) {
  __shared__ float4 group_sums[piece_groups][patch * patch / 4];
  __shared__ float gram[patch][patch + 1];
  const int side = static_cast<int>(patches_along(plan.channels));
  const int patches = static_cast<int>(triangle(side));
  const int64_t sample = blockIdx.x / patches;
  const TileIndex at = upper_tile(static_cast<int>(blockIdx.x % patches), side);
  const int thread = threadIdx.x;

  const TileIndex tile = {at.row * patch / plan.tile, at.column * patch / plan.tile};
  const int sums = plan.pieces * plan.sums_per_piece;
  const int64_t tile_size = static_cast<int64_t>(plan.tile) * plan.tile;
  const int quad = thread % (patch * patch / 4);
  const int group = thread / (patch * patch / 4);
  const int row = at.row * patch % plan.tile + quad / (patch / 4);
  const int column = at.column * patch % plan.tile + quad % (patch / 4) * 4;
  const float* const own = partials + (sample * plan.tiles + upper_index(tile, plan.side)) * sums * tile_size +
                           row * plan.tile + column;
  float4 sum = {0, 0, 0, 0};
#pragma unroll 8
  for (int piece = group; piece < sums; piece += piece_groups) {
    const float4 more = *reinterpret_cast<const float4*>(own + piece * tile_size);
    sum.x += more.x, sum.y += more.y, sum.z += more.z, sum.w += more.w;
  }
  group_sums[group][quad] = sum;
  __syncthreads();

  if (thread < patch * patch) {
    float total = 0;
#pragma unroll
    for (int i = 0; i < piece_groups; ++i) total += reinterpret_cast<const float*>(group_sums[i])[thread];
    const double pairs = static_cast<double>(plan.channels) * static_cast<double>(plan.positions);
    gram[thread / patch][thread % patch] = total / static_cast<float>(pairs);
  }
  __syncthreads();

  double squares = 0;
  const bool diagonal = at.row == at.column;
  if (thread < patch * patch) {
    const int r = thread / patch;
    const int c = thread % patch;
    const auto put = [&](int patch_row, int patch_column, float value) {
      const int i = patch_row * patch + r;
      const int j = patch_column * patch + c;
      if (i >= plan.channels || j >= plan.channels) return;
      const int64_t entry = static_cast<int64_t>(i) * plan.channels + j;
      if constexpr (with_target) {
        value -= target[sample * target_sample_stride + entry];
        squares += static_cast<double>(value) * value;
      }
      result[sample * plan.channels * plan.channels + entry] = value;
    };
    // A diagonal tile holds both halves; taking one for both makes the matrix symmetric to the last bit.
    put(at.row, at.column, diagonal && r > c ? gram[c][r] : gram[r][c]);
    if (!diagonal) put(at.column, at.row, gram[c][r]);
  }
  if constexpr (with_target) {
    squares = sum_over_block<finish_threads>(squares);
    if (thread == 0) square_sums[blockIdx.x] = squares;
  }
}

// --- backward, first stage: the symmetric matrix in the type of the product

constexpr int symmetrize_threads = 256;

// Row i: weights = (S + S^T)[i] / 2^e, row_scales[i] = factor * scale * 2^e. Only float16 needs the power of two, since
// differences of Gram matrices reach far below its range; there e brings the row's largest entry to between 1 and 2.
// weights [N, C, weights_stride]
template <class Element>
__global__ void __launch_bounds__(symmetrize_threads, 4)
    symmetrize(const float* matrix, int channels, const float* scale, float factor, Element* weights,
               int weights_stride, float* row_scales) {
  __shared__ float largest[symmetrize_threads];
  const int64_t sample = blockIdx.x / channels;
  const int row = static_cast<int>(blockIdx.x % channels);
  const float* const entries = matrix + sample * channels * channels;
  const auto symmetric = [&](int column) {
    return entries[static_cast<int64_t>(row) * channels + column] +
           entries[static_cast<int64_t>(column) * channels + row];
  };

  float inverse = 1;
  float power = 1;
  if constexpr (std::is_same_v<Element, float16>) {
    float most = 0;
    for (int column = threadIdx.x; column < channels; column += symmetrize_threads) {
      most = fmaxf(most, fabsf(symmetric(column)));
    }
    largest[threadIdx.x] = most;
    for (int half = symmetrize_threads / 2; half > 0; half /= 2) {
      __syncthreads();
      if (threadIdx.x < half) largest[threadIdx.x] = fmaxf(largest[threadIdx.x], largest[threadIdx.x + half]);
    }
    __syncthreads();
    // Zero, infinite and nearly subnormal maxima keep 1: nothing can be gained, and 2^-e would not be finite.
    if (largest[0] >= 1e-37f && largest[0] < 1e37f) {
      const int exponent = ilogbf(largest[0]);
      power = ldexpf(1.0f, exponent);
      inverse = ldexpf(1.0f, -exponent);
    }
  }
  Element* const target = weights + (sample * channels + row) * weights_stride;
  for (int column = threadIdx.x; column < weights_stride; column += symmetrize_threads) {
    target[column] = round_to(Element{}, column < channels ? symmetric(column) * inverse : 0.0f);
  }
  if (threadIdx.x == 0) row_scales[sample * channels + row] = factor * (scale ? *scale : 1.0f) * power;
}

// --- backward, second stage: one product

template <class Pipe, class Product>
constexpr int gradient_shared_bytes =
    std::max(Pipe::shared_bytes,
             Product::rows*(Product::columns* static_cast<int>(sizeof(typename Product::LayoutA::Element)) + 16));

// gradient = row_scales * (weights F), dense. With pixels contiguous a block's rows are output channels and its columns
// pixels; with channels contiguous its rows are pixels and its columns output channels, so that writes follow memory.
template <class Pipe, class Product, bool pixels_contiguous, int blocks_per_multiprocessor>
__global__ void __launch_bounds__(Product::threads, blocks_per_multiprocessor)
    weighted_features(FeatureView<typename Product::LayoutA::Element> features, int channels, int64_t pixels,
                      const typename Product::LayoutA::Element* weights, int weights_stride, const float* row_scales,
                      typename Product::LayoutA::Element* gradient) {
  using Element = typename Product::LayoutA::Element;
  GANART_SHARED_MEMORY(shared);
  constexpr int channel_tile = pixels_contiguous ? Product::rows : Product::columns;
  constexpr int pixel_tile = pixels_contiguous ? Product::columns : Product::rows;
  const int channel_tiles = (channels + channel_tile - 1) / channel_tile;
  const int64_t pixel_tiles = ceil_divide(pixels, pixel_tile);
  int64_t index = blockIdx.x;  // channel tiles first: blocks that read the same pixels run together
  const int first_channel = static_cast<int>(index % channel_tiles) * channel_tile;
  index /= channel_tiles;
  const int64_t first_pixel = index % pixel_tiles * pixel_tile;
  const int64_t sample = index / pixel_tiles;
  const int channels_left = channels - first_channel;
  const int64_t pixels_left = pixels - first_pixel;

  const Operand<Element> weight_rows = {
      weights + (sample * channels + first_channel) * static_cast<int64_t>(weights_stride), weights_stride, true};
  const Operand<Element> feature_tile = {
      features.data + sample * features.sample_stride + first_pixel * (pixels_contiguous ? 1 : features.line_stride),
      features.line_stride, features.aligned};
  Product product;
  if constexpr (pixels_contiguous) {
    Pipe::run(product, shared, weight_rows, feature_tile, channels_left, pixels_left, channels, false);
  } else {
    Pipe::run(product, shared, feature_tile, weight_rows, pixels_left, channels_left, channels, false);
  }

  const float* const scales = row_scales + sample * channels + first_channel;
  const int64_t line = pixels_contiguous ? pixels : channels;
  const int64_t origin = sample * channels * pixels +
                         (pixels_contiguous ? first_channel * line + first_pixel : first_pixel * line + first_channel);
  const int64_t rows_left = pixels_contiguous ? channels_left : pixels_left;
  const int64_t columns_left = pixels_contiguous ? pixels_left : channels_left;
  const auto scaled = [&](int row, int column, float value) {
    const int channel = pixels_contiguous ? row : column;
    return round_to(Element{}, channel < channels_left ? value * scales[channel] : 0.0f);
  };

  // Through shared memory, so that a warp writes whole lines of memory: its fragments hold 8 bytes of each at most.
  // A chunk of padding keeps the 8 rows of a fragment on different banks.
  constexpr int width = 16 / sizeof(Element);
  constexpr int stride = Product::columns + width;
  static_assert(sizeof(Element) * Product::rows * stride <= gradient_shared_bytes<Pipe, Product>);
  Element* const staged = reinterpret_cast<Element*>(shared);
  product.visit([&](int row, int column, const Run<float, Product::run>& values) {
    Run<Element, Product::run> rounded;
#pragma unroll
    for (int i = 0; i < Product::run; ++i) rounded.elements[i] = scaled(row, column + i, values.elements[i]);
    *reinterpret_cast<Run<Element, Product::run>*>(staged + row * stride + column) = rounded;
  });
  __syncthreads();
  const bool whole_chunks = line % width == 0 && reinterpret_cast<uintptr_t>(gradient + origin) % 16 == 0;
  for (int item = threadIdx.x; item < Product::rows * (Product::columns / width); item += Product::threads) {
    const int row = item / (Product::columns / width);
    const int column = item % (Product::columns / width) * width;
    if (row >= rows_left || column >= columns_left) continue;
    const auto chunk = *reinterpret_cast<const Run<Element, width>*>(staged + row * stride + column);
    Element* const target = gradient + origin + row * line + column;
    if (whole_chunks) {  // a line then ends where a chunk does
      *reinterpret_cast<Run<Element, width>*>(target) = chunk;
    } else {
#pragma unroll
      for (int i = 0; i < width; ++i) {
        if (column + i < columns_left) target[i] = chunk.elements[i];
      }
    }
  }
}

}  // namespace ganart::cuda
