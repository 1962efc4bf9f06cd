// The process table as ps prints it.
//
// Purpose: the layouts of `ps -ely`, `ps -ejH` and `ps axjf` of procps-ng 4.0.2: headers, widths, letters, order, indentation.
// Source:  recorded output of that program; forest order of its show_tree: siblings by start (in ticks of 10 ms) and pid, roots from
//          the last to the first, children of init not indented with f.
// Columns: S and STAT from the state; STAT adds < or N for the nice value, L for locked pages, s for a session leader, l for several threads,
//          + for the foreground process group of its terminal. UID as a number; C share of a CPU since the start, in percent, at most 99; PRI priority - 40;
//          NI priority - 120, - for a real-time task; WCHAN first 6 letters, - when it runs or when the place is not known;
//          RSS in KiB, SZ in pages, 0 for kernel tasks, zombies and init (ADDR, which -y replaces by RSS, is 0 or - on any kernel of today);
//          TTY pts/N or ?, TPGID its foreground group or -1; TIME of all threads; CMD comm; COMMAND the `command` of the program, else the
//          file that was executed, [comm] for kernel tasks, [comm] <defunct> for zombies.
// refs:    a view of our own: one line per task, how many tasks have the same files, fs, sighand, signal, mm and nsproxy.
// Units:   ns in, seconds out. Ownership: values. Errors: find_ps_layout returns nothing for options it does not know.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sim/output/process_table.hpp"

namespace forksim {

enum class PsLayout : km::u8 { ely, ejH, axjf, refs };

/// Options in any order, with or without the dash: "-ely", "-eyl", "axjf".
std::optional<PsLayout> find_ps_layout(std::string_view options);

std::string render_ps(const std::vector<ProcessRow>& rows, PsLayout layout, km::u64 now);
/// The view refs.
std::string render_references(const std::vector<RefRow>& rows);

}  // namespace forksim
