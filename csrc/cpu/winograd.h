// Winograd's 3x3 convolution and its derivatives on the CPU: what cpu/winograd_conv2d.h and cpu/conv3x3.h share.
//
// Formula   z[n, k, i, j] = bias[k] + sum over c, a, b of x[n, c, i + a - 1, j + b - 1] w[k, c, a, b], zeros outside x,
//           and y = act(z), linear above and below 0, clamped. The sums are A^T [sum over c of (G w G^T) * (B^T d B)] A
//           over tiles; the gradient of x is such a convolution, that of w is G^T [sum over tiles of (B^T d B) * (A g
//           A^T)] G.
// Shapes    x [N, C, H, W] and y, grad [N, K, H, W], pixels or channels adjacent; w [K, C, 3, 3]; bias [K] or null;
//           kernel [64, ceil(K / 32), C, 32], float32, for each point G w G^T of Six, or [36, ceil(K / 32), ceil(C / 2),
//           32, 2], bfloat16, of Four; with zeros past K and C.
// Cost      multiply-adds per tile for each c and k: 64 instead of 324 for 6 x 6 outputs, 36 instead of 144 for 4 x 4.
// Sums      float, of products of float or, with a kernel of Four, of bfloat16.
// Repeats   bit for bit: each sum is one task's, in the order of channels or tiles, and blocks are added in order.
// Source    A. Lavin and S. Gray, "Fast algorithms for convolutional neural networks", CVPR 2016.
#pragma once

#include "cpu/kernels.h"

namespace ganart::cpu {

// A 3x3 convolution of step 1 and padding 1 of features with rows of `width` pixels. Features, results and weights are
// float32 or bfloat16, all other floating-point numbers are float32.
struct Convolution {
  Features x;
  int64_t width, out_channels;
  void* y;                       // of x's type, dense; channels_last unless x.pixel_stride == 1
  const void* kernel = nullptr;  // of Six if it is float32, else of Four
  Type kernel_type = Type::float32;
  bool turned = false;         // whether the kernel is that of the convolution of which this is the gradient
  const void* bias = nullptr;  // [K] or null

  // The activation: a result above 0 is multiplied by gain, any other by negative_gain, and both are clamped to
  // +-limit.
  float gain = 1, negative_gain = 1, limit = __builtin_inff();

  // Where these are 0 or less, x counts as 0: of x's sizes and type, with the same numbers adjacent; or with null data.
  Features mask{};
};

}  // namespace ganart::cpu

#if defined(GANART_LEVEL)

#include "cpu/elements.h"
#include "cpu/tasks.h"
#include "cpu/tiles.h"
#include "cpu/winograd_algorithms.h"

namespace ganart::cpu::GANART_LEVEL {
namespace {
namespace winograd {

constexpr int PANEL = 32, L = LANES<float>;
constexpr int64_t OWN = 1 << 20, SHARED = 8 << 20;  // bytes of tiles in progress, of one worker or of all together
constexpr int64_t WEIGHTS = 8 << 20;                // bytes of transformed weights at a time

template <class A>
constexpr int POINTS = A::IN * A::IN;

// Products (see cpu/tiles.h) of transformed tiles and weights: of floats, or of pairs of channels in bfloat16.
using Floats = PlainProducts<float>;
using Pairs = PairProducts;
template <class P>
struct TileOf {
  using type = float;
};
template <>
struct TileOf<Pairs> {
  using type = Bfloat16;
};
template <class P>
using Tile = typename TileOf<P>::type;

// The most pixels of tiles that are processed side by side: enough that vectors are seldom partial, few enough to stay
// in the first-level cache while they are transposed from pixels to channels.
constexpr int PIXELS = 32;
template <class A>
constexpr int SEGMENT = (PIXELS - A::IN) / A::OUT + 1;

// ---- tiles ----

// The tiles of all samples, row by row, that results of height x width need.
template <class A>
struct Tiles {
  int64_t height, width, down, across, count;

  Tiles(int64_t samples, int64_t out_height, int64_t out_width)
      : height(out_height), width(out_width), down((out_height + A::OUT - 1) / A::OUT),
        across((out_width + A::OUT - 1) / A::OUT), count(samples * down * across) {}
};

// Some consecutive tiles.
struct Block {
  int64_t first, count;
};

// Tiles side by side.
struct Segment {
  int64_t sample, down, across;  // of the first tile
  int64_t in_block;              // position in the block
  int64_t count;                 // 0 or less if there is nothing to do
};

// The segments of a block.
template <class A>
struct Segments {
  const Tiles<A>& tiles;
  Block block;
  int64_t first_row, per_row, count;

