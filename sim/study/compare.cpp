#include "sim/study/compare.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "sim/output/csv.hpp"
#include "sim/output/out_file.hpp"
#include "sim/config/streams.hpp"

namespace forksim {

namespace {

/// The runs of a cell that are set against each other: by seed, or all.
struct Samples {
  std::vector<const RunRecord*> base, next;
  bool paired = false;
};

Samples pick(const CellRuns& a, const CellRuns& b, CellComparison& out) {
  Samples s;
  for (const RunRecord& x : a.runs) {
    const auto y = std::ranges::find(b.runs, x.seed, &RunRecord::seed);
    if (y == b.runs.end()) continue;
    s.base.push_back(&x);
    s.next.push_back(&*y);
  }
  s.paired = !s.base.empty();
  if (s.paired) {
    out.pairs = s.base.size();
    out.left_out = a.runs.size() + b.runs.size() - 2 * s.base.size();
    return s;
  }
  for (const RunRecord& x : a.runs) s.base.push_back(&x);
  for (const RunRecord& y : b.runs) s.next.push_back(&y);
  return s;
}

std::vector<double> column(const std::vector<const RunRecord*>& runs, std::size_t measure) {
  std::vector<double> v;
  for (const RunRecord* r : runs) v.push_back(r->values[measure]);
  return v;
}

/// Pairs with a value on both sides; two samples lose their gaps one by one.
void drop_gaps(std::vector<double>& a, std::vector<double>& b, bool paired) {
  const auto gap = [](double v) { return std::isnan(v); };
  if (!paired) {
    std::erase_if(a, gap);
    std::erase_if(b, gap);
    return;
  }
  std::size_t kept = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (gap(a[i]) || gap(b[i])) continue;
    a[kept] = a[i];
    b[kept++] = b[i];
  }
  a.resize(kept);
  b.resize(kept);
}

/// Can a test say anything about samples of this size at all?
bool testable(std::size_t a, std::size_t b, bool paired) { return paired ? a >= 5 : a >= 4 && b >= 4; }

class Comparer {
 public:
  explicit Comparer(const CompareOptions& options) : options_(options) {}

  CellComparison cell(const CellRuns& a, const CellRuns& b) {
    CellComparison c;
    c.label = a.label == b.label ? a.label : a.label + " -> " + b.label;
    c.base_runs = a.runs.size();
    c.next_runs = b.runs.size();
    c.base_cell = &a;
    c.next_cell = &b;
    const Samples s = pick(a, b, c);
    if (s.paired) {
      c.first_base = s.base.front();
      c.first_next = s.next.front();
    }
    const auto& table = measure_table();
    for (std::size_t m = 0; m < table.size(); ++m)
      if (wanted(m)) measure(s, m, a.label, c);
    return c;
  }

 private:
  bool wanted(std::size_t m) const {
    const MeasureInfo& info = measure_table()[m];
    const bool limited = std::ranges::find(options_.fail_on, m, &FailOn::measure) != options_.fail_on.end();
    const bool named = std::ranges::find(options_.metrics, info.name()) != options_.metrics.end();
    const bool listed = options_.metrics.empty() || std::ranges::find(options_.metrics, info.metric) != options_.metrics.end();
    return limited || named || (info.judged && listed);
  }

  void measure(const Samples& s, std::size_t m, const std::string& label, CellComparison& c) {
    std::vector<double> a = column(s.base, m), b = column(s.next, m);
    drop_gaps(a, b, s.paired);
    if (a.empty() || b.empty()) return;
    MeasureResult r;
    r.measure = m;
    r.base = median(a);
    r.next = median(b);
    std::vector<double> d;
    for (std::size_t i = 0; s.paired && i < a.size(); ++i) d.push_back(b[i] - a[i]);
    r.change = s.paired ? paired_shift(d) : unpaired_shift(a, b);
    const bool same = s.paired && std::ranges::all_of(d, [](double x) { return x == 0; });
    // Latencies differ by factors, not by amounts: what is above 0 is compared on a logarithmic scale.
    const bool ratios = *std::ranges::min_element(a) > 0 && *std::ranges::min_element(b) > 0;
    if (ratios) {
      for (double& x : a) x = std::log(x);
      for (double& x : b) x = std::log(x);
      for (std::size_t i = 0; i < d.size(); ++i) d[i] = d[i] == 0 ? 0 : b[i] - a[i];
    }
    // With a 0 in it there is no logarithm; each pair still has its own relative change, unless its base is 0.
    const bool relative = !ratios && s.paired && *std::ranges::min_element(a) > 0;
    for (std::size_t i = 0; relative && i < d.size(); ++i) d[i] /= a[i];
    const auto share = [&](double shift) {
      return ratios ? std::expm1(shift) : relative ? shift : r.base == 0 ? 0 : std::max(shift / r.base, -1.0);
    };
    r.effect = share(s.paired ? paired_shift(d) : unpaired_shift(a, b));
    if (same) {
      r.verdict = Verdict::same;
    } else if (testable(a.size(), b.size(), s.paired)) {
      const auto outcome = s.paired ? tests_.signed_rank(d) : tests_.rank_sum(a, b);
      r.p = outcome.p;
      r.exact = outcome.exact;
      r.verdict = Verdict::no_difference;
    }
    if (options_.resamples > 0 && a.size() > 1 && b.size() > 1 && !same) {
      const km::u64 stream = derive_key(options_.seed, hash_name(label + '/' + measure_table()[m].name()));
      const Interval i = s.paired ? paired_interval(d, options_.confidence, options_.resamples, stream)
                                  : unpaired_interval(a, b, options_.confidence, options_.resamples, stream);
      r.interval = Interval{share(i.low), share(i.high)};
    }
    c.measures.push_back(r);
  }

