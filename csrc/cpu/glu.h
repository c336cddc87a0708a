// A gated linear unit on the CPU: one half of the channels times the sigmoid of the other half.
//
// Formula   y = a * s(b), with a and b the first and the second half of x's channels; backward grad_a = grad * s(b) and
//           grad_b = grad * a * s(b) * (1 - s(b)).
// Shapes    x, grad_x [N, 2C, P], y, grad [N, C, P], pixels or channels adjacent.
// Cost      forward one read of x and one write of y; backward a read of both and one write of x's size.
// Repeats   bit for bit.
#pragma once

#include "cpu/kernels.h"

namespace ganart::cpu {

struct GluKernels {
  // y is dense, in the layout of x.
  void (*forward)(const Features& x, void* y, RunTasks run);

  // grad has the layout of x; grad_x is dense, in that layout.
  void (*backward)(const Features& grad, const Features& x, void* grad_x, RunTasks run);
};
GANART_DECLARE_KERNELS(GluKernels, glu_kernels)

}  // namespace ganart::cpu

#if defined(GANART_LEVEL)

#include "cpu/activations.h"
#include "cpu/rows.h"

namespace ganart::cpu::GANART_LEVEL {
namespace {

// The first half of x's channels.
inline Features first_half(Features x) {
  x.channels /= 2;
  return x;
}

template <class Element>
void glu(const Features& x, Element* y, RunTasks run) {
  using S = Sum<Element>;
  const Features values = first_half(x);
  const Rows rows(values, STEP<Element>, false);
  const int64_t to_gates = values.channels * x.channel_stride;
  const bool past_caches = rows.stores_past_caches(y, sizeof(Element));
  for_each(rows.runner(run), rows.tasks, [&](int64_t task) {
    rows.for_rows(task, [&](const Rows::Row& row, auto) {
      const Element *from = static_cast<const Element*>(x.data) + row.offset(x), *gates = from + to_gates;
      write_row(y + row.dense, row.length, past_caches, [=](int64_t i, auto valid) {
        const Pair<Element> a = load_pair(from + i, valid), b = load_pair(gates + i, valid);
        return Pair<Element>{a.first * logistic<S>(b.first), a.second * logistic<S>(b.second)};
      });
    });
    if (past_caches) end_streaming();
  });
}

template <class Element>
void glu_backward(const Features& grad, const Features& x, Element* grad_x, RunTasks run) {
  using S = Sum<Element>;
  const Features values = first_half(x);
  const Rows rows(values, STEP<Element>, false);
  const int64_t to_gates = values.channels * x.channel_stride;
  for_each(rows.runner(run), rows.tasks, [&](int64_t task) {
    rows.for_rows(task, [&](const Rows::Row& row, auto across) {
      constexpr bool ACROSS = decltype(across)::value;
      const Element* incoming = static_cast<const Element*>(grad.data) + row.offset(grad);
      const Element *from = static_cast<const Element*>(x.data) + row.offset(x), *gates = from + to_gates;
      Element* to = grad_x + (ACROSS ? (row.sample * x.pixels + row.pixel) * x.channels
                                     : (row.sample * x.channels + row.channel) * x.pixels + row.pixel);
      Element* to_other = to + values.channels * (ACROSS ? 1 : x.pixels);
      for_steps<Element>(row.length, [=](int64_t i, auto valid) {
        const Pair<Element> g = load_pair(incoming + i, valid), a = load_pair(from + i, valid);
        const Pair<Element> b = load_pair(gates + i, valid);
        const Pair<Element> s{logistic<S>(b.first), logistic<S>(b.second)};
        const Pair<Element> own{g.first * s.first, g.second * s.second};
        store_pair(to + i, own, valid);
        store_pair(to_other + i,
                   Pair<Element>{own.first * (a.first * (S(1) - s.first)), own.second * (a.second * (S(1) - s.second))},
                   valid);
      });
    });
  });
}

void glu_of_type(const Features& x, void* y, RunTasks run) {
  with_element(x.type, [&](auto element) { glu(x, static_cast<decltype(element)*>(y), run); });
}

void glu_backward_of_type(const Features& grad, const Features& x, void* grad_x, RunTasks run) {
  with_element(x.type, [&](auto element) { glu_backward(grad, x, static_cast<decltype(element)*>(grad_x), run); });
}

}  // namespace

const GluKernels glu_kernels{
    .forward = glu_of_type,
    .backward = glu_backward_of_type,
};

}  // namespace ganart::cpu::GANART_LEVEL

#endif
