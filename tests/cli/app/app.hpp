// The forksim binary under test, and a small workload of the tests' own.
//
// Purpose: shared by the tests of the command line. Each Session has a folder of its own, in which commands run.
// Ownership: a Session removes its folder. Errors: as in process.hpp. Not modelled: terminals.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "tests/cli/process.hpp"

namespace forksim::cli {

inline const std::string kForksim = FORKSIM_BINARY_DIR "/forksim";
inline const std::string kSource = FORKSIM_SOURCE_DIR;

class Session {
 public:
  /// Platforms are found in platforms/ of the folder, wherever the binary was built.
  Session();
  /// Runs `forksim ARGUMENTS` in the session's folder.
  Result operator()(const std::string& arguments) const { return run("'" + kForksim + "' " + arguments, dir_.path()); }
  const std::filesystem::path& path() const { return dir_.path(); }
  /// Writes a file in the folder and returns its name.
  std::string file(const std::string& name, const std::string& text) const;
  /// Everything in the folder but platforms/, relative, sorted; folders end in '/'.
  std::vector<std::string> files() const;

 private:
  TempDir dir_;
};

/// A workload of the shipped ones that runs in a moment.
inline const std::string kSmall = FORKSIM_SOURCE_DIR "/workloads/kill_sleeper.yaml";

/// Path of a shipped workload.
inline std::string workload(const std::string& name) { return kSource + "/workloads/" + name + ".yaml"; }

/// What `forksim run ARGUMENTS --json` says; its folder is `result`.
nlohmann::json report_of(const Session& forksim, const std::string& arguments);

bool is_json(const std::string& text);
inline bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

inline constexpr std::int64_t kMs = 1'000'000;  ///< ns

}  // namespace forksim::cli
