#include "sim/output/explain_fork.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <optional>

#include "kernel_model/base/cpumask.hpp"
#include "sim/output/csv.hpp"
#include "sim/output/json_lines.hpp"
#include "sim/output/out_file.hpp"
#include "sim/output/time_text.hpp"

namespace forksim {

using km::CpuId;
using km::CpuMask;
using km::s64;
using km::u32;
using km::u64;

namespace {

constexpr u64 kNice0Load = 1024;  ///< scale_load_down(NICE_0_LOAD)

// --- the trail of forks.csv, read back ---

struct Group {
  CpuMask span;
  u64 runnable = 0, load = 0;
  std::string step;
};
struct Step {
  std::string level, step;
  u64 pct = 0, cpu = 0;
  std::vector<Group> groups;
};

/// What stands before the first `stop`, which goes too; all of it when there is none.
std::string_view take(std::string_view& rest, char stop) {
  const std::size_t end = std::min(rest.find(stop), rest.size());
  const std::string_view word = rest.substr(0, end);
  rest.remove_prefix(std::min(end + 1, rest.size()));
  return word;
}

u64 number(std::string_view text) {
  u64 v = 0;
  const bool hex = text.starts_with("0x");
  if (hex) text.remove_prefix(2);
  const auto r = std::from_chars(text.data(), text.data() + text.size(), v, hex ? 16 : 10);
  if (r.ec != std::errc() || r.ptr != text.data() + text.size()) throw ReportError(fmt::format("forks.csv: \"{}\" is no number", text));
  return v;
}

/// A mask in hex, of any length up to kMaxCpus.
CpuMask mask(std::string_view text) {
  constexpr std::size_t kDigits = 16;
  CpuMask m;
  std::string_view digits = text.substr(std::min<std::size_t>(text.size(), 2));
  if (!text.starts_with("0x") || digits.empty() || digits.size() > kDigits * CpuMask::kWords)
    throw ReportError(fmt::format("forks.csv: \"{}\" is no mask", text));
  for (u32 w = 0; !digits.empty(); ++w) {
    const std::size_t n = std::min(digits.size(), kDigits);
    m.set_word(w, number("0x" + std::string(digits.substr(digits.size() - n))));
    digits.remove_suffix(n);
  }
  return m;
}

Group read_group(std::string_view text) {
  Group g;
  g.span = mask(take(text, ':'));
  g.runnable = number(take(text, '/'));
  g.load = number(take(text, ':'));
  g.step = text;
  return g;
}

std::vector<Step> read_trail(std::string_view text) {
  std::vector<Step> steps;
  while (!text.empty()) {
    std::string_view word = take(text, ' ');
    Step s;
    if (word.find('[') != std::string_view::npos) {
      std::string_view head = take(word, '['), list = take(word, ']');
      s.level = take(head, '/');
      s.pct = number(head);
      while (!list.empty()) s.groups.push_back(read_group(take(list, ';')));
    } else if (word.find(':') != std::string_view::npos) {
      s.level = word.substr(0, word.rfind(':'));
      word.remove_prefix(word.rfind(':') + 1);
    }
    s.step = take(word, '>');
    s.cpu = number(word);
    steps.push_back(std::move(s));
  }
  return steps;
}

// --- words ---

/// As %*pbl of the kernel prints it: 0-3,7.
std::string cpus_of(const CpuMask& span) {
  std::string out;
  for (u32 first = span.first(); first < km::kMaxCpus;) {
    u32 end = first + 1;
    while (end < km::kMaxCpus && span.test(CpuId(end))) ++end;
    out += fmt::format("{}{}", out.empty() ? "" : ",", first);
    if (end - first > 1) out += fmt::format("-{}", end - 1);
    first = end < km::kMaxCpus ? span.next(end) : end;
  }
  return span.count() == 1 ? "CPU " + out : "CPUs " + out;
}

std::string task(const std::string& comm, s64 pid) {
  return comm.empty() ? fmt::format("pid {}", pid) : fmt::format("{} (pid {})", comm, pid);
}

/// One domain: the ring of groups, then the idlest of them against the local one.
class Weighing {
 public:
  Weighing(const Step& s, std::string& out)
      : s_(s), out_(out), imbalance_(kNice0Load * (s.pct - 100) / 100), scale_(100 + (s.pct - 100) / 2) {}

