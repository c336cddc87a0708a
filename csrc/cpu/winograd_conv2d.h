// Winograd's 3x3 convolution of one instruction set.
//
// Formula   y[n, k, i, j] = bias[k] + sum over c, a, b of x[n, c, i + a - 1, j + b - 1] w[k, c, a, b], zeros outside x, as
//           A^T [sum over c of (G w G^T) * (B^T d B)] A for tiles of 6 x 6 outputs, d their 8 x 8 inputs.
// Shapes    x [N, H, W, C] and y [N, H, W, K], dense; kernel [64, ceil(K / 32), C, 32], point by point G w G^T with zeros
//           past K; bias [K] or null.
// Cost      64 multiply-adds a tile for each c and k in place of 324.
// Sums      float. Points 0, +-1, +-2, +-1/2 and infinity: error is about 100 times that of a direct sum.
// Repeats   bit for bit: each sum is one task's, in the order of channels.
// Source    A. Lavin and S. Gray, "Fast algorithms for convolutional neural networks", CVPR 2016.
#pragma once

namespace {

#include "cpu/elements.h"
#include "cpu/tasks.h"

namespace winograd {

constexpr int OUT = 6, IN = 8, POINTS = IN * IN, PANEL = 32;
constexpr int64_t OWN = 1 << 20, SHARED = 16 << 20;  // bytes of tiles under way, of one worker or of all together

// d := B^T d, for eight vectors.
template <class V>
GANART_INLINE void transform_input(V (&d)[IN]) {
  const V even = d[2] + d[6] - d[4] * 4.25f, odd = d[1] + d[5] - d[3] * 4.25f;
  const V half_even = d[2] * 0.25f - d[4] * 1.25f + d[6], half_odd = d[1] * 0.5f - d[3] * 2.5f + d[5] * 2.0f;
  const V twice_even = d[2] * 4.0f - d[4] * 5.0f + d[6], twice_odd = d[1] * 2.0f - d[3] * 2.5f + d[5] * 0.5f;
  const V first = d[0] - d[6] + (d[4] - d[2]) * 5.25f, last = d[7] - d[1] + (d[3] - d[5]) * 5.25f;
  d[0] = first;
  d[1] = even + odd;
  d[2] = even - odd;
  d[3] = half_even + half_odd;
  d[4] = half_even - half_odd;
  d[5] = twice_even + twice_odd;
  d[6] = twice_even - twice_odd;
  d[7] = last;
}

// y = A^T m.
template <class V>
GANART_INLINE void transform_output(const V (&m)[IN], V (&y)[OUT]) {
  const V sum1 = m[1] + m[2], sum2 = m[3] + m[4], sum3 = m[5] + m[6];
  const V gap1 = m[1] - m[2], gap2 = m[3] - m[4], gap3 = m[5] - m[6];
  y[0] = m[0] + sum1 + sum2 + sum3;
  y[1] = gap1 + gap2 * 2.0f + gap3 * 0.5f;
  y[2] = sum1 + sum2 * 4.0f + sum3 * 0.25f;
  y[3] = gap1 + gap2 * 8.0f + gap3 * 0.125f;
  y[4] = sum1 + sum2 * 16.0f + sum3 * 0.0625f;
  y[5] = gap1 + gap2 * 32.0f + gap3 * 0.03125f + m[7];
}

// The tiles of all samples, in order, and how those under way are kept, transformed.
struct Tiles {
  static constexpr int L = LANES<float>;
  static constexpr int ROWS = L == 16 ? 12 : 6;  // of one product in registers, by two vectors

  int64_t down, across, count;
  bool apart;                     // whether each worker takes blocks of tiles through all stages, out of its own caches
  int64_t block;                  // tiles under way together
  int64_t in_stride, out_stride;  // channels, rounded up to whole vectors
  int64_t in_plane, out_plane;    // one point of a block; a line more, so that points do not meet in one cache set

