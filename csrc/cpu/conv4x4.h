// A 4x4 convolution of step 2 and padding 1 by Winograd's algorithm, and its derivatives, on the CPU.
//
// Formula   z[n, k, i, j] = bias[k] + sum over c, a, b of x[n, c, 2i + a - 1, 2j + b - 1] w[k, c, a, b], zeros outside
//           x, and y = act(z), linear above and below 0, clamped. Every second row and column of x is one of four
//           phases, which meet 2x2 of the taps each: z is the sum of four 2x2 convolutions of step 1, of 4C channels.
//           As tiles of 4 x 4 outputs it is A^T [sum over phases and c of (G w G^T) * (B^T d B)] A; the gradient of x
//           is the adjoint, B [sum over k of (G w G^T) * (A g A^T)] B^T, whose tiles overlap; that of w is
//           G^T [sum over tiles of (B^T d B) * (A g A^T)] G.
// Shapes    x [N, C, H, W], y and grad [N, K, H / 2, W / 2], pixels or channels adjacent; w [K, C, 4, 4]; bias [K] or
//           null.
// Cost      multiply-adds per tile for each c and k: 100 instead of 256.
// Sums      float.
// Repeats   bit for bit: each sum is one task's, in the order of channels or tiles, and blocks are added in order.
// Source    A. Lavin and S. Gray, "Fast algorithms for convolutional neural networks", CVPR 2016.
#pragma once

#include "cpu/winograd.h"

namespace ganart::cpu {

// The gradient with respect to x: features of `height` x `width` pixels.
struct Conv4x4Gradient {
  Features grad;
  int64_t grad_width, channels, height, width;
  void* x;  // dense; channels_last unless grad.pixel_stride == 1
};

struct Conv4x4Kernels {
  void (*forward)(const Convolution& convolution, const void* weight, RunTasks run);
  void (*gradient)(const Conv4x4Gradient& gradient, const void* weight, RunTasks run);

  // The gradient with respect to weight.
  void (*weight)(const Features& x, int64_t width, const Features& grad, void* grad_weight, RunTasks run);
};
GANART_DECLARE_KERNELS(Conv4x4Kernels, conv4x4_kernels)

}  // namespace ganart::cpu

#if defined(GANART_LEVEL)

namespace ganart::cpu::GANART_LEVEL {
namespace {
namespace winograd {

// An algorithm as those of winograd_algorithms.h, of two taps and with the points 0, 1, -1, 2 and infinity. Errors are
// about 3 times those of a direct sum.
struct TwoTaps {
  using V = Vector<float>;
  static constexpr int OUT = 4, IN = 5;

  // B^T d.
  GANART_INLINE static void input(const V (&d)[IN], V (&p)[IN]) {
    const V gap = d[3] - d[1];
    p[0] = (d[0] - d[2]) * 2.0f + gap;
    p[1] = gap - d[1] - d[2];
    p[2] = gap + (d[1] - d[2]) * 3.0f;
    p[3] = gap;
    p[4] = d[4] - d[2] - gap * 2.0f;
  }

  // B p.
  GANART_INLINE static void input_gradient(const V (&p)[IN], V (&d)[IN]) {
    d[0] = p[0] * 2.0f;
    d[1] = (p[2] - p[1] + p[4]) * 2.0f - p[0] - p[3];
    d[2] = p[0] * -2.0f - p[1] - p[2] * 3.0f - p[4];
    d[3] = p[0] + p[1] + p[2] + p[3] - p[4] * 2.0f;
    d[4] = p[4];
  }

  // A^T p.
  GANART_INLINE static void output(const V (&p)[IN], V (&y)[OUT]) {
    const V sum = p[1] + p[2], gap = p[1] - p[2];
    y[0] = p[0] + sum + p[3];
    y[1] = gap + p[3] * 2.0f;
    y[2] = sum + p[3] * 4.0f;
    y[3] = gap + p[3] * 8.0f + p[4];
  }

  // A g.
  GANART_INLINE static void gradient(const V (&g)[OUT], V (&p)[IN]) {
    const V even = g[0] + g[2], odd = g[1] + g[3];
    p[0] = g[0];
    p[1] = even + odd;
    p[2] = even - odd;
    p[3] = g[0] + g[1] * 2.0f + g[2] * 4.0f + g[3] * 8.0f;
    p[4] = g[3];
  }