  void tell() {
    out_ += fmt::format(
        "find_idlest_group in domain {}: imbalance_pct {}, so imbalance = {} * {} / 100 = {} and imbalance_scale = 100 + {} / 2 = {}.\n",
        s_.level, s_.pct, kNice0Load, s_.pct - 100, imbalance_, s_.pct - 100, scale_);
    std::string ring;
    for (const Group& g : s_.groups) ring += (ring.empty() ? "" : ", ") + cpus_of(g.span);
    out_ += fmt::format("The ring of groups begins with the parent's: {}.\n", ring);
    for (const Group& g : s_.groups) group(g);
    end();
  }

 private:
  void group(const Group& g) {
    out_ += fmt::format("  {}: runnable_load {}, avg_load {}: ", cpus_of(g.span), g.runnable, g.load);
    const std::string loads = fmt::format("100 * min_avg_load {} = {} {} {} * {} = {}", min_avg_, 100 * min_avg_,
                                          100 * min_avg_ > scale_ * g.load ? ">" : "<=", scale_, g.load, scale_ * g.load);
    if (g.step == "local") {
      local_ = &g;
      out_ += "the parent's own, compared at the end.\n";
    } else if (g.step == "less_runnable") {
      out_ += idlest_ ? fmt::format("min_runnable_load {} > {} + {}: clearly less to run, the idlest so far.\n", min_runnable_, g.runnable,
                                    imbalance_)
                      : std::string("the first to compare with.\n");
      min_runnable_ = g.runnable;
      take_as_idlest(g);
    } else if (g.step == "less_load") {
      out_ += fmt::format(
          "within the imbalance of min_runnable_load {}, and {}: the idlest until now carries {} % more, this is the idlest so far.\n",
          min_runnable_, loads, scale_ - 100);
      take_as_idlest(g);
    } else if (g.runnable >= min_runnable_ + imbalance_) {
      out_ += fmt::format("{} >= min_runnable_load {} + {}: more to run.\n", g.runnable, min_runnable_, imbalance_);
    } else {
      out_ += fmt::format(
          "within the imbalance of min_runnable_load {}, but {}: the earlier one of the ring does not carry {} % more and stays.\n",
          min_runnable_, loads, scale_ - 100);
    }
  }
  void take_as_idlest(const Group& g) {
    min_avg_ = g.load;
    idlest_ = &g;
  }

  void end() {
    if (!idlest_) {
      out_ += "No other group has an allowed CPU: the child stays.\n";
      return;
    }
    if (!local_) {
      out_ += fmt::format("The parent's own group is not allowed; find_idlest_group ends with {}.\n", s_.step);
      return;
    }
    out_ += fmt::format("The idlest is {} with min_runnable_load {} and min_avg_load {}; the parent's group has {} and {}. ",
                        cpus_of(idlest_->span), min_runnable_, min_avg_, local_->runnable, local_->load);
    if (s_.step == "stay_runnable") {
      out_ += fmt::format("{} > {} + {}: the parent's group has clearly less to run, the child stays.\n", min_runnable_, local_->runnable,
                          imbalance_);
      return;
    }
    const bool close = local_->runnable < min_runnable_ + imbalance_;
    if (!close) {
      out_ += fmt::format("{} >= {} + {}: the idlest has clearly less to run, the child goes there.\n", local_->runnable, min_runnable_,
                          imbalance_);
      return;
    }
    const bool stay = s_.step == "stay_load";
    out_ += fmt::format("{} < {} + {} is too close to tell, so the load decides: 100 * {} = {} {} {} * {} = {}: {}.\n", local_->runnable,
                        min_runnable_, imbalance_, local_->load, 100 * local_->load, stay ? "<" : ">=", scale_, min_avg_, scale_ * min_avg_,
                        stay ? fmt::format("the parent's group does not carry {} % more, the child stays", scale_ - 100)
                             : fmt::format("the parent's group carries {} % more, the child goes to the idlest", scale_ - 100));
  }

