// Replaying cases of the real kernel: what a case is and how it is compared.
//
// Purpose: one function per kind of vector file turns a JSON case into calls of the production scheduler and compares every output.
// Source:  file formats as described in the header line of each file. Units: as in the files.
// Ownership: values. Errors: a case that lacks a field throws (nlohmann::json exceptions). Not modelled: kinds without a row in the table
//          are reported as skipped by name.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <string_view>

#include "kernel_model/version/profile.hpp"

namespace forksim::oracle {

/// The kernel configuration a file was made with, from its header.
struct Config {
  km::KernelProfile profile{};
  bool autogroup = false;  ///< SCHED_AUTOGROUP: an exiting task is moved to the root group first
  bool wake_list = false;  ///< the harness delivered IPIs and woke the stopper inside stop_one_cpu_nowait (Raspberry Pi sets)
  bool nohz = false, one_cpu = false;
};

/// Collects differences of one case.
class Check {
 public:
  void eq(std::string_view what, km::s64 expected, km::s64 actual) {
    if (expected != actual) differ(what, std::to_string(expected), std::to_string(actual));
  }
  void eq(std::string_view what, km::u64 expected, km::u64 actual) {
    if (expected != actual) differ(what, std::to_string(expected), std::to_string(actual));
  }
  void differ(std::string_view what, const std::string& expected, const std::string& actual);
  bool ok() const { return text_.empty(); }
  /// The first differences, one per line.
  const std::string& text() const { return text_; }

 private:
  std::string text_;
  int count_ = 0;
};

using CaseFn = void (*)(const Config& config, const nlohmann::json& c, Check& check);
struct CaseKind {
  std::string_view name;  ///< stem of the file
  CaseFn run;
};
std::span<const CaseKind> arithmetic_cases();
std::span<const CaseKind> decision_cases();
std::span<const CaseKind> scenario_cases();

}  // namespace forksim::oracle
