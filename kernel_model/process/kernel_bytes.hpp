// How much memory kernel objects take.
//
// Purpose: the budget of the tunable kernel_memory_bytes: what fork takes and exit gives back. Source: object sizes of /proc/slabinfo on
//          64-bit 4.19 kernels, rounded (assumed: they depend on the configuration). Units: bytes. Ownership: constants. Errors: none.
// Not modelled: slab overhead, user pages.
#pragma once

#include "kernel_model/base/types.hpp"

namespace forksim::km {

struct KernelBytes {
  static constexpr u64 task_struct = 3776, mm_struct = 1088, vm_area_struct = 208, page = 4096, files = 704, fs = 64, sighand = 2112,
                       signal = 1088, cred = 192, nsproxy = 64, sem_undo = 64, io_context = 96, pid_namespace = 192, pid = 128, upid = 16;
};

}  // namespace forksim::km
