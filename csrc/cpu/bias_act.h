// Bias, activation, gain and clamp on the CPU.
//
// Formula   y = clamp(act(x + bias) * gain); backward grad_x = grad * d, grad_bias = sum of grad_x over samples and
//           pixels.
// Shapes    x, y, grad, kept, grad_x [N, C, P], pixels or channels adjacent; bias, grad_bias [C].
// Cost      forward one read and one write of x's size; backward two reads and one write.
// Sums      float (double for double), in pieces whose sizes depend on shapes alone; pieces are added in double.
// Repeats   bit for bit.
#pragma once

#include "common/parameters.h"
#include "cpu/kernels.h"

namespace ganart::cpu {

struct BiasActKernels {
  // bias [C] Sum or null; y like x.
  void (*forward)(const Features& x, const void* bias, const ActivationParameters& act, void* y, RunTasks run);

  // kept: y, or x for the activations whose derivative needs it. grad_bias [C] Sum, or null if it is not needed.
  void (*backward)(const Features& grad, const Features& kept, const void* bias, const ActivationParameters& act,
                   void* grad_x, void* grad_bias, RunTasks run);
};
GANART_DECLARE_KERNELS(BiasActKernels, bias_act_kernels)

}  // namespace ganart::cpu

#if defined(GANART_LEVEL)

#include "cpu/activations.h"
#include "cpu/rows.h"

namespace ganart::cpu::GANART_LEVEL {
namespace {

template <class Act, class Element>
void bias_act(const Features& x, const Sum<Element>* bias, const Layer<Act, Sum<Element>>& shared_layer, Element* y,
              RunTasks run) {
  using S = Sum<Element>;
  const Rows rows(x, STEP<Element>);
  const BiasRows<Element> biases(rows, bias, false);
  const bool past_caches = rows.stores_past_caches(y, sizeof(Element));
  for_each(rows.runner(run), rows.tasks, [&](int64_t task) {
    const auto layer = shared_layer;  // a local copy stays in registers
    rows.for_rows(task, [&](const Rows::Row& row, auto across) {
      const Element* from = static_cast<const Element*>(x.data) + row.offset(x);
      const S* values = biases.of(row);
      const Vector<S> one = splat(*values);
      write_row(y + row.dense, row.length, past_caches, [=](int64_t i, auto valid) {
        const Pair<Element> in = load_pair(from + i, valid);
        if constexpr (decltype(across)::value)
          return Pair<Element>{layer.apply(in.first + load(values + i)),
                               layer.apply(in.second + load(values + i + LANES<S>))};
        else
          return Pair<Element>{layer.apply(in.first + one), layer.apply(in.second + one)};
      });
    });
    if (past_caches) end_streaming();
  });
  give_back_large_scratch(ScratchSlot::shared);
}

template <class Act, class Element>
void bias_act_backward(const Features& grad, const Features& kept, const Sum<Element>* bias,
                       const Layer<Act, Sum<Element>>& shared_layer, Element* grad_x, Sum<Element>* grad_bias,
                       RunTasks run) {
  using S = Sum<Element>;
  constexpr int L = LANES<S>;
  const bool summing = grad_bias != nullptr;
  const Rows rows(kept, STEP<Element>, kept.pixel_stride == grad.pixel_stride);
  const BiasRows<Element> biases(rows, bias, summing);
  const bool past_caches = rows.stores_past_caches(grad_x, sizeof(Element));
  for_each(rows.runner(run), rows.tasks, [&](int64_t task) {
    const auto layer = shared_layer;
    typename BiasRows<Element>::Task sums(biases, task);
    rows.for_rows(task, [&](const Rows::Row& row, auto across) {
      constexpr bool ACROSS = decltype(across)::value;
      const Element* incoming = static_cast<const Element*>(grad.data) + row.offset(grad);
      const Element* from = static_cast<const Element*>(kept.data) + row.offset(kept);
      const S* values = biases.of(row);
      S* recent = sums.recent();
      const Vector<S> one = splat(*values);
      Vector<S> first_sum{}, second_sum{};
      write_row(grad_x + row.dense, row.length, past_caches, [&](int64_t i, auto valid) {
        const Pair<Element> g = load_pair(incoming + i, valid), k = load_pair(from + i, valid);
        const auto result = [&](Vector<S> outer, Vector<S> own, int64_t at) {
          if constexpr (!Act::FROM_OUTPUT) own += ACROSS ? load(values + at) : one;
          return outer * layer.derivative(own);
        };
        const Pair<Element> inner{result(g.first, k.first, i), result(g.second, k.second, i + L)};
        if constexpr (!ACROSS) {  // elements past the end are 0 times a derivative
          first_sum += inner.first;
          second_sum += inner.second;
        } else if (summing) {
          store(recent + i, load(recent + i) + inner.first);
          store(recent + i + L, load(recent + i + L) + inner.second);
        }
        return inner;
      });
      if (summing) sums.finish_row(ACROSS ? 0.0 : total_of<S>(first_sum + second_sum));
    });
    if (summing) sums.finish();
    if (past_caches) end_streaming();
  });
  if (summing) biases.combine(grad_bias);
  give_back_large_scratch(ScratchSlot::shared);
}

// Calls body(layer) for an activation. An output of type Element holds the clamp rounded to that type.
template <class Element, class Body>
void with_layer(const ActivationParameters& act, Body body) {
  using S = Sum<Element>;
  Vector<S> stored = splat(S(act.clamp));
  if constexpr (sizeof(Element) < sizeof(S)) stored = widen(narrow(stored));
  with_activation(act.activation, [&](auto activation) { body(Layer<decltype(activation), S>(act, stored[0])); });
}

void bias_act_of_type(const Features& x, const void* bias, const ActivationParameters& act, void* y, RunTasks run) {
  with_element(x.type, [&](auto element) {
    using Element = decltype(element);
    with_layer<Element>(act, [&](const auto& layer) {
      bias_act(x, static_cast<const Sum<Element>*>(bias), layer, static_cast<Element*>(y), run);
    });
  });
}

void bias_act_backward_of_type(const Features& grad, const Features& kept, const void* bias,
                               const ActivationParameters& act, void* grad_x, void* grad_bias, RunTasks run) {
  with_element(kept.type, [&](auto element) {
    using Element = decltype(element);
    using S = Sum<Element>;
    with_layer<Element>(act, [&](const auto& layer) {
      bias_act_backward(grad, kept, static_cast<const S*>(bias), layer, static_cast<Element*>(grad_x),
                        static_cast<S*>(grad_bias), run);
    });
  });
}

}  // namespace

const BiasActKernels bias_act_kernels{
    .forward = bias_act_of_type,
    .backward = bias_act_backward_of_type,
};

}  // namespace ganart::cpu::GANART_LEVEL

#endif
