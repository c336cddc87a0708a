// What Python asks of every emulated library. Include it after the .cu.
#pragma once
#include <sys/mman.h>
#include <unistd.h>

extern "C" {

void emulate(bool last_thread_first, bool copies_land_at_once) {
  emulator::last_thread_first = last_thread_first;
  emulator::copies_land_at_once = copies_land_at_once;
}

void run_each(int64_t block_step) { emulator::block_step = block_step; }

void count_in_64_bits(bool all) { emulator::narrow_sizes = all ? 0 : int64_t{1} << 31; }

// Memory that ends where a page begins that may not be touched. Never freed.
void* guarded(size_t bytes) {
  const size_t page = sysconf(_SC_PAGESIZE);
  const size_t whole = (bytes + page - 1) / page * page;
  auto* const start =
      static_cast<char*>(mmap(nullptr, whole + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  mprotect(start + whole, page, PROT_NONE);
  return start + whole - bytes;
}

}  // extern "C"
