// Instance norm, scale, shift and activation of one instruction set.
//
// Formula   y = act(normal * weight + bias), normal = (x - mean) / sqrt(variance + eps) over a channel's pixels.
//           With g = grad * act'(...): grad_bias = sum g, grad_weight = sum g * normal,
//           grad_x = weight * scale * (g - mean g - normal * mean(g * normal)).
// Shapes    x, y, grad, grad_x [N, C, P], pixels or channels adjacent; weight, bias [N or 1, C]; mean, scale, grad_weight,
//           grad_bias [N, C].
// Cost      forward one read and one write of memory, the second reading from the caches; backward two reads, one write.
// Sums      mean and squared deviations block by block in float (double for double), blocks joined in double.
// Repeats   bit for bit: a task has whole channels of one sample.
#include "cpu/activations.h"
#include "cpu/rows.h"

// The channels of one sample that a task has: one along its pixels, or several vectors of them across.
template <class Element>
struct Channels {
  static constexpr int L = WIDTH<Element>, VECTORS = 64 / sizeof(Element) > L ? 2 : 1;  // whole cache lines across
  static constexpr int64_t BLOCK = 256;  // vectors a block: they stay in the first-level cache between its two passes

  bool across;
  int64_t samples, channels, pixels, groups;

  explicit Channels(const Features& f)
      : across(f.pixel_stride != 1 || (f.pixels == 1 && f.channel_stride == 1)), samples(f.samples),
        channels(f.channels), pixels(f.pixels), groups((f.channels + L * VECTORS - 1) / (L * VECTORS)) {}

  int64_t tasks() const { return samples * (across ? groups : channels); }
  RunTasks runner(RunTasks run) const { return samples * channels * pixels < 16384 ? run_serially : run; }
};

template <class S>
struct Moments {
  double count = 0, mean = 0, squares = 0;

  // Joins a block whose `sum` and squared deviations from its own mean are known (Chan et al. 1979).
  GANART_INLINE void join(double block_count, double block_mean, double block_squares) {
    const double both = count + block_count, difference = block_mean - mean;
    mean += difference * block_count / both;
    squares += block_squares + difference * difference * count * block_count / both;
    count = both;
  }
};

// Along: the moments of one row.
template <class Element>
Moments<Sum<Element>> row_moments(const Element* row, int64_t length) {
  using S = Sum<Element>;
  constexpr int L = WIDTH<Element>, UNROLL = 4;
  constexpr int64_t BLOCK = Channels<Element>::BLOCK * L;
  Moments<S> moments;
  for (int64_t first = 0; first < length; first += BLOCK) {
    const int64_t count = smaller(BLOCK, length - first);
    const Element* from = row + first;
    Vector<S> sums[UNROLL] = {}, squares[UNROLL] = {};
    int64_t i = 0;
    for (; i + UNROLL * L <= count; i += UNROLL * L)
#pragma GCC unroll 4
      for (int u = 0; u < UNROLL; ++u) sums[u] += load_elements(from + i + u * L);
    for (; i < count; i += L) sums[0] += load_elements(from + i, count - i);
    const double mean = total_of<S>((sums[0] + sums[1]) + (sums[2] + sums[3])) / double(count);
    const Vector<S> centre = splat(S(mean));
    for (i = 0; i + UNROLL * L <= count; i += UNROLL * L)
#pragma GCC unroll 4
      for (int u = 0; u < UNROLL; ++u) {
        const Vector<S> deviation = load_elements(from + i + u * L) - centre;
        squares[u] += deviation * deviation;
      }
    for (; i + L <= count; i += L) {
      const Vector<S> deviation = load_elements(from + i) - centre;
      squares[0] += deviation * deviation;
    }
    double rest = 0;
    for (; i < count; i += L) {
      const Vector<S> deviation = load_elements(from + i, count - i) - centre;
      for (int64_t lane = 0; lane < count - i; ++lane) rest += double(deviation[lane]) * double(deviation[lane]);
    }
    // The centre was rounded: what that adds to the squares is known exactly.
    const double shift = double(S(mean)) - mean;
    moments.join(count, mean, total_of<S>((squares[0] + squares[1]) + (squares[2] + squares[3])) + rest - shift * shift * count);
  }
  return moments;
}

// A vector of channels, or the first `valid` of them.
template <class Element>
struct Lanes {
  int64_t valid;

