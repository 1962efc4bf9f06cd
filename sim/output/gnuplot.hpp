// Calling gnuplot.
//
// Purpose: one script, run once per format, in the folder of the picture so that the script can be run again by hand.
// Source:  gnuplot 5.4 (gnuplot-nox). Units: none. Ownership: writes files into `dir`. Errors: PlotError with gnuplot's own words.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace forksim {

/// Text in a gnuplot string literal, quotes included.
std::string gnuplot_quote(std::string_view text);
/// Writes DIR/NAME.gp (`body` with a terminal per format) and runs it; returns the pictures.
std::vector<std::filesystem::path> run_gnuplot(const std::filesystem::path& dir, const std::string& name,
                                               const std::vector<std::string>& formats, int width, int height, const std::string& body);

}  // namespace forksim
