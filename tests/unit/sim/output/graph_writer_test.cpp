// What trace.function_graph shows of the functions that ran: roots, depth, leaves, interrupts, inlined functions.
#include "sim/output/graph_writer.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>

using namespace forksim;
using km::Fn;
using km::Tp;

namespace {

/// Feeds hand-made records of pid 7 ("sh") and of the idle tasks.
class Feed {
 public:
  explicit Feed(GraphOptions o)
      : file_(std::filesystem::temp_directory_path() / ("graph_writer_test." + std::to_string(reinterpret_cast<std::uintptr_t>(this)))),
        sh_(names_.intern("sh")),
        w_(file_, names_, 4, std::move(o)) {}
  ~Feed() { std::filesystem::remove(file_); }
  void in(km::u64 ns, km::u32 cpu, int pid, Fn f, km::u32 depth) { send(Tp::funcgraph_entry, ns, cpu, pid, f, depth); }
  void out(km::u64 ns, km::u32 cpu, int pid, Fn f, km::u32 depth) { send(Tp::funcgraph_exit, ns, cpu, pid, f, depth); }
  void leaf(km::u64 ns, km::u32 cpu, int pid, Fn f, km::u32 depth) {
    in(ns, cpu, pid, f, depth);
    out(ns, cpu, pid, f, depth);
  }
  /// Everything below the header.
  std::string text() {
    w_.close();
    std::ifstream in(file_);
    const std::string all{std::istreambuf_iterator<char>(in), {}};
    return all.substr(all.find("|   |   |   |\n") + 14);
  }

 private:
  void send(Tp id, km::u64 ns, km::u32 cpu, int pid, Fn f, km::u32 depth) {
    km::TraceEvent e{km::Ns(ns), id, 0, 0, km::CpuId(cpu), km::Pid(pid), sh_, {}};
    e.args[0] = static_cast<km::u64>(f);
    e.args[1] = depth;
    w_.on_event(e);
  }
  std::filesystem::path file_;
  km::NameTable names_;
  km::NameId sh_;
  GraphWriter w_;
};

void fork_like(Feed& f) {
  f.in(0, 0, 7, Fn::sys_clone, 0);
  f.in(100, 0, 7, Fn::_do_fork, 1);
  f.in(100, 0, 7, Fn::copy_process, 2);
  f.in(100, 0, 7, Fn::dup_task_struct, 3);
  f.leaf(200, 0, 7, Fn::tsk_fork_get_node, 4);
  f.out(1200, 0, 7, Fn::dup_task_struct, 3);
  f.out(1300, 0, 7, Fn::copy_process, 2);
  f.out(1400, 0, 7, Fn::_do_fork, 1);
  f.out(1500, 0, 7, Fn::sys_clone, 0);
}

}  // namespace

TEST_CASE("a function whose next record on its CPU is its return is a leaf, whatever other CPUs do meanwhile") {
  Feed f({});
  f.in(0, 0, 7, Fn::do_exit, 0);
  f.in(10, 0, 7, Fn::mmput, 1);
  f.leaf(500, 1, 0, Fn::scheduler_ipi, 0);
  f.out(1010, 0, 7, Fn::mmput, 1);
  f.leaf(1010, 0, 7, Fn::exit_sem, 1);
  CHECK(f.text() ==
        " 0)               |  do_exit() {\n"
        " 0)   1.000 us    |    mmput();\n"
        " 1)   0.000 us    |  scheduler_ipi();\n"
        " 0)   0.000 us    |    exit_sem();\n");
}

TEST_CASE("only roots begin a tree, all below them is shown down to the depth limit") {
  GraphOptions o;
  o.roots.resize(km::kFunctions);
  o.roots[static_cast<std::size_t>(Fn::_do_fork)] = true;
  Feed all(o);
  fork_like(all);
  CHECK(all.text() ==
        " 0)               |  _do_fork() {\n"
        " 0)               |    copy_process() {\n"
        " 0)               |      dup_task_struct() {\n"
        " 0)   0.000 us    |        tsk_fork_get_node();\n"
        " 0)   1.100 us    |      }\n"
        " 0)   1.200 us    |    }\n"
        " 0)   1.300 us    |  }\n");
  o.layout.depth = 2;
  Feed two(o);
  fork_like(two);
  CHECK(two.text() ==
        " 0)               |  _do_fork() {\n"
        " 0)   1.200 us    |    copy_process();\n"
        " 0)   1.300 us    |  }\n");
}

TEST_CASE("without inlined functions their calls move up, and system calls have the name of their architecture") {
  GraphOptions o;
  o.layout.inlined = false;
  Feed f(o);
  fork_like(f);
  const std::string text = f.text();
  CHECK(text.find("dup_task_struct") == std::string::npos);
  CHECK(text.find(" 0)   0.000 us    |        tsk_fork_get_node();\n") != std::string::npos);
  CHECK(text.starts_with(" 0)               |  __arm64_sys_clone() {\n"));
  o.arm64 = false;
  Feed arm32(o);
  fork_like(arm32);
  CHECK(arm32.text().starts_with(" 0)               |  sys_clone() {\n"));
}

TEST_CASE("interrupts have arrows, and without them their functions are gone") {
  const auto feed = [](Feed& f) {
    f.in(0, 0, 7, Fn::mmput, 0);
    f.in(10, 0, 7, Fn::gic_handle_irq, 1);
    f.leaf(20, 0, 7, Fn::scheduler_ipi, 2);
    f.out(30, 0, 7, Fn::gic_handle_irq, 1);
    f.leaf(40, 0, 7, Fn::fput, 1);
    f.out(50, 0, 7, Fn::mmput, 0);
  };
  GraphOptions o;
  Feed with(o);
  feed(with);
  CHECK(with.text() ==
        " 0)               |  mmput() {\n"
        " 0)   ==========> |\n"
        " 0)               |    gic_handle_irq() {\n"
        " 0)   0.000 us    |      scheduler_ipi();\n"
        " 0)   0.020 us    |    }\n"
        " 0)   <========== |\n"
        " 0)   0.000 us    |    fput();\n"
        " 0)   0.050 us    |  }\n");
  o.layout.irqs = false;
  Feed without(o);
  feed(without);
  CHECK(without.text() ==
        " 0)               |  mmput() {\n"
        " 0)   0.000 us    |    fput();\n"
        " 0)   0.050 us    |  }\n");
}

TEST_CASE("a task that never returned leaves nothing to the next task with its number") {
  Feed f({});
  f.in(0, 0, 7, Fn::do_exit, 0);
  f.in(1, 0, 7, Fn::do_task_dead, 1);
  f.leaf(2, 0, 7, Fn::schedule_tail, 0);
  CHECK(f.text() ==
        " 0)               |  do_exit() {\n"
        " 0)               |    do_task_dead() {\n"
        " 0)   0.000 us    |  schedule_tail();\n");
}
