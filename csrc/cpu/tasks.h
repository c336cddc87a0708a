// Runs a body over indices, on all threads or on this one. Compiled for each instruction set.
#pragma once

namespace ganart::cpu::GANART_LEVEL {
namespace {

template <class Body>
void for_each(RunTasks run, int64_t count, Body body) {
  run(count, &body, [](void* closure, int64_t index) { (*static_cast<Body*>(closure))(index); });
}

void run_serially(int64_t count, void* closure, void (*task)(void* closure, int64_t index)) {
  for (int64_t index = 0; index < count; ++index) task(closure, index);
}

// As for_each, with `group` indices per task: neighbouring results share cache lines, which two threads would contend
// for.
template <class Body>
void for_each_of_groups(RunTasks run, int64_t count, int64_t group, Body body) {
  for_each(run, (count + group - 1) / group, [&](int64_t task) {
    const int64_t end = (task + 1) * group < count ? (task + 1) * group : count;
    for (int64_t index = task * group; index < end; ++index) body(index);
  });
}

}  // namespace
}  // namespace ganart::cpu::GANART_LEVEL
