// Lines that a team of threads reads several times and keeps in shared memory as far as they fit: warps for short
// lines, blocks for others. For kernels and launchers.
#pragma once

#include "launch.cuh"
#include "lines.cuh"
#include "reductions.cuh"

namespace ganart::cuda {

// Shared memory in which a block keeps lines: three blocks per SM of Hopper; for two tensors, two blocks per SM, also
// of Ampere.
constexpr int kept_bytes = 64 * 1024, kept_pair_bytes = 2 * 40 * 1024;
constexpr int64_t runs_of_a_thread = 8;  // of a line that is kept

constexpr int warps_per_block = 8;

// A line that a team reads several times. Its last `kept` elements stay in shared memory, where each thread reads only
// the runs that it stored itself, since the other elements are whole steps of the team: no barrier is needed.
template <class Element, int count>
struct KeptLine {
  const Element* line;
  Element* shared;
  int64_t length, kept;

  GANART_DEVICE void bring(int thread, int threads) const {
    const Element* const from = line + (length - kept);
    for (int i = thread * count; i < kept; i += threads * count) {
      if constexpr (count * sizeof(Element) == 16)
        copy_async(shared + i, from + i, 16);
      else
        store_run(shared + i, load_run<count>(from + i));
    }
  }
  GANART_DEVICE Run<Element, count> at(int64_t index) const {
    return index < length - kept ? load_run<count>(line + index) : load_run<count>(shared + (index - (length - kept)));
  }
};

// Which line of one channel a team has, and what its threads are.
template <Team team>
struct LineTask {
  int64_t line;
  int thread, threads, first_of_block;

  GANART_DEVICE explicit LineTask(int block_threads)
      : line(team == Team::warp ? int64_t{blockIdx.x} * warps_per_block + threadIdx.x / 32 : int64_t{blockIdx.x}),
        thread(team == Team::warp ? threadIdx.x % 32 : threadIdx.x), threads(team == Team::warp ? 32 : block_threads),
        first_of_block(team == Team::warp ? threadIdx.x / 32 : 0) {}
};

template <Team team>
constexpr int most_threads = team == Team::warp ? 32 * warps_per_block : 512;

// Queues a kernel that keeps lines, as `kernel(team)`, with the arguments after those that say how.
template <class Element, class Kernel, class... Arguments>
cudaError_t queue_lines(const LineShape& shape, int count, int tensors, int bytes, const Kernel& kernel,
                        cudaStream_t stream, const Arguments&... arguments) {
  constexpr int size = sizeof(Element);
  const auto queue = [&](auto team, int64_t kept, int64_t blocks, int64_t threads, int lines_per_block) {
    const int shared = static_cast<int>(kept) * tensors * size * lines_per_block;
    return launch(kernel(team), blocks, static_cast<int>(threads), shared, stream, shape.lines(),
                  shape.lines_per_sample, shape.length, kept, static_cast<int>(threads), arguments...);
  };
  if (shape.length <= 32 * count * runs_of_a_thread) {
    return queue(std::integral_constant<Team, Team::warp>{}, shape.length, ceil_divide(shape.lines(), warps_per_block),
                 32 * warps_per_block, warps_per_block);
  }
  const int64_t threads =
      smaller<int64_t>(ceil_divide(shape.length, 32 * count * runs_of_a_thread) * 32, most_threads<Team::block>);
  // What is not kept are whole steps of the block: a thread then comes to the kept runs that it brought.
  const int64_t step = threads * count, room = bytes / (tensors * size);
  const int64_t not_kept = shape.length <= room ? 0 : ceil_divide(shape.length - room, step) * step;
  return queue(std::integral_constant<Team, Team::block>{}, shape.length - not_kept, shape.lines(), threads, 1);
}

}  // namespace ganart::cuda