  explicit Tiles(const Convolution& c)
      : down((c.height + OUT - 1) / OUT), across((c.width + OUT - 1) / OUT), count(c.samples * down * across),
        in_stride(round_up(c.in_channels, 16)), out_stride(round_up(c.out_channels, PANEL)) {
    const int64_t bytes = POINTS * int64_t(sizeof(float)) * (in_stride + out_stride);
    apart = OWN >= 12 * bytes && count * bytes > 16 * OWN;
    const int64_t most = apart ? OWN / bytes : larger(96, SHARED / bytes), blocks = (count + most - 1) / most;
    block = round_up((count + blocks - 1) / blocks, ROWS);
    in_plane = block * in_stride + 16;
    out_plane = block * out_stride + 16;
  }

  int64_t floats() const { return POINTS * (in_plane + out_plane); }
};

struct Place {
  int64_t sample, y, x;

  Place(const Tiles& tiles, int64_t tile)
      : sample(tile / (tiles.down * tiles.across)), y(tile / tiles.across % tiles.down * OUT), x(tile % tiles.across * OUT) {}
};

// The transformed inputs of one tile, for all its channels.
template <class Element>
void input_tile(const Convolution& c, const Tiles& tiles, int64_t tile, const Element* zeros, float* to) {
  constexpr int L = Tiles::L;
  const Place place(tiles, tile);
  const auto* data = static_cast<const Element*>(c.x) + place.sample * c.height * c.width * c.in_channels;
  const Element* from[POINTS];
  for (int i = 0; i < IN; ++i)
    for (int j = 0; j < IN; ++j) {
      const int64_t y = place.y + i - 1, x = place.x + j - 1;
      const bool inside = y >= 0 && y < c.height && x >= 0 && x < c.width;
      from[i * IN + j] = inside ? data + (y * c.width + x) * c.in_channels : zeros;
    }
  for (int64_t channel = 0; channel < c.in_channels; channel += L) {
    const int64_t valid = c.in_channels - channel;
    Vector<float> half[IN][IN];
    for (int j = 0; j < IN; ++j) {
      Vector<float> d[IN];
#pragma GCC unroll 8
      for (int i = 0; i < IN; ++i) d[i] = load_elements(from[i * IN + j] + channel, valid);
      transform_input(d);
#pragma GCC unroll 8
      for (int i = 0; i < IN; ++i) half[i][j] = d[i];
    }
    for (int i = 0; i < IN; ++i) {
      transform_input(half[i]);
#pragma GCC unroll 8
      for (int j = 0; j < IN; ++j) store(to + (i * IN + j) * tiles.in_plane + channel, half[i][j]);
    }
  }
}

// The outputs of one tile, for one panel of channels.
template <class Element>
void output_tile(const Convolution& c, const Tiles& tiles, int64_t tile, int64_t panel, const float* from) {
  constexpr int L = Tiles::L;
  const Place place(tiles, tile);
  auto* data = static_cast<Element*>(c.y) + place.sample * c.height * c.width * c.out_channels;
  const int64_t down = smaller(OUT, c.height - place.y), across = smaller(OUT, c.width - place.x);
  for (int64_t channel = panel * PANEL; channel < smaller(c.out_channels, (panel + 1) * PANEL); channel += L) {
    const int64_t valid = c.out_channels - channel;
    Vector<float> half[OUT][IN];
    for (int j = 0; j < IN; ++j) {
      Vector<float> m[IN], y[OUT];
#pragma GCC unroll 8
      for (int i = 0; i < IN; ++i) m[i] = load(from + (i * IN + j) * tiles.out_plane + channel);
      transform_output(m, y);
#pragma GCC unroll 6
      for (int i = 0; i < OUT; ++i) half[i][j] = y[i];
    }
    const Vector<float> bias = c.bias ? load_elements(static_cast<const float*>(c.bias) + channel, valid) : splat(0.0f);
    for (int64_t i = 0; i < down; ++i) {
      Vector<float> y[OUT];
      transform_output(half[i], y);
      Element* row = data + ((place.y + i) * c.width + place.x) * c.out_channels + channel;
#pragma GCC unroll 6
      for (int64_t j = 0; j < OUT; ++j)
        if (j < across) store_elements(row + j * c.out_channels, y[j] + bias, valid);
    }
  }
}

// out[ROWS, PANEL] = tiles[ROWS, channels] * kernel[channels, PANEL].
GANART_INLINE void product(const float* tiles, int64_t tile_stride, const float* kernel, int64_t channels, float* out,
                           int64_t out_stride) {
  constexpr int L = Tiles::L, ROWS = Tiles::ROWS;
  for (int part = 0; part < PANEL; part += 2 * L) {
    Vector<float> sums[ROWS][2] = {};
    for (int64_t c = 0; c < channels; ++c) {
      const Vector<float> left = load(kernel + c * PANEL + part), right = load(kernel + c * PANEL + part + L);
#pragma GCC unroll 12
      for (int row = 0; row < ROWS; ++row) {
        const float value = tiles[row * tile_stride + c];
        sums[row][0] += left * value;
        sums[row][1] += right * value;
      }
    }
#pragma GCC unroll 12
    for (int row = 0; row < ROWS; ++row) {
      store(out + row * out_stride + part, sums[row][0]);
      store(out + row * out_stride + part + L, sums[row][1]);
    }
  }
}

// The three stages for a block of tiles: transform inputs, multiply, transform outputs.
template <class Element>
void convolve_block(const Convolution& c, const Tiles& tiles, int64_t first, const Element* zeros, float* memory,
                    RunTasks run) {
  const int64_t count = smaller(tiles.block, tiles.count - first), rows = round_up(count, Tiles::ROWS);
  const int64_t panels = tiles.out_stride / PANEL;
  float *in = memory, *out = memory + POINTS * tiles.in_plane;
  for_each(run, rows, [&](int64_t t) {
    float* to = in + t * tiles.in_stride;
    if (t < count) return input_tile<Element>(c, tiles, first + t, zeros, to);
    for (int64_t point = 0; point < POINTS; ++point)
      for (int64_t i = 0; i < tiles.in_stride; ++i) to[point * tiles.in_plane + i] = 0;
  });
  for_each(run, POINTS * panels, [&](int64_t task) {
    const int64_t point = task / panels, panel = task % panels;
    const float* weights = static_cast<const float*>(c.kernel) + task * c.in_channels * PANEL;
    for (int64_t row = 0; row < rows; row += Tiles::ROWS)
      product(in + point * tiles.in_plane + row * tiles.in_stride, tiles.in_stride, weights, c.in_channels,
              out + point * tiles.out_plane + row * tiles.out_stride + panel * PANEL, tiles.out_stride);
  });
  for_each(run, count * panels, [&](int64_t task) {
    const int64_t t = task / panels;
    output_tile<Element>(c, tiles, first + t, task % panels, out + t * tiles.out_stride);
  });
}

template <class Element>
void convolve(const Convolution& c, RunTasks run) {
  const Tiles tiles(c);
  const int64_t block_bytes = round_up(tiles.floats() * sizeof(float), 64);
  auto* memory = static_cast<char*>(scratch(ScratchSlot::shared, tiles.in_stride * sizeof(Element) + (tiles.apart ? 0 : block_bytes)));
  auto* zeros = reinterpret_cast<Element*>(memory + (tiles.apart ? 0 : block_bytes));
  for (int64_t i = 0; i < tiles.in_stride; ++i) zeros[i] = Element{};
  const int64_t blocks = (tiles.count + tiles.block - 1) / tiles.block;
  if (tiles.apart) {
    for_each(run, blocks, [&](int64_t block) {
      auto* own = static_cast<float*>(scratch(ScratchSlot::worker, block_bytes));
      convolve_block(c, tiles, block * tiles.block, zeros, own, run_serially);
      give_back_large_scratch(ScratchSlot::worker);
    });
  } else {
    for (int64_t block = 0; block < blocks; ++block)
      convolve_block(c, tiles, block * tiles.block, zeros, reinterpret_cast<float*>(memory), run);
  }
  give_back_large_scratch(ScratchSlot::shared);
}

}  // namespace winograd

void winograd_conv2d_of_type(const Convolution& c, RunTasks run) {
  if (c.type == Type::bfloat16)
    winograd::convolve<Bfloat16>(c, run);
  else
    winograd::convolve<float>(c, run);
}

}  // namespace

const ConvolutionKernels convolution_kernels{winograd_conv2d_of_type};
