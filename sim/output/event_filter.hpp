// Which tracepoints a trace holds: patterns as in ftrace's set_event.
//
// Purpose: `--set trace.events=sched:*,signal:*`. Source: Documentation/trace/events.rst, "set_event": system:name, with shell patterns;
//          a system alone means all of it, a name alone that event in any system.
// Units:   none. Ownership: values. Errors: `wrong` tells every pattern that matches nothing, with a hint; nothing is guessed.
// Not modelled: `!` (leave out), filters on fields, triggers.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "kernel_model/trace/trace.hpp"

namespace forksim {

struct EventFilter {
  km::TpSet events;
  struct Wrong {
    std::string pattern, allowed, hint;
  };
  std::vector<Wrong> wrong;  ///< empty: all patterns name something
};

/// Patterns separated by commas.
EventFilter parse_event_filter(std::string_view patterns);

}  // namespace forksim
