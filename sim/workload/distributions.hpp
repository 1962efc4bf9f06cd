// Distributions of times.
//
// Purpose: our own, because the standard library's differ between compilers. One 64-bit draw gives one value by inversion, so equal streams
//          give comparable values when only a parameter changes. Source: inversion; normal quantile by Wichura's AS 241 (PPND16).
// Units:   ns in, whole ns out (rounded to nearest). Errors: none; values outside min..max are set to the bound and reported as clipped.
// Ownership: values. Not modelled: correlations between draws.
#pragma once

#include "sim/config/streams.hpp"

namespace forksim {

enum class DistKind : u8 { constant, uniform, exponential, normal, lognormal, pareto };

struct Distribution {
  DistKind kind = DistKind::constant;
  double a = 0;  ///< constant: value; exponential, normal: mean; lognormal: median; pareto: scale (ns)
  double b = 0;  ///< normal: standard deviation (ns); lognormal: sigma; pareto: shape
  s64 min = 0;
  s64 max = 0;  ///< uniform: ends of the range; else bounds for clipping
};

struct Drawn {
  s64 value;
  bool clipped;
};

/// The value that belongs to 64 random bits.
Drawn draw(const Distribution& d, u64 bits);

/// Quantile of the standard normal distribution, 0 < p < 1; relative error about 1e-16.
double normal_quantile(double p);

}  // namespace forksim
