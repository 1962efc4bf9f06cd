// The result folder of a run, written atomically.
//
// Purpose: everything goes into a temporary folder next to the target; commit() makes it appear at once, replacing an older result in one
//          step (renameat2 RENAME_EXCHANGE where the file system has it). Source: contract.md, "Result folder".
// Units:   none. Ownership: the temporary folder is removed when the writer goes without commit(). Errors: OutputError (exit code 4);
//          OutputRefused (exit code 2) when the target exists and is not a result of ours, so that `--out` never eats a folder.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "sim/output/manifest.hpp"
#include "sim/output/report.hpp"

namespace forksim {

class ResultWriter {
 public:
  /// Throws OutputRefused or OutputError before any work is done.
  explicit ResultWriter(std::filesystem::path target);
  ~ResultWriter();
  ResultWriter(const ResultWriter&) = delete;
  ResultWriter& operator=(const ResultWriter&) = delete;

  /// Place of the files until commit(); traces are written here while the run goes on.
  const std::filesystem::path& dir() const { return temp_; }
  /// A deterministic file of the folder, e.g. resolved.yaml.
  void add_file(std::string_view name, std::string_view content);
  /// report.json, report.txt, the CSVs, histograms.json.
  void add_report(const Report& report, const RunMetrics& metrics, const km::NameTable& names);
  /// regret.csv.
  void add_regret(const std::vector<RegretRow>& rows);
  /// Hashes what is there, writes manifest.json and puts the folder in place.
  void commit(const ManifestInfo& manifest);

 private:
  template <class Row, class Records, class Make = std::identity>
  void write_csv(std::string_view name, const Records& records, Make row = {});
  void put_in_place();

  std::filesystem::path target_, temp_;
  bool done_ = false;
};

/// results/runs/<workload>-<short hash> below the current folder.
std::filesystem::path default_result_dir(std::string_view workload, const std::vector<InputFile>& inputs);

}  // namespace forksim
