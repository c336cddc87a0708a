// Features as lines of adjacent elements: each channel's pixels, or each pixel's channels. Results are dense in that
// order.
#pragma once

#include "elements.cuh"

namespace ganart::cuda {

// How many lines, and of what.
struct LineShape {
  bool by_channel;  // a line is one channel's pixels; otherwise one pixel's channels
  int64_t samples, lines_per_sample, length;

  explicit LineShape(const Features& features)
      // A map of one pixel with its channels adjacent is a single line of them.
      : by_channel(features.pixel_stride == 1 && !(features.pixels == 1 && features.channel_stride == 1)),
        samples(features.samples), lines_per_sample(by_channel ? features.channels : features.pixels),
        length(by_channel ? features.pixels : features.channels) {}

  int64_t lines() const { return samples * lines_per_sample; }
  int64_t size() const { return lines() * length; }
  int64_t channels() const { return by_channel ? lines_per_sample : length; }
  int64_t pixels() const { return by_channel ? length : lines_per_sample; }
};

// Where lines are. `dense`: one follows another, so that an index into the result is one into these too.
template <class Element>
struct LineView {
  const Element* data;
  int64_t sample_stride, line_stride;
  bool dense;

  LineView(const LineShape& shape, const Features& features)
      : data(static_cast<const Element*>(features.data)),
        // Where there is but one, its stride may be anything.
        sample_stride(shape.samples == 1 ? shape.lines_per_sample * shape.length : features.sample_stride),
        line_stride(shape.lines_per_sample == 1 ? shape.length
                    : shape.by_channel          ? features.channel_stride
                                                : features.pixel_stride),
        dense(line_stride == shape.length && sample_stride == shape.lines_per_sample * shape.length) {}

  GANART_DEVICE const Element* line(int64_t sample, int64_t line_of_sample) const {
    return data + sample * sample_stride + line_of_sample * line_stride;
  }

  // Whether every line starts where a vector may.
  bool aligned() const {
    constexpr int width = elements_per_vector<Element>;
    return is_aligned(data) && line_stride % width == 0 && sample_stride % width == 0;
  }
  // Whether runs of a vector's length can be read at each multiple of it, counted in the result.
  bool has_runs(const LineShape& shape) const {
    return dense ? is_aligned(data) : shape.length % elements_per_vector<Element> == 0 && aligned();
  }
};

// Values for each channel, perhaps for each sample its own, or one for all where there are none.
template <class S>
struct ChannelValues {
  const S* values;
  int64_t sample_stride;
  S otherwise;

  ChannelValues(const void* values, int64_t sample_stride, S otherwise)
      : values(static_cast<const S*>(values)), sample_stride(sample_stride), otherwise(otherwise) {}

  GANART_DEVICE S at(int64_t sample, int64_t channel) const {
    return values ? values[sample * sample_stride + channel] : otherwise;
  }
};

constexpr int flat_threads = 256;  // of a block that works element by element
constexpr int flat_runs = 2;       // that a thread of it has under way at once

// Lines as one long row that is cut anywhere, for kernels that need to know of an element only whose it is.
template <class Index>
struct FlatShape {
  Index size;
  Divisor<Index> length, lines_per_sample;
  bool by_channel;

  explicit FlatShape(const LineShape& shape)
      : size(static_cast<Index>(shape.size())), length(shape.length), lines_per_sample(shape.lines_per_sample),
        by_channel(shape.by_channel) {}

  struct Place {
    Index sample, line, position;  // line of the sample, position on the line
  };
  GANART_DEVICE Place place(Index index) const {
    const Index line = length.divide(index), sample = lines_per_sample.divide(line);
    return {sample, line - sample * lines_per_sample.value, index - line * length.value};
  }

  template <int count, class Element>
  GANART_DEVICE Run<Element, count> load(const LineView<Element>& view, Index index) const {
    if (view.dense) return load_run<count>(view.data + index);
    const Place at = place(index);
    return load_run<count>(view.line(at.sample, at.line) + at.position);
  }

  // The channels' values for the elements from `index` on.
  template <int count, class S>
  GANART_DEVICE void read(const ChannelValues<S>& from, Index index, S (&values)[count]) const {
    if (!from.values) {
#pragma unroll
      for (int i = 0; i < count; ++i) values[i] = from.otherwise;
    } else if (length.value % count == 0) {  // the run is on one line
      const Place at = place(index);
      const S* const first = from.values + at.sample * from.sample_stride + (by_channel ? at.line : at.position);
#pragma unroll
      for (int i = 0; i < count; ++i) values[i] = first[by_channel ? 0 : i];
    } else {
#pragma unroll 1
      for (int i = 0; i < count; ++i) {
        const Place at = place(index + i);
        values[i] = from.at(at.sample, by_channel ? at.line : at.position);
      }
    }
  }
};

template <int value>
using Constant = std::integral_constant<int, value>;

// Sizes below this are counted in 32 bits. The CPU emulation in tests/ops/cuda can make it less.
#ifndef GANART_CUDA_NARROW_SIZES
#define GANART_CUDA_NARROW_SIZES (int64_t{1} << 31)
#endif

// Calls use(count, index): how many elements a thread moves at once, and a number of the index type that is needed.
// `runs`: whether 16 bytes can be moved wherever whole vectors begin.
template <class Element, class Use>
auto with_flat(const LineShape& shape, bool runs, const Use& use) {
  constexpr int width = elements_per_vector<Element>;
  const auto with_index = [&](auto count) {
    return shape.size() < GANART_CUDA_NARROW_SIZES ? use(count, uint32_t{}) : use(count, uint64_t{});
  };
  return runs && shape.size() % width == 0 ? with_index(Constant<width>{}) : with_index(Constant<1>{});
}

}  // namespace ganart::cuda
