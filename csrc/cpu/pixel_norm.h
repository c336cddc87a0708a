// Pixel norm on the CPU.
//
// Formula   y = x * s, s = 1 / sqrt(mean of x^2 + eps), with the mean over the channels of a pixel.
//           grad_x = s * grad - s^3 * mean(grad * x) * x.
// Shapes    x, y, grad, grad_x [N, C, P], pixels or channels adjacent.
// Cost      forward one read and one write of memory (the second read hits the caches); backward two reads and one
//           write. s is not kept, since x is read anyway.
// Sums      of a few channels, or steps along them, in float (double for double); these are added in the same type if
//           pixels are adjacent and in double if channels are.
// Repeats   bit for bit: a task has whole pixels.
#pragma once

#include "cpu/kernels.h"

namespace ganart::cpu {

struct PixelNormKernels {
  void (*forward)(const Features& x, double eps, void* y, RunTasks run);
  void (*backward)(const Features& grad, const Features& x, double eps, void* grad_x, RunTasks run);
};
GANART_DECLARE_KERNELS(PixelNormKernels, pixel_norm_kernels)

}  // namespace ganart::cpu

#if defined(GANART_LEVEL)

#include "cpu/rows.h"

namespace ganart::cpu::GANART_LEVEL {
namespace {

// Sums over the channels of a pixel: of the squares of x and, for a gradient, of its products with x.
template <class Element>
struct PixelSums {
  Pair<Element> squares{}, products{};

  template <bool GRADIENT>
  GANART_INLINE void add(const Pair<Element>& x, const Pair<Element>& grad) {
    squares.first += x.first * x.first, squares.second += x.second * x.second;
    if constexpr (GRADIENT) products.first += grad.first * x.first, products.second += grad.second * x.second;
  }
};

// result = (x or its gradient) * scale - x * share, for one pixel or a vector of pixels.
template <class V>
struct PixelFactors {
  V scale, share;
};

template <bool GRADIENT, class Element>
GANART_INLINE Pair<Element> normalized(const Pair<Element>& x, const Pair<Element>& grad,
                                       const PixelFactors<Vector<Sum<Element>>>& first,
                                       const PixelFactors<Vector<Sum<Element>>>& second) {
  if constexpr (GRADIENT)
    return {grad.first * first.scale - x.first * first.share, grad.second * second.scale - x.second * second.share};
  else
    return {x.first * first.scale, x.second * second.scale};
}

// ---- channels are adjacent: a row is a pixel ----

template <bool GRADIENT, class Element>
void normalize_pixel(const Element* outer, const Element* own, int64_t channels, double eps, Element* to,
                     bool past_caches) {
  using S = Sum<Element>;
  constexpr int N = STEP<Element>;
  constexpr int64_t LONGEST_BLOCK = 64 * N;  // short enough for a lane's sum to stay accurate
  double squares = 0, products = 0;
  for (int64_t i = 0; i < channels;) {
    PixelSums<Element> sums;
    for (const int64_t end = smaller(channels, i + LONGEST_BLOCK); i < end; i += N)
      sums.template add<GRADIENT>(load_pair(own + i, channels - i),
                                  GRADIENT ? load_pair(outer + i, channels - i) : Pair<Element>{});
    squares += total_of<S>(sums.squares.first + sums.squares.second);
    if constexpr (GRADIENT) products += total_of<S>(sums.products.first + sums.products.second);
  }
  const double scale = 1 / __builtin_sqrt(squares / double(channels) + eps);
  const double share = scale * scale * scale * (products / double(channels));
  const PixelFactors<Vector<S>> factors{splat(S(scale)), splat(S(share))};
  write_row(to, channels, past_caches, [=](int64_t i, auto valid) {
    return normalized<GRADIENT, Element>(load_pair(own + i, valid),
                                         GRADIENT ? load_pair(outer + i, valid) : Pair<Element>{}, factors, factors);
  });
}

// ---- pixels are adjacent: a task processes some pixels of all channels ----

// Channels are often a power of two apart, and then a cache holds no more of them than it has ways. So the pixels that
// a task reads are copied to the worker's own memory. Small samples are contiguous, and are processed in place.
template <bool GRADIENT, class Element>
struct PixelBlocks {
  static constexpr int64_t KEPT_BYTES = 256 << 10, FEWEST_ELEMENTS = 16384, FEWEST_TASKS = 16, CHANNELS_AT_ONCE = 4;
  static constexpr int64_t SAMPLE_BYTES = 1 << 20, FEWEST_SAMPLES = 8;
  static constexpr int TENSORS = GRADIENT ? 2 : 1;

  const Features &grad, &x;
  bool whole;
  int64_t length, blocks, tasks;  // pixels per block, blocks per sample

  PixelBlocks(const Features& grad, const Features& x) : grad(grad), x(x) {
    constexpr int64_t MOST_ELEMENTS = KEPT_BYTES / (TENSORS * int64_t(sizeof(Element)));
    const int64_t share = x.samples * x.channels * x.pixels / FEWEST_TASKS;
    const int64_t elements = smaller(larger(share, FEWEST_ELEMENTS), MOST_ELEMENTS);
    const int64_t step = larger(elements / x.channels, 1);
    const auto in_one_piece = [](const Features& f) { return f.channel_stride == f.pixels; };
    whole = x.samples >= FEWEST_SAMPLES && x.channels * x.pixels * int64_t(sizeof(Element)) <= SAMPLE_BYTES &&
            in_one_piece(x) && in_one_piece(grad);
    length = smaller(round_up(whole ? x.pixels : step, STEP<Element>), round_up(x.pixels, STEP<Element>));
    blocks = (x.pixels + length - 1) / length;
    tasks = x.samples * blocks;
  }

