#include "sim/study/baseline.hpp"

#include "sim/config/reader.hpp"

namespace forksim {

namespace fs = std::filesystem;

fs::path baseline_folder(const std::string& name) {
  std::error_code ec;
  const bool path = name.find('/') != std::string::npos || fs::exists(fs::path(name) / "baseline.yaml", ec);
  return path ? fs::path(name) : fs::path("results") / "baselines" / name;
}

Baseline load_baseline(const fs::path& file_or_folder, const Vocabulary& vocabulary, Diagnostics& diags) {
  std::error_code ec;
  const fs::path file = fs::is_directory(file_or_folder, ec) ? file_or_folder / "baseline.yaml" : file_or_folder;
  Baseline out;
  const YamlDocument doc = load_yaml(file.string(), diags);
  if (!diags.ok()) return out;
  const Value tree = Reader(doc, vocabulary, diags).read("baseline");
  if (!diags.ok()) return out;
  out.study = tree["study"].text;
  for (const Value& v : tree["fail_on"].items) out.fail_on.push_back(parse_fail_on(v.text, doc.at(v.line, v.col, v.path, {}), diags));
  return out;
}

}  // namespace forksim