  GANART_INLINE Vector<Sum<Element>> load(const Element* from) const { return load_elements(from, valid); }
  GANART_INLINE void store(Element* to, Vector<Sum<Element>> values) const { store_elements(to, values, valid); }
};

// Across: the moments of each lane.
template <class Element>
void lane_moments(const Element* from, int64_t stride, int64_t pixels, Lanes<Element> lanes,
                  Moments<Sum<Element>> (&moments)[WIDTH<Element>]) {
  using S = Sum<Element>;
  constexpr int64_t BLOCK = Channels<Element>::BLOCK;
  for (int64_t first = 0; first < pixels; first += BLOCK) {
    const int64_t count = smaller(BLOCK, pixels - first);
    const Element* corner = from + first * stride;
    Vector<S> sum{}, squares{};
    for (int64_t p = 0; p < count; ++p) sum += lanes.load(corner + p * stride);
    const Vector<S> centre = sum / S(count);
    sum = Vector<S>{};
    for (int64_t p = 0; p < count; ++p) {
      const Vector<S> deviation = lanes.load(corner + p * stride) - centre;
      sum += deviation;
      squares += deviation * deviation;
    }
    // A long sum in S puts the centre beside the mean; the deviations tell how far.
    for (int lane = 0; lane < WIDTH<Element>; ++lane) {
      const double shift = double(sum[lane]) / double(count);
      moments[lane].join(count, double(centre[lane]) + shift, double(squares[lane]) - shift * shift * count);
    }
  }
}

// A value for each channel, with a default where there are none.
template <class S>
struct ChannelValues {
  const S* values;
  int64_t sample_stride;
  S otherwise;

  GANART_INLINE S at(int64_t sample, int64_t channel) const {
    return values ? values[sample * sample_stride + channel] : otherwise;
  }
  GANART_INLINE Vector<S> from(int64_t sample, int64_t channel, int64_t valid) const {
    return values ? load_elements(values + sample * sample_stride + channel, valid) : splat(otherwise);
  }
};

template <class Act, class Element>
void instance_norm_act(const Features& x, ChannelValues<Sum<Element>> weight, ChannelValues<Sum<Element>> bias,
                       const Layer<Act, Sum<Element>>& layer, double eps, Element* y, Sum<Element>* means,
                       Sum<Element>* scales, RunTasks run) {
  using S = Sum<Element>;
  constexpr int L = WIDTH<Element>;
  const Channels<Element> cut(x);
  const auto* data = static_cast<const Element*>(x.data);
  const bool past_caches = !cut.across && x.samples * x.channels * x.pixels * int64_t(sizeof(Element)) > Rows::PAST_CACHES &&
                           (uintptr_t(y) | uintptr_t(x.pixels * sizeof(Element))) % (L * sizeof(Element)) == 0;
  const auto finish = [&](const Moments<S>& moments, int64_t sample, int64_t channel) {
    means[sample * x.channels + channel] = S(moments.mean);
    scales[sample * x.channels + channel] = S(1.0 / __builtin_sqrt(moments.squares / double(x.pixels) + eps));
  };
  for_each(cut.runner(run), cut.tasks(), [&](int64_t task) {
    if (!cut.across) {
      const int64_t sample = task / x.channels, channel = task % x.channels;
      const Element* from = data + sample * x.sample_stride + channel * x.channel_stride;
      Element* to = y + task * x.pixels;
      finish(row_moments(from, x.pixels), sample, channel);
      const Vector<S> mean = splat(means[task]), factor = splat(scales[task] * weight.at(sample, channel)),
                      shift = splat(bias.at(sample, channel));
      const auto result = [&](Vector<S> value) { return layer.apply((value - mean) * factor + shift); };
      int64_t i = 0;
      if (past_caches) {
        for (; i + L <= x.pixels; i += L) stream_elements(to + i, result(load_elements(from + i)));
        end_streaming();
      }
      for (; i + L <= x.pixels; i += L) store_elements(to + i, result(load_elements(from + i)));
      if (i < x.pixels) store_elements(to + i, result(load_elements(from + i, x.pixels - i)), x.pixels - i);
      return;
    }
    const int64_t sample = task / cut.groups, first = task % cut.groups * L * cut.VECTORS;
    for (int64_t channel = first; channel < smaller(x.channels, first + L * cut.VECTORS); channel += L) {
      const int64_t valid = smaller(L, x.channels - channel);
      const Element* from = data + sample * x.sample_stride + channel;
      Moments<S> moments[L];
      if (valid == L)
        lane_moments(from, x.pixel_stride, x.pixels, Lanes<Element>{L}, moments);
      else
        lane_moments(from, x.pixel_stride, x.pixels, Lanes<Element>{valid}, moments);
      for (int64_t lane = 0; lane < valid; ++lane) finish(moments[lane], sample, channel + lane);
      const int64_t at = sample * x.channels + channel;
      const Vector<S> mean = load_elements(means + at, valid),
                      factor = load_elements(scales + at, valid) * weight.from(sample, channel, valid),
                      shift = bias.from(sample, channel, valid);
      Element* to = y + sample * x.pixels * x.channels + channel;
      const auto transform = [&](Lanes<Element> lanes) {
        for (int64_t p = 0; p < x.pixels; ++p)
          lanes.store(to + p * x.channels, layer.apply((lanes.load(from + p * x.pixel_stride) - mean) * factor + shift));
      };
      if (valid == L)
        transform(Lanes<Element>{L});
      else
        transform(Lanes<Element>{valid});
    }
  });
}

