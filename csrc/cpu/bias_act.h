// Bias, activation, gain and clamp of one instruction set.
//
// Formula   y = clamp(act(x + bias) * gain); backward grad_x = grad * d, grad_bias = sum of grad_x over samples and pixels.
// Shapes    x, y, grad, kept, grad_x [N, C, P], pixels or channels adjacent; bias, grad_bias [C].
// Cost      forward one read and one write of x's size; backward two reads and one write.
// Sums      float (double for double), in pieces fixed by sizes, pieces in double.
// Repeats   bit for bit.
#include "cpu/activations.h"
#include "cpu/rows.h"

template <class Act, class Element>
void bias_act(const Features& x, const Sum<Element>* bias, const Layer<Act, Sum<Element>>& layer, Element* y,
              RunTasks run) {
  using S = Sum<Element>;
  constexpr int L = WIDTH<Element>;
  const Rows rows(x, L);
  const BiasRows<S> biases(rows, bias, false);
  const bool past_caches = rows.stores_past_caches(y, sizeof(Element));
  for_each(rows.runner(run), rows.tasks, [&](int64_t task) {
    rows.for_rows(task, [&](const Rows::Row& row, auto across) {
      const Element* from = static_cast<const Element*>(x.data) + row.offset(x);
      Element* to = y + row.dense;
      const S* values = biases.of(row);
      const Vector<S> one = splat(*values);
      const auto result = [&](int64_t i) {
        return layer.apply(load_elements(from + i) + (decltype(across)::value ? load(values + i) : one));
      };
      int64_t i = 0;
      if (past_caches)
        for (; i + L <= row.length; i += L) stream_elements(to + i, result(i));
      for (; i + L <= row.length; i += L) store_elements(to + i, result(i));
      if (i < row.length) {
        const int64_t rest = row.length - i;
        const Vector<S> b = decltype(across)::value ? load_elements(values + i, rest) : one;
        store_elements(to + i, layer.apply(load_elements(from + i, rest) + b), rest);
      }
    });
    if (past_caches) end_streaming();
  });
  give_back_large_scratch(ScratchSlot::shared);
}

template <class Act, class Element>
void bias_act_backward(const Features& grad, const Features& kept, const Sum<Element>* bias,
                       const Layer<Act, Sum<Element>>& layer, Element* grad_x, Sum<Element>* grad_bias, RunTasks run) {
  using S = Sum<Element>;
  constexpr int L = WIDTH<Element>;
  const bool summing = grad_bias != nullptr;
  const Rows rows(kept, L, kept.pixel_stride == grad.pixel_stride);
  const BiasRows<S> biases(rows, bias, summing);
  const bool past_caches = rows.stores_past_caches(grad_x, sizeof(Element));
  for_each(rows.runner(run), rows.tasks, [&](int64_t task) {
    typename BiasRows<S>::Task sums(biases, task);
    rows.for_rows(task, [&](const Rows::Row& row, auto across) {
      constexpr bool ACROSS = decltype(across)::value;
      const Element* incoming = static_cast<const Element*>(grad.data) + row.offset(grad);
      const Element* from = static_cast<const Element*>(kept.data) + row.offset(kept);
      Element* to = grad_x + row.dense;
      const S* values = biases.of(row);
      S* recent = sums.recent();
      const Vector<S> one = splat(*values);
      const auto result = [&](Vector<S> g, Vector<S> k, Vector<S> b) {
        return g * layer.derivative(Act::FROM_OUTPUT ? k : k + b);
      };
      Cascade<S> sum;
      int64_t i = 0;
      for (; i + L <= row.length; i += L) {
        const Vector<S> b = ACROSS ? load(values + i) : one;
        const Vector<S> value = result(load_elements(incoming + i), load_elements(from + i), b);
        if (past_caches)
          stream_elements(to + i, value);
        else
          store_elements(to + i, value);
        if constexpr (!ACROSS)
          sum.add(value);
        else if (summing)
          store(recent + i, load(recent + i) + value);
      }
      if (i < row.length) {
        const int64_t rest = row.length - i;
        const Vector<S> b = ACROSS ? load_elements(values + i, rest) : one;
        const Vector<S> value = result(load_elements(incoming + i, rest), load_elements(from + i, rest), b);
        store_elements(to + i, value, rest);
        if constexpr (!ACROSS)  // lanes past the end are 0 times a derivative
          sum.add(value);
        else if (summing)
          store_elements(recent + i, load_elements(recent + i, rest) + value, rest);
      }
      if (summing) sums.finish_row(ACROSS ? 0.0 : sum.total());
    });
    if (summing) sums.finish();
    if (past_caches) end_streaming();
  });
  if (summing) biases.combine(grad_bias);
  give_back_large_scratch(ScratchSlot::shared);
}

template <class S, class Body>
void with_layer(const ActivationParameters& act, Body body) {
  with_activation(act.activation, [&](auto activation) {
    body(Layer<decltype(activation), S>{S(act.negative_slope), S(act.gain), S(act.clamp)});
  });
}

void bias_act_of_type(const Features& x, const void* bias, const ActivationParameters& act, void* y, RunTasks run) {
  with_element(x.type, [&](auto element) {
    using Element = decltype(element);
    with_layer<Sum<Element>>(act, [&](const auto& layer) {
      bias_act(x, static_cast<const Sum<Element>*>(bias), layer, static_cast<Element*>(y), run);
    });
  });
}

void bias_act_backward_of_type(const Features& grad, const Features& kept, const void* bias,
                               const ActivationParameters& act, void* grad_x, void* grad_bias, RunTasks run) {
  with_element(kept.type, [&](auto element) {
    using Element = decltype(element);
    using S = Sum<Element>;
    with_layer<S>(act, [&](const auto& layer) {
      bias_act_backward(grad, kept, static_cast<const S*>(bias), layer, static_cast<Element*>(grad_x),
                        static_cast<S*>(grad_bias), run);
    });
  });
}
