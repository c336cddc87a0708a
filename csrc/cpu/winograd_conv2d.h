// Winograd's 3x3 convolution of one instruction set, and its derivatives.
//
// Formula   y[n, k, i, j] = act(bias[k] + sum over c, a, b of x[n, c, i + a - 1, j + b - 1] w[k, c, a, b]), zeros outside x,
//           the sums as A^T [sum over c of (G w G^T) * (B^T d B)] A for tiles of 6 x 6 outputs, d their 8 x 8 inputs;
//           act is linear above and below 0, and clamps. The gradient of x is such a convolution; that of w is
//           G^T [sum over tiles of (B^T d B) * (A g A^T)] G.
// Shapes    x [N, C, H, W] and y, grad [N, K, H, W], pixels or channels adjacent; kernel [64, ceil(K / 32), C, 32], point by
//           point G w G^T with zeros past K; w [K, C, 3, 3]; bias [K] or null.
// Cost      64 multiply-adds a tile for each c and k in place of 324.
// Sums      float. Points 0, +-1, +-2, +-1/2 and infinity: error is about 100 times that of a direct sum.
// Repeats   bit for bit: each sum is one task's, in the order of channels or tiles.
// Source    A. Lavin and S. Gray, "Fast algorithms for convolutional neural networks", CVPR 2016.
#pragma once