template <class Act, class Element>
void instance_norm_act_backward(const Features& grad, const Features& x, const Sum<Element>* means,
                                const Sum<Element>* scales, ChannelValues<Sum<Element>> weight,
                                ChannelValues<Sum<Element>> bias, const Layer<Act, Sum<Element>>& layer, Element* grad_x,
                                Sum<Element>* grad_weight, Sum<Element>* grad_bias, RunTasks run) {
  using S = Sum<Element>;
  constexpr int L = WIDTH<Element>;
  const Channels<Element> cut(x);
  const auto* data = static_cast<const Element*>(x.data);
  const auto* incoming = static_cast<const Element*>(grad.data);
  const auto derivative = [&](Vector<S> normal, Vector<S> w, Vector<S> b) {
    const Vector<S> z = normal * w + b;
    return layer.derivative(Act::FROM_OUTPUT ? layer.apply(z) : z);
  };
  const bool past_caches = !cut.across && x.samples * x.channels * x.pixels * int64_t(sizeof(Element)) > Rows::PAST_CACHES &&
                           (uintptr_t(grad_x) | uintptr_t(x.pixels * sizeof(Element))) % (L * sizeof(Element)) == 0;
  for_each(cut.runner(run), cut.tasks(), [&](int64_t task) {
    if (!cut.across) {
      const int64_t sample = task / x.channels, channel = task % x.channels;
      const Element* from = data + sample * x.sample_stride + channel * x.channel_stride;
      const Element* g = incoming + sample * grad.sample_stride + channel * grad.channel_stride;
      Element* to = grad_x + task * x.pixels;
      const Vector<S> mean = splat(means[task]), scale = splat(scales[task]), w = splat(weight.at(sample, channel)),
                      b = splat(bias.at(sample, channel));
      Cascade<S> sum, product;
      int64_t i = 0;
      for (; i + L <= x.pixels; i += L) {
        const Vector<S> normal = (load_elements(from + i) - mean) * scale;
        const Vector<S> inner = load_elements(g + i) * derivative(normal, w, b);
        sum.add(inner);
        product.add(inner * normal);
      }
      if (i < x.pixels) {  // lanes past the end have a gradient of 0
        const Vector<S> normal = (load_elements(from + i, x.pixels - i) - mean) * scale;
        const Vector<S> inner = load_elements(g + i, x.pixels - i) * derivative(normal, w, b);
        sum.add(inner);
        product.add(inner * normal);
      }
      const double total = sum.total(), products = product.total();
      grad_bias[task] = S(total);
      grad_weight[task] = S(products);
      const Vector<S> mean_sum = splat(S(total / double(x.pixels))), mean_product = splat(S(products / double(x.pixels))),
                      factor = w * scale;
      const auto result = [&](Vector<S> value, Vector<S> outer) {
        const Vector<S> normal = (value - mean) * scale;
        return factor * (outer * derivative(normal, w, b) - mean_sum - normal * mean_product);
      };
      i = 0;
      if (past_caches) {
        for (; i + L <= x.pixels; i += L) stream_elements(to + i, result(load_elements(from + i), load_elements(g + i)));
        end_streaming();
      }
      for (; i + L <= x.pixels; i += L) store_elements(to + i, result(load_elements(from + i), load_elements(g + i)));
      const int64_t rest = x.pixels - i;
      if (rest > 0) store_elements(to + i, result(load_elements(from + i, rest), load_elements(g + i, rest)), rest);
      return;
    }
    const int64_t sample = task / cut.groups, first = task % cut.groups * L * cut.VECTORS;
    for (int64_t channel = first; channel < smaller(x.channels, first + L * cut.VECTORS); channel += L) {
      const int64_t valid = smaller(L, x.channels - channel), at = sample * x.channels + channel;
      const Element* from = data + sample * x.sample_stride + channel;
      const Element* g = incoming + sample * grad.sample_stride + channel;
      Element* to = grad_x + sample * x.pixels * x.channels + channel;
      const Vector<S> mean = load_elements(means + at, valid), scale = load_elements(scales + at, valid),
                      w = weight.from(sample, channel, valid), b = bias.from(sample, channel, valid);
      const auto work = [&](Lanes<Element> lanes) {
        double totals[L] = {}, products[L] = {};
        for (int64_t block = 0; block < x.pixels; block += cut.BLOCK) {
          Vector<S> sum{}, product{};
          for (int64_t p = block; p < smaller(x.pixels, block + cut.BLOCK); ++p) {
            const Vector<S> normal = (lanes.load(from + p * x.pixel_stride) - mean) * scale;
            const Vector<S> inner = lanes.load(g + p * grad.pixel_stride) * derivative(normal, w, b);
            sum += inner;
            product += inner * normal;
          }
          for (int lane = 0; lane < L; ++lane) totals[lane] += double(sum[lane]), products[lane] += double(product[lane]);
        }
        Vector<S> mean_sum{}, mean_product{};
        for (int lane = 0; lane < L; ++lane) {
          mean_sum[lane] = S(totals[lane] / double(x.pixels));
          mean_product[lane] = S(products[lane] / double(x.pixels));
          if (lane < valid) grad_bias[at + lane] = S(totals[lane]), grad_weight[at + lane] = S(products[lane]);
        }
        const Vector<S> factor = w * scale;
        for (int64_t p = 0; p < x.pixels; ++p) {
          const Vector<S> normal = (lanes.load(from + p * x.pixel_stride) - mean) * scale;
          const Vector<S> inner = lanes.load(g + p * grad.pixel_stride) * derivative(normal, w, b);
          lanes.store(to + p * x.channels, factor * (inner - mean_sum - normal * mean_product));
        }
      };
      if (valid == L)
        work(Lanes<Element>{L});
      else
        work(Lanes<Element>{valid});
    }
  });
}

