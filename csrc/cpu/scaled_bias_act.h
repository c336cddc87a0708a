// Scale, noise, bias, activation, gain and clamp of one instruction set: before and after a modulated convolution.
//
// Formula   z = x * scale + noise + bias, y = clamp(act(z) * gain); backward with g = grad * d: grad_x = g * scale,
//           grad_scale = sum of g * x over pixels, grad_noise = sum of g over channels, grad_bias = sum of g over
//           samples and pixels.
// Shapes    x, y, grad, grad_x [N, C, P], pixels or channels adjacent; scale [N, C], noise [N or 1, P], bias [C].
// Cost      forward one read and one write of x's size; backward two reads and one write: z is recomputed.
// Sums      a few terms in float (double for double), their sums in double.
// Repeats   bit for bit: a task has a block of one sample's pixels, with all channels.
#pragma once

#include "common/parameters.h"
#include "cpu/kernels.h"

namespace ganart::cpu {

struct ScaledBiasActKernels {
  void (*forward)(const Features& x, const AffineTerms& terms, const ActivationParameters& act, void* y, RunTasks run);
  void (*backward)(const Features& grad, const Features& x, const AffineTerms& terms, const ActivationParameters& act,
                   const AffineGradients& gradients, RunTasks run);
};
GANART_DECLARE_KERNELS(ScaledBiasActKernels, scaled_bias_act_kernels)

}  // namespace ganart::cpu

#if defined(GANART_LEVEL)

#include "cpu/activations.h"
#include "cpu/rows.h"

namespace ganart::cpu::GANART_LEVEL {
namespace {

// How the work is divided into tasks, by sizes alone.
struct AffineBlocks {
  // Long enough for sequential reads along pixels, short enough for a block to stay in the caches.
  static constexpr int64_t LONGEST_ALONG = 2048, ELEMENTS_ACROSS = 65536;
  static constexpr int64_t SEVERAL_TASKS = 8;  // even if blocks are shorter then
  static constexpr int64_t UNIT = 64;          // pixels; an aligned row then has aligned blocks

  struct Block {
    int64_t sample, first, count;
  };

  bool across;
  int64_t samples, channels, pixels, length, blocks;

  explicit AffineBlocks(const Features& f)
      : across(f.pixel_stride != 1 || (f.pixels == 1 && f.channel_stride == 1)), samples(f.samples),
        channels(f.channels), pixels(f.pixels) {
    const int64_t longest = across ? ELEMENTS_ACROSS / channels : LONGEST_ALONG;
    length = round_up(larger(1, smaller(longest, samples * pixels / SEVERAL_TASKS)), UNIT);
    blocks = (pixels + length - 1) / length;
  }

  int64_t tasks() const { return samples * blocks; }
  RunTasks runner(RunTasks run) const {
    return samples * channels * pixels < Rows::SERIAL_ELEMENTS ? run_serially : run;
  }
  // Elements of the longest row, rounded up to whole vectors of any type.
  int64_t width() const { return round_up(across ? channels : smaller(length, pixels), UNIT); }

  // Every row is aligned to vectors if the result and its lines are.
  template <class Element>
  bool stores_past_caches(const Element* to) const {
    const int64_t line_bytes = (across ? channels : pixels) * int64_t(sizeof(Element));
    return samples * channels * pixels * int64_t(sizeof(Element)) >= Rows::PAST_CACHES &&
           (uintptr_t(to) | uintptr_t(line_bytes)) % GANART_VECTOR_BYTES == 0;
  }

  GANART_INLINE Block of(int64_t task) const {
    const int64_t first = task % blocks * length;
    return {task / blocks, first, smaller(length, pixels - first)};
  }