  Segments(const Tiles<A>& all, Block some)
      : tiles(all), block(some), first_row(some.first / all.across),
        per_row((all.across + SEGMENT<A> - 1) / SEGMENT<A>),
        count(((some.first + some.count - 1) / all.across + 1 - first_row) * per_row) {}

  Segment operator[](int64_t index) const {
    const int64_t row = first_row + index / per_row, start = row * tiles.across, part = index % per_row;
    const int64_t begin = larger(block.first, start + part * tiles.across / per_row);
    const int64_t end = smaller(start + (part + 1) * tiles.across / per_row, block.first + block.count);
    return {row / tiles.down, row % tiles.down, begin - start, begin - block.first, end - begin};
  }
};

// One point of a block: transformed channels of each tile.
template <class Number>
struct Plane {
  int64_t stride;  // from tile to tile: channels, rounded up
  int64_t size;    // one cache line longer, so that points fall into different cache sets

  Plane(int64_t channels, int64_t multiple, int64_t tiles)
      : stride(round_up(channels, multiple)), size(tiles * stride + 64 / sizeof(Number)) {}
};

// ---- features to tiles ----

// Writes L channels of a transformed tile.
GANART_INLINE void store_tile(float* to, Vector<float> values) { store(to, values); }
GANART_INLINE void store_tile(Bfloat16* to, Vector<float> values) {
#if defined(GANART_BFLOAT16_PAIRS)
  const auto halves = _mm512_cvtneps_pbh((__m512)values);
  __builtin_memcpy(to, &halves, sizeof halves);
#else
  store_elements(to, values);
#endif
}

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
  return load_elements(around + L + smaller(x - start, L));  // only zeros from the row's end on
}

GANART_INLINE Vector<float> masked(Vector<float> values, Vector<float> mask) {
  return mask <= 0.0f ? Vector<float>{} : values;
}

// ROWS rows of `pixels` pixels from (y, x) on, of L channels, which become the lanes; zeros outside the picture. With
// MASKS, sets to zero those that are zero or less in `f`.
template <int ROWS, class Element, bool MASKS>
void fetch(const Features& f, int64_t width, int64_t sample, int64_t y, int64_t x, int64_t pixels, int64_t channel,
           Vector<float> (&to)[ROWS][PIXELS]) {
  const auto put = [](Vector<float>& place, Vector<float> values)
                       GANART_INLINE_LAMBDA { place = MASKS ? masked(place, values) : values; };
  const auto* data = static_cast<const Element*>(f.data) + sample * f.sample_stride + channel * f.channel_stride;
  const int64_t height = f.pixels / width, valid = f.channels - channel;
  for (int64_t i = 0; i < ROWS; ++i) {
    if (y + i < 0 || y + i >= height) {
      for (int64_t j = 0; !MASKS && j < pixels; ++j) to[i][j] = Vector<float>{};
    } else if (f.pixel_stride == 1) {
      const Element* row = data + (y + i) * width;
      for (int64_t j = 0; j < pixels; j += L) {
        Vector<float> square[L];
        for (int64_t c = 0; c < L; ++c)
          square[c] = c < valid ? load_pixels(row + c * f.channel_stride, x + j, width) : Vector<float>{};
        transpose<float>(square);
#pragma GCC unroll 16
        for (int64_t p = 0; p < L; ++p) put(to[i][j + p], square[p]);
      }
    } else {
      const Element* row = data + (y + i) * width * f.pixel_stride;
      for (int64_t j = 0; j < pixels; ++j) {
        const bool inside = x + j >= 0 && x + j < width;
        put(to[i][j], inside ? load_elements(row + (x + j) * f.pixel_stride, valid) : Vector<float>{});
      }
    }
  }
}

// Applies `transform`, from FROM values to TO, down the columns and then along the rows of a square that begins in
// column `first` of `from`. put(row, values) receives the results row by row.
template <int FROM, int TO, int WIDE, class Transform, class Put>
GANART_INLINE void transform_square(const Vector<float> (&from)[FROM][WIDE], int64_t first, Transform transform,
                                    Put put) {
  Vector<float> half[TO][FROM];
  for (int j = 0; j < FROM; ++j) {
    Vector<float> column[FROM], transformed[TO];
#pragma GCC unroll 8
    for (int i = 0; i < FROM; ++i) column[i] = from[i][first + j];
    transform(column, transformed);
#pragma GCC unroll 8
    for (int i = 0; i < TO; ++i) half[i][j] = transformed[i];
  }
  for (int i = 0; i < TO; ++i) {
    Vector<float> row[TO];
    transform(half[i], row);
    put(i, row);
  }
}

// Writes the transformed tiles of a segment for L channels. A tile is a square of SIDE pixels, the first `margin` of
// which are outside the outputs. `mask` is as in Convolution.
template <class A, int SIDE, class Element, class Number, class Transform>
GANART_INLINE void transform_tiles(const Features& f, const Features& mask, int64_t width, const Segment& segment,
                                   int64_t margin, int64_t channel, const Plane<Number>& plane, Number* to,
                                   Transform transform) {
  Vector<float> pixels[SIDE][PIXELS];
  const int64_t y = segment.down * A::OUT - margin, x = segment.across * A::OUT - margin;
  const int64_t across = (segment.count - 1) * A::OUT + SIDE;
  fetch<SIDE, Element, false>(f, width, segment.sample, y, x, across, channel, pixels);
  if (mask.data) fetch<SIDE, Element, true>(mask, width, segment.sample, y, x, across, channel, pixels);
  for (int64_t t = 0; t < segment.count; ++t) {
    Number* tile = to + (segment.in_block + t) * plane.stride + channel;
    transform_square<SIDE, A::IN>(pixels, t * A::OUT, transform, [=](int i, const auto& row) GANART_INLINE_LAMBDA {
#pragma GCC unroll 8
      for (int j = 0; j < A::IN; ++j) store_tile(tile + (i * A::IN + j) * plane.size, row[j]);
    });
  }
}

// B^T d B.
template <class A, class Element, class Number>
void input_tiles(const Features& x, const Features& mask, int64_t width, const Segment& segment, int64_t channel,
                 const Plane<Number>& plane, Number* to) {
  transform_tiles<A, A::IN, Element>(x, mask, width, segment, 1, channel, plane, to,
                                     [](const auto& d, auto& p) GANART_INLINE_LAMBDA { A::input(d, p); });
}

// A g A^T.
template <class A, class Element>
void gradient_tiles(const Features& grad, int64_t width, const Segment& segment, int64_t channel,
                    const Plane<float>& plane, float* to) {
  transform_tiles<A, A::OUT, Element>(grad, Features{}, width, segment, 0, channel, plane, to,
                                      [](const auto& g, auto& p) GANART_INLINE_LAMBDA { A::gradient(g, p); });
}

// Calls transform(segment, channel) for all of a block, and writes zeros for the tiles up to `rows`.
template <class A, class Number, class Transform>
void write_tiles(const Tiles<A>& tiles, Block block, int64_t rows, int64_t channels, const Plane<Number>& plane,
                 Number* to, RunTasks run, Transform transform) {
  const Segments<A> segments(tiles, block);
  for_each(run, segments.count, [&](int64_t task) {
    const Segment segment = segments[task];
    if (segment.count > 0)
      for (int64_t channel = 0; channel < channels; channel += L) transform(segment, channel);
  });
  for (int64_t point = 0; point < POINTS<A>; ++point)
    for (int64_t i = block.count * plane.stride; i < rows * plane.stride; ++i) to[point * plane.size + i] = {};
}

// ---- tiles to a result ----

// The results of a segment's tiles, for L channels.
template <class A, class Element>
void output_tiles(const Convolution& c, const Tiles<A>& tiles, const Segment& segment, int64_t channel,
                  const Plane<float>& plane, const float* from) {
  const int64_t valid = c.out_channels - channel, pixels = tiles.height * tiles.width;
  const Vector<float> bias = c.bias ? load_elements(static_cast<const float*>(c.bias) + channel, valid)
                                    : Vector<float>{};
  const Vector<float> gain = splat(c.gain), negative_gain = splat(c.negative_gain), limit = splat(c.limit);
  const auto finish = [=](Vector<float> z) GANART_INLINE_LAMBDA {
    z += bias;
    return at_least<float>(-limit, at_most<float>(limit, z * (z > 0.0f ? gain : negative_gain)));
  };
  Vector<float> out[A::OUT][PIXELS];
  for (int64_t t = 0; t < segment.count; ++t) {
    const float* tile = from + (segment.in_block + t) * plane.stride + channel;
    Vector<float> half[A::OUT][A::IN];
    for (int j = 0; j < A::IN; ++j) {
      Vector<float> p[A::IN], y[A::OUT];
#pragma GCC unroll 8
      for (int i = 0; i < A::IN; ++i) p[i] = load(tile + (i * A::IN + j) * plane.size);
      A::output(p, y);
#pragma GCC unroll 6
      for (int i = 0; i < A::OUT; ++i) half[i][j] = y[i];
    }
    for (int i = 0; i < A::OUT; ++i) {
      Vector<float> y[A::OUT];
      A::output(half[i], y);
#pragma GCC unroll 6
      for (int j = 0; j < A::OUT; ++j) out[i][t * A::OUT + j] = finish(y[j]);
    }
  }
  const int64_t y = segment.down * A::OUT, x = segment.across * A::OUT;
  const int64_t down = smaller(A::OUT, tiles.height - y), across = smaller(segment.count * A::OUT, tiles.width - x);
  auto* data = static_cast<Element*>(c.y) + segment.sample * c.out_channels * pixels;
  for (int64_t i = 0; i < down; ++i) {
    const int64_t place = (y + i) * tiles.width + x;
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

constexpr int ROWS = L == 16 ? 12 : 6;  // the most rows of a product in registers, by two vectors
constexpr int FEWEST_ROWS = ROWS / 3;

// out[R, PANEL] = tiles[R, items] * kernel[items, PANEL], of which `valid` columns count.
template <class P, int R>
GANART_INLINE void product(const typename P::Item* tiles, int64_t tile_stride, const typename P::Item* kernel,
                           int64_t items, int64_t valid, float* out, int64_t out_stride) {
  for_parts(valid, [=](int part, auto vectors) {
    constexpr int VECTORS = decltype(vectors)::value;
    Vector<float> sums[R][VECTORS] = {};
    for (int64_t c = 0; c < items; ++c) {
      Vector<typename P::Item> columns[VECTORS];
      for (int v = 0; v < VECTORS; ++v) columns[v] = load(kernel + c * PANEL + part + v * L);
#pragma GCC unroll 12
      for (int row = 0; row < R; ++row) {
        const auto value = splat(tiles[row * tile_stride + c]);
        for (int v = 0; v < VECTORS; ++v) P::multiply_add(sums[row][v], value, columns[v]);
      }
    }
#pragma GCC unroll 12
    for (int row = 0; row < R; ++row)
      for (int v = 0; v < VECTORS; ++v) store(out + row * out_stride + part + v * L, sums[row][v]);
  });
}

// The same for a multiple of FEWEST_ROWS.
template <class P>
void product_of_rows(const typename P::Item* tiles, int64_t tile_stride, int64_t rows, const typename P::Item* kernel,
                     int64_t items, int64_t valid, float* out, int64_t out_stride) {
  for (; rows >= ROWS; rows -= ROWS, tiles += ROWS * tile_stride, out += ROWS * out_stride)
    product<P, ROWS>(tiles, tile_stride, kernel, items, valid, out, out_stride);
  if (rows > FEWEST_ROWS)
    product<P, 2 * FEWEST_ROWS>(tiles, tile_stride, kernel, items, valid, out, out_stride);
  else if (rows > 0)
    product<P, FEWEST_ROWS>(tiles, tile_stride, kernel, items, valid, out, out_stride);
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

// The place of an output and an input channel's taps in [out, in, 3, 3] or, if `turned`, in the weight of the
// convolution of which this is the gradient: [in, out, 3, 3], with the taps in reverse order.
struct WeightPlace {
  int64_t out_step, in_step, count;
  bool turned;

  WeightPlace(int64_t out_channels, int64_t in_channels, bool is_turned)
      : out_step(is_turned ? ALL_TAPS : in_channels * ALL_TAPS),
        in_step(is_turned ? out_channels * ALL_TAPS : ALL_TAPS), count(out_channels * in_channels * ALL_TAPS),
        turned(is_turned) {}

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

// Writes such taps, or with `more` adds them.
GANART_INLINE void store_taps(float* weight, const WeightPlace& place, int64_t out, int64_t in, int64_t valid,
                              bool more, const Vector<float> (&taps)[TAPS][TAPS]) {
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
      store_elements(to, more ? load_elements(to, count) + square[k] : square[k], count);
    }
  }
}

int64_t panels_of(int64_t channels) { return (channels + PANEL - 1) / PANEL; }

// The number of panels of transformed weights that fit into WEIGHTS bytes, at most all that `out_channels` need.
// An item is a number or a pair of them, of 4 bytes each.
template <class A>
int64_t panels_at_once(int64_t out_channels, int64_t items) {
  const int64_t bytes = POINTS<A> * items * PANEL * int64_t(sizeof(float));
  return smaller(panels_of(out_channels), larger(1, WEIGHTS / bytes));
}

// Transformed weights of some panels, or sums from which their gradients follow: for each point [panels, items, 32],
// with an item for each input channel or pair of them.
template <class A, class Item = float>
struct Weights {
  Item* data;
  int64_t items, size;  // of one point: one cache line longer, as in Plane

  Weights(Item* memory, int64_t panels, int64_t all_items)
      : data(memory), items(all_items), size(count(panels, all_items) / POINTS<A>) {}

  static int64_t count(int64_t panels, int64_t items) { return POINTS<A> * (panels * items * PANEL + 16); }
  GANART_INLINE Item* at(int64_t point, int64_t panel, int64_t item) const {
    return data + point * size + (panel * items + item) * PANEL;
  }
};

// A kernel that was transformed beforehand, for `channels` inputs.
template <class A, class P>
Weights<A, const typename P::Item> kernel_of(const void* kernel, int64_t out_channels, int64_t in_channels) {
  const int64_t panels = panels_of(out_channels), items = items_in<P>(in_channels);
  Weights<A, const typename P::Item> weights(static_cast<const typename P::Item*>(kernel), panels, items);
  weights.size = panels * items * PANEL;
  return weights;
}

template <int FIRST, int... WORD>
GANART_INLINE Vector<uint32_t> interleaved(Vector<uint32_t> low, Vector<uint32_t> high,
                                           std::integer_sequence<int, WORD...>) {
  typedef uint16_t Words __attribute__((vector_size(GANART_VECTOR_BYTES)));
  return (Vector<uint32_t>)__builtin_shufflevector((Words)low, (Words)high, (FIRST + WORD / 2 + WORD % 2 * 2 * L)...);
}

// Writes L columns of L items of a kernel, given as rows, as rows of the turned kernel.
GANART_INLINE void store_turned(Vector<float> (&square)[L], float* to, int64_t rows) {
  transpose<float>(square);
  for (int64_t row = 0; row < smaller(L, rows); ++row) store(to + row * PANEL, square[row]);
}

// The same for pairs: 2 L columns, and a row for each two channels.
GANART_INLINE void store_turned(Vector<uint32_t> (&square)[L], uint32_t* to, int64_t rows) {
  constexpr auto words = std::make_integer_sequence<int, 2 * L>{};
  transpose<uint32_t>(square);
  for (int64_t row = 0; row < smaller(L / 2, rows); ++row) {
    store(to + row * PANEL, interleaved<0>(square[2 * row], square[2 * row + 1], words));
    store(to + row * PANEL + L, interleaved<L>(square[2 * row], square[2 * row + 1], words));
  }
}

// Writes a panel of `items` rows of the kernel of the gradient, from that of the convolution: channels change places, and
// points are mirrored, which reverses the taps.
template <class A, class P>
void turn_panel(const Weights<A, const typename P::Item>& from, int64_t point, int64_t panel, typename P::Item* to,
                int64_t items) {
  using Item = typename P::Item;
  const int64_t mirrored = A::MIRRORED[point / A::IN] * A::IN + A::MIRRORED[point % A::IN];
  for (int64_t row = 0; row < items; row += L / P::DEPTH)
    for (int64_t part = 0; part < PANEL; part += L * P::DEPTH) {
      const int64_t lane = row * P::DEPTH, item = (panel * PANEL + part) / P::DEPTH;
      const Item* corner = from.at(mirrored, lane / PANEL, item) + lane % PANEL;
      Vector<Item> square[L];
#pragma GCC unroll 16
      for (int i = 0; i < L; ++i) {
        square[i] = item + i < from.items ? load(corner + i * PANEL) : Vector<Item>{};
        __builtin_prefetch(corner + i * PANEL + from.items * PANEL);  // of the next panel, too far for the processor
      }
      store_turned(square, to + row * PANEL + part, items - row);
    }
}

// Writes G w G^T of `count` panels of a weight from `first` on.
template <class A, class Element>
void transform_weights(const Element* weight, const WeightPlace& place, int64_t first, int64_t count,
                       int64_t out_channels, const Weights<A>& to, RunTasks run) {
  constexpr int D = A::IN;
  for_each_of_groups(run, count * to.items, 8, [&](int64_t task) {
    const int64_t panel = task / to.items, in = task % to.items, out = (first + panel) * PANEL;
    for (int part = 0; part < PANEL; part += L) {
      Vector<float> taps[TAPS][TAPS];
      load_taps(weight, place, out + part, in, out_channels - out - part, taps);
      transform_square<TAPS, D>(
          taps, 0, [](const auto& w, auto& u) GANART_INLINE_LAMBDA { A::weight(w, u); },
          [&](int i, const auto& u) GANART_INLINE_LAMBDA {
#pragma GCC unroll 8
            for (int j = 0; j < D; ++j) store(to.at(i * D + j, panel, in) + part, u[j]);
          });
    }
  });
}

// Writes or adds the gradient of `count` panels from `first` on, G^T u G of sums.
template <class A>
void weights_of_sums(const Weights<A>& sums, int64_t first, int64_t count, int64_t out_channels, int64_t in_channels,
                     bool more, float* weight, RunTasks run) {
  constexpr int D = A::IN;
  const WeightPlace place(out_channels, in_channels, false);
  for_each_of_groups(run, count * in_channels, 8, [&](int64_t task) {
    const int64_t panel = task / in_channels, in = task % in_channels, out = (first + panel) * PANEL;
    for (int part = 0; part < PANEL; part += L) {
      Vector<float> half[TAPS][D], taps[TAPS][TAPS];
      for (int j = 0; j < D; ++j) {
        Vector<float> u[D], w[TAPS];
#pragma GCC unroll 8
        for (int i = 0; i < D; ++i) u[i] = load(sums.at(i * D + j, panel, in) + part);
        A::weight_gradient(u, w);
#pragma GCC unroll 3
        for (int i = 0; i < TAPS; ++i) half[i][j] = w[i];
      }
#pragma GCC unroll 3
      for (int i = 0; i < TAPS; ++i) A::weight_gradient(half[i], taps[i]);
      store_taps(weight, place, out + part, in, out_channels - out - part, more, taps);
    }
  });
}

// ---- convolution ----

// How many tiles are in progress together, and whether each worker has its own, which stay in its caches.
struct Plan {
  bool apart;
  int64_t block;

  Plan(int64_t tiles, int64_t bytes, bool may_be_apart) {
    const int64_t own = OWN / bytes, enough = tiles / 16;  // so that there are enough blocks for all workers
    apart = may_be_apart && own >= 12 && enough >= 12;
    const int64_t most = apart ? smaller(own, enough) : larger(96, SHARED / bytes), blocks = (tiles + most - 1) / most;
    block = round_up((tiles + blocks - 1) / blocks, ROWS);
  }
};

// A convolution with c.kernel or, without it, with a weight, of which a few panels are transformed at a time.
template <class A, class P, class Element>
class Winograd {
 public:
  using Item = typename P::Item;

  explicit Winograd(const Convolution& c, const Element* weight = nullptr)
      : c_(c), weight_(weight), place_(c.out_channels, c.x.channels, c.turned),
        tiles_(c.x.samples, c.x.pixels / c.width, c.width), panels_(panels_of(c.out_channels)),
        items_(items_in<P>(c.x.channels)), made_(weight || c.turned),
        at_once_(made_ ? panels_at_once<A>(c.out_channels, items_) : panels_),
        one_by_one_(made_ && !weight && at_once_ < panels_),
        plan_(tiles_.count,
              POINTS<A> *
                  (round_up(c.x.channels, 16) * int64_t(sizeof(Tile<P>)) + panels_ * PANEL * int64_t(sizeof(float))),
              at_once_ == panels_),
        in_plane_(c.x.channels, 16, plan_.block), out_plane_(c.out_channels, PANEL, plan_.block) {}

  void run(RunTasks run) {
    const int64_t of_tiles = POINTS<A> *
                             (in_plane_.size * int64_t(sizeof(Tile<P>)) + out_plane_.size * int64_t(sizeof(float)));
    const int64_t of_weights = made_ && !one_by_one_ ? Weights<A, Item>::count(at_once_, items_) * int64_t(sizeof(Item))
                                                     : 0;
    auto* shared = static_cast<char*>(scratch(ScratchSlot::shared, of_weights + (plan_.apart ? 0 : of_tiles)));
    made_weights_ = reinterpret_cast<Item*>(shared);
    if (made_ && at_once_ == panels_) make(0, panels_, run);
    const int64_t blocks = (tiles_.count + plan_.block - 1) / plan_.block;
    if (plan_.apart) {
      for_each(run, blocks, [&](int64_t index) {
        convolve(index, scratch(ScratchSlot::worker, of_tiles), run_serially);
        give_back_large_scratch(ScratchSlot::worker);
      });
    } else {
      for (int64_t index = 0; index < blocks; ++index) convolve(index, shared + of_weights, run);
    }
    give_back_large_scratch(ScratchSlot::shared);
  }

 private:
  // Makes `count` panels of transformed weights.
  void make(int64_t first, int64_t count, RunTasks run) const {
    const Weights<A, Item> to(made_weights_, count, items_);
    if constexpr (P::DEPTH == 1)
      if (weight_) return transform_weights(weight_, place_, first, count, c_.out_channels, to, run);
    for_each(run, POINTS<A> * count, [&](int64_t task) {
      const int64_t point = task / count, panel = task % count;
      turn_panel<A, P>(unturned(), point, first + panel, to.at(point, panel, 0), items_);
    });
  }

  Weights<A, const Item> unturned() const { return kernel_of<A, P>(c_.kernel, c_.x.channels, c_.out_channels); }

  // The three stages for a block of tiles: transform inputs, multiply, transform outputs.
  void convolve(int64_t index, void* memory, RunTasks run) const {
    const Block block{index * plan_.block, smaller(plan_.block, tiles_.count - index * plan_.block)};
    const int64_t rows = round_up(block.count, FEWEST_ROWS), channels = c_.x.channels;
    auto* in = static_cast<Tile<P>*>(memory);
    auto* out = static_cast<float*>(static_cast<void*>(in + POINTS<A> * in_plane_.size));
    write_tiles(tiles_, block, rows, channels, in_plane_, in, run, [&](const Segment& segment, int64_t channel) {
      input_tiles<A, Element>(c_.x, c_.mask, c_.width, segment, channel, in_plane_, in);
    });
    // For panels from `first` on, whose weights panel_at(point, panel) returns.
    const auto multiply = [&](int64_t first, int64_t count, auto panel_at) {
      for_each(run, POINTS<A> * count, [&](int64_t task) {
        const int64_t point = task / count, panel = task % count, place = (first + panel) * PANEL;
        product_of_rows<P>(reinterpret_cast<const Item*>(in + point * in_plane_.size), in_plane_.stride / P::DEPTH,
                           rows, panel_at(point, panel), items_, c_.out_channels - place,
                           out + point * out_plane_.size + place, out_plane_.stride);
      });
    };
    if (!made_) {
      const auto kernel = kernel_of<A, P>(c_.kernel, c_.out_channels, channels);
      multiply(0, panels_, [&](int64_t point, int64_t panel) { return kernel.at(point, panel, 0); });
    } else if (one_by_one_) {
      multiply(0, panels_, [&](int64_t point, int64_t panel) {
        auto* turned = static_cast<Item*>(scratch(ScratchSlot::worker, items_ * PANEL * sizeof(Item)));
        turn_panel<A, P>(unturned(), point, panel, turned, items_);
        return static_cast<const Item*>(turned);
      });
    } else {
      for (int64_t first = 0; first < panels_; first += at_once_) {
        const int64_t count = smaller(at_once_, panels_ - first);
        if (at_once_ < panels_) make(first, count, run);
        const Weights<A, Item> made(made_weights_, count, items_);
        multiply(first, count, [&](int64_t point, int64_t panel) { return made.at(point, panel, 0); });
      }
    }
    const Segments<A> segments(tiles_, block);
    for_each(run, segments.count, [&](int64_t task) {
      const Segment segment = segments[task];
      if (segment.count > 0)
        for (int64_t channel = 0; channel < c_.out_channels; channel += L)
          output_tiles<A, Element>(c_, tiles_, segment, channel, out_plane_, out);
    });
  }

  const Convolution& c_;
  const Element* weight_;
  const WeightPlace place_;
  const Tiles<A> tiles_;
  const int64_t panels_, items_;
  const bool made_;  // from `weight` or by turning the kernel
  const int64_t at_once_;
  const bool one_by_one_;  // panels are turned by the worker that multiplies them, and stay in its caches
  const Plan plan_;
  const Plane<Tile<P>> in_plane_;
  const Plane<float> out_plane_;
  Item* made_weights_ = nullptr;
};

template <class A, class Element>
void weight_gradient(const Features& x, const Features& grad, int64_t width, Element* grad_weight, RunTasks run) {
  const Tiles<A> tiles(x.samples, x.pixels / width, width);
  const int64_t in_stride = round_up(x.channels, 16), panels = panels_of(grad.channels);
  const Plan plan(tiles.count, POINTS<A> * (in_stride + panels * PANEL) * int64_t(sizeof(float)), false);
  const Plane<float> in_plane(x.channels, 16, plan.block), out_plane(grad.channels, PANEL, plan.block);
  const int64_t at_once = panels_at_once<A>(grad.channels, in_stride);
  const int64_t elements = x.channels * grad.channels * ALL_TAPS, of_sums = Weights<A>::count(at_once, in_stride);
  constexpr bool EXACT = sizeof(Element) == sizeof(float);  // otherwise blocks are added up separately
  const int64_t floats = POINTS<A> * (in_plane.size + out_plane.size) + of_sums + (EXACT ? 0 : elements);
  auto* in = static_cast<float*>(scratch(ScratchSlot::shared, floats * sizeof(float)));
  float *out = in + POINTS<A> * in_plane.size, *summed = out + POINTS<A> * out_plane.size, *total = summed + of_sums;
  if constexpr (EXACT) total = grad_weight;
  for (int64_t first_tile = 0; first_tile < tiles.count; first_tile += plan.block) {
    const Block block{first_tile, smaller(plan.block, tiles.count - first_tile)};
    write_tiles(tiles, block, block.count, x.channels, in_plane, in, run, [&](const Segment& segment, int64_t channel) {
      input_tiles<A, Element>(x, Features{}, width, segment, channel, in_plane, in);
    });
    write_tiles(tiles, block, block.count, grad.channels, out_plane, out, run,
                [&](const Segment& segment, int64_t channel) {
                  gradient_tiles<A, Element>(grad, width, segment, channel, out_plane, out);
                });
    for (int64_t first = 0; first < panels; first += at_once) {
      const int64_t count = smaller(at_once, panels - first);
      const Weights<A> sums(summed, count, in_stride);
      for_each(run, POINTS<A> * count, [&](int64_t task) {
        const int64_t point = task / count, panel = task % count, place = (first + panel) * PANEL;
        for (int64_t c = 0; c < in_stride; c += COLUMNS)
          product_of_columns(in + point * in_plane.size + c, in_plane.stride, out + point * out_plane.size + place,
                             out_plane.stride, block.count, grad.channels - place, sums.at(point, panel, c));
      });
      weights_of_sums(sums, first, count, grad.channels, x.channels, first_tile > 0, total, run);
    }
  }
  if constexpr (!EXACT)
    for (int64_t i = 0; i < elements; ++i) grad_weight[i] = element_of<Element>(total[i]);
  give_back_large_scratch(ScratchSlot::shared);
}

// ---- which algorithm ----

template <class Body>
void with_element(Type type, Body body) {
  if (type == Type::bfloat16)
    body(Bfloat16{});
  else
    body(float{});
}

// Six, or Four if it needs a tenth fewer products: small tiles fit small maps better.
template <class Body>
void with_tiles(int64_t samples, int64_t height, int64_t width, Body body) {
  const auto products = [=](auto a) {
    using A = decltype(a);
    return Tiles<A>(samples, height, width).count * POINTS<A>;
  };
  if (10 * products(Six{}) >= 11 * products(Four{}))
    body(Four{});
  else
    body(Six{});
}

}  // namespace winograd
}  // namespace
}  // namespace ganart::cpu::GANART_LEVEL

#endif
