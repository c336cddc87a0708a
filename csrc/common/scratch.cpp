// One growing buffer per slot and thread.
#include "common/scratch.h"

#include <cstdlib>
#include <new>

namespace ganart {
namespace {

struct Buffer {
  void* data = nullptr;
  size_t bytes = 0;

  void release() {
    std::free(data);
    data = nullptr;
    bytes = 0;
  }
  ~Buffer() { release(); }
};

thread_local Buffer buffers[2];

}  // namespace

void* scratch(ScratchSlot slot, size_t bytes) {
  Buffer& buffer = buffers[int(slot)];
  if (bytes > buffer.bytes) {
    buffer.release();
    const size_t rounded = (bytes + 4095) / 4096 * 4096;
    buffer.data = std::aligned_alloc(4096, rounded);
    if (!buffer.data) throw std::bad_alloc();
    buffer.bytes = rounded;
  }
  return buffer.data;
}

void give_back_large_scratch(ScratchSlot slot) {
  Buffer& buffer = buffers[int(slot)];
  if (buffer.bytes > SCRATCH_KEPT) buffer.release();
}

}  // namespace ganart