  const Step& s_;
  std::string& out_;
  u64 imbalance_, scale_;
  u64 min_runnable_ = 0, min_avg_ = 0;
  const Group *idlest_ = nullptr, *local_ = nullptr;
};

struct Sentence {
  std::string_view step, text;
};
constexpr Sentence kSentences[] = {
    {"only_cpu", "That group is one CPU: {cpu}."},
    {"latest_idle", "Among the idle CPUs of that group {cpu} went idle last: it is the warmest."},
    {"least_loaded", "No CPU of that group is idle: {cpu} has the least runnable_load_avg."},
    {"bound", "The child may run on one CPU only, {cpu}: nothing was weighed."},
    {"rt_class", "The child is a real-time task: find_lowest_rq, not the fair class, chose {cpu}."},
    {"by_rule", "The placement rule {level} stood in for the kernel's own and chose {cpu}."},
    {"rule_illegal", "The placement rule {level} named a CPU that is out of range, not allowed or offline; select_fallback_rq gave {cpu}."},
    {"branched", "The simulation was branched here: {cpu} was forced."},
    {"no_domain", "No sched domain of the parent's CPU balances at fork: the child stays on {cpu}."},
    {"span_not_allowed", "The domain has no CPU that the child may run on: {cpu}."}};

void tell_step(const Step& s, std::string& out) {
  if (!s.groups.empty()) return Weighing(s, out).tell();
  const auto* known = std::ranges::find(kSentences, s.step, &Sentence::step);
  if (known == std::end(kSentences)) throw ReportError(fmt::format("forks.csv: \"{}\" is no comparison of the trail", s.step));
  out += fmt::format(fmt::runtime(known->text), fmt::arg("cpu", fmt::format("CPU {}", s.cpu)), fmt::arg("level", s.level)) + '\n';
}

void tell_candidates(const ForkRow& f, std::string& out) {
  out += fmt::format("  {:>4} {:>18} {:>10} {:>6} {:>9} {:>11} {:>5}\n", "CPU", "runnable_load_avg", "load_avg", "util", "capacity",
                     "nr_running", "idle");
  std::string_view list = f.candidates;
  while (!list.empty()) {
    std::string_view c = take(list, ' ');
    const u64 cpu = number(take(c, ':'));
    const u64 v[] = {number(take(c, '/')), number(take(c, '/')), number(take(c, '/')),
                     number(take(c, '/')), number(take(c, '/')), number(c)};
    out += fmt::format("  {:>4} {:>18} {:>10} {:>6} {:>9} {:>11} {:>5}\n", cpu, v[0], v[1], v[2], v[3], v[4], v[5] ? "yes" : "no");
  }
}

void tell_regret(const std::vector<RegretRow>& rows, std::string& out) {
  if (rows.empty()) return;
  out += "\nBranches of the simulation at this fork say how long the child would have waited:\n";
  for (const RegretRow& r : rows)
    out += fmt::format("  CPU {}: {} ms until it first ran{}, {} ms within the horizon{}{}\n", r.cpu, exact_ms(r.wait_ns),
                       r.ran_on < 0                          ? " (it never did)"
                       : static_cast<u64>(r.ran_on) == r.cpu ? ""
                                                             : fmt::format(" on CPU {}", r.ran_on),
                       exact_ms(r.delay_ns), r.chosen ? ", the CPU chosen" : "", r.best ? ", the best" : "");
}

std::string outcome(const ForkRow& f) {
  if (f.ran_on < 0) return "The child never ran before the end of the run.";
  const std::string waited =
      f.wait_ns < 0 ? std::string("The child ran") : fmt::format("The child waited {} ms", exact_ms(static_cast<u64>(f.wait_ns)));
  if (static_cast<u64>(f.ran_on) == f.cpu) return fmt::format("{} until it first ran, there.", waited);
  return fmt::format("{} until it first ran, on CPU {}: load balancing had taken it there.", waited, f.ran_on);
}

template <class Row>
std::vector<Row> load_rows(const std::filesystem::path& file) {
  std::error_code ec;
  if (!std::filesystem::is_regular_file(file, ec))
    throw ReportError(fmt::format("{}: not there; give a result folder written by forksim run", file.string()));
  const std::string text = read_file(file);
  std::string_view rest(text);
  std::string header;
  append_csv_header<Row>(header);
  header.pop_back();
  if (next_csv_record(rest) != header)
    throw ReportError(fmt::format("{}:1: not the header this version writes; run the workload again", file.string()));
  std::vector<Row> rows;
  while (!rest.empty()) {
    Row row;
    if (!read_csv_row(split_csv(next_csv_record(rest)), row))
      throw ReportError(fmt::format("{}:{}: not a row of it; give a result folder written by forksim run", file.string(), rows.size() + 2));
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace

ExplainedFork load_fork(const std::filesystem::path& dir, s64 wanted) {
  const std::vector<ForkRow> forks = load_rows<ForkRow>(dir / "forks.csv");
  if (wanted < 0 || static_cast<u64>(wanted) >= forks.size())
    throw ReportError(fmt::format("--fork {}: there is no such fork; {}", wanted,
                                  forks.empty() ? std::string("the run made none") : fmt::format("allowed: 0 to {}", forks.size() - 1)));
  ExplainedFork f{forks[static_cast<std::size_t>(wanted)], {}, {}, {}};
  if (std::error_code ec; std::filesystem::is_regular_file(dir / "regret.csv", ec))
    for (RegretRow& r : load_rows<RegretRow>(dir / "regret.csv"))
      if (r.fork == f.row.fork) f.regret.push_back(std::move(r));
  for (const TaskRow& t : load_rows<TaskRow>(dir / "tasks.csv")) {
    if (t.pid == f.row.parent && t.start_ns <= f.row.time_ns) f.parent = t.comm;
    if (t.pid == f.row.child && t.start_ns <= f.row.time_ns) f.child = t.comm;
  }
  return f;
}

std::string render_fork_text(const ExplainedFork& e) {
  const ForkRow& f = e.row;
  std::string out = fmt::format("Fork {} at {} s: {} on CPU {} made {}. ", f.fork, exact_s(f.time_ns), task(e.parent, f.parent), f.this_cpu,
                                task(e.child, f.child));
  out += fmt::format("select_task_rq chose CPU {} ({}). {}\n\n", f.cpu, f.reason, outcome(f));
  const CpuMask idle = mask(f.idle_mask);
  out += fmt::format("The CPUs as the kernel saw them ({}):\n", idle.empty() ? std::string("none was idle") : "idle: " + cpus_of(idle));
  tell_candidates(f, out);
  out += '\n';
  const std::vector<Step> steps = read_trail(f.trail);
  for (const Step& s : steps) tell_step(s, out);
  const bool weighed = std::ranges::any_of(steps, [](const Step& s) { return !s.groups.empty(); });
  if (weighed && !idle.empty() && f.cpu < km::kMaxCpus && !idle.test(CpuId(static_cast<u32>(f.cpu))))
    out += "find_idlest_group never asks who is idle: it weighs averages, which are as old as each CPU's last update.\n";
  tell_regret(e.regret, out);
  return out;
}

std::string render_fork_json(const ExplainedFork& e) {
  nlohmann::ordered_json j = nlohmann::ordered_json::object();
  visit(e.row, [&](const ColumnInfo& c, const auto& value) { j[std::string(c.name)] = value; });
  j["parent_comm"] = e.parent;
  j["child_comm"] = e.child;
  j["regret"] = nlohmann::ordered_json::array();
  for (const RegretRow& r : e.regret) {
    nlohmann::ordered_json row = nlohmann::ordered_json::object();
    visit(r, [&](const ColumnInfo& c, const auto& value) { row[std::string(c.name)] = value; });
    j["regret"].push_back(std::move(row));
  }
  j["text"] = render_fork_text(e);
  return json_lines(j);
}

}  // namespace forksim
