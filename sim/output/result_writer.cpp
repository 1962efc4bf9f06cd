#include "sim/output/result_writer.hpp"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "sim/output/csv.hpp"
#include "sim/output/histograms_json.hpp"
#include "sim/output/out_file.hpp"
#include "sim/output/row_sources.hpp"

namespace forksim {

namespace fs = std::filesystem;

namespace {

[[noreturn]] void fail(const fs::path& path, const char* doing, const std::error_code& why) {
  throw OutputError(path.string() + ": cannot " + doing + ": " + why.message());
}

void refuse_foreign(const fs::path& target) {
  std::error_code ec;
  if (!fs::exists(target, ec)) return;
  if (!fs::is_directory(target, ec)) throw OutputRefused(target.string() + ": exists and is not a folder; give another --out");
  if (fs::exists(target / "sweep.txt", ec)) throw OutputRefused(target.string() + ": is the folder of a sweep; give another --out");
  if (fs::is_empty(target, ec) || fs::exists(target / "manifest.json", ec)) return;
  throw OutputRefused(target.string() + ": exists and is not a result folder of forksim (no manifest.json); give another --out");
}

/// Writes rows in blocks, so that a long table is never in memory as text.
template <class Row>
class CsvFile {
 public:
  explicit CsvFile(const fs::path& path) : file_(path) { append_csv_header<Row>(text_); }
  void add(const Row& row) {
    append_csv_row(row, text_);
    if (text_.size() >= kBlock) flush();
  }
  void close() {
    flush();
    file_.close();
  }

 private:
  static constexpr std::size_t kBlock = 1 << 16;
  void flush() {
    file_.write(text_);
    text_.clear();
  }
  OutFile file_;
  std::string text_;
};

}  // namespace

fs::path default_result_dir(std::string_view workload, const std::vector<InputFile>& inputs) {
  std::string name(workload);
  std::replace_if(
      name.begin(), name.end(), [](char c) { return c == '/' || c == ' '; }, '_');
  return fs::path("results") / "runs" / (name + '-' + short_hash(inputs));
}

ResultWriter::ResultWriter(fs::path target) : target_(std::move(target)) {
  target_ = fs::absolute(target_).lexically_normal();
  if (!target_.has_filename()) target_ = target_.parent_path();
  refuse_foreign(target_);
  std::error_code ec;
  fs::create_directories(target_.parent_path(), ec);
  if (ec) fail(target_.parent_path(), "be created", ec);
  std::string pattern = (target_.parent_path() / ('.' + target_.filename().string() + ".XXXXXX")).string();
  if (mkdtemp(pattern.data()) == nullptr) fail(target_, "be created", {errno, std::generic_category()});
  temp_ = pattern;
  fs::permissions(temp_, fs::perms::group_read | fs::perms::group_exec | fs::perms::others_read | fs::perms::others_exec,
                  fs::perm_options::add, ec);
}

ResultWriter::~ResultWriter() {
  std::error_code ignored;
  if (!done_) fs::remove_all(temp_, ignored);
}

void ResultWriter::add_file(std::string_view name, std::string_view content) { write_file(temp_ / name, content); }

/// One row of TABLE `name` for each of `records`, which are rows already or become rows by `row`.
template <class Row, class Records, class Make>
void ResultWriter::write_csv(std::string_view name, const Records& records, Make row) {
  CsvFile<Row> csv(temp_ / (std::string(name) + ".csv"));
  for (const auto& r : records) csv.add(row(r));
  csv.close();
}

void ResultWriter::add_report(const Report& report, const RunMetrics& metrics, const km::NameTable& names) {
  add_file("report.json", render_report_json(report));
  add_file("report.txt", render_report_text(report));
  add_file("histograms.json", render_histograms_json(metrics.latency));
  write_csv<LatencyRow>("latency", report.latency);
  write_csv<CpuRow>("cpus", report.cpus);
  write_csv<BalanceRow>("balance", report.balance);
  write_csv<LockRow>("locks", report.locks);
  write_csv<OppRow>("opps", report.opps);
  write_csv<GroupRow>("groups", report.groups);
  if (!report.irqtime.empty()) write_csv<IrqTimeRow>("irqtime", report.irqtime);
  write_csv<TaskRow>("tasks", metrics.tasks.records(), [&](const TaskRecord& t) { return task_row(t, names); });
  km::u64 number = 0;
  write_csv<ForkRow>("forks", metrics.placement.forks(), [&](const ForkRecord& f) { return fork_row(number++, f, metrics.placement, names); });
  write_csv<ScheduleRow>("schedule", metrics.schedule.records(), [&](const ScheduleRecord& r) { return schedule_row(r, names); });
  CsvFile<LifeRow> life(temp_ / "life.csv");
  for (const LifeRecord& l : metrics.life.records()) life.add(life_row(l, names));
  life.add(life_end_row(metrics.life));
  life.close();
}

void ResultWriter::add_regret(const std::vector<RegretRow>& rows) { write_csv<RegretRow>("regret", rows); }

void ResultWriter::commit(const ManifestInfo& manifest) {
  std::vector<std::string> names;
  for (const fs::directory_entry& e : fs::recursive_directory_iterator(temp_))
    if (e.is_regular_file()) names.push_back(e.path().lexically_relative(temp_).generic_string());
  std::sort(names.begin(), names.end());
  std::vector<std::pair<std::string, std::string>> outputs;
  for (const std::string& n : names) outputs.emplace_back(n, sha256_file(temp_ / n));
  add_file("manifest.json", render_manifest(manifest, outputs));
  put_in_place();
  done_ = true;
}

void ResultWriter::put_in_place() {
  std::error_code ec;
  if (!fs::exists(target_, ec)) {
    fs::rename(temp_, target_, ec);
    if (ec) fail(target_, "be put in place", ec);
    return;
  }
  refuse_foreign(target_);
  if (renameat2(AT_FDCWD, temp_.c_str(), AT_FDCWD, target_.c_str(), RENAME_EXCHANGE) == 0) {
    fs::remove_all(temp_, ec);
    return;
  }
  // File systems without an exchange: the target is missing for the moment between the two renames.
  const fs::path old = temp_.string() + ".old";
  fs::rename(target_, old, ec);
  if (ec) fail(target_, "be replaced", ec);
  fs::rename(temp_, target_, ec);
  if (ec) {
    std::error_code ignored;
    fs::rename(old, target_, ignored);
    fail(target_, "be put in place", ec);
  }
  fs::remove_all(old, ec);
}

}  // namespace forksim
