// The layout of trace.function_graph: every variant that was recorded comes out byte for byte when its records are written again.
#include "sim/output/graph_text.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>

#include "tests/traces/graph_text.hpp"
#include "tests/traces/text_file.hpp"

using namespace forksim;
using Kind = traces::GraphLine::Kind;

namespace {

const std::string kData = FORKSIM_SOURCE_DIR "/tests/traces/data/4.19-arm64-rpi-fgraph/";

/// Blocks of a task change, which name a CPU that a layout without that column does not tell.
std::string without_blocks(const std::string& text) {
  std::string out;
  std::size_t skip = 0, at = 0;
  while (at < text.size()) {
    const std::size_t end = text.find('\n', at) + 1;
    const std::string line = text.substr(at, end - at);
    at = end;
    if (skip == 0 && line.starts_with(" -----")) skip = 4;
    if (skip == 0)
      out += line;
    else
      --skip;
  }
  return out;
}

std::pair<std::string, int> split_task(const std::string& task) {
  const std::size_t dash = task.rfind('-');
  return {task.substr(0, dash), std::stoi(task.substr(dash + 1))};
}

/// Writes the records of a recorded text again. A brace without a name belongs to what was opened last at its depth on its CPU.
std::string written_again(const std::string& text, const GraphLayout& layout) {
  const std::vector<traces::GraphLine> lines = traces::parse_graph(text);
  std::map<int, std::string> task;
  for (auto l = lines.rbegin(); l != lines.rend(); ++l)
    if (l->kind == Kind::switch_block) task[l->cpu] = l->from;
  std::map<std::pair<int, unsigned>, std::string> open;
  GraphText writer(layout, 4);
  std::string out;
  writer.append_header(out);
  for (const traces::GraphLine& l : lines) {
    const int cpu = std::max(l.cpu, 0);
    if (l.kind == Kind::switch_block) task[cpu] = l.to;
    if (l.kind == Kind::switch_block || l.kind == Kind::irq_begin || l.kind == Kind::irq_end) continue;
    const std::string who = !l.task.empty() ? l.task : layout.cpu && task.contains(cpu) ? task[cpu] : "<idle>-0";
    const auto [comm, pid] = split_task(who);
    const GraphPoint p{static_cast<km::u64>(std::max(l.us, 0LL)) * 1000, static_cast<km::u32>(cpu), pid, comm};
    const auto ns = static_cast<km::u64>(std::max(l.ns, 0LL));
    const bool irq = l.text == "gic_handle_irq" || (l.text.empty() && open[{cpu, l.depth}] == "gic_handle_irq");
    if (l.kind == Kind::comment) writer.append_comment(p, l.text, out);
    if (l.kind == Kind::leaf) writer.append_leaf(p, l.text, l.depth, ns, irq, out);
    if (l.kind == Kind::entry) {
      writer.append_entry(p, l.text, l.depth, irq, out);
      open[{cpu, l.depth}] = l.text;
    }
    if (l.kind == Kind::exit) writer.append_return(p, l.text.empty() ? open[{cpu, l.depth}] : l.text, l.depth, ns, irq, out);
  }
  return out;
}

void check_layout(const std::string& file, const GraphLayout& layout) {
  const std::string text = traces::read_text_file(kData + file + ".xz");
  const std::string again = written_again(text, layout);
  INFO(file);
  if (layout.cpu)
    CHECK(again == text);
  else
    CHECK(without_blocks(again) == without_blocks(text));
}

}  // namespace

TEST_CASE("every recorded layout of function_graph is written byte for byte") {
  GraphLayout l;
  check_layout("layout.default.txt", l);
  l.overhead = false;
  check_layout("layout.nooverhead.txt", l);
  l = {};
  l.abstime = true;
  check_layout("layout.abstime.txt", l);
  l = {};
  l.cpu = false;
  check_layout("layout.nocpu.txt", l);
  l = {};
  l.duration = false;
  check_layout("layout.noduration.txt", l);
  l = {};
  l.proc = true;
  check_layout("layout.proc.txt", l);
  l = {};
  l.tail = true;
  check_layout("layout.tail.txt", l);
  l.proc = l.abstime = true;
  check_layout("fork.d6.proc-abstime-tail.txt", l);
  l.cpu = false;
  check_layout("layout.proc-abstime-tail-nocpu.txt", l);
  l = {};
  l.proc = l.abstime = true;
  check_layout("fork.d4.events.proc-abstime.txt", l);
}

TEST_CASE("a hand-made sequence has marks, blocks, arrows and comments where the kernel puts them") {
  GraphText w({}, 4);
  std::string out;
  const GraphPoint bash{1'000'000, 2, 1272, "raspbian_proc"}, idle{2'000'000, 2, 0, "swapper/2"};
  w.append_entry(bash, "do_exit", 0, false, out);
  w.append_leaf(bash, "exit_signals", 1, 10'000, false, out);  // exactly 10 us has no mark
  w.append_leaf(bash, "exit_files", 1, 10'001, false, out);
  w.append_leaf(bash, "mmput", 1, 123'456'789, false, out);  // seven digits at most
  w.append_leaf(bash, "gic_handle_irq", 1, 1'234, true, out);
  w.append_comment(bash, "sched_waking: comm=bash", out);
  w.append_leaf(idle, "finish_task_switch", 0, 100'001, false, out);
  w.append_return(idle, "schedule_idle", 0, 2'000'000'000, false, out);
  CHECK(out ==
        " 2)               |  do_exit() {\n"
        " 2)   10.000 us   |    exit_signals();\n"
        " 2) + 10.001 us   |    exit_files();\n"
        " 2) @ 123456.7 us |    mmput();\n"
        " 2)   ==========> |\n"
        " 2)   1.234 us    |    gic_handle_irq();\n"
        " 2)   <========== |\n"
        " 2)               |  /* sched_waking: comm=bash */\n"
        " ------------------------------------------\n"
        " 2)  raspbia-1272  =>    <idle>-0   \n"
        " ------------------------------------------\n\n"
        " 2) ! 100.001 us  |  finish_task_switch();\n"
        " 2) $ 2000000 us  |  } /* schedule_idle */\n");
}