  // Calls body(row, std::bool_constant) for each row of a block; the constant is `across`.
  template <class Body>
  GANART_INLINE void for_rows(const Block& block, Body body) const {
    const int64_t sample = block.sample;
    if (across) {
      for (int64_t p = block.first; p < block.first + block.count; ++p)
        body(Rows::Row{sample, 0, p, channels, (sample * pixels + p) * channels}, std::integral_constant<bool, true>{});
    } else {
      for (int64_t c = 0; c < channels; ++c)
        body(Rows::Row{sample, c, block.first, block.count, (sample * channels + c) * pixels + block.first},
             std::integral_constant<bool, false>{});
    }
  }
};

// The terms of a row's elements: across channels they share the noise, along pixels the scale and the bias.
template <bool ACROSS, class S>
class RowTerms {
 public:
  GANART_INLINE RowTerms(const S* scales, const S* noises, const S* biases)
      : scales_(scales), noises_(noises), biases_(biases), scale_(splat(*scales)), noise_(splat(*noises)),
        bias_(splat(*biases)) {}

  GANART_INLINE Vector<S> scale(int64_t i) const { return ACROSS ? load(scales_ + i) : scale_; }
  GANART_INLINE Vector<S> z(Vector<S> x, int64_t i) const {
    return x * scale(i) + (ACROSS ? noise_ : load(noises_ + i)) + (ACROSS ? load(biases_ + i) : bias_);
  }

 private:
  const S *scales_, *noises_, *biases_;
  Vector<S> scale_, noise_, bias_;
};

// The terms of a block. Those that differ along its rows are copied, in the order of pairs.
template <class Element>
class BlockTerms {
  using S = Sum<Element>;

 public:
  static constexpr int64_t ROWS = 2;  // that the copies take, each as wide as the longest row

  BlockTerms(const AffineBlocks& cut, const AffineTerms& terms, const AffineBlocks::Block& block, S* memory)
      : scales_(static_cast<const S*>(terms.scale)), noises_(static_cast<const S*>(terms.noise)),
        biases_(static_cast<const S*>(terms.bias)), lanes_(memory), width_(cut.width()) {
    if (scales_) scales_ += block.sample * cut.channels;
    if (noises_) noises_ += block.sample * terms.noise_stride;
    if (cut.across) {
      copy(scales_, cut.channels, UNSCALED, memory);
      copy(biases_, cut.channels, NOTHING, memory + width_);
    } else {
      copy(noises_ ? noises_ + block.first : nullptr, block.count, NOTHING, memory);
    }
  }

  template <bool ACROSS>
  GANART_INLINE RowTerms<ACROSS, S> of(const Rows::Row& row) const {
    if constexpr (ACROSS)
      return {lanes_, noises_ ? noises_ + row.pixel : &NOTHING, lanes_ + width_};
    else
      return {scales_ ? scales_ + row.channel : &UNSCALED, lanes_, biases_ ? biases_ + row.channel : &NOTHING};
  }

 private:
  static constexpr S UNSCALED = 1, NOTHING = S(-0.0);  // x + -0 equals x for every x

  void copy(const S* from, int64_t count, S otherwise, S* to) const {
    constexpr int N = STEP<Element>;
    for (int64_t i = 0; i < width_; i += N)
#pragma GCC unroll 32
      for (int lane = 0; lane < N; ++lane)
        to[i + place_in_pairs<Element>(lane)] = i + lane >= count ? S(0) : from ? from[i + lane] : otherwise;
  }

  const S *scales_, *noises_, *biases_, *lanes_;
  int64_t width_;
};

// Sums over rows for each place in a row, of one or two kinds: recent rows in S, earlier ones in double.
template <class Element>
class PlaceSums {
  using S = Sum<Element>;

 public:
  static constexpr int64_t PLACE_BYTES = 2 * (sizeof(double) + sizeof(S));

  PlaceSums(int64_t width, int kinds, void* memory)
      : settled_(static_cast<double*>(memory)), recent_(reinterpret_cast<S*>(settled_ + 2 * width)), width_(width),
        places_(kinds * width) {
    for (int64_t i = 0; i < places_; ++i) settled_[i] = 0, recent_[i] = 0;
  }

  // The sums of recent rows, to be added to, in whole pairs.
  GANART_INLINE S* recent(int kind) { return recent_ + kind * width_; }
  void finish_row() {
    if (++rows_ % 32 == 0) settle();
  }
  void settle() {
    for (int64_t i = 0; i < places_; ++i) settled_[i] += double(recent_[i]), recent_[i] = 0;
  }
  double total(int kind, int64_t i) const { return settled_[kind * width_ + place_in_pairs<Element>(i)]; }