void instance_norm_act_of_type(const Features& x, const void* weight, int64_t weight_stride, const void* bias,
                               int64_t bias_stride, const ActivationParameters& act, double eps, void* y, void* mean,
                               void* scale, RunTasks run) {
  with_element(x.type, [&](auto element) {
    using Element = decltype(element);
    using S = Sum<Element>;
    with_layer<S>(act, [&](const auto& layer) {
      instance_norm_act(x, ChannelValues<S>{static_cast<const S*>(weight), weight_stride, S(1)},
                        ChannelValues<S>{static_cast<const S*>(bias), bias_stride, S(0)}, layer, eps,
                        static_cast<Element*>(y), static_cast<S*>(mean), static_cast<S*>(scale), run);
    });
  });
}

void instance_norm_act_backward_of_type(const Features& grad, const Features& x, const void* mean, const void* scale,
                                        const void* weight, int64_t weight_stride, const void* bias, int64_t bias_stride,
                                        const ActivationParameters& act, void* grad_x, void* grad_weight,
                                        void* grad_bias, RunTasks run) {
  with_element(x.type, [&](auto element) {
    using Element = decltype(element);
    using S = Sum<Element>;
    with_layer<S>(act, [&](const auto& layer) {
      instance_norm_act_backward(grad, x, static_cast<const S*>(mean), static_cast<const S*>(scale),
                                 ChannelValues<S>{static_cast<const S*>(weight), weight_stride, S(1)},
                                 ChannelValues<S>{static_cast<const S*>(bias), bias_stride, S(0)}, layer,
                                 static_cast<Element*>(grad_x), static_cast<S*>(grad_weight), static_cast<S*>(grad_bias),
                                 run);
    });
  });
}
