#include "sim/app/guarded.hpp"

#include <fmt/format.h>

#include "kernel_model/base/contract.hpp"
#include "sim/app/commands.hpp"
#include "sim/output/out_file.hpp"
#include "sim/output/plot.hpp"
#include "sim/output/report.hpp"

namespace forksim {

namespace {

int told(int code, const std::string& text) {
  fmt::print(stderr, "{}\n", text);
  return code;
}

}  // namespace

int guarded(std::string_view what, const std::function<int()>& body) {
  try {
    return body();
  } catch (const OutputRefused& e) {
    return told(ExitCode::kBadInput, e.what());
  } catch (const ReportError& e) {
    return told(ExitCode::kBadInput, e.what());
  } catch (const PlotRefused& e) {
    return told(ExitCode::kBadInput, e.what());
  } catch (const km::ContractBroken& e) {
    return told(ExitCode::kInternal, fmt::format("internal error: {}", e.what()));
  } catch (const std::exception& e) {
    return told(ExitCode::kIncomplete, fmt::format("{} could not be completed: {}", what, e.what()));
  }
}

}  // namespace forksim