 private:
  double* settled_;
  S* recent_;
  int64_t width_, places_, rows_ = 0;
};

template <class Act, class Element>
void scaled_bias_act(const Features& x, const AffineTerms& terms, const Layer<Act, Sum<Element>>& shared_layer,
                     Element* y, RunTasks run) {
  using S = Sum<Element>;
  const AffineBlocks cut(x);
  const bool past_caches = cut.stores_past_caches(y);
  for_each(cut.runner(run), cut.tasks(), [&](int64_t task) {
    const auto layer = shared_layer;  // a local copy stays in registers
    const AffineBlocks::Block block = cut.of(task);
    auto* memory = static_cast<S*>(scratch(ScratchSlot::worker, BlockTerms<Element>::ROWS * cut.width() * sizeof(S)));
    const BlockTerms<Element> block_terms(cut, terms, block, memory);
    cut.for_rows(block, [&](const Rows::Row& row, auto across) {
      const Element* from = static_cast<const Element*>(x.data) + row.offset(x);
      const auto of_row = block_terms.template of<decltype(across)::value>(row);
      write_row(y + row.dense, row.length, past_caches, [&](int64_t i, auto valid) {
        const Pair<Element> in = load_pair(from + i, valid);
        return Pair<Element>{layer.apply(of_row.z(in.first, i)), layer.apply(of_row.z(in.second, i + LANES<S>))};
      });
    });
    give_back_large_scratch(ScratchSlot::worker);
    if (past_caches) end_streaming();
  });
}

// Sums of g and of g * x over the pixels of each task, for each channel.
struct ChannelPartials {
  double* sums;
  int64_t channels, blocks;

  GANART_INLINE double* of(int64_t task, int kind) const { return sums + (task * 2 + kind) * channels; }

