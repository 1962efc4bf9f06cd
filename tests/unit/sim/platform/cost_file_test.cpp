#include "sim/platform/cost_file.hpp"

#include <doctest/doctest.h>
#include <lzma.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <map>
#include <sstream>
#include <vector>

namespace forksim {
namespace {

using km::Ns;
using km::Phase;
using km::u64;

const std::string kFile = FORKSIM_SOURCE_DIR "/platforms/bcm2711.costs.yaml";

std::string slurp(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  std::ostringstream all;
  all << in.rdbuf();
  return all.str();
}

std::string unxz(const std::string& file) {
  const std::string packed = slurp(file);
  std::string out(1 << 20, '\0');
  u64 limit = u64{64} << 20;
  std::size_t in_at = 0, out_at = 0;
  const lzma_ret r = lzma_stream_buffer_decode(&limit, 0, nullptr, reinterpret_cast<const unsigned char*>(packed.data()), &in_at,
                                               packed.size(), reinterpret_cast<unsigned char*>(out.data()), &out_at, out.size());
  REQUIRE(r == LZMA_OK);
  out.resize(out_at);
  return out;
}

/// The first four columns of the measurement list: name, value, low, high.
struct Row {
  std::string name;
  long value, low, high;
};
std::vector<Row> measurement_list() {
  std::istringstream in(unxz(FORKSIM_SOURCE_DIR "/tests/unit/sim/platform/bcm2711_costs.csv.xz"));
  std::vector<Row> rows;
  std::string line;
  std::getline(in, line);
  while (std::getline(in, line)) {
    std::istringstream fields(line);
    std::string f[4];
    for (std::string& x : f) std::getline(fields, x, ',');
    rows.push_back({f[0], static_cast<long>(std::stod(f[1])), static_cast<long>(std::stod(f[2])), static_cast<long>(std::stod(f[3]))});
  }
  return rows;
}

PlatformCosts board() {
  Diagnostics d;
  PlatformCosts c = load_costs(kFile, d);
  for (const Diagnostic& x : d.list()) INFO(x.path, x.what);
  REQUIRE(d.ok());
  return c;
}

/// The sum of phases of the board's table, in ns.
u64 sum(const km::CostTable& t, std::initializer_list<Phase> phases) {
  u64 ns = 0;
  for (Phase p : phases) ns += t[p].v;
  return ns;
}

constexpr std::initializer_list<Phase> kNullCall{Phase::syscall_entry, Phase::syscall_exit};
constexpr std::initializer_list<Phase> kSwitch{Phase::schedule, Phase::context_switch, Phase::finish_task_switch};
constexpr std::initializer_list<Phase> kWake{Phase::try_to_wake_up, Phase::enqueue_task, Phase::check_preempt};
constexpr u64 kGicRoute = 1200;

/// What a wake-up of a remote idle CPU takes beyond one on the same CPU.
u64 remote_extra(const km::CostTable& t) {
  return kGicRoute + sum(t, {Phase::idle_exit_wfi, Phase::irq_entry_exit, Phase::idle_loop_exit});
}

std::string file_with(const std::string& text) {
  const std::string file = std::string(FORKSIM_BINARY_DIR) + "/test_costs_" + std::to_string(::getpid()) + ".yaml";
  std::ofstream(file) << text;
  return file;
}

/// Diagnostics of the board's file after one replacement, one per line as line:col: path: what.
std::string refusals(const std::string& from, const std::string& to, int* line = nullptr) {
  std::string yaml = slurp(kFile);
  const std::size_t at = yaml.find(from);
  REQUIRE(at != std::string::npos);
  if (line) *line = 1 + static_cast<int>(std::count(yaml.begin(), yaml.begin() + static_cast<std::ptrdiff_t>(at), '\n'));
  yaml.replace(at, from.size(), to);
  const std::string file = file_with(yaml);
  Diagnostics d;
  load_costs(file, d);
  std::remove(file.c_str());
  std::string text;
  for (const Diagnostic& x : d.list())
    text += std::to_string(x.line) + ":" + std::to_string(x.col) + ": " + x.path + ": " + x.what + " " + x.hint + "\n";
  return text;
}

TEST_SUITE("sim/platform/cost_file") {
  TEST_CASE("the board's file gives every phase a value inside its band, a basis and a source") {
    const PlatformCosts c = board();
    for (std::size_t i = 0; i < km::kPhases; ++i) {
      CAPTURE(km::kPhaseTable[i].name);
      CHECK(c.rows[i].low <= c.rows[i].value);
      CHECK(c.rows[i].value <= c.rows[i].high);
      CHECK(c.rows[i].source.size() > 10);
    }
    CHECK(c.memory_share_256 == 64);
    CHECK(basis_name(c[Phase::do_exit].basis) == "derived");
    CHECK(basis_name(c[Phase::idle_exit_wfi].basis) == "assumed");
  }

  TEST_CASE("only work of user mode follows the clock alone") {
    const PlatformCosts c = board();
    std::string user;
    for (std::size_t i = 0; i < km::kPhases; ++i)
      if (c.rows[i].scales_with == ClockScale::user) user += std::string(km::kPhaseTable[i].name) + " ";
    CHECK(user == "exec_user_startup user_lock cache_refill_per_kib ");
  }

  TEST_CASE("every row of the measurement list is a phase, part of a split, or listed as no phase") {
    const std::string yaml = slurp(kFile);
    const std::vector<Row> rows = measurement_list();
    REQUIRE(rows.size() == 74);
    for (const Row& r : rows) {
      CAPTURE(r.name);
      const bool source = yaml.find("source: \"" + r.name) != std::string::npos;
      const bool no_phase = yaml.find("#   " + r.name + ": ") != std::string::npos;
      const bool split = yaml.find(r.name + " " + std::to_string(r.value)) != std::string::npos;
      CHECK((source || no_phase || split));
    }
  }

  TEST_CASE("a phase that stands for one row has its value and band to the ns") {
    const PlatformCosts c = board();
    std::map<std::string, Row> rows;
    for (const Row& r : measurement_list()) rows[r.name] = r;
    int compared = 0;
    for (std::size_t i = 0; i < km::kPhases; ++i) {
      const std::string& source = c.rows[i].source;
      const std::size_t colon = source.find(": ");
      const auto row = rows.find(source.substr(0, colon));
      // "row: text" is one row taken over; "row 2420 ... less ..." is a split; the two totals below lend only a part
      if (row == rows.end() || row->first == "tick_250Hz" || row->first == "wait4_reap") continue;
      CAPTURE(km::kPhaseTable[i].name);
      if (c.rows[i].source.find("its ld.so part") != std::string::npos) continue;
      CHECK(static_cast<long>(c.rows[i].value.v) == row->second.value);
      CHECK(static_cast<long>(c.rows[i].low.v) == row->second.low);
      CHECK(static_cast<long>(c.rows[i].high.v) == row->second.high);
      ++compared;
    }
    CHECK(compared == 46);
  }

  TEST_CASE("splits add up to the rows they split") {
    const km::CostTable t = board().table();
    CHECK(sum(t, kNullCall) == 359);
    CHECK(sum(t, kWake) == 2090);
    CHECK(sum(t, kSwitch) == 2277);
    CHECK(sum(t, {Phase::select_task_rq_fork, Phase::wake_up_new_task, Phase::enqueue_task, Phase::check_preempt}) == 2420);
    CHECK(sum(t, {Phase::irq_entry_exit, Phase::tick}) == 2310);
    CHECK(sum(t, {Phase::irq_entry_exit, Phase::idle_loop_exit}) == 2400);
    CHECK(remote_extra(t) == 3700);
    CHECK(sum(t, {Phase::irq_entry_exit, Phase::hrtimer_interrupt, Phase::syscall_exit}) + sum(t, kWake) + sum(t, kSwitch) == 5203);
    CHECK(sum(t, kNullCall) + sum(t, {Phase::pipe_write}) == 1705);
    CHECK(sum(t, kNullCall) + sum(t, {Phase::pipe_read}) == 1705);
    CHECK(sum(t, kNullCall) + sum(t, {Phase::do_wait, Phase::wait_reap}) == 3828);
    CHECK(2 * sum(t, kNullCall) + sum(t, {Phase::send_signal, Phase::deliver_signal, Phase::sigreturn}) == 3325);
    CHECK(sum(t, kNullCall) + sum(t, {Phase::sched_yield}) == 1025);
    // 12 file, 17 anonymous and 8 copied pages of the default start-up: 468 us within a per cent
    const u64 startup = t[Phase::exec_user_startup].v + 12 * t[Phase::fault_file_around].v + 17 * t[Phase::fault_anon_zero].v +
                        8 * t[Phase::fault_cow_copy].v;
    CHECK(startup == 468'914);
  }

  TEST_CASE("the published totals come out again: UnixBench spawn 313.3 us") {
    // 15 VMAs, 23 anonymous and 144 file pages, 6 page table pages, 3 descriptors; child: 11 copies and 9 file faults; on another CPU.
    // Beside this path: the wake-up of the parent by the dying child and the task_struct that RCU frees later.
    const km::CostTable t = board().table();
    const u64 fork =
        sum(t, kNullCall) +
        sum(t, {Phase::dup_task_struct, Phase::copy_creds, Phase::sched_fork, Phase::copy_files, Phase::copy_fs, Phase::copy_sighand,
                Phase::copy_signal, Phase::copy_mm, Phase::copy_namespaces, Phase::copy_thread, Phase::alloc_pid, Phase::copy_process_rest,
                Phase::select_task_rq_fork, Phase::wake_up_new_task, Phase::enqueue_task, Phase::check_preempt}) +
        3 * t[Phase::copy_files_per_fd].v + 15 * t[Phase::copy_mm_per_vma].v + 23 * t[Phase::copy_mm_per_anon_page].v +
        6 * t[Phase::copy_mm_per_pgtable_page].v;
    const u64 child = t[Phase::ret_from_fork].v + 11 * t[Phase::fault_cow_copy].v + 9 * t[Phase::fault_file_around].v;
    const u64 exit = sum(t, {Phase::do_exit, Phase::exit_mm, Phase::exit_files, Phase::exit_notify, Phase::stack_free_cached}) +
                     15 * t[Phase::exit_mm_per_vma].v + (23 + 144) * t[Phase::exit_mm_per_page].v +
                     23 * t[Phase::exit_mm_per_private_page].v + 6 * t[Phase::exit_mm_per_pgtable_page].v +
                     3 * t[Phase::exit_files_per_fd].v;
    const u64 rest = remote_extra(t) + sum(t, kSwitch) + t[Phase::block].v + sum(t, kNullCall) + sum(t, {Phase::do_wait, Phase::wait_reap});
    CHECK(fork == 68'830);
    CHECK(fork + child + exit + rest == 313'273);
  }

  TEST_CASE("the published totals come out again: pipes, switches, system calls") {
    const km::CostTable t = board().table();
    const u64 pair = 2 * sum(t, kNullCall) + sum(t, {Phase::pipe_write, Phase::pipe_read});
    CHECK(pair == 3410);  // 3.41 us: write and read in one process
    const u64 hop = pair + sum(t, kWake) + t[Phase::block].v + sum(t, kSwitch);
    CHECK(2 * hop == 16'984);                                                               // 17.0 us: ping-pong on one CPU
    CHECK(2 * (hop + remote_extra(t)) == 24'384);                                           // 24.4 us: between two
    CHECK(sum(t, kWake) + t[Phase::block].v + sum(t, kSwitch) == 5'082);                    // 5.1 us: lat_ctx
    CHECK(5 * sum(t, kNullCall) + sum(t, {Phase::open_file, Phase::close_file}) == 2'240);  // 2.24 us: syscall mix
  }

  TEST_CASE("creating and joining a thread roughly adds up to 41.8 us, within the band of 30 to 65") {
    const km::CostTable t = board().table();
    const u64 clone =
        sum(t, kNullCall) +
        sum(t, {Phase::dup_task_struct, Phase::copy_creds, Phase::sched_fork, Phase::copy_namespaces, Phase::copy_thread, Phase::alloc_pid,
                Phase::copy_process_rest, Phase::select_task_rq_fork, Phase::wake_up_new_task, Phase::enqueue_task, Phase::check_preempt}) +
        5 * t[Phase::copy_shared].v;
    CHECK(clone >= 8'000);
    CHECK(clone <= 17'000);
    const u64 join = sum(t, kNullCall) + sum(t, {Phase::futex_wait, Phase::block}) + sum(t, kSwitch);
    const u64 exit = sum(t, {Phase::ret_from_fork, Phase::syscall_entry, Phase::do_exit, Phase::exit_mm_shared, Phase::exit_notify,
                             Phase::release_task, Phase::futex_wake, Phase::task_struct_free, Phase::stack_free_cached}) +
                     sum(t, kWake) + sum(t, kSwitch);
    const u64 stack_pages = 2 * t[Phase::fault_anon_zero].v;
    CHECK(clone + join + exit + stack_pages >= 30'000);
    CHECK(clone + join + exit + stack_pages <= 65'000);
    CHECK(std::abs(static_cast<long>(clone + join + exit + stack_pages) - 41'800) < 4'180);
  }

  TEST_CASE("a bound takes one end of every band, and of a saving the other one") {
    PlatformCosts c = board();
    Diagnostics d;
    apply_cost_override(c, "costs.bound", "low", "--set costs.bound=low", d);
    CHECK(c.table()[Phase::dup_task_struct] == Ns(2200));
    CHECK(c.table()[Phase::switch_same_mm_saving] == Ns(400));
    apply_cost_override(c, "bound", "high", "", d);
    CHECK(c.table()[Phase::dup_task_struct] == Ns(7000));
    CHECK(c.table()[Phase::switch_same_mm_saving] == Ns(0));
    apply_cost_override(c, "bound", "value", "", d);
    CHECK(c.table()[Phase::dup_task_struct] == Ns(4090));
    CHECK(d.ok());
  }

  TEST_CASE("mm rows are those of copy_mm, faults and exit_mm, and each further CPU in mm code adds 0.26 to their factor") {
    std::string mm;
    for (const km::PhaseInfo& p : km::kPhaseTable)
      if (p.mm) mm += std::string(p.name) + " ";
    CHECK(mm ==
          "copy_mm copy_mm_per_vma copy_mm_per_anon_page copy_mm_per_pgtable_page fault_cow_copy fault_cow_reuse fault_anon_zero "
          "fault_file_around exit_mm exit_mm_per_vma exit_mm_per_page exit_mm_per_private_page exit_mm_per_pgtable_page ");
    PlatformCosts c = board();
    CHECK(c.table().mm_contention_65536 == 17039);  // 0.78 / 3 x 65536 = 17039.36
    CHECK(basis_name(c.mm_contention.basis) == "measured");
    c.bound = CostBound::low;
    CHECK(c.table().mm_contention_65536 == 0);
    c.bound = CostBound::high;
    CHECK(c.table().mm_contention_65536 == 21845);  // 1 / 3
    CHECK(refusals("  value: 1.78", "  value: 2.78").find("mm_contention.value: the value is not between low and high") != std::string::npos);
    CHECK(refusals("  cpus: 4", "  cpus: 1").find("mm_contention.cpus") != std::string::npos);
  }

  TEST_CASE("a given time wins over a bound, whatever the order") {
    PlatformCosts c = board();
    Diagnostics d;
    apply_cost_override(c, "costs.do_exit", "1.5us", "", d);
    apply_cost_override(c, "costs.bound", "high", "", d);
    CHECK(d.ok());
    CHECK(c.table()[Phase::do_exit] == Ns(1500));
    CHECK(c.table()[Phase::exit_notify] == Ns(1914));
  }

  TEST_CASE("bad overrides are refused with a hint and change nothing") {
    PlatformCosts c = board();
    Diagnostics d;
    apply_cost_override(c, "costs.do_exti", "1us", "--set costs.do_exti=1us", d);
    apply_cost_override(c, "costs.do_exit", "100", "--set costs.do_exit=100", d);
    apply_cost_override(c, "costs.do_exit", "1.5ns", "", d);
    apply_cost_override(c, "costs.do_exit", "-1ns", "", d);
    apply_cost_override(c, "costs.bound", "lower", "", d);
    REQUIRE(d.list().size() == 5);
    CHECK(d.list()[0].file == "--set costs.do_exti=1us");
    CHECK(d.list()[0].path == "costs.do_exti");
    CHECK(d.list()[0].hint.find("do_exit") != std::string::npos);
    CHECK(d.list()[4].allowed == "value, low, high");
    CHECK(c.table().ns == board().table().ns);
  }

  TEST_CASE("mistakes in the file are told with line and column, all at once") {
    int line = 0;
    std::string text = refusals("  do_exit:\n", "  do_exti:\n", &line);
    CHECK(text.find(std::to_string(line) + ":3: phases.do_exti: unknown phase did you mean \"do_exit\"?") != std::string::npos);
    CHECK(text.find(": phases: 1 phases are missing: do_exit ") != std::string::npos);
    CHECK(refusals("value: 4090ns", "value: 4090").find("phases.dup_task_struct.value") != std::string::npos);
    CHECK(refusals("value: 4090ns", "value: 7001ns").find("7001ns is outside its band 2200ns..7000ns") != std::string::npos);
    CHECK(refusals("basis: derived", "basis: guessed").find("\"guessed\"") != std::string::npos);
    CHECK(refusals("    basis: derived\n", "").find("basis") != std::string::npos);
    CHECK(refusals("    scales_with: kernel", "    scales_with: clock").find("scales_with") != std::string::npos);
    CHECK(refusals("memory_share_percent: 25", "memory_share_percent: 125").find("memory_share_percent") != std::string::npos);
    CHECK(refusals("schema: forksim.costs/1", "schema: forksim.costs/2").find("another version of the format") != std::string::npos);
    text = refusals("  syscall_exit:\n", "  syscall_entry:\n");
    CAPTURE(text);
    CHECK(text.find("syscall_entry: the key is there twice") != std::string::npos);
    Diagnostics d;
    load_costs("nowhere.costs.yaml", d);
    CHECK(d.list().size() == 1);
  }

  TEST_CASE("a platform's costs stand beside it") { CHECK(costs_file_of("platforms/bcm2711.xml") == "platforms/bcm2711.costs.yaml"); }
}

}  // namespace
}  // namespace forksim
