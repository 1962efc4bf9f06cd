// The kinds of pictures, one function each.
//
// Purpose: what plot() calls. Units: as in plot.hpp. Ownership: they write below DIR/plots. Errors: as in plot.hpp.
#pragma once

#include <array>
#include <filesystem>
#include <string>
#include <vector>

#include "sim/output/plot.hpp"
#include "sim/output/report.hpp"

namespace forksim {

/// "fork_storm on bcm2711, kernel rpi-4.19-arm64, seed 1"
std::string plot_subject(const Report& r);

/// DIR/plots, made when missing; OutputError when it cannot be.
std::filesystem::path plots_folder(const std::filesystem::path& dir);

std::vector<std::filesystem::path> plot_cdf(const std::filesystem::path& dir, const PlotRequest& request);
std::vector<std::filesystem::path> plot_gantt(const std::filesystem::path& dir, const PlotRequest& request);

/// Colours that stay apart for the colour-blind (Okabe and Ito), strongest first.
inline constexpr std::array<km::u32, 7> kPlotColours{0x0072b2, 0xd55e00, 0x009e73, 0xcc79a7, 0xe69f00, 0x56b4e9, 0x6b4c9a};

}  // namespace forksim
