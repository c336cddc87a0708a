// Gram matrix on the CPU.
//
// Formula   G(F) = F F^T / (C*P), F as [N, C, P]; backward factor * (M + M^T) F.
// Shapes    F [N, C, P], pixels or channels adjacent; G, M [N, C, C].
// Cost      forward C^2*P useful FLOPs and one read of F; backward 2*C^2*P, one read of F and one write.
// Sums      float (double for double); bfloat16 products are exact, M + M^T is rounded to bfloat16 before its product.
// Repeats   bit for bit: the depth is cut into pieces by sizes alone, and pieces are added in order.
#pragma once

#include "cpu/kernels.h"

namespace ganart::cpu {

struct GramMatrixKernels {
  // gram [N, C, C] Sum.
  void (*forward)(const Features& features, void* gram, RunTasks run);

  // grad_features = factor * (M + M^T) F, of F's type; dense, channels_last unless features.pixel_stride == 1.
  void (*backward)(const void* matrix, double factor, const Features& features, void* grad_features, RunTasks run);
};
GANART_DECLARE_KERNELS(GramMatrixKernels, gram_matrix_kernels)

}  // namespace ganart::cpu

#if defined(GANART_LEVEL)

#include "cpu/elements.h"
#include "cpu/tasks.h"
#include "cpu/tiles.h"

namespace ganart::cpu::GANART_LEVEL {
namespace {

// Below this many products, waking other threads costs more time than they save.
constexpr int64_t PARALLEL_PRODUCTS = int64_t(1) << 19;

RunTasks runner_for(const Features& f, RunTasks parallel) {
  const double products = double(f.samples) * double(f.channels) * double(f.channels) * double(f.pixels);
  return products < double(PARALLEL_PRODUCTS) ? run_serially : parallel;
}

// ---- forward: the upper triangle of F F^T, as tiles of PANEL x PANEL sums ----

constexpr int64_t PACKED_BYTES = 384 << 10;  // of one depth block, which fits well into a core's second-level cache
constexpr int64_t PARTIAL_BYTES = 8 << 20;   // of all pieces' sums of one sample
constexpr int64_t PIECE_DEPTH = 256;         // least pixels of a piece, and its
constexpr double PIECE_PRODUCTS =
    1 << 18;  // least products: adding a smaller piece's sums would cost more than computing them
constexpr int64_t MAX_PIECES = 32, ENOUGH_TASKS = 4, BLOCK_ITEMS = 256;

// How one sample's work is divided: by sizes alone, so that neither threads nor the batch change a sum.
template <class P>
struct Cut {
  int64_t panels, tiles, pieces, piece_depth, block_depth, groups;

  explicit Cut(const Features& f) {
    const int64_t panel_bytes = PANEL<P> * sizeof(typename P::Item);
    panels = (f.channels + PANEL<P> - 1) / PANEL<P>;
    tiles = panels * (panels + 1) / 2;
    const int64_t tile_bytes = PANEL<P> * PANEL<P> * sizeof(typename P::Sum);
    const double products = double(f.channels) * double(f.channels) * double(f.pixels);
    const int64_t worth = smaller(f.pixels / PIECE_DEPTH, int64_t(products / PIECE_PRODUCTS));
    const int64_t most = smaller(MAX_PIECES, smaller(worth, PARTIAL_BYTES / (tiles * tile_bytes)));
    for (pieces = 1; pieces * 2 <= most;) pieces *= 2;
    groups = larger(1, smaller(ENOUGH_TASKS / pieces, panels / 2));
    const int64_t items = PACKED_BYTES / (panels * panel_bytes) / 16 * 16;
    block_depth = larger(32, smaller(BLOCK_ITEMS, items)) * P::DEPTH;
    piece_depth = round_up((f.pixels + pieces - 1) / pieces, P::DEPTH);
  }

