// Style loss on the CPU: a Gram matrix, its difference from a target, and the mean of the squares.
//
// Formula   D = G(F) - T, G as in cpu/gram_matrix.h; loss = mean of D^2.
// Shapes    F [N, C, P], pixels or channels adjacent; D [N, C, C]; T [N, C, C], or [C, C] for all samples.
// Cost      that of G, and one read and one write of matrices.
// Sums      D float (double for double), its squares double.
// Repeats   bit for bit: the squares of a tile are added by one task, and those of tiles in order.
#pragma once

#include "cpu/kernels.h"

namespace ganart::cpu {

struct StyleLossKernels {
  // target [N, C, C] Sum (sample stride 0: one for all), difference [N, C, C] Sum, loss [1] Sum.
  void (*forward)(const Features& features, const void* target, int64_t target_sample_stride, void* difference,
                  void* loss, RunTasks run);
};
GANART_DECLARE_KERNELS(StyleLossKernels, style_loss_kernels)

}  // namespace ganart::cpu

#if defined(GANART_LEVEL)

#include "cpu/gram_matrix.h"

namespace ganart::cpu::GANART_LEVEL {
namespace {

template <class Sum>
struct SquaresOf {
  typedef double type __attribute__((vector_size(LANES<Sum> * sizeof(double))));
};

// Writes a row of differences and adds their squares, in double, to `squares`.
template <class Sum, int WIDTH>
GANART_INLINE void difference_row(const Sum* values, const Sum* wanted, int64_t count, Sum* to,
                                  typename SquaresOf<Sum>::type& squares) {
  Sum padded[3][WIDTH];
  if (count < WIDTH) {
    __builtin_memset(padded, 0, sizeof padded);
    __builtin_memcpy(padded[0], values, count * sizeof(Sum));
    __builtin_memcpy(padded[1], wanted, count * sizeof(Sum));
    values = padded[0];
    wanted = padded[1];
  }
  Sum* const whole = count < WIDTH ? padded[2] : to;
  Vector<Sum> sum = {};
#pragma GCC unroll 2
  for (int at = 0; at < WIDTH; at += LANES<Sum>) {
    const Vector<Sum> difference = load(values + at) - load(wanted + at);
    store(whole + at, difference);
    sum += difference * difference;
  }
  squares += __builtin_convertvector(sum, typename SquaresOf<Sum>::type);
  if (count < WIDTH) __builtin_memcpy(to, whole, count * sizeof(Sum));
}

template <class P, class Element>
void style_loss(const Features& f, const typename P::Sum* target, int64_t target_sample_stride,
                typename P::Sum* difference, typename P::Sum* loss, RunTasks parallel) {
  using Sum = typename P::Sum;
  const Cut<P> cut(f);
  const RunTasks run = runner_for(f, parallel);
  const int64_t sums = round_up(f.samples * cut.pieces * cut.tiles * PANEL<P> * PANEL<P>, 8),
                tasks = f.samples * cut.tiles;
  auto* partials = static_cast<Sum*>(scratch(ScratchSlot::shared, sums * sizeof(Sum) + tasks * sizeof(double)));
  auto* tile_losses = reinterpret_cast<double*>(partials + sums);
  forward_sums<P, Element>(f, cut, partials, run);
  const auto scale = Sum(1.0 / (double(f.channels) * double(f.pixels)));
  for_each(run, tasks, [&](int64_t task) {
    const int64_t sample = task / cut.tiles;
    int64_t column = 0, row = task % cut.tiles;
    for (; row > column; ++column) row -= column + 1;
    const Sum* wanted = target + sample * target_sample_stride;
    Sum* result = difference + sample * f.channels * f.channels;
    typename SquaresOf<Sum>::type squares = {};
    finish_tile(cut, partials + sample * cut.pieces * cut.tiles * PANEL<P> * PANEL<P>, f.channels, scale, row, column,
                [&](int64_t r, int64_t c, int64_t count, const Sum* values) {
                  const int64_t at = r * f.channels + c;
                  difference_row<Sum, PANEL<P>>(values, wanted + at, count, result + at, squares);
                });
    double total = 0;
    for (int lane = 0; lane < LANES<Sum>; ++lane) total += squares[lane];
    tile_losses[task] = total;
  });
  double total = 0;
  for (int64_t task = 0; task < tasks; ++task) total += tile_losses[task];
  *loss = Sum(total / (double(f.samples) * double(f.channels) * double(f.channels)));
  give_back_large_scratch(ScratchSlot::shared);
}

void style_loss_of_type(const Features& f, const void* target, int64_t target_sample_stride, void* difference,
                        void* loss, RunTasks run) {
  with_types(f.type, [&](auto products, auto element) {
    using Sum = typename decltype(products)::Sum;
    style_loss<decltype(products), decltype(element)>(f, static_cast<const Sum*>(target), target_sample_stride,
                                                      static_cast<Sum*>(difference), static_cast<Sum*>(loss), run);
  });
}

}  // namespace

const StyleLossKernels style_loss_kernels{
    .forward = style_loss_of_type,
};

}  // namespace ganart::cpu::GANART_LEVEL

#endif
