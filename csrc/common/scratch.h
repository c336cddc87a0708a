// Scratch memory that a thread keeps between calls, since new pages cost more than the work done in them. No torch.
#pragma once

#include <cstddef>

namespace ganart {

// `shared` belongs to the caller and its tasks, `worker` to one thread. A caller is often a worker too, hence two
// slots.
enum class ScratchSlot { shared, worker };

// `bytes` of uninitialised memory on a 64-byte boundary, valid until this thread next asks for the same slot. At most
// SCRATCH_KEPT bytes stay with a thread; what exceeds that must be given back.
void* scratch(ScratchSlot slot, size_t bytes);
void give_back_large_scratch(ScratchSlot slot);

constexpr size_t SCRATCH_KEPT = size_t(48) << 20;

}  // namespace ganart
