// The state after boot: swapper per CPU, init, kthreadd, per-CPU migration and kworker threads, all asleep.
//
// Source: Linux 4.19 init/main.c rest_init, kernel/stop_machine.c, kernel/workqueue.c. Boot itself costs nothing and is not traced.
// Stack caches are full, as the recorded machines show after boot. Ownership: the tasks belong to the Core and stay outside the books (Task::boot). Errors: none.
// Not modelled: other kernel threads; init does nothing but reap orphans.
#pragma once

#include <string>

#include "kernel_model/core.hpp"

namespace forksim::km {

void boot(Core& k);
/// A kernel thread that boot has left asleep in `loop` on `cpu`; outside the books. `pinned`: to that CPU.
Task& boot_kthread(Core& k, const std::string& comm, CpuId cpu, const Path& loop, bool pinned);

}  // namespace forksim::km
