// Runs a body over indices, on all threads or on this one. Included for one level, inside its unnamed namespace.
#pragma once

template <class Body>
void for_each(RunTasks run, int64_t count, Body body) {
  run(count, &body, [](void* closure, int64_t index) { (*static_cast<Body*>(closure))(index); });
}

void run_serially(int64_t count, void* closure, void (*task)(void* closure, int64_t index)) {
  for (int64_t index = 0; index < count; ++index) task(closure, index);
}
