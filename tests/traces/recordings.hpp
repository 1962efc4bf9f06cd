// Where the recordings of real kernels are, and the workloads of the programs that ran.
//
// Purpose: one place that knows the folders and the names of files. Units: as in trace_text.hpp. Ownership: values.
// Errors:  std::runtime_error names a file that cannot be read. Not here: what is compared.
#pragma once

#include <string>
#include <vector>

#include "tests/traces/text_file.hpp"
#include "tests/traces/trace_text.hpp"

namespace forksim::traces {

inline const std::string kSource = FORKSIM_SOURCE_DIR "/", kData = kSource + "tests/traces/data/",
                         kWorkloads = kSource + "tests/traces/workloads/";

/// What `program` did on the machine of `folder`.
inline std::vector<Event> recorded(const std::string& folder, const std::string& program) {
  return parse_trace(read_text_file(kData + folder + "/" + program + ".report.xz"), StateLetters::linux_4_19_0).events;
}

}  // namespace forksim::traces