namespace {

#include "cpu/elements.h"
#include "cpu/tasks.h"

namespace winograd {

constexpr int OUT = 6, IN = 8, POINTS = IN * IN, TAPS = 3, PANEL = 32, L = LANES<float>;
constexpr int64_t OWN = 1 << 20, SHARED = 8 << 20;  // bytes of tiles under way, of one worker or of all together
constexpr int64_t WEIGHTS = 8 << 20;                // bytes of transformed weights at a time

// ---- transforms along one axis ----

// d := B^T d.
GANART_INLINE void transform_input(Vector<float> (&d)[IN]) {
  using V = Vector<float>;
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
GANART_INLINE void transform_output(const Vector<float> (&m)[IN], Vector<float> (&y)[OUT]) {
  using V = Vector<float>;
  const V sum1 = m[1] + m[2], sum2 = m[3] + m[4], sum3 = m[5] + m[6];
  const V gap1 = m[1] - m[2], gap2 = m[3] - m[4], gap3 = m[5] - m[6];
  y[0] = m[0] + sum1 + sum2 + sum3;
  y[1] = gap1 + gap2 * 2.0f + gap3 * 0.5f;
  y[2] = sum1 + sum2 * 4.0f + sum3 * 0.25f;
  y[3] = gap1 + gap2 * 8.0f + gap3 * 0.125f;
  y[4] = sum1 + sum2 * 16.0f + sum3 * 0.0625f;
  y[5] = gap1 + gap2 * 32.0f + gap3 * 0.03125f + m[7];
}

// m = A g.
GANART_INLINE void transform_gradient(const Vector<float> (&g)[OUT], Vector<float> (&m)[IN]) {
  using V = Vector<float>;
  const V even = g[0] + g[2] + g[4], odd = g[1] + g[3] + g[5];
  const V twice_even = g[0] + g[2] * 4.0f + g[4] * 16.0f, twice_odd = g[1] * 2.0f + g[3] * 8.0f + g[5] * 32.0f;
  const V half_even = g[0] + g[2] * 0.25f + g[4] * 0.0625f, half_odd = g[1] * 0.5f + g[3] * 0.125f + g[5] * 0.03125f;
  m[0] = g[0];
  m[1] = even + odd;
  m[2] = even - odd;
  m[3] = twice_even + twice_odd;
  m[4] = twice_even - twice_odd;
  m[5] = half_even + half_odd;
  m[6] = half_even - half_odd;
  m[7] = g[5];
}

// u = G w.
GANART_INLINE void transform_weight(const Vector<float> (&w)[TAPS], Vector<float> (&u)[IN]) {
  using V = Vector<float>;
  const V even = (w[0] + w[2]) * (-2.0f / 9), odd = w[1] * (-2.0f / 9);
  const V twice_even = w[0] * (1.0f / 90) + w[2] * (4.0f / 90), twice_odd = w[1] * (2.0f / 90);
  const V half_even = w[0] * (32.0f / 45) + w[2] * (8.0f / 45), half_odd = w[1] * (16.0f / 45);
  u[0] = w[0];
  u[1] = even + odd;
  u[2] = even - odd;
  u[3] = twice_even + twice_odd;
  u[4] = twice_even - twice_odd;
  u[5] = half_even + half_odd;
  u[6] = half_even - half_odd;
  u[7] = w[2];
}

// w = G^T u.
GANART_INLINE void transform_weight_gradient(const Vector<float> (&u)[IN], Vector<float> (&w)[TAPS]) {
  using V = Vector<float>;
  const V sum1 = (u[1] + u[2]) * (-2.0f / 9), sum2 = u[3] + u[4], sum3 = u[5] + u[6];
  w[0] = u[0] + sum1 + sum2 * (1.0f / 90) + sum3 * (32.0f / 45);
  w[1] = (u[1] - u[2]) * (-2.0f / 9) + (u[3] - u[4]) * (2.0f / 90) + (u[5] - u[6]) * (16.0f / 45);
  w[2] = sum1 + sum2 * (4.0f / 90) + sum3 * (8.0f / 45) + u[7];
}

// ---- tiles ----

// The tiles of all samples, row by row, and how those under way lie in memory, point by point.
struct Tiles {
  int64_t height, width, down, across, count;

  Tiles(int64_t samples, int64_t pixels, int64_t row)
      : height(pixels / row), width(row), down((height + OUT - 1) / OUT), across((row + OUT - 1) / OUT),
        count(samples * down * across) {}
};

// Some of the tiles, one after the other.
struct Block {
  int64_t first, count;
};

// Up to SEGMENT tiles side by side: so many that a vector's pixels are not cut off, so few that they stay in the
// first-level cache while the lanes change from pixels to channels.
constexpr int SEGMENT = 5, PIXELS = 32;
static_assert(SEGMENT * OUT + IN - OUT <= PIXELS);

struct Segment {
  int64_t sample, y, x;  // of the first tile's first output
  int64_t in_block;      // place of the first tile
  int64_t count;         // may be 0 or less: nothing to do
};

// The segments of a block.
struct Segments {
  const Tiles& tiles;
  Block block;
  int64_t first_row, per_row, count;

  Segments(const Tiles& all, Block some)
      : tiles(all), block(some), first_row(some.first / all.across), per_row((all.across + SEGMENT - 1) / SEGMENT),
        count(((some.first + some.count - 1) / all.across + 1 - first_row) * per_row) {}

  Segment operator[](int64_t index) const {
    const int64_t row = first_row + index / per_row, start = row * tiles.across;
    const int64_t part = index % per_row;
    const int64_t begin = larger(block.first, start + part * tiles.across / per_row);
    const int64_t end = smaller(start + (part + 1) * tiles.across / per_row, block.first + block.count);
    return {row / tiles.down, row % tiles.down * OUT, (begin - start) * OUT, begin - block.first, end - begin};
  }
};

// One point of a block: transformed channels of each tile, zeros past the last of both.
struct Plane {
  int64_t stride;  // from tile to tile: channels, rounded up
  int64_t size;    // a line more, so that points do not meet in one cache set

  Plane(int64_t channels, int64_t multiple, int64_t tiles) : stride(round_up(channels, multiple)), size(tiles * stride + 16) {}
};

// ---- features to tiles ----

// L pixels of one channel from x on, zeros outside its row.
template <class Element>
GANART_INLINE Vector<float> load_pixels(const Element* row, int64_t x, int64_t width) {
  if (x >= 0 && x + L <= width) return load_elements(row + x);
  if (width < L) {
    Element padded[L] = {};
    for (int64_t i = larger(0, -x); i < smaller(L, width - x); ++i) padded[i] = row[x + i];
    return load_elements(padded);
  }
  const int64_t start = smaller(larger(x, 0), width - L);
  Element around[3 * L] = {};
  __builtin_memcpy(around + L, row + start, L * sizeof(Element));
  return load_elements(around + L + smaller(x - start, L));  // nothing but zeros from the row's end on
}

// ROWS rows of PIXELS pixels from (y, x) on, of L channels, which become the lanes; zeros outside the picture.
template <int ROWS, class Element>
void fetch(const Features& f, int64_t width, int64_t sample, int64_t y, int64_t x, int64_t pixels, int64_t channel,
           Vector<float> (&to)[ROWS][PIXELS]) {
  const auto* data = static_cast<const Element*>(f.data) + sample * f.sample_stride + channel * f.channel_stride;
  const int64_t height = f.pixels / width, valid = f.channels - channel;
  for (int64_t i = 0; i < ROWS; ++i) {
    if (y + i < 0 || y + i >= height) {
      for (int64_t j = 0; j < pixels; ++j) to[i][j] = Vector<float>{};
    } else if (f.pixel_stride == 1) {
      const Element* row = data + (y + i) * width;
      for (int64_t j = 0; j < pixels; j += L) {
        Vector<float> square[L];
        for (int64_t c = 0; c < L; ++c)
          square[c] = c < valid ? load_pixels(row + c * f.channel_stride, x + j, width) : Vector<float>{};
        transpose<float>(square);
#pragma GCC unroll 16
        for (int64_t p = 0; p < L; ++p) to[i][j + p] = square[p];
      }
    } else {
      const Element* row = data + (y + i) * width * f.pixel_stride;
      for (int64_t j = 0; j < pixels; ++j) {
        const bool inside = x + j >= 0 && x + j < width;
        to[i][j] = inside ? load_elements(row + (x + j) * f.pixel_stride, valid) : Vector<float>{};
      }
    }
  }
}

// Writes B^T d B of the tiles of a segment, for L channels.
template <class Element>
void input_tiles(const Features& x, int64_t width, const Segment& segment, int64_t channel, const Plane& plane, float* to) {
  Vector<float> pixels[IN][PIXELS];
  fetch<IN, Element>(x, width, segment.sample, segment.y - 1, segment.x - 1, segment.count * OUT + IN - OUT, channel, pixels);
  for (int64_t t = 0; t < segment.count; ++t) {
    float* tile = to + (segment.in_block + t) * plane.stride + channel;
    Vector<float> half[IN][IN];
    for (int j = 0; j < IN; ++j) {
      Vector<float> d[IN];
#pragma GCC unroll 8
      for (int i = 0; i < IN; ++i) d[i] = pixels[i][t * OUT + j];
      transform_input(d);
#pragma GCC unroll 8
      for (int i = 0; i < IN; ++i) half[i][j] = d[i];
    }
    for (int i = 0; i < IN; ++i) {
      transform_input(half[i]);
#pragma GCC unroll 8
      for (int j = 0; j < IN; ++j) store(tile + (i * IN + j) * plane.size, half[i][j]);
    }
  }
}

// Writes A g A^T of the tiles of a segment, for L channels.
template <class Element>
void gradient_tiles(const Features& grad, int64_t width, const Segment& segment, int64_t channel, const Plane& plane,
                    float* to) {
  Vector<float> pixels[OUT][PIXELS];
  fetch<OUT, Element>(grad, width, segment.sample, segment.y, segment.x, segment.count * OUT, channel, pixels);
  for (int64_t t = 0; t < segment.count; ++t) {
    float* tile = to + (segment.in_block + t) * plane.stride + channel;
    Vector<float> half[IN][OUT];
    for (int j = 0; j < OUT; ++j) {
      Vector<float> g[OUT], m[IN];
#pragma GCC unroll 6
      for (int i = 0; i < OUT; ++i) g[i] = pixels[i][t * OUT + j];
      transform_gradient(g, m);
#pragma GCC unroll 8
      for (int i = 0; i < IN; ++i) half[i][j] = m[i];
    }
    for (int i = 0; i < IN; ++i) {
      Vector<float> m[IN];
      transform_gradient(half[i], m);
#pragma GCC unroll 8
      for (int j = 0; j < IN; ++j) store(tile + (i * IN + j) * plane.size, m[j]);
    }
  }
}

// Calls transform(segment, channel) for all of a block, and writes zeros for the tiles up to `rows`.
template <class Transform>
void write_tiles(const Tiles& tiles, Block block, int64_t rows, int64_t channels, const Plane& plane, float* to,
                 RunTasks run, Transform transform) {
  const Segments segments(tiles, block);
  for_each(run, segments.count, [&](int64_t task) {
    const Segment segment = segments[task];
    if (segment.count > 0)
      for (int64_t channel = 0; channel < channels; channel += L) transform(segment, channel);
  });
  for (int64_t point = 0; point < POINTS; ++point)
    for (int64_t i = block.count * plane.stride; i < rows * plane.stride; ++i) to[point * plane.size + i] = 0;
}

// ---- tiles to a result ----

// The results of a segment's tiles, for L channels.
template <class Element>
void output_tiles(const Convolution& c, const Tiles& tiles, const Segment& segment, int64_t channel, const Plane& plane,
                  const float* from) {
  const int64_t valid = c.out_channels - channel, pixels = c.x.pixels;
  const Vector<float> bias = c.bias ? load_elements(static_cast<const float*>(c.bias) + channel, valid) : Vector<float>{};
  const Vector<float> gain = splat(c.gain), negative_gain = splat(c.negative_gain), limit = splat(c.limit);
  const auto finish = [=](Vector<float> z) GANART_INLINE_LAMBDA {
    z += bias;
    return at_least<float>(-limit, at_most<float>(limit, z * (z > 0.0f ? gain : negative_gain)));
  };
  Vector<float> out[OUT][PIXELS];
  for (int64_t t = 0; t < segment.count; ++t) {
    const float* tile = from + (segment.in_block + t) * plane.stride + channel;
    Vector<float> half[OUT][IN];
    for (int j = 0; j < IN; ++j) {
      Vector<float> m[IN], y[OUT];
#pragma GCC unroll 8
      for (int i = 0; i < IN; ++i) m[i] = load(tile + (i * IN + j) * plane.size);
      transform_output(m, y);
#pragma GCC unroll 6
      for (int i = 0; i < OUT; ++i) half[i][j] = y[i];
    }
    for (int i = 0; i < OUT; ++i) {
      Vector<float> y[OUT];
      transform_output(half[i], y);
#pragma GCC unroll 6
      for (int j = 0; j < OUT; ++j) out[i][t * OUT + j] = finish(y[j]);
    }
  }
  const int64_t down = smaller(OUT, tiles.height - segment.y), across = smaller(segment.count * OUT, tiles.width - segment.x);
  auto* data = static_cast<Element*>(c.y) + segment.sample * c.out_channels * pixels;
  for (int64_t i = 0; i < down; ++i) {
    const int64_t place = (segment.y + i) * tiles.width + segment.x;
    if (c.x.pixel_stride == 1) {
      for (int64_t step = 0; step < across; step += L) {
        const int64_t j = larger(0, smaller(step, across - L));  // the last vector may overlap the one before
        Vector<float> square[L];
#pragma GCC unroll 16
        for (int64_t p = 0; p < L; ++p) square[p] = out[i][j + p];
        transpose<float>(square);
        for (int64_t k = 0; k < smaller(L, valid); ++k)
          store_elements(data + (channel + k) * pixels + place + j, square[k], across - j);
      }
    } else {
      for (int64_t j = 0; j < across; ++j)
        store_elements(data + (place + j) * c.out_channels + channel, out[i][j], valid);
    }
  }
}

// ---- products ----

// Calls body(place, vectors) for the parts of a panel's first `valid` columns: two vectors of them, or one at the end.
template <class Body>
GANART_INLINE void for_parts(int64_t valid, Body body) {
  valid = smaller(valid, PANEL);
  int part = 0;
  for (; part + L < valid; part += 2 * L) body(part, std::integral_constant<int, 2>{});
  if (part < valid) body(part, std::integral_constant<int, 1>{});
}

constexpr int ROWS = L == 16 ? 12 : 6;  // of one product in registers, by two vectors

// out[ROWS, PANEL] = tiles[ROWS, channels] * kernel[channels, PANEL], of which `valid` columns count.
GANART_INLINE void product(const float* tiles, int64_t tile_stride, const float* kernel, int64_t channels, int64_t valid,
                           float* out, int64_t out_stride) {
  for_parts(valid, [=](int part, auto vectors) {
    constexpr int VECTORS = decltype(vectors)::value;
    Vector<float> sums[ROWS][VECTORS] = {};
    for (int64_t c = 0; c < channels; ++c) {
      Vector<float> columns[VECTORS];
      for (int v = 0; v < VECTORS; ++v) columns[v] = load(kernel + c * PANEL + part + v * L);
#pragma GCC unroll 12
      for (int row = 0; row < ROWS; ++row) {
        const float value = tiles[row * tile_stride + c];
        for (int v = 0; v < VECTORS; ++v) sums[row][v] += columns[v] * value;
      }
    }
#pragma GCC unroll 12
    for (int row = 0; row < ROWS; ++row)
      for (int v = 0; v < VECTORS; ++v) store(out + row * out_stride + part + v * L, sums[row][v]);
  });
}

constexpr int COLUMNS = L == 16 ? 8 : 4;  // channels of one sum over tiles in registers, by two vectors

// out[COLUMNS, PANEL] = tiles[count, COLUMNS]^T * grads[count, PANEL], of which `valid` columns count.
GANART_INLINE void product_of_columns(const float* tiles, int64_t tile_stride, const float* grads, int64_t grad_stride,
                                      int64_t count, int64_t valid, float* out) {
  for_parts(valid, [=](int part, auto vectors) {
    constexpr int VECTORS = decltype(vectors)::value;
    Vector<float> sums[COLUMNS][VECTORS] = {};
    for (int64_t t = 0; t < count; ++t) {
      Vector<float> of_grad[VECTORS];
      for (int v = 0; v < VECTORS; ++v) of_grad[v] = load(grads + t * grad_stride + part + v * L);
#pragma GCC unroll 8
      for (int column = 0; column < COLUMNS; ++column) {
        const float value = tiles[t * tile_stride + column];
        for (int v = 0; v < VECTORS; ++v) sums[column][v] += of_grad[v] * value;
      }
    }
#pragma GCC unroll 8
    for (int column = 0; column < COLUMNS; ++column)
      for (int v = 0; v < VECTORS; ++v) store(out + column * PANEL + part + v * L, sums[column][v]);
  });
}

// ---- weights ----

constexpr int ALL_TAPS = TAPS * TAPS, SQUARES = (ALL_TAPS + L - 1) / L;

// Where the taps of an output and an input channel lie in [out, in, 3, 3] or, `turned`, in the weight of the convolution
// whose gradient this one is: [in, out, 3, 3], taps in the opposite order.
struct WeightPlace {
  int64_t out_step, in_step, count;
  bool turned;

  WeightPlace(int64_t out_channels, int64_t in_channels, bool is_turned)
      : out_step(is_turned ? ALL_TAPS : in_channels * ALL_TAPS), in_step(is_turned ? out_channels * ALL_TAPS : ALL_TAPS),
        count(out_channels * in_channels * ALL_TAPS), turned(is_turned) {}

  GANART_INLINE int64_t operator()(int64_t out, int64_t in) const { return out * out_step + in * in_step; }
};

// The taps of L output channels from `out` on, which become the lanes; zeros from `valid` on.
template <class Element>
GANART_INLINE void load_taps(const Element* weight, const WeightPlace& place, int64_t out, int64_t in, int64_t valid,
                             Vector<float> (&taps)[TAPS][TAPS]) {
  Vector<float> all[SQUARES * L];
  for (int q = 0; q < SQUARES; ++q) {
    Vector<float> square[L];
    for (int64_t k = 0; k < L; ++k) {
      const int64_t at = place(out + k, in) + q * L;
      square[k] = k < valid ? load_elements(weight + at, place.count - at) : Vector<float>{};
    }
    transpose<float>(square);
#pragma GCC unroll 16
    for (int i = 0; i < L; ++i) all[q * L + i] = square[i];
  }
#pragma GCC unroll 9
  for (int tap = 0; tap < ALL_TAPS; ++tap) taps[tap / TAPS][tap % TAPS] = all[place.turned ? ALL_TAPS - 1 - tap : tap];
}

// Writes such taps, or adds them.
GANART_INLINE void store_taps(float* weight, const WeightPlace& place, int64_t out, int64_t in, int64_t valid, bool anew,
                              const Vector<float> (&taps)[TAPS][TAPS]) {
  for (int q = 0; q < SQUARES; ++q) {
    Vector<float> square[L];
#pragma GCC unroll 16
    for (int i = 0; i < L; ++i) {
      const int tap = q * L + i;
      square[i] = tap < ALL_TAPS ? taps[tap / TAPS][tap % TAPS] : Vector<float>{};
    }
    transpose<float>(square);
    const int64_t count = smaller(L, ALL_TAPS - q * L);
    for (int64_t k = 0; k < smaller(L, valid); ++k) {
      float* to = weight + place(out + k, in) + q * L;
      store_elements(to, anew ? square[k] : load_elements(to, count) + square[k], count);
    }
  }
}

// How many panels of transformed weights fit into WEIGHTS bytes, of `panels`.
inline int64_t panels_at_once(int64_t panels, int64_t channels) {
  return smaller(panels, larger(1, WEIGHTS / (POINTS * channels * PANEL * int64_t(sizeof(float)))));
}

// A convolution's kernel, some panels at a time: as it was given, or of a weight in memory [64, at_once, C, 32].
template <class Element>
class Kernel {
 public:
  Kernel(const Convolution& c, const Element* weight, bool turned)
      : at_once(weight ? panels_at_once(panels_of(c.out_channels), c.x.channels) : panels_of(c.out_channels)), c_(c),
        weight_(weight), place_(c.out_channels, c.x.channels, turned) {}

  static int64_t panels_of(int64_t channels) { return (channels + PANEL - 1) / PANEL; }
  int64_t floats() const { return weight_ ? POINTS * point_size(at_once) : 0; }

  // Before the first panels are asked for.
  void use(float* memory, RunTasks run) {
    memory_ = memory;
    if (weight_ && at_once == panels_of(c_.out_channels)) transform(0, at_once, run);
  }

  // From one point of `count` panels to the next: where they are ours, a line more than they take, so that points do not
  // meet in one cache set.
  int64_t point_size(int64_t count) const { return count * c_.x.channels * PANEL + (weight_ ? 16 : 0); }

  // [64, count, C, 32] for the panels from `first` on, points apart as point_size says.
  const float* panels(int64_t first, int64_t count, RunTasks run) const {
    if (!weight_) return static_cast<const float*>(c_.kernel);
    if (at_once < panels_of(c_.out_channels)) transform(first, count, run);
    return memory_;
  }

  const int64_t at_once;

 private:
  void transform(int64_t first, int64_t count, RunTasks run) const {
    const int64_t channels = c_.x.channels;
    for_each_of_groups(run, count * channels, 8, [&](int64_t task) {
      const int64_t out = (first + task / channels) * PANEL, in = task % channels;
      float* to = memory_ + task * PANEL;
      const int64_t size = point_size(count);
      for (int part = 0; part < PANEL; part += L) {
        Vector<float> taps[TAPS][TAPS], half[IN][TAPS];
        load_taps(weight_, place_, out + part, in, c_.out_channels - out - part, taps);
        for (int j = 0; j < TAPS; ++j) {
          const Vector<float> w[TAPS] = {taps[0][j], taps[1][j], taps[2][j]};
          Vector<float> u[IN];
          transform_weight(w, u);
#pragma GCC unroll 8
          for (int i = 0; i < IN; ++i) half[i][j] = u[i];
        }
        for (int i = 0; i < IN; ++i) {
          Vector<float> u[IN];
          transform_weight(half[i], u);
#pragma GCC unroll 8
          for (int j = 0; j < IN; ++j) store(to + (i * IN + j) * size + part, u[j]);
        }
      }
    });
  }

  const Convolution& c_;
  const Element* weight_;
  WeightPlace place_;
  float* memory_ = nullptr;
};

// Sums [64, count, padded channels, 32] over tiles, of which the gradient of some panels of a weight is made.
struct Sums {
  float* data;
  int64_t channels, point_size;

  Sums(float* memory, int64_t count, int64_t padded_channels)
      : data(memory), channels(padded_channels), point_size(floats(count, padded_channels) / POINTS) {}

  static int64_t floats(int64_t count, int64_t channels) { return POINTS * (count * channels * PANEL + 16); }
  GANART_INLINE float* at(int64_t point, int64_t panel, int64_t channel) const {
    return data + point * point_size + (panel * channels + channel) * PANEL;
  }
};

// Adds the gradient of `count` panels from `first` on.
inline void add_weights(const Sums& sums, int64_t first, int64_t count, int64_t out_channels, int64_t in_channels,
                        bool anew, float* weight, RunTasks run) {
  const WeightPlace place(out_channels, in_channels, false);
  for_each_of_groups(run, count * in_channels, 8, [&](int64_t task) {
    const int64_t panel = task / in_channels, in = task % in_channels, out = (first + panel) * PANEL;
    for (int part = 0; part < PANEL; part += L) {
      Vector<float> half[TAPS][IN], taps[TAPS][TAPS];
      for (int j = 0; j < IN; ++j) {
        Vector<float> u[IN], w[TAPS];
#pragma GCC unroll 8
        for (int i = 0; i < IN; ++i) u[i] = load(sums.at(i * IN + j, panel, in) + part);
        transform_weight_gradient(u, w);
#pragma GCC unroll 3
        for (int i = 0; i < TAPS; ++i) half[i][j] = w[i];
      }
#pragma GCC unroll 3
      for (int i = 0; i < TAPS; ++i) transform_weight_gradient(half[i], taps[i]);
      store_taps(weight, place, out + part, in, out_channels - out - part, anew, taps);
    }
  });
}

// How many tiles are under way together, and whether each worker has some of its own, out of its own caches.
struct Plan {
  bool apart;
  int64_t block;

  Plan(int64_t tiles, int64_t channels, bool may_be_apart) {
    const int64_t bytes = POINTS * int64_t(sizeof(float)) * channels;
    const int64_t own = OWN / bytes, enough = tiles / 16;  // so many blocks that every worker has its share
    apart = may_be_apart && own >= 12 && enough >= 12;
    const int64_t most = apart ? smaller(own, enough) : larger(96, SHARED / bytes), blocks = (tiles + most - 1) / most;
    block = round_up((tiles + blocks - 1) / blocks, ROWS);
  }
};

// The three stages for a block of tiles: transform inputs, multiply, transform outputs.
template <class Element>
void convolve_block(const Convolution& c, const Tiles& tiles, const Kernel<Element>& kernel, Block block,
                    const Plane& in_plane, const Plane& out_plane, float* memory, RunTasks run) {
  const int64_t rows = round_up(block.count, ROWS), panels = out_plane.stride / PANEL;
  float *in = memory, *out = memory + POINTS * in_plane.size;
  write_tiles(tiles, block, rows, c.x.channels, in_plane, in, run, [&](const Segment& segment, int64_t channel) {
    input_tiles<Element>(c.x, tiles.width, segment, channel, in_plane, in);
  });
  for (int64_t first = 0; first < panels; first += kernel.at_once) {
    const int64_t count = smaller(kernel.at_once, panels - first);
    const float* weights = kernel.panels(first, count, run);
    const int64_t size = kernel.point_size(count), panel_size = c.x.channels * PANEL;
    for_each(run, POINTS * count, [&](int64_t task) {
      const int64_t point = task / count, panel = task % count, place = (first + panel) * PANEL;
      for (int64_t row = 0; row < rows; row += ROWS)
        product(in + point * in_plane.size + row * in_plane.stride, in_plane.stride,
                weights + point * size + panel * panel_size, c.x.channels, c.out_channels - place,
                out + point * out_plane.size + row * out_plane.stride + place, out_plane.stride);
    });
  }
  const Segments segments(tiles, block);
  for_each(run, segments.count, [&](int64_t task) {
    const Segment segment = segments[task];
    if (segment.count > 0)
      for (int64_t channel = 0; channel < c.out_channels; channel += L)
        output_tiles<Element>(c, tiles, segment, channel, out_plane, out);
  });
}

// Convolves with c.kernel, or, where there is none, with that of a weight.
template <class Element>
void convolve(const Convolution& c, const Element* weight, bool turned, RunTasks run) {
  const Tiles tiles(c.x.samples, c.x.pixels, c.width);
  Kernel<Element> kernel(c, weight, turned);
  const int64_t in_stride = round_up(c.x.channels, 16), out_stride = round_up(c.out_channels, PANEL);
  const Plan plan(tiles.count, in_stride + out_stride, kernel.at_once * PANEL == out_stride);
  const Plane in_plane(c.x.channels, 16, plan.block), out_plane(c.out_channels, PANEL, plan.block);
  const int64_t of_tiles = POINTS * (in_plane.size + out_plane.size), blocks = (tiles.count + plan.block - 1) / plan.block;
  auto* shared = static_cast<float*>(
      scratch(ScratchSlot::shared, (kernel.floats() + (plan.apart ? 0 : of_tiles)) * sizeof(float)));
  kernel.use(shared, run);
  const auto convolve_one = [&](int64_t index, void* memory, RunTasks run_stage) {
    const int64_t first = index * plan.block;
    convolve_block(c, tiles, kernel, {first, smaller(plan.block, tiles.count - first)}, in_plane, out_plane,
                   static_cast<float*>(memory), run_stage);
  };
  if (plan.apart) {
    for_each(run, blocks, [&](int64_t block) {
      convolve_one(block, scratch(ScratchSlot::worker, of_tiles * sizeof(float)), run_serially);
      give_back_large_scratch(ScratchSlot::worker);
    });
  } else {
    for (int64_t block = 0; block < blocks; ++block) convolve_one(block, shared + kernel.floats(), run);
  }
  give_back_large_scratch(ScratchSlot::shared);
}

template <class Element>
void weight_gradient(const Features& x, const Features& grad, int64_t width, Element* grad_weight, RunTasks run) {
  const Tiles tiles(x.samples, x.pixels, width);
  const int64_t in_stride = round_up(x.channels, 16), out_stride = round_up(grad.channels, PANEL);
  const Plan plan(tiles.count, in_stride + out_stride, false);
  const Plane in_plane(x.channels, 16, plan.block), out_plane(grad.channels, PANEL, plan.block);
  const int64_t panels = out_stride / PANEL, at_once = panels_at_once(panels, in_stride);
  const int64_t weights = x.channels * grad.channels * TAPS * TAPS, of_sums = Sums::floats(at_once, in_stride);
  constexpr bool EXACT = sizeof(Element) == sizeof(float);  // else blocks are added up apart
  const int64_t floats = POINTS * (in_plane.size + out_plane.size) + of_sums + (EXACT ? 0 : weights);
  auto* in = static_cast<float*>(scratch(ScratchSlot::shared, floats * sizeof(float)));
  float *out = in + POINTS * in_plane.size, *of_tiles = out + POINTS * out_plane.size, *total = of_tiles + of_sums;
  if constexpr (EXACT) total = grad_weight;
  for (int64_t first_tile = 0; first_tile < tiles.count; first_tile += plan.block) {
    const Block block{first_tile, smaller(plan.block, tiles.count - first_tile)};
    write_tiles(tiles, block, block.count, x.channels, in_plane, in, run, [&](const Segment& segment, int64_t channel) {
      input_tiles<Element>(x, width, segment, channel, in_plane, in);
    });
    write_tiles(tiles, block, block.count, grad.channels, out_plane, out, run, [&](const Segment& segment, int64_t channel) {
      gradient_tiles<Element>(grad, width, segment, channel, out_plane, out);
    });
    for (int64_t first = 0; first < panels; first += at_once) {
      const int64_t count = smaller(at_once, panels - first);
      const Sums sums(of_tiles, count, in_stride);
      for_each(run, POINTS * count, [&](int64_t task) {
        const int64_t point = task / count, panel = task % count, place = (first + panel) * PANEL;
        for (int64_t c = 0; c < in_stride; c += COLUMNS)
          product_of_columns(in + point * in_plane.size + c, in_plane.stride, out + point * out_plane.size + place,
                             out_plane.stride, block.count, grad.channels - place, sums.at(point, panel, c));
      });
      add_weights(sums, first, count, grad.channels, x.channels, first_tile == 0, total, run);
    }
  }
  if constexpr (!EXACT)
    for (int64_t i = 0; i < weights; ++i) grad_weight[i] = element_of<Element>(total[i]);
  give_back_large_scratch(ScratchSlot::shared);
}

template <class Body>
void with_element(Type type, Body body) {
  if (type == Type::bfloat16)
    body(Bfloat16{});
  else
    body(float{});
}

}  // namespace winograd

void winograd_conv2d_of_type(const Convolution& c, RunTasks run) {
  winograd::with_element(c.x.type, [&](auto element) { winograd::convolve<decltype(element)>(c, nullptr, false, run); });
}

void conv3x3_of_type(const Convolution& c, const void* weight, bool turned, RunTasks run) {
  winograd::with_element(c.x.type, [&](auto element) {
    winograd::convolve(c, static_cast<const decltype(element)*>(weight), turned, run);
  });
}

void conv3x3_weight_of_type(const Features& x, const Features& grad, int64_t width, void* grad_weight, RunTasks run) {
  winograd::with_element(x.type, [&](auto element) {
    winograd::weight_gradient(x, grad, width, static_cast<decltype(element)*>(grad_weight), run);
  });
}

}  // namespace

const ConvolutionKernels convolution_kernels{winograd_conv2d_of_type, conv3x3_of_type, conv3x3_weight_of_type};