  // The first panel column of a group: groups have equal shares of the triangle.
  int64_t group_start(int64_t group) const {
    int64_t panel = 0;
    while (panel * (panel + 1) * groups < group * panels * (panels + 1)) ++panel;
    return panel;
  }
};

constexpr int64_t tile_index(int64_t row, int64_t column) { return column * (column + 1) / 2 + row; }

template <class P, int VECTORS, int COUNT>
[[gnu::noinline]] void forward_tile(int64_t items, const typename P::Item* broadcast, const typename P::Item* panel,
                                    typename P::Sum* tile, bool add, Ahead& ahead) {
  constexpr int L = LANES<typename P::Sum>;
  Vector<typename P::Sum> sums[COUNT][VECTORS];
#pragma GCC unroll 16
  for (int c = 0; c < COUNT; ++c)
#pragma GCC unroll 2
    for (int v = 0; v < VECTORS; ++v) sums[c][v] = add ? load(tile + c * PANEL<P> + v * L) : Vector<typename P::Sum>{};
  multiply_tile<P, VECTORS, COUNT>(items, broadcast, PANEL<P>, 1, panel, sums, ahead);
#pragma GCC unroll 16
  for (int c = 0; c < COUNT; ++c)
#pragma GCC unroll 2
    for (int v = 0; v < VECTORS; ++v) store(tile + c * PANEL<P> + v * L, sums[c][v]);
}

// Adds the products of one packed block to the tiles of panel columns [from, to).
template <class P>
void forward_block(int64_t items, const typename P::Item* packed, int64_t packed_panel, int64_t channels, int64_t from,
                   int64_t to, typename P::Sum* tiles, bool add, Ahead ahead) {
  constexpr int L = LANES<typename P::Sum>;
  for (int64_t column = from; column < to; ++column) {
    const typename P::Item* panel = packed + column * packed_panel;
    const bool narrow_panel = channels - column * PANEL<P> <= L;
    for (int64_t row = 0; row <= column; ++row) {
      const typename P::Item* broadcast = packed + row * packed_panel;
      typename P::Sum* tile = tiles + tile_index(row, column) * PANEL<P> * PANEL<P>;
      const int64_t rows = smaller(PANEL<P>, channels - row * PANEL<P>);
      // Nothing below the diagonal is needed, except the second vector of a diagonal tile's lower half.
      const auto add_part = [&](auto count, int c) {
        constexpr int COUNT = decltype(count)::value;
        if (narrow_panel)
          forward_tile<P, 1, COUNT>(items, broadcast + c, panel, tile + c * PANEL<P>, add, ahead);
        else
          forward_tile<P, 2, COUNT>(items, broadcast + c, panel, tile + c * PANEL<P>, add, ahead);
      };
      if (row < column) {
        for_parts<P, PANEL<P>>(rows, add_part);
      } else {
        for_parts<P, L>(rows, add_part);
        if (rows > L) forward_tile<P, 1, L>(items, broadcast + L, panel + L, tile + L * PANEL<P> + L, add, ahead);
      }
    }
  }
}

// So few rows of pixels are multiplied in place, pair by pair; most lanes of a tile would be empty.
constexpr int64_t FEW_CHANNELS = 4;

template <class P, class Element>
void forward_pairs(const Element* rows, int64_t row_stride, int64_t channels, int64_t depth, typename P::Sum* tile) {
  using Sum = typename P::Sum;
  constexpr int L = LANES<Sum>, UNROLL = 4;
  for (int64_t row = 0; row < channels; ++row)
    for (int64_t column = row; column < channels; ++column) {
      const Element *left = rows + row * row_stride, *right = rows + column * row_stride;
      Vector<Sum> sums[UNROLL] = {};
      int64_t i = 0;
      for (; i + UNROLL * L <= depth; i += UNROLL * L)
#pragma GCC unroll 4
        for (int u = 0; u < UNROLL; ++u) sums[u] += load_elements(left + i + u * L) * load_elements(right + i + u * L);
      for (; i < depth; i += L) sums[0] += load_elements(left + i, depth - i) * load_elements(right + i, depth - i);
      tile[row * PANEL<P> + column] = Sum(total_of<Sum>((sums[0] + sums[1]) + (sums[2] + sums[3])));
    }
}

// partials [N, pieces, tiles, PANEL, PANEL]
template <class P, class Element>
void forward_sums(const Features& f, const Cut<P>& cut, typename P::Sum* partials, RunTasks run) {
  for_each(run, f.samples * cut.pieces * cut.groups, [&](int64_t task) {
    const int64_t group = task % cut.groups, piece = task / cut.groups % cut.pieces;
    const int64_t sample = task / cut.groups / cut.pieces;
    const int64_t from = cut.group_start(group), to = cut.group_start(group + 1);
    const int64_t begin = piece * cut.piece_depth, end = smaller(f.pixels, begin + cut.piece_depth);
    const Element* data = static_cast<const Element*>(f.data) + sample * f.sample_stride;
    typename P::Sum* tiles = partials + (sample * cut.pieces + piece) * cut.tiles * PANEL<P> * PANEL<P>;
    if (f.channels <= FEW_CHANNELS && f.pixel_stride == 1)
      return forward_pairs<P>(data + begin, f.channel_stride, f.channels, end - begin, tiles);
    const int64_t packed_panel = round_up(items_in<P>(cut.block_depth), LANES<typename P::Item>) * PANEL<P>;
    auto* packed =
        static_cast<typename P::Item*>(scratch(ScratchSlot::worker, to * packed_panel * sizeof(typename P::Item)));
    for (int64_t pixel = begin; pixel < end; pixel += cut.block_depth) {
      const int64_t depth = smaller(cut.block_depth, end - pixel);
      for (int64_t panel = 0; panel < to; ++panel) {
        const Element* corner = data + panel * PANEL<P> * f.channel_stride + pixel * f.pixel_stride;
        const int64_t lanes = smaller(PANEL<P>, f.channels - panel * PANEL<P>);
        if (f.pixel_stride == 1)
          pack_transposed<P>(corner, f.channel_stride, lanes, depth, packed + panel * packed_panel);
        else
          pack_rows<P>(corner, f.pixel_stride, lanes, depth, packed + panel * packed_panel);
      }
      const int64_t after = pixel + depth, next_depth = smaller(cut.block_depth, end - after);
      const int64_t channels = smaller(f.channels, to * PANEL<P>), size = sizeof(Element);
      Ahead ahead;
      if (next_depth > 0 && f.pixel_stride == 1)
        ahead = Ahead(data + after, channels, next_depth * size, f.channel_stride * size);
      else if (next_depth > 0)
        ahead = Ahead(data + after * f.pixel_stride, next_depth, channels * size, f.pixel_stride * size);
      forward_block<P>(items_in<P>(depth), packed, packed_panel, f.channels, from, to, tiles, pixel > begin, ahead);
    }
  });
}

// Adds up the pieces of one tile, scales, and calls emit(row, column, count, values) for its rows, and for the rows of
// its mirror image below the diagonal.
template <class P, class Emit>
void finish_tile(const Cut<P>& cut, const typename P::Sum* partials, int64_t channels, typename P::Sum scale,
                 int64_t row, int64_t column, Emit emit) {
  using Sum = typename P::Sum;
  constexpr int L = LANES<Sum>, W = PANEL<P>;
  alignas(64) Sum tile[W][W], mirror[W][W];
  const Sum* first = partials + tile_index(row, column) * W * W;
  for (int64_t at = 0; at < W * W; at += L) {
    Vector<Sum> sum = load(first + at);
    for (int64_t piece = 1; piece < cut.pieces; ++piece) sum += load(first + piece * cut.tiles * W * W + at);
    store(&tile[0][0] + at, sum * splat(scale));
  }
  for (int y = 0; y < W; y += L)
    for (int x = 0; x < W; x += L) {
      Vector<Sum> rows[L];
#pragma GCC unroll 16
      for (int r = 0; r < L; ++r) rows[r] = load(&tile[y + r][x]);
      transpose<Sum>(rows);
#pragma GCC unroll 16
      for (int r = 0; r < L; ++r) store(&mirror[x + r][y], rows[r]);
    }
  if (row == column)  // the lower half of a diagonal tile was not computed
    for (int r = 1; r < W; ++r) __builtin_memcpy(tile[r], mirror[r], r * sizeof(Sum));
  const int64_t rows = smaller(W, channels - row * W), columns = smaller(W, channels - column * W);
  for (int64_t r = 0; r < rows; ++r) emit(row * W + r, column * W, columns, tile[r]);
  if (row != column)
    for (int64_t r = 0; r < columns; ++r) emit(column * W + r, row * W, rows, mirror[r]);
}

template <class P>
typename P::Sum* partials_for(const Features& f, const Cut<P>& cut) {
  const int64_t sums = f.samples * cut.pieces * cut.tiles * PANEL<P> * PANEL<P>;
  return static_cast<typename P::Sum*>(scratch(ScratchSlot::shared, sums * sizeof(typename P::Sum)));
}

template <class P, class Element>
void gram_matrix(const Features& f, typename P::Sum* gram, RunTasks parallel) {
  const Cut<P> cut(f);
  const RunTasks run = runner_for(f, parallel);
  typename P::Sum* partials = partials_for(f, cut);
  forward_sums<P, Element>(f, cut, partials, run);
  const auto scale = typename P::Sum(1.0 / (double(f.channels) * double(f.pixels)));
  for_each(run, f.samples * cut.tiles, [&](int64_t task) {
    const int64_t sample = task / cut.tiles;
    int64_t column = 0, row = task % cut.tiles;
    for (; row > column; ++column) row -= column + 1;
    const auto* sums = partials + sample * cut.pieces * cut.tiles * PANEL<P> * PANEL<P>;
    typename P::Sum* matrix = gram + sample * f.channels * f.channels;
    finish_tile(cut, sums, f.channels, scale, row, column,
                [&](int64_t r, int64_t c, int64_t count, const typename P::Sum* values) {
                  __builtin_memcpy(matrix + r * f.channels + c, values, count * sizeof(*values));
                });
  });
  give_back_large_scratch(ScratchSlot::shared);
}

// ---- backward: one product with the symmetric matrix ----

constexpr int64_t OPERAND_BYTES = 128 << 10;  // of one block's packed features
constexpr int64_t MAX_BLOCK = 512, BACKWARD_TASKS = 16, CACHE_BYTES = 16 << 20;

// One vector of results as elements.
template <class Element, class Sum>
GANART_INLINE auto as_elements(Vector<Sum> sums) {
  if constexpr (sizeof(Element) < sizeof(Sum))
    return __builtin_convertvector(narrow(sums), HalfVector);
  else
    return sums;
}

template <class P, class Element, int COUNT, int VECTORS, bool FROM_PANEL>
[[gnu::noinline]] void backward_tile(int64_t items, const typename P::Item* broadcast, int64_t pitch,
                                     const typename P::Item* panel, Element* to, int64_t row_stride, int64_t rows,
                                     int64_t lanes, bool past_caches, Ahead& ahead) {
  using Sum = typename P::Sum;
  Vector<Sum> sums[COUNT][VECTORS];
#pragma GCC unroll 8
  for (int c = 0; c < COUNT; ++c)
#pragma GCC unroll 2
    for (int v = 0; v < VECTORS; ++v) sums[c][v] = Vector<Sum>{};
  if constexpr (FROM_PANEL)
    multiply_tile<P, VECTORS, COUNT>(items, broadcast, PANEL<P>, 1, panel, sums, ahead);
  else
    multiply_tile<P, VECTORS, COUNT>(items, broadcast, 1, pitch, panel, sums, ahead);
  constexpr int L = LANES<Sum>;
  const bool whole = rows >= COUNT && lanes >= VECTORS * L;
  constexpr uintptr_t BYTES = L * sizeof(Element);
  // Streaming a part of a cache line costs as much as a whole line.
  past_caches = VECTORS * BYTES >= 64 && past_caches && whole &&
                ((uintptr_t(to) | uintptr_t(row_stride * sizeof(Element))) & (BYTES - 1)) == 0;
#pragma GCC unroll 8
  for (int c = 0; c < COUNT; ++c) {
    Element* row = to + c * row_stride;
#pragma GCC unroll 2
    for (int v = 0; v < VECTORS; ++v, row += L) {
      const auto elements = as_elements<Element, Sum>(sums[c][v]);
      if (past_caches)
        stream(row, elements);
      else if (whole)
        __builtin_memcpy(row, &elements, sizeof elements);
      else if (c < rows && v * L < lanes)
        __builtin_memcpy(row, &elements, smaller(L, lanes - v * L) * sizeof(Element));
    }
  }
}

// Calls body(sample, pixel, count, ahead) for blocks of pixels that cover all samples; `ahead` is the following block.
template <class Element, class Body>
void for_each_block(const Features& f, int64_t block, RunTasks run, Body body) {
  const int64_t blocks = (f.pixels + block - 1) / block;
  const int64_t tasks = smaller(blocks, BACKWARD_TASKS), size = sizeof(Element);
  for_each(run, f.samples * tasks, [&](int64_t task) {
    const int64_t sample = task / tasks, share = task % tasks;
    const Element* data = static_cast<const Element*>(f.data) + sample * f.sample_stride;
    const int64_t end = smaller(f.pixels, (share + 1) * blocks / tasks * block);
    for (int64_t pixel = share * blocks / tasks * block; pixel < end; pixel += block) {
      const int64_t after = pixel + block, count = smaller(block, end - after);
      Ahead ahead;
      if (count > 0 && f.pixel_stride == 1)
        ahead = Ahead(data + after, f.channels, count * size, f.channel_stride * size);
      else if (count > 0)
        ahead = Ahead(data + after * f.pixel_stride, count, f.channels * size, f.pixel_stride * size);
      body(sample, pixel, smaller(block, end - pixel), ahead);
    }
    end_streaming();
  });
}

// Whether the gradient leaves the caches before it is next read; then stores should bypass them.
template <class Element>
bool exceeds_caches(const Features& f) {
  return f.samples * f.channels * f.pixels * int64_t(sizeof(Element)) > CACHE_BYTES;
}

// As many pixels as let a task's operand stay in cache and leave several blocks for the threads.
template <class P>
int64_t block_of_pixels(const Features& f, int64_t pixel_items, int64_t step) {
  const int64_t fitting = OPERAND_BYTES / (pixel_items * int64_t(sizeof(typename P::Item)));
  return round_up(larger(1, smaller(smaller(fitting, MAX_BLOCK), f.pixels / 8)), step);
}

// Contiguous: a block of pixels is packed for all channels, and the symmetric matrix is broadcast.
template <class P, class Element>
void backward_rows(const Features& f, const typename P::Item* matrices, Element* gradient, RunTasks run) {
  using Item = typename P::Item;
  const int64_t items = items_in<P>(f.channels), panels = (f.channels + PANEL<P> - 1) / PANEL<P>;
  const int64_t block = block_of_pixels<P>(f, items, PANEL<P>);
  const bool past_caches = exceeds_caches<Element>(f);
  for_each_block<Element>(f, block, run, [&](int64_t sample, int64_t pixel, int64_t count, Ahead ahead) {
    const Element* data = static_cast<const Element*>(f.data) + sample * f.sample_stride + pixel;
    const Item* matrix = matrices + sample * panels * items * PANEL<P>;
    Element* to = gradient + sample * f.channels * f.pixels + pixel;
    auto* packed = static_cast<Item*>(scratch(ScratchSlot::worker, block * items * sizeof(Item)));
    for (int64_t at = 0; at < count; at += PANEL<P>)
      pack_rows<P>(data + at, f.channel_stride, smaller(PANEL<P>, count - at), f.channels, packed + at * items);
    for (int64_t panel = 0; panel < f.channels; panel += PANEL<P>)
      for_parts<P, PANEL<P>>(f.channels - panel, [&](auto columns, int first) {
        const Item* broadcast = matrix + panel * items + first;
        const int64_t channel = panel + first;
        for (int64_t at = 0; at < count; at += PANEL<P>)
          backward_tile<P, Element, decltype(columns)::value, 2, true>(
              items, broadcast, 0, packed + at * items, to + channel * f.pixels + at, f.pixels, f.channels - channel,
              count - at, past_caches, ahead);
      });
  });
}

// channels_last: a block of pixels is broadcast, and the panels are the symmetric matrix's.
template <class P, class Element>
void backward_columns(const Features& f, const typename P::Item* matrices, Element* gradient, RunTasks run) {
  using Item = typename P::Item;
  constexpr int L = LANES<typename P::Sum>;
  const int64_t items = items_in<P>(f.channels), panels = (f.channels + PANEL<P> - 1) / PANEL<P>;
  const int64_t pitch = round_up(items, L) + L;  // never a power of two, with which rows would share cache sets
  const int64_t block = block_of_pixels<P>(f, pitch, COLUMNS<P>);
  const bool past_caches = exceeds_caches<Element>(f);
  for_each_block<Element>(f, block, run, [&](int64_t sample, int64_t pixel, int64_t count, Ahead ahead) {
    const Element* data = static_cast<const Element*>(f.data) + sample * f.sample_stride + pixel * f.pixel_stride;
    const Item* matrix = matrices + sample * panels * items * PANEL<P>;
    Element* to = gradient + (sample * f.pixels + pixel) * f.channels;
    auto* packed = static_cast<Item*>(scratch(ScratchSlot::worker, block * pitch * sizeof(Item)));
    pack_broadcast<P>(data, f.pixel_stride, count, f.channels, packed, pitch);
    for (int64_t channel = 0; channel < f.channels; channel += PANEL<P>) {
      const int64_t lanes = f.channels - channel;
      const auto tile = lanes <= L ? backward_tile<P, Element, COLUMNS<P>, 1, false>
                                   : backward_tile<P, Element, COLUMNS<P>, 2, false>;
      for (int64_t row = 0; row < count; row += COLUMNS<P>)
        tile(items, packed + row * pitch, pitch, matrix + channel * items, to + row * f.channels + channel, f.channels,
             count - row, lanes, past_caches, ahead);
    }
  });
}

template <class P, class Element>
void gram_matrix_backward(const typename P::Sum* matrix, double factor, const Features& f, Element* gradient,
                          RunTasks parallel) {
  using Item = typename P::Item;
  const RunTasks run = runner_for(f, parallel);
  const int64_t panels = (f.channels + PANEL<P> - 1) / PANEL<P>, panel_items = items_in<P>(f.channels) * PANEL<P>;
  auto* matrices = static_cast<Item*>(scratch(ScratchSlot::shared, f.samples * panels * panel_items * sizeof(Item)));
  for_each(run, f.samples * panels, [&](int64_t task) {
    pack_symmetric<P>(matrix + task / panels * f.channels * f.channels, f.channels, factor, task % panels * PANEL<P>,
                      matrices + task * panel_items);
  });
  if (f.pixel_stride == 1)
    backward_rows<P, Element>(f, matrices, gradient, run);
  else
    backward_columns<P, Element>(f, matrices, gradient, run);
  give_back_large_scratch(ScratchSlot::shared);
}

// Calls body(products, element) with values whose types are those of the features.
template <class Body>
void with_types(Type type, Body body) {
  switch (type) {
    case Type::float32: return body(PlainProducts<float>{}, float{});
    case Type::bfloat16: return body(Bfloat16Products{}, Bfloat16{});
    case Type::float64: return body(PlainProducts<double>{}, double{});
    case Type::float16: return;  // the bindings refuse it on CPUs
  }
}

// The table's entries are named functions: a lambda there would be a symbol shared between levels.
void gram_matrix_of_type(const Features& f, void* gram, RunTasks run) {
  with_types(f.type, [&](auto products, auto element) {
    using P = decltype(products);
    gram_matrix<P, decltype(element)>(f, static_cast<typename P::Sum*>(gram), run);
  });
}

void gram_matrix_backward_of_type(const void* matrix, double factor, const Features& f, void* gradient, RunTasks run) {
  with_types(f.type, [&](auto products, auto element) {
    using P = decltype(products);
    using Element = decltype(element);
    gram_matrix_backward<P, Element>(static_cast<const typename P::Sum*>(matrix), factor, f,
                                     static_cast<Element*>(gradient), run);
  });
}

}  // namespace

const GramMatrixKernels gram_matrix_kernels{
    .forward = gram_matrix_of_type,
    .backward = gram_matrix_backward_of_type,
};

}  // namespace ganart::cpu::GANART_LEVEL

#endif