  const CompareOptions& options_;
  RankTests tests_;
};

/// Cells with the same label; two single cells belong together whatever they are called.
std::vector<std::pair<const CellRuns*, const CellRuns*>> match(const ResultSet& base, const ResultSet& next, Comparison& out) {
  std::vector<std::pair<const CellRuns*, const CellRuns*>> pairs;
  if (base.cells.size() == 1 && next.cells.size() == 1) return {{&base.cells[0], &next.cells[0]}};
  for (const CellRuns& a : base.cells) {
    const auto b = std::ranges::find(next.cells, a.label, &CellRuns::label);
    if (b != next.cells.end())
      pairs.emplace_back(&a, &*b);
    else
      out.only_base.push_back(a.label);
  }
  for (const CellRuns& b : next.cells)
    if (std::ranges::find(base.cells, b.label, &CellRuns::label) == base.cells.end()) out.only_next.push_back(b.label);
  if (pairs.empty())
    throw ReportError(fmt::format("{} and {} have no cell in common: {} here, {} there; select one of each with FOLDER:factor=value", base.name,
                                  next.name, base.cells.front().label, next.cells.front().label));
  return pairs;
}

/// Every test of the comparison is one family.
void correct(Comparison& c, const CompareOptions& options) {
  std::vector<MeasureResult*> tested;
  std::vector<double> p;
  for (CellComparison& cell : c.cells)
    for (MeasureResult& r : cell.measures) {
      if (r.verdict != Verdict::no_difference) continue;
      tested.push_back(&r);
      p.push_back(r.p);
    }
  c.tests = p.size();
  const std::vector<double> corrected = holm(p);
  for (std::size_t i = 0; i < tested.size(); ++i) {
    MeasureResult& r = *tested[i];
    r.corrected = corrected[i];
    if (r.corrected >= options.alpha || !measure_table()[r.measure].less_is_better) continue;
    r.verdict = std::abs(r.effect) < options.least_effect ? Verdict::small : r.effect > 0 ? Verdict::worse : Verdict::better;
  }
}

void count(Comparison& c) {
  for (const CellComparison& cell : c.cells)
    for (const MeasureResult& r : cell.measures) {
      c.worse += r.verdict == Verdict::worse;
      c.better += r.verdict == Verdict::better;
      c.small += r.verdict == Verdict::small;
      c.unchanged += r.verdict == Verdict::same || r.verdict == Verdict::no_difference;
      c.untested += r.verdict == Verdict::untested;
    }
}

/// The limits decide by themselves, so their measures are a family of their own: what else is listed makes a gate no blinder.
void correct_limited(Comparison& c, const CompareOptions& options) {
  std::vector<MeasureResult*> limited;
  std::vector<double> p;
  for (CellComparison& cell : c.cells)
    for (MeasureResult& r : cell.measures) {
      if (std::ranges::find(options.fail_on, r.measure, &FailOn::measure) == options.fail_on.end()) continue;
      if (r.verdict == Verdict::untested || r.verdict == Verdict::same) continue;
      limited.push_back(&r);
      p.push_back(r.p);
    }
  const std::vector<double> corrected = holm(p);
  for (std::size_t i = 0; i < limited.size(); ++i) limited[i]->limit_p = corrected[i];
}

/// A change counts against a limit when it is past it and no accident (or cannot be tested); a value of the new side as it is.
std::optional<std::string> breaks(const FailOn& f, const MeasureResult& r, const CompareOptions& options) {
  const std::string& unit = measure_table()[f.measure].unit;
  const double value = f.kind == FailOn::Kind::percent ? r.effect : f.kind == FailOn::Kind::change ? r.change : r.next;
  if (f.above ? value <= f.limit : value >= f.limit) return std::nullopt;
  const bool tested = r.verdict != Verdict::untested;
  if (f.kind != FailOn::Kind::value && tested && r.limit_p >= options.alpha) return std::nullopt;
  const std::string said = f.kind == FailOn::Kind::percent  ? fmt::format("{:+.2f} %", 100 * r.effect)
                           : f.kind == FailOn::Kind::change ? human_change(r.change, unit)
                                                            : human(r.next, unit);
  return said + (tested || f.kind == FailOn::Kind::value ? "" : " (too few runs for a test)");
}

void judge(Comparison& c, const CompareOptions& options) {
  correct_limited(c, options);
  for (const CellComparison& cell : c.cells)
    for (const FailOn& f : options.fail_on) {
      const auto r = std::ranges::find(cell.measures, f.measure, &MeasureResult::measure);
      if (r == cell.measures.end()) {
        c.broken.push_back({f.text, cell.label, "no samples on one of the sides"});
        continue;
      }
      if (const auto said = breaks(f, *r, options)) c.broken.push_back({f.text, cell.label, *said});
    }
  c.regression = options.fail_on.empty() ? c.worse > 0 : !c.broken.empty();
}

struct ForkLine {
  std::string parent, child, cpu;
  double wait = 0;
};

/// Rows of forks.csv by the names of its header; empty when there is no such file.
std::vector<ForkLine> read_forks(const std::filesystem::path& dir) {
  std::error_code ec;
  if (dir.empty() || !std::filesystem::exists(dir / "forks.csv", ec)) return {};
  const std::string text = read_file(dir / "forks.csv");
  std::vector<ForkLine> rows;
  std::array<std::size_t, 4> at{};
  constexpr std::array<std::string_view, 4> kNames{"parent", "child", "cpu", "wait_ns"};
  bool header = true;
  for (std::size_t from = 0; from < text.size();) {
    const std::size_t end = std::min(text.find('\n', from), text.size());
    const std::vector<std::string> c = split_csv(std::string_view(text).substr(from, end - from));
    from = end + 1;
    for (std::size_t k = 0; header && k < kNames.size(); ++k) {
      at[k] = static_cast<std::size_t>(std::ranges::find(c, kNames[k]) - c.begin());
      if (at[k] == c.size()) throw ReportError((dir / "forks.csv").string() + ": has no column " + std::string(kNames[k]));
    }
    if (!header && c.size() > *std::ranges::max_element(at)) rows.push_back({c[at[0]], c[at[1]], c[at[2]], std::strtod(c[at[3]].c_str(), nullptr)});
    header = false;
  }
  return rows;
}

/// One pair of runs, as far as they fork the same children.
void pair_forks(const RunRecord& a, const RunRecord& b, ForkPairs& out, std::vector<double>& shifts) {
  const std::vector<ForkLine> x = read_forks(a.dir), y = read_forks(b.dir);
  if (x.empty() || y.empty()) return;
  std::vector<double> changes;
  std::size_t i = 0;
  for (; i < std::min(x.size(), y.size()) && x[i].parent == y[i].parent && x[i].child == y[i].child; ++i) {
    ++out.forks;
    out.other_cpu += x[i].cpu != y[i].cpu;
    if (x[i].wait < 0 || y[i].wait < 0) continue;  // never ran
    out.longer += y[i].wait > x[i].wait;
    out.shorter += y[i].wait < x[i].wait;
    changes.push_back(y[i].wait - x[i].wait);
  }
  out.unmatched += x.size() + y.size() - 2 * i;
  if (changes.empty()) return;
  ++out.runs;
  shifts.push_back(median(std::move(changes)));
}

double mean(const std::vector<double>& v) {
  double sum = 0;
  for (double x : v) sum += x;
  return v.empty() ? 0 : sum / static_cast<double>(v.size());
}

std::optional<ForkPairs> compare_forks(const CellRuns& a, const CellRuns& b, const CompareOptions& options) {
  ForkPairs out;
  std::vector<double> shifts;
  for (const RunRecord& x : a.runs) {
    const auto y = std::ranges::find(b.runs, x.seed, &RunRecord::seed);
    if (y != b.runs.end()) pair_forks(x, *y, out, shifts);
  }
  if (out.runs == 0) return std::nullopt;
  out.shift_ns = mean(shifts);
  if (shifts.size() < 2 || options.resamples == 0) return out;
  km::u64 stream = derive_key(options.seed, hash_name(a.label + "/forks"));
  std::vector<double> drawn(shifts.size()), means(options.resamples);
  for (double& m : means) {
    for (double& d : drawn) d = shifts[below(next_u64(stream), shifts.size())];
    m = mean(drawn);
  }
  std::ranges::sort(means);
  const double tail = (1 - options.confidence) / 2;
  out.interval_ns = Interval{quantile(means, tail), quantile(means, 1 - tail)};
  return out;
}

}  // namespace

Comparison compare(const ResultSet& base, const ResultSet& next, const CompareOptions& options) {
  Comparison c;
  Comparer comparer(options);
  for (const auto& [a, b] : match(base, next, c)) {
    c.cells.push_back(comparer.cell(*a, *b));
    c.cells.back().forks = compare_forks(*a, *b, options);
  }
  correct(c, options);
  count(c);
  judge(c, options);
  // The smallest two-sided p of n pairs is 2 / 2^n; Holm asks it to be below alpha / tests.
  const double tests = std::max<double>(1, static_cast<double>(c.tests + c.untested));
  c.enough_pairs = static_cast<std::size_t>(std::ceil(1 + std::log2(tests / options.alpha)));
  return c;
}

}  // namespace forksim
