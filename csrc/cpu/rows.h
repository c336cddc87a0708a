// Features as rows along pixels (of one channel each) or across channels, divided into tasks; biases and their
// gradients.
#pragma once

#include "cpu/elements.h"
#include "cpu/tasks.h"

namespace ganart::cpu::GANART_LEVEL {
namespace {

// Tasks depend on sizes alone, so that sums do not depend on the number of threads.
struct Rows {
  static constexpr int64_t TASK_ELEMENTS = 16384, SERIAL_ELEMENTS = 16384, PAST_CACHES = 16 << 20;
  static constexpr int64_t PIECE_ELEMENTS = 4096;  // few enough for a piece's sum to be accurate in its own type

  bool across;
  int64_t channels, pixels, tasks, elements;
  int64_t piece, pieces, units_per_task, units;  // along: pieces of a channel's pixels
  int64_t group, chunk, chunks;                  // across: pixels per row, pixels per task, tasks per sample

  struct Row {
    int64_t sample, channel, pixel, length, dense;

    GANART_INLINE int64_t offset(const Features& f) const {
      return sample * f.sample_stride + channel * f.channel_stride + pixel * f.pixel_stride;
    }
  };

  // `step`: the number of elements that are processed at once.
  Rows(const Features& f, int64_t step, bool dense = true)
      : across(f.pixel_stride != 1 || (f.pixels == 1 && f.channel_stride == 1)), channels(f.channels),
        pixels(f.pixels) {
    elements = f.samples * channels * pixels;
    piece = smaller(pixels, PIECE_ELEMENTS);
    pieces = (pixels + piece - 1) / piece;
    units = f.samples * channels * pieces;
    units_per_task = larger(1, TASK_ELEMENTS / piece);
    // Few channels would leave most of a vector empty, so several adjacent pixels form a row.
    group = dense && channels < 2 * step && (f.pixel_stride == channels || pixels == 1) ? step : 1;
    chunk = round_up(larger(1, TASK_ELEMENTS / channels), group);
    chunks = (pixels + chunk - 1) / chunk;
    tasks = across ? f.samples * chunks : (units + units_per_task - 1) / units_per_task;
  }

  RunTasks runner(RunTasks parallel) const { return elements < SERIAL_ELEMENTS ? run_serially : parallel; }

  // Whether a result leaves the caches before it is next read; then stores should bypass them.
  bool stores_past_caches(const void* to, int64_t size) const {
    // Rows, and samples if a row has several pixels, must be aligned to vectors.
    const int64_t starts = !across ? pixels : group == 1 ? channels : channels * group | channels * pixels;
    return elements * size >= PAST_CACHES && (uintptr_t(to) | uintptr_t(starts * size)) % GANART_VECTOR_BYTES == 0;
  }

  // Calls body(row, across) for each row of a task; `across` is a std::bool_constant.
  template <class Body>
  GANART_INLINE void for_rows(int64_t task, Body body) const {
    if (across) {
      const int64_t sample = task / chunks, first = task % chunks * chunk, end = smaller(pixels, first + chunk);
      for (int64_t pixel = first; pixel < end; pixel += group)
        body(Row{sample, 0, pixel, smaller(group, end - pixel) * channels, (sample * pixels + pixel) * channels},
             std::integral_constant<bool, true>{});
    } else {
      const int64_t first = task * units_per_task, end = smaller(units, first + units_per_task);
      int64_t at = first % pieces, plane = first / pieces, sample = plane / channels, channel = plane % channels;
      for (int64_t unit = first; unit < end; ++unit) {
        const int64_t pixel = at * piece;
        body(
            Row{sample, channel, pixel, smaller(piece, pixels - pixel), (sample * channels + channel) * pixels + pixel},
            std::integral_constant<bool, false>{});
        if (++at == pieces) {
          at = 0;
          if (++channel == channels) channel = 0, ++sample;
        }
      }
    }
  }
};

// A bias for each row, and its gradient: the sums over samples and pixels. Across channels, both are in the order of
// pairs.
template <class Element>
class BiasRows {
  using S = Sum<Element>;

 public:
  // `summing`: whether sums are needed. Occupies the caller's shared scratch until that is given back.
  BiasRows(const Rows& rows, const S* bias, bool summing) : rows_(rows) {
    const int64_t copies = rows.across ? rows.group : 1, tiled = round_up(copies * rows.channels, 64);
    const int64_t sums = !summing ? 0 : rows.across ? rows.tasks * rows.channels : rows.units;
    auto* memory = static_cast<char*>(scratch(ScratchSlot::shared, tiled * sizeof(S) + sums * sizeof(double)));
    auto* values = reinterpret_cast<S*>(memory);
    for (int64_t copy = 0, at = 0; copy < copies; ++copy)
      for (int64_t c = 0; c < rows.channels; ++c, ++at)
        values[rows.across ? place_in_pairs<Element>(at) : at] = bias ? bias[c]
                                                                      : S(-0.0);  // x + -0 equals x for every x
    values_ = values;
    sums_ = reinterpret_cast<double*>(memory + tiled * sizeof(S));
  }

  GANART_INLINE const S* of(const Rows::Row& row) const { return values_ + row.channel; }

  // The sums of one task: one per row along pixels; across channels, one per channel over all rows.
  class Task {
   public:
    Task(const BiasRows& owner, int64_t task) : rows_(owner.rows_) {
      if (!rows_.across) {
        out_ = owner.sums_ + task * rows_.units_per_task;
        return;
      }
      out_ = owner.sums_ + task * rows_.channels;
      width_ = round_up(rows_.group * rows_.channels, 64);
      settled_ = static_cast<double*>(scratch(ScratchSlot::worker, width_ * (sizeof(double) + sizeof(S))));
      recent_ = reinterpret_cast<S*>(settled_ + width_);
      for (int64_t i = 0; i < width_; ++i) settled_[i] = 0, recent_[i] = 0;
    }

    // Across: the sums so far, in whole pairs.
    GANART_INLINE S* recent() { return recent_; }

    void finish_row(double total) {
      if (!rows_.across)
        *out_++ = total;
      else if (++count_ % 32 == 0)
        settle();
    }

    void finish() {
      if (!rows_.across) return;
      settle();
      for (int64_t c = 0; c < rows_.channels; ++c) out_[c] = 0;
      for (int64_t g = 0, at = 0; g < rows_.group; ++g)
        for (int64_t c = 0; c < rows_.channels; ++c) out_[c] += settled_[place_in_pairs<Element>(at++)];
      give_back_large_scratch(ScratchSlot::worker);
    }

   private:
    void settle() {
      for (int64_t i = 0; i < width_; ++i) settled_[i] += double(recent_[i]), recent_[i] = 0;
    }

    const Rows& rows_;
    double *out_, *settled_ = nullptr;
    S* recent_ = nullptr;
    int64_t width_ = 0, count_ = 0;
  };

  // Adds the tasks' sums in order.
  void combine(S* result) const {
    const int64_t samples = rows_.elements / (rows_.channels * rows_.pixels);
    for (int64_t c = 0; c < rows_.channels; ++c) {
      double total = 0;
      if (rows_.across)
        for (int64_t task = 0; task < rows_.tasks; ++task) total += sums_[task * rows_.channels + c];
      else
        for (int64_t n = 0; n < samples; ++n)
          for (int64_t p = 0; p < rows_.pieces; ++p) total += sums_[(n * rows_.channels + c) * rows_.pieces + p];
      result[c] = S(total);
    }
  }

 private:
  const Rows& rows_;
  const S* values_;
  double* sums_;
};

}  // namespace
}  // namespace ganart::cpu::GANART_LEVEL