  double total(int64_t first_task, int64_t tasks, int kind, int64_t channel) const {
    double total = 0;
    for (int64_t task = first_task; task < first_task + tasks; ++task) total += of(task, kind)[channel];
    return total;
  }
};

template <class Act, class Element>
void scaled_bias_act_backward(Element, const Features& grad, const Features& x, const AffineTerms& terms,
                              const Layer<Act, Sum<Element>>& shared_layer, const AffineGradients& gradients,
                              RunTasks run) {
  using S = Sum<Element>;
  constexpr int L = LANES<S>, OF_G = 0, OF_PRODUCTS = 1;
  const AffineBlocks cut(x);
  const int64_t width = cut.width();
  auto* grad_x = static_cast<Element*>(gradients.x);
  auto *grad_scale = static_cast<S*>(gradients.scale), *grad_noise = static_cast<S*>(gradients.noise);
  auto* grad_bias = static_cast<S*>(gradients.bias);
  const bool of_channels = grad_scale || grad_bias, past_caches = grad_x && cut.stores_past_caches(grad_x);
  const size_t partial_bytes = of_channels ? cut.tasks() * 2 * cut.channels * sizeof(double) : 0;
  const ChannelPartials partials{static_cast<double*>(scratch(ScratchSlot::shared, partial_bytes)), cut.channels,
                                 cut.blocks};
  for_each(cut.runner(run), cut.tasks(), [&](int64_t task) {
    const auto layer = shared_layer;
    const AffineBlocks::Block block = cut.of(task);
    const int64_t place_bytes = PlaceSums<Element>::PLACE_BYTES + BlockTerms<Element>::ROWS * sizeof(S) +
                                sizeof(Element);
    auto* memory = static_cast<char*>(scratch(ScratchSlot::worker, width * place_bytes));
    const bool by_place = cut.across ? of_channels : grad_noise != nullptr;
    PlaceSums<Element> sums(width, !by_place ? 0 : cut.across ? 2 : 1, memory);
    auto* lanes = reinterpret_cast<S*>(memory + width * PlaceSums<Element>::PLACE_BYTES);
    const BlockTerms<Element> block_terms(cut, terms, block, lanes);
    auto* unwanted = reinterpret_cast<Element*>(lanes + BlockTerms<Element>::ROWS * width);  // a row of grad_x
    cut.for_rows(block, [&](const Rows::Row& row, auto across) {
      constexpr bool ACROSS = decltype(across)::value;
      const Element* incoming = static_cast<const Element*>(grad.data) + row.offset(grad);
      const Element* from = static_cast<const Element*>(x.data) + row.offset(x);
      const auto of_row = block_terms.template of<ACROSS>(row);
      S *recent = sums.recent(OF_G), *recent_products = sums.recent(OF_PRODUCTS);
      Vector<S> totals[2]{}, products[2]{};  // of a pair's halves
      write_row(grad_x ? grad_x + row.dense : unwanted, row.length, past_caches, [&](int64_t i, auto valid) {
        const Pair<Element> outer = load_pair(incoming + i, valid), own = load_pair(from + i, valid);
        const auto result = [&](Vector<S> outer, Vector<S> own, int half) {
          const int64_t at = i + half * L;
          const Vector<S> g = outer * layer.derivative_at(of_row.z(own, at));  // 0 past the end
          if (by_place) {
            store(recent + at, load(recent + at) + g);
            if constexpr (ACROSS) store(recent_products + at, load(recent_products + at) + g * own);
          }
          totals[half] += g;
          if constexpr (!ACROSS) products[half] += g * own;
          return g * of_row.scale(at);
        };
        return Pair<Element>{result(outer.first, own.first, 0), result(outer.second, own.second, 1)};
      });
      if (by_place) sums.finish_row();
      if constexpr (ACROSS) {
        if (grad_noise) grad_noise[row.sample * cut.pixels + row.pixel] = S(total_of<S>(totals[0] + totals[1]));
      } else if (of_channels) {
        partials.of(task, OF_G)[row.channel] = total_of<S>(totals[0] + totals[1]);
        partials.of(task, OF_PRODUCTS)[row.channel] = total_of<S>(products[0] + products[1]);
      }
    });
    if (by_place) {
      sums.settle();
      if (cut.across)
        for (int kind : {OF_G, OF_PRODUCTS})
          for (int64_t c = 0; c < cut.channels; ++c) partials.of(task, kind)[c] = sums.total(kind, c);
      else
        for (int64_t i = 0; i < block.count; ++i)
          grad_noise[block.sample * cut.pixels + block.first + i] = S(sums.total(OF_G, i));
    }
    give_back_large_scratch(ScratchSlot::worker);
    if (past_caches) end_streaming();
  });
  if (grad_scale)
    for (int64_t n = 0; n < cut.samples; ++n)
      for (int64_t c = 0; c < cut.channels; ++c)
        grad_scale[n * cut.channels + c] = S(partials.total(n * cut.blocks, cut.blocks, OF_PRODUCTS, c));
  if (grad_bias)
    for (int64_t c = 0; c < cut.channels; ++c) grad_bias[c] = S(partials.total(0, cut.tasks(), OF_G, c));
  give_back_large_scratch(ScratchSlot::shared);
}

// Calls body(Element{}, layer). The backward recomputes outputs without rounding, so the clamp is not rounded either.
template <class Body>
void with_element_and_layer(Type type, const ActivationParameters& act, Body body) {
  with_element(type, [&](auto element) {
    using S = Sum<decltype(element)>;
    with_activation(act.activation,
                    [&](auto activation) { body(element, Layer<decltype(activation), S>(act, S(act.clamp))); });
  });
}

void scaled_bias_act_of_type(const Features& x, const AffineTerms& terms, const ActivationParameters& act, void* y,
                             RunTasks run) {
  with_element_and_layer(x.type, act, [&](auto element, const auto& layer) {
    scaled_bias_act(x, terms, layer, static_cast<decltype(element)*>(y), run);
  });
}

void scaled_bias_act_backward_of_type(const Features& grad, const Features& x, const AffineTerms& terms,
                                      const ActivationParameters& act, const AffineGradients& gradients, RunTasks run) {
  with_element_and_layer(x.type, act, [&](auto element, const auto& layer) {
    scaled_bias_act_backward(element, grad, x, terms, layer, gradients, run);
  });
}

}  // namespace

const ScaledBiasActKernels scaled_bias_act_kernels{
    .forward = scaled_bias_act_of_type,
    .backward = scaled_bias_act_backward_of_type,
};

}  // namespace ganart::cpu::GANART_LEVEL

#endif
