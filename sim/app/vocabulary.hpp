// Names that the configuration room needs from the others. Purpose: one place that joins the tables. Ownership: static data. Errors: none.
#pragma once

#include "sim/config/schema.hpp"

namespace forksim {

/// Metric names for `measure` and `plots`.
const Vocabulary& app_vocabulary();

}  // namespace forksim