  void run(int64_t task, double eps, Element* result, bool past_caches) const {
    if (whole)
      run<true>(task, eps, result, past_caches);
    else
      run<false>(task, eps, result, past_caches);
  }

  template <bool WHOLE>
  void run(int64_t task, double eps, Element* result, bool past_caches) const {
    using S = Sum<Element>;
    constexpr int L = LANES<S>;
    const int64_t sample = task / blocks, pixel = task % blocks * length, count = smaller(length, x.pixels - pixel);
    const Element* own = static_cast<const Element*>(x.data) + sample * x.sample_stride + pixel;
    const Element* outer = static_cast<const Element*>(grad.data) + sample * grad.sample_stride + pixel;
    const int64_t channels = x.channels, own_stride = x.channel_stride, outer_stride = grad.channel_stride;
    const int64_t pitch = WHOLE ? x.pixels
                                : length + 64 / int64_t(sizeof(Element));  // so that it is no power of two either
    const int64_t kept = WHOLE ? 0 : channels * pitch, sums_bytes = TENSORS * length * int64_t(sizeof(S));
    auto* memory =
        static_cast<char*>(scratch(ScratchSlot::worker, sums_bytes + TENSORS * kept * int64_t(sizeof(Element))));
    S *squares = reinterpret_cast<S*>(memory), *products = squares + (GRADIENT ? length : 0);
    auto* copies = reinterpret_cast<Element*>(memory + sums_bytes);
    const Element *own_kept = WHOLE ? own : copies, *outer_kept = WHOLE ? outer : copies + (GRADIENT ? kept : 0);

    for (int64_t channel = 0; channel < channels; channel += CHANNELS_AT_ONCE) {
      const int64_t end = smaller(channels, channel + CHANNELS_AT_ONCE);
      for_steps<Element>(count, [=](int64_t i, auto valid) {
        const auto take = [=](const Element* from, Element* copy) {
          return WHOLE ? load_pair(from, valid) : copy_pair(copy, from, valid);
        };
        PixelSums<Element> sums;
        for (int64_t c = channel; c < end; ++c) {
          const Pair<Element> values = take(own + c * own_stride + i, copies + c * pitch + i);
          if constexpr (GRADIENT)
            sums.template add<GRADIENT>(values, take(outer + c * outer_stride + i, copies + kept + c * pitch + i));
          else
            sums.template add<GRADIENT>(values, values);
        }
        const auto put = [=](S* to, const Pair<Element>& sum) {
          const Vector<S> none{};
          store(to + i, (channel ? load(to + i) : none) + sum.first);
          store(to + i + L, (channel ? load(to + i + L) : none) + sum.second);
        };
        put(squares, sums.squares);
        if constexpr (GRADIENT) put(products, sums.products);
      });
    }

    const Vector<S> divisor = splat(S(channels)), one = splat(S(1)), epsilon = splat(S(eps));
    for (int64_t i = 0; i < length; i += L) {
      const Vector<S> scale = one / square_root<S>(load(squares + i) / divisor + epsilon);
      store(squares + i, scale);
      if constexpr (GRADIENT) store(products + i, scale * scale * scale * (load(products + i) / divisor));
    }

    Element* to = result + sample * x.channels * x.pixels + pixel;
    for (int64_t c = 0; c < x.channels; ++c, to += x.pixels)
      write_row(to, count, past_caches, [=](int64_t i, auto valid) {
        const auto factors = [=](int64_t at) {
          return PixelFactors<Vector<S>>{load(squares + at), load(products + at)};
        };
        const Pair<Element> values = load_pair(own_kept + c * pitch + i, valid);
        return normalized<GRADIENT, Element>(values, GRADIENT ? load_pair(outer_kept + c * pitch + i, valid) : values,
                                             factors(i), factors(i + L));
      });
    give_back_large_scratch(ScratchSlot::worker);
  }
};

// The norm of x, or with GRADIENT its backward.
template <bool GRADIENT, class Element>
void pixel_norm(const Features& grad, const Features& x, double eps, Element* result, RunTasks run) {
  const Rows rows(x, STEP<Element>, false);
  const bool past_caches = rows.stores_past_caches(result, sizeof(Element));
  if (!rows.across) {
    const PixelBlocks<GRADIENT, Element> blocks(grad, x);
    return for_each(rows.runner(run), blocks.tasks, [&](int64_t task) {
      blocks.run(task, eps, result, past_caches);
      if (past_caches) end_streaming();
    });
  }
  for_each(rows.runner(run), rows.tasks, [&](int64_t task) {
    rows.for_rows(task, [&](const Rows::Row& row, auto across) {
      if constexpr (decltype(across)::value)
        normalize_pixel<GRADIENT>(static_cast<const Element*>(grad.data) + row.offset(grad),
                                  static_cast<const Element*>(x.data) + row.offset(x), row.length, eps,
                                  result + row.dense, past_caches);
    });
    if (past_caches) end_streaming();
  });
}

void pixel_norm_of_type(const Features& x, double eps, void* y, RunTasks run) {
  with_element(x.type, [&](auto element) { pixel_norm<false>(x, x, eps, static_cast<decltype(element)*>(y), run); });
}

void pixel_norm_backward_of_type(const Features& grad, const Features& x, double eps, void* grad_x, RunTasks run) {
  with_element(x.type,
               [&](auto element) { pixel_norm<true>(grad, x, eps, static_cast<decltype(element)*>(grad_x), run); });
}

}  // namespace

const PixelNormKernels pixel_norm_kernels{
    .forward = pixel_norm_of_type,
    .backward = pixel_norm_backward_of_type,
};

}  // namespace ganart::cpu::GANART_LEVEL

#endif
