// Names that the configuration room needs from the others.
//
// Purpose: one place that joins the tables, so that the reader can check `measure` and `plots` without knowing the metrics room.
// Source: sim/metrics/metrics.def. Units: none. Ownership: static data. Errors: none.
// Not here: names of kernels, features and tunables, which the reader takes from the kernel model itself.
#pragma once

#include "sim/config/schema.hpp"

namespace forksim {

/// Metric names for `measure` and `plots`.
const Vocabulary& app_vocabulary();

}  // namespace forksim