  // G w.
  GANART_INLINE static void weight(const V (&w)[2], V (&u)[IN]) {
    u[0] = w[0] * 0.5f;
    u[1] = (w[0] + w[1]) * -0.5f;
    u[2] = (w[1] - w[0]) * (1.0f / 6);
    u[3] = w[0] * (1.0f / 6) + w[1] * (2.0f / 6);
    u[4] = w[1];
  }

  // G^T u.
  GANART_INLINE static void weight_gradient(const V (&u)[IN], V (&w)[2]) {
    w[0] = (u[0] - u[1]) * 0.5f + (u[3] - u[2]) * (1.0f / 6);
    w[1] = u[1] * -0.5f + u[2] * (1.0f / 6) + u[3] * (2.0f / 6) + u[4];
  }
};

constexpr int PHASES = 4, PHASE_TAPS = 16;
constexpr int STRIDE = 2 * TwoTaps::OUT, REACH = 2 * TwoTaps::IN;  // pixels from tile to tile, and of a tile
template <>
constexpr int SEGMENT<TwoTaps> = (PIXELS - REACH) / STRIDE + 1;

// The place of a phase of a channel among 4 C: vectors of channels together with their phases.
GANART_INLINE int64_t place_of(int phase, int64_t channel, int64_t channels) {
  const int64_t lane = channel % L, start = channel - lane;
  return PHASES * start + phase * smaller(L, channels - start) + lane;
}

// Applies `transform`, from FROM values to TO, down the columns and then along the rows of from(row, column).
// put(row, values) receives the results row by row.
template <int FROM, int TO, class From, class Transform, class Put>
GANART_INLINE void transform_grid(From from, Transform transform, Put put) {
  Vector<float> half[TO][FROM];
#pragma GCC unroll 5
  for (int j = 0; j < FROM; ++j) {
    Vector<float> column[FROM], transformed[TO];
#pragma GCC unroll 5
    for (int i = 0; i < FROM; ++i) column[i] = from(i, j);
    transform(column, transformed);
#pragma GCC unroll 5
    for (int i = 0; i < TO; ++i) half[i][j] = transformed[i];
  }
#pragma GCC unroll 5
  for (int i = 0; i < TO; ++i) {
    Vector<float> row[TO];
    transform(half[i], row);
    put(i, row);
  }
}

// B^T d B of each phase.
inline void phase_tiles(const Features& x, int64_t width, const Segment& segment, int64_t channel,
                        const Plane<float>& plane, float* to) {
  Vector<float> pixels[REACH][PIXELS];
  fetch<REACH, float, false>(x, width, segment.sample, segment.down * STRIDE - 1, segment.across * STRIDE - 1,
                             (segment.count - 1) * STRIDE + REACH, channel, pixels);
  const int64_t valid = x.channels - channel;
  for (int phase = 0; phase < PHASES; ++phase) {
    float* const first_tile = to + segment.in_block * plane.stride + place_of(phase, channel, x.channels);
    const auto transform_all = [&](auto whole) GANART_INLINE_LAMBDA {
      for (int64_t t = 0; t < segment.count; ++t) {
        const Vector<float>* first = &pixels[phase / 2][t * STRIDE + phase % 2];
        float* tile = first_tile + t * plane.stride;
        transform_grid<TwoTaps::IN, TwoTaps::IN>(
            [=](int i, int j) GANART_INLINE_LAMBDA { return first[2 * i * PIXELS + 2 * j]; },
            [](const auto& d, auto& p) GANART_INLINE_LAMBDA { TwoTaps::input(d, p); },
            [=](int i, const auto& row) GANART_INLINE_LAMBDA {
#pragma GCC unroll 5
              for (int j = 0; j < TwoTaps::IN; ++j) {
                float* place = tile + (i * TwoTaps::IN + j) * plane.size;
                if constexpr (decltype(whole)::value)
                  store(place, row[j]);
                else
                  store_elements(place, row[j], valid);
              }
            });
      }
    };
    if (valid >= L)
      transform_all(std::true_type{});
    else
      transform_all(std::false_type{});
  }
}

// B p B^T of each phase of a segment's tiles, with what their neighbours above and to the left add, for L channels.
// Pixels from row 8 down - 1 and column 8 across - 1 on are complete; the last tiles of a row and of a column also
// complete the two pixels that follow.
inline void gradient_of_tiles(const Conv4x4Gradient& g, const Tiles<TwoTaps>& tiles, const Segment& segment,
                              int64_t channel, const Plane<float>& plane, const float* from) {
  constexpr int IN = TwoTaps::IN, LAST = IN - 1;
  const bool last_down = segment.down == tiles.down - 1, last_across = segment.across + segment.count == tiles.across;
  Vector<float> out[REACH][PIXELS];
  for (int phase = 0; phase < PHASES; ++phase) {
    const float* first = from + segment.in_block * plane.stride + place_of(phase, channel, g.channels);
    const auto column_of = [&](const float* tile, int j, Vector<float>(&d)[IN]) GANART_INLINE_LAMBDA {
      Vector<float> p[IN];
#pragma GCC unroll 5
      for (int i = 0; i < IN; ++i) p[i] = load(tile + (i * IN + j) * plane.size);
      TwoTaps::input_gradient(p, d);
      if (segment.down > 0) d[0] += load(tile - tiles.across * plane.stride + (LAST * IN + j) * plane.size);
    };
    Vector<float> carried[IN] = {};
    if (segment.across > 0) column_of(first - plane.stride, LAST, carried);
    Vector<float>* to = &out[phase / 2][phase % 2];
    for (int64_t t = 0; t < segment.count; ++t) {
      Vector<float> half[IN][IN];
#pragma GCC unroll 5
      for (int j = 0; j < IN; ++j) {
        Vector<float> d[IN];
        column_of(first + t * plane.stride, j, d);
#pragma GCC unroll 5
        for (int i = 0; i < IN; ++i) half[i][j] = d[i];
      }
#pragma GCC unroll 5
      for (int i = 0; i < IN; ++i) {
        Vector<float> d[IN];
        TwoTaps::input_gradient(half[i], d);
        d[0] += carried[i];
        carried[i] = d[LAST];
#pragma GCC unroll 4
        for (int j = 0; j < LAST; ++j) to[2 * i * PIXELS + t * STRIDE + 2 * j] = d[j];
      }
    }
    for (int i = 0; i < IN; ++i) to[2 * i * PIXELS + segment.count * STRIDE] = carried[i];
  }
  const int64_t y = segment.down * STRIDE - 1, x = segment.across * STRIDE - 1, left = larger(0, -x);
  const int64_t right = smaller(segment.count * STRIDE + (last_across ? 2 : 0), g.width - x);
  const int64_t bottom = smaller(last_down ? REACH : STRIDE, g.height - y);
  const int64_t valid = g.channels - channel, pixels = g.height * g.width;
  auto* data = static_cast<float*>(g.x) + segment.sample * g.channels * pixels;
  for (int64_t i = larger(0, -y); i < bottom; ++i) {
    const int64_t place = (y + i) * g.width + x;
    if (g.grad.pixel_stride == 1) {
      for (int64_t step = left; step < right; step += L) {
        const int64_t j = larger(left, smaller(step, right - L));  // the last vector may overlap the one before
        Vector<float> square[L];
#pragma GCC unroll 16
        for (int64_t p = 0; p < L; ++p) square[p] = out[i][smaller(j + p, PIXELS - 1)];
        transpose<float>(square);
        for (int64_t c = 0; c < smaller(L, valid); ++c)
          store_elements(data + (channel + c) * pixels + place + j, square[c], right - j);
      }
    } else {
      for (int64_t j = left; j < right; ++j)
        store_elements(data + (place + j) * g.channels + channel, out[i][j], valid);
    }
  }
}

// ---- weights ----

// The 16 taps of L pairs of channels, `stride` apart, which become the lanes; zeros from `valid` on.
GANART_INLINE void load_phase_taps(const float* weight, int64_t stride, int64_t valid,
                                   Vector<float> (&taps)[PHASE_TAPS]) {
#pragma GCC unroll 4
  for (int q = 0; q < PHASE_TAPS; q += L) {
    Vector<float> square[L];
    for (int64_t k = 0; k < L; ++k) square[k] = k < valid ? load(weight + k * stride + q) : Vector<float>{};
    transpose<float>(square);
#pragma GCC unroll 16
    for (int i = 0; i < L; ++i) taps[q + i] = square[i];
  }
}

// G w G^T of each phase's taps; put(phase, point, values).
template <class Put>
GANART_INLINE void transform_phase_taps(const Vector<float> (&taps)[PHASE_TAPS], Put put) {
#pragma GCC unroll 4
  for (int phase = 0; phase < PHASES; ++phase) {
    Vector<float> half[TwoTaps::IN][2];
    for (int b = 0; b < 2; ++b) {
      const int tap = phase / 2 * 4 + phase % 2 + 2 * b;
      const Vector<float> column[2] = {taps[tap], taps[tap + 8]};
      Vector<float> u[TwoTaps::IN];
      TwoTaps::weight(column, u);
#pragma GCC unroll 5
      for (int i = 0; i < TwoTaps::IN; ++i) half[i][b] = u[i];
    }
#pragma GCC unroll 5
    for (int i = 0; i < TwoTaps::IN; ++i) {
      Vector<float> u[TwoTaps::IN];
      TwoTaps::weight(half[i], u);
#pragma GCC unroll 5
      for (int j = 0; j < TwoTaps::IN; ++j) put(phase, i * TwoTaps::IN + j, u[j]);
    }
  }
}

// Transformed weights of panels of output channels, for each phase and input channel.
inline void phase_weights(const float* weight, int64_t in_channels, int64_t out_channels, int64_t first, int64_t count,
                          const Weights<TwoTaps>& to, RunTasks run) {
  for_each_of_groups(run, count * in_channels, 8, [&](int64_t task) {
    const int64_t panel = task / in_channels, in = task % in_channels;
    for (int part = 0; part < PANEL; part += L) {
      const int64_t out = (first + panel) * PANEL + part;
      Vector<float> taps[PHASE_TAPS];
      load_phase_taps(weight + (out * in_channels + in) * PHASE_TAPS, in_channels * PHASE_TAPS, out_channels - out,
                      taps);
      float* to_phase[PHASES];
      for (int phase = 0; phase < PHASES; ++phase)
        to_phase[phase] = to.at(0, panel, place_of(phase, in, in_channels)) + part;
      transform_phase_taps(taps, [&](int phase, int point, Vector<float> u)
                                     GANART_INLINE_LAMBDA { store(to_phase[phase] + point * to.size, u); });
    }
  });
}

// The same of panels of phases of input channels, for each output channel. `first` and, unless the last panel is
// included, `count` are even, so that no vector's phases are in part outside.
inline void adjoint_weights(const float* weight, int64_t in_channels, int64_t out_channels, int64_t first,
                            int64_t count, const Weights<TwoTaps>& to, RunTasks run) {
  constexpr int64_t GROUP = PHASES * L, MANY = 32;  // lanes of a vector's phases; output channels of a task
  const int64_t begin = first * PANEL / GROUP;
  const int64_t groups = smaller((in_channels + L - 1) / L, ((first + count) * PANEL + GROUP - 1) / GROUP) - begin;
  const int64_t parts = (out_channels + MANY - 1) / MANY;
  for_each(run, groups * parts, [&](int64_t task) {
    const int64_t in = (begin + task / parts) * L, valid = smaller(L, in_channels - in), start = task % parts * MANY;
    const auto at = [&](int phase, int lane, int64_t out) {
      const int64_t place = place_of(phase, in + lane, in_channels) - first * PANEL;
      return to.at(0, place / PANEL, out) + place % PANEL;
    };
    for (int64_t out = start; out < smaller(out_channels, start + MANY); ++out) {
      Vector<float> taps[PHASE_TAPS];
      load_phase_taps(weight + (out * in_channels + in) * PHASE_TAPS, PHASE_TAPS, valid, taps);
      if (valid == L) {
        float* to_phase[PHASES];
        for (int phase = 0; phase < PHASES; ++phase) to_phase[phase] = at(phase, 0, out);
        transform_phase_taps(taps, [&](int phase, int point, Vector<float> u)
                                       GANART_INLINE_LAMBDA { store(to_phase[phase] + point * to.size, u); });
      } else {
        transform_phase_taps(taps, [&](int phase, int point, Vector<float> u) GANART_INLINE_LAMBDA {
          float* const first_lane = at(phase, 0, out) + point * to.size;
          if (at(phase, int(valid) - 1, out) - at(phase, 0, out) == valid - 1)
            store_elements(first_lane, u, valid);
          else  // a phase in two panels
            for (int lane = 0; lane < valid; ++lane) at(phase, lane, out)[point * to.size] = u[lane];
        });
      }
    }
  });
}

// Writes or adds the gradient of `count` panels of output channels from `first` on, G^T u G of sums.
inline void gradient_of_sums(const Weights<TwoTaps>& sums, int64_t in_channels, int64_t out_channels, int64_t first,
                             int64_t count, bool more, float* weight, RunTasks run) {
  constexpr int IN = TwoTaps::IN;
  for_each_of_groups(run, count * in_channels, 8, [&](int64_t task) {
    const int64_t panel = task / in_channels, in = task % in_channels;
    for (int part = 0; part < PANEL; part += L) {
      const int64_t out = (first + panel) * PANEL + part;
      if (out >= out_channels) break;
      Vector<float> taps[PHASE_TAPS];
#pragma GCC unroll 4
      for (int phase = 0; phase < PHASES; ++phase) {
        Vector<float> half[2][IN];
#pragma GCC unroll 5
        for (int j = 0; j < IN; ++j) {
          Vector<float> u[IN], w[2];
#pragma GCC unroll 5
          for (int i = 0; i < IN; ++i) u[i] = load(sums.at(i * IN + j, panel, place_of(phase, in, in_channels)) + part);
          TwoTaps::weight_gradient(u, w);
          half[0][j] = w[0], half[1][j] = w[1];
        }
        for (int a = 0; a < 2; ++a) {
          Vector<float> w[2];
          TwoTaps::weight_gradient(half[a], w);
          const int tap = (phase / 2 + 2 * a) * 4 + phase % 2;
          taps[tap] = w[0], taps[tap + 2] = w[1];
        }
      }
      for (int q = 0; q < PHASE_TAPS; q += L) {
        Vector<float> square[L];
#pragma GCC unroll 16
        for (int i = 0; i < L; ++i) square[i] = taps[q + i];
        transpose<float>(square);
        for (int64_t k = 0; k < smaller(L, out_channels - out); ++k) {
          float* to = weight + ((out + k) * in_channels + in) * PHASE_TAPS + q;
          store(to, more ? load(to) + square[k] : square[k]);
        }
      }
    }
  });
}

// ---- convolution and derivatives ----

GANART_INLINE int64_t bytes_of_tile(int64_t in_channels, int64_t out_channels) {
  return POINTS<TwoTaps> * (round_up(in_channels, 16) + round_up(out_channels, PANEL)) * int64_t(sizeof(float));
}

// For all tiles, block by block: write_in(block, rows, plane, tiles, run), products with weights, and
// write_out(block, plane, tiles, run). weigh(first panel, panels, to, run) writes transformed weights.
template <class Weigh, class In, class Out>
void through_points(int64_t tiles, int64_t block_size, bool apart, int64_t in_channels, int64_t out_channels,
                    RunTasks run, Weigh weigh, In write_in, Out write_out) {
  const int64_t panels = panels_of(out_channels), fitting = panels_at_once<TwoTaps>(out_channels, in_channels);
  const int64_t at_once = fitting < panels ? smaller(panels, larger(2, fitting / 2 * 2)) : panels;
  apart = apart && at_once == panels;
  const int64_t most = round_up(block_size, ROWS), blocks = (tiles + block_size - 1) / block_size;
  const Plane<float> in_plane(in_channels, 16, most), out_plane(out_channels, PANEL, most);
  const int64_t of_tiles = POINTS<TwoTaps> * (in_plane.size + out_plane.size);
  const int64_t of_weights = Weights<TwoTaps>::count(at_once, in_channels);
  auto* transformed =
      static_cast<float*>(scratch(ScratchSlot::shared, (of_weights + (apart ? 0 : of_tiles)) * sizeof(float)));
  if (at_once == panels) weigh(0, panels, Weights<TwoTaps>(transformed, panels, in_channels), run);
  const auto convolve = [&](int64_t index, float* in, RunTasks run_parts) {
    const Block block{index * block_size, smaller(block_size, tiles - index * block_size)};
    const int64_t rows = round_up(block.count, FEWEST_ROWS);
    float* out = in + POINTS<TwoTaps> * in_plane.size;
    write_in(block, rows, in_plane, in, run_parts);
    for (int64_t first = 0; first < panels; first += at_once) {
      const int64_t count = smaller(at_once, panels - first);
      const Weights<TwoTaps> weights(transformed, count, in_channels);
      if (at_once < panels) weigh(first, count, weights, run_parts);
      for_each(run_parts, POINTS<TwoTaps> * count, [&](int64_t task) {
        const int64_t point = task / count, panel = task % count, place = (first + panel) * PANEL;
        product_of_rows<Floats>(in + point * in_plane.size, in_plane.stride, rows, weights.at(point, panel, 0),
                                in_channels, out_channels - place, out + point * out_plane.size + place,
                                out_plane.stride);
      });
    }
    write_out(block, out_plane, out, run_parts);
  };
  if (apart) {
    for_each(run, blocks, [&](int64_t index) {
      convolve(index, static_cast<float*>(scratch(ScratchSlot::worker, of_tiles * sizeof(float))), run_serially);
      give_back_large_scratch(ScratchSlot::worker);
    });
  } else {
    for (int64_t index = 0; index < blocks; ++index) convolve(index, transformed + of_weights, run);
  }
  give_back_large_scratch(ScratchSlot::shared);
}

// Calls write(segment, channel) for all of a block.
template <class Write>
void for_segments(const Tiles<TwoTaps>& tiles, Block block, int64_t channels, RunTasks run, Write write) {
  const Segments<TwoTaps> segments(tiles, block);
  for_each(run, segments.count, [&](int64_t task) {
    const Segment segment = segments[task];
    if (segment.count > 0)
      for (int64_t channel = 0; channel < channels; channel += L) write(segment, channel);
  });
}

}  // namespace winograd

void conv4x4(const Convolution& c, const void* weight, RunTasks run) {
  using namespace winograd;
  const int64_t channels = c.x.channels;
  const Tiles<TwoTaps> tiles(c.x.samples, c.x.pixels / c.width / 2, c.width / 2);
  const Plan plan(tiles.count, bytes_of_tile(PHASES * channels, c.out_channels), true);
  through_points(
      tiles.count, plan.block, plan.apart, PHASES * channels, c.out_channels, run,
      [&](int64_t first, int64_t count, const Weights<TwoTaps>& to, RunTasks run_parts) {
        phase_weights(static_cast<const float*>(weight), channels, c.out_channels, first, count, to, run_parts);
      },
      [&](Block block, int64_t rows, const Plane<float>& plane, float* to, RunTasks run_parts) {
        write_tiles(tiles, block, rows, channels, plane, to, run_parts, [&](const Segment& segment, int64_t channel) {
          phase_tiles(c.x, c.width, segment, channel, plane, to);
        });
      },
      [&](Block block, const Plane<float>& plane, const float* from, RunTasks run_parts) {
        for_segments(tiles, block, c.out_channels, run_parts, [&](const Segment& segment, int64_t channel) {
          output_tiles<TwoTaps, float>(c, tiles, segment, channel, plane, from);
        });
      });
}

void conv4x4_gradient(const Conv4x4Gradient& g, const void* weight, RunTasks run) {
  using namespace winograd;
  const int64_t out_channels = g.grad.channels;
  const Tiles<TwoTaps> tiles(g.grad.samples, g.grad.pixels / g.grad_width, g.grad_width);
  const Plan plan(tiles.count, bytes_of_tile(out_channels, PHASES * g.channels), true);
  // Neighbouring tiles add to each other's results, so a block is of whole samples.
  const int64_t per_sample = tiles.down * tiles.across, block = larger(1, plan.block / per_sample) * per_sample;
  through_points(
      tiles.count, block, plan.apart && per_sample <= plan.block, out_channels, PHASES * g.channels, run,
      [&](int64_t first, int64_t count, const Weights<TwoTaps>& to, RunTasks run_parts) {
        adjoint_weights(static_cast<const float*>(weight), g.channels, out_channels, first, count, to, run_parts);
      },
      [&](Block some, int64_t rows, const Plane<float>& plane, float* to, RunTasks run_parts) {
        write_tiles(tiles, some, rows, out_channels, plane, to, run_parts,
                    [&](const Segment& segment, int64_t channel) {
                      gradient_tiles<TwoTaps, float>(g.grad, g.grad_width, segment, channel, plane, to);
                    });
      },
      [&](Block some, const Plane<float>& plane, const float* from, RunTasks run_parts) {
        for_segments(tiles, some, g.channels, run_parts, [&](const Segment& segment, int64_t channel) {
          gradient_of_tiles(g, tiles, segment, channel, plane, from);
        });
      });
}

void conv4x4_weight(const Features& x, int64_t width, const Features& grad, void* grad_weight, RunTasks run) {
  using namespace winograd;
  const Tiles<TwoTaps> tiles(x.samples, x.pixels / width / 2, width / 2);
  const int64_t in_stride = round_up(PHASES * x.channels, 16), panels = panels_of(grad.channels);
  const Plan plan(tiles.count, bytes_of_tile(PHASES * x.channels, grad.channels), false);
  const Plane<float> in_plane(PHASES * x.channels, 16, plan.block),
      out_plane(grad.channels, winograd::PANEL, plan.block);
  const int64_t at_once = panels_at_once<TwoTaps>(grad.channels, in_stride);
  const int64_t floats = POINTS<TwoTaps> * (in_plane.size + out_plane.size) +
                         Weights<TwoTaps>::count(at_once, in_stride);
  auto* in = static_cast<float*>(scratch(ScratchSlot::shared, floats * sizeof(float)));
  float *out = in + POINTS<TwoTaps> * in_plane.size, *summed = out + POINTS<TwoTaps> * out_plane.size;
  for (int64_t first_tile = 0; first_tile < tiles.count; first_tile += plan.block) {
    const Block block{first_tile, smaller(plan.block, tiles.count - first_tile)};
    write_tiles(tiles, block, block.count, x.channels, in_plane, in, run, [&](const Segment& segment, int64_t channel) {
      phase_tiles(x, width, segment, channel, in_plane, in);
    });
    write_tiles(tiles, block, block.count, grad.channels, out_plane, out, run,
                [&](const Segment& segment, int64_t channel) {
                  gradient_tiles<TwoTaps, float>(grad, width / 2, segment, channel, out_plane, out);
                });
    for (int64_t first = 0; first < panels; first += at_once) {
      const int64_t count = smaller(at_once, panels - first);
      const Weights<TwoTaps> sums(summed, count, in_stride);
      for_each(run, POINTS<TwoTaps> * count, [&](int64_t task) {
        const int64_t point = task / count, panel = task % count, place = (first + panel) * winograd::PANEL;
        for (int64_t c = 0; c < in_stride; c += winograd::COLUMNS)
          product_of_columns(in + point * in_plane.size + c, in_plane.stride, out + point * out_plane.size + place,
                             out_plane.stride, block.count, grad.channels - place, sums.at(point, panel, c));
      });
      gradient_of_sums(sums, x.channels, grad.channels, first, count, first_tile > 0, static_cast<float*>(grad_weight),
                       run);
    }
  }
  give_back_large_scratch(ScratchSlot::shared);
}

}  // namespace

const Conv4x4Kernels conv4x4_kernels{
    .forward = conv4x4,
    .gradient = conv4x4_gradient,
    .weight = conv4x4_weight,
};

}  // namespace ganart::cpu::GANART_LEVEL

#endif
