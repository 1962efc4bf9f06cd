// Parser of ftrace text: one for recorded and simulated traces.
//
// Purpose: turn `trace-cmd report -t -N` text and tracefs / forksim `trace.ftrace` text into the same list of events.
// Source:  line layouts of trace-cmd 3.1.6 and of Linux 4.19 kernel/trace/trace_output.c:
//            `comm-pid [cpu] sec.frac: event: body` and `comm-pid (tgid) [cpu] flags sec.frac: event: body`.
// Units:   ns; a fraction of up to 9 digits is scaled exactly, further digits are cut off. Ownership: events own their text.
// Errors:  lines that are neither an event, a comment nor a header are listed in `bad_lines`, never skipped silently.
// Not modelled: binary formats, function_graph layout.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace forksim::traces {

struct Event {
  std::uint64_t ns = 0;
  unsigned cpu = 0;
  int pid = 0;       ///< the task current on `cpu`; 0 is idle
  std::string comm;  ///< its name
  std::string name;  ///< of the event; `print` for marks in either layout
  std::string body;  ///< what follows; of a mark, only its text
};

/// How prev_state is written. Linux 4.19.0 shows every letter one place too far (fixed in 4.19 stable); forksim prints the sane ones.
enum class StateLetters { sane, linux_4_19_0 };

struct TraceText {
  std::vector<Event> events;
  std::vector<std::string> bad_lines;  ///< with their line number
};

/// Parses a whole trace; prev_state of sched_switch is rewritten to the sane letters.
TraceText parse_trace(std::string_view text, StateLetters letters);

/// Value of ` key=value` in an event's body; values end at the next ` key=`, ` ==>` or the end, so names may contain blanks.
std::optional<std::string> field(std::string_view body, std::string_view key);
/// The same as a decimal number; throws std::runtime_error when it is missing or no number.
long number(std::string_view body, std::string_view key);

}  // namespace forksim::traces
