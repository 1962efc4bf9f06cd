// What a study says: summary.csv, report.md and plots, all from results.csv.
//
// Purpose: the `report:` of a study. Effect: every value of a factor against its base, paired by seed, for each combination of the other
//          factors. Crossing (limit, along): up to which value of a numeric factor a measure stays below a limit, for each value of the
//          factor. Every figure in the text comes from the data; running the study again gives the same bytes.
// Units:   ratios to the base; crossings in the unit of the factor. Ownership: writes below the folder.
// Errors:  OutputError, PlotError. Not modelled: causes; `forksim compare FOLDER:a=x FOLDER:a=y` shows where two cells part.
#pragma once

#include <filesystem>

#include "sim/study/study.hpp"

namespace forksim {

/// What the numbers come from, for whoever cites them.
struct Provenance {
  std::string program;                ///< forksim and its version
  std::vector<std::string> machines;  ///< "platform P, kernel K", each once
};
void write_study_report(const std::filesystem::path& dir, const Study& study, const Provenance& from);

}  // namespace forksim
