#include "sim/workload/distributions.hpp"

#include <array>
#include <cmath>
#include <limits>

namespace forksim {

namespace {

template <std::size_t N>
double horner(const std::array<double, N>& c, double x) {
  double v = c[N - 1];
  for (std::size_t i = N - 1; i-- > 0;) v = v * x + c[i];
  return v;
}

// Coefficients of algorithm AS 241, lowest power first.
constexpr std::array kA{3.3871328727963666080e0, 1.3314166789178437745e2, 1.9715909503065514427e3, 1.3731693765509461125e4,
                        4.5921953931549871457e4, 6.7265770927008700853e4, 3.3430575583588128105e4, 2.5090809287301226727e3};
constexpr std::array kB{1.0,
                        4.2313330701600911252e1,
                        6.8718700749205790830e2,
                        5.3941960214247511077e3,
                        2.1213794301586595867e4,
                        3.9307895800092710610e4,
                        2.8729085735721942674e4,
                        5.2264952788528545610e3};
constexpr std::array kC{1.42343711074968357734e0, 4.63033784615654529590e0,  5.76949722146069140550e0,  3.64784832476320460504e0,
                        1.27045825245236838258e0, 2.41780725177450611770e-1, 2.27238449892691845833e-2, 7.74545014278341407640e-4};
constexpr std::array kD{1.0,
                        2.05319162663775882187e0,
                        1.67638483018380384940e0,
                        6.89767334985100004550e-1,
                        1.48103976427480074590e-1,
                        1.51986665636164571966e-2,
                        5.47593808499534494600e-4,
                        1.05075007164441684324e-9};
constexpr std::array kE{6.65790464350110377720e0,  5.46378491116411436990e0,  1.78482653991729133580e0,  2.96560571828504891230e-1,
                        2.65321895265761230930e-2, 1.24266094738807843860e-3, 2.71155556874348757815e-5, 2.01033439929228813265e-7};
constexpr std::array kF{1.0,
                        5.99832206555887937690e-1,
                        1.36929880922735805310e-1,
                        1.48753612908506148525e-2,
                        7.86869131145613259100e-4,
                        1.84631831751005468180e-5,
                        1.42151175831644588870e-7,
                        2.04426310338993978564e-15};

double raw(const Distribution& d, double u) {
  switch (d.kind) {
    case DistKind::exponential:
      return -d.a * std::log(u);
    case DistKind::normal:
      return d.a + d.b * normal_quantile(u);
    case DistKind::lognormal:
      return d.a * std::exp(d.b * normal_quantile(u));
    case DistKind::pareto:
      return d.a * std::exp(-std::log(u) / d.b);
    case DistKind::constant:
    case DistKind::uniform:
      break;
  }
  return d.a;
}

}  // namespace

double normal_quantile(double p) {
  const double q = p - 0.5;
  if (std::fabs(q) <= 0.425) {
    const double r = 0.180625 - q * q;
    return q * horner(kA, r) / horner(kB, r);
  }
  const double r = std::sqrt(-std::log(q < 0 ? p : 1 - p));
  const double v = r <= 5 ? horner(kC, r - 1.6) / horner(kD, r - 1.6) : horner(kE, r - 5) / horner(kF, r - 5);
  return q < 0 ? -v : v;
}

Drawn draw(const Distribution& d, u64 bits) {
  if (d.kind == DistKind::constant) return {static_cast<s64>(d.a), false};
  if (d.kind == DistKind::uniform) return {d.min + static_cast<s64>(below(bits, static_cast<u64>(d.max - d.min) + 1)), false};
  const double v = raw(d, unit_open(bits));
  if (v < static_cast<double>(d.min)) [[unlikely]]
    return {d.min, true};
  if (v > static_cast<double>(d.max)) [[unlikely]]
    return {d.max, true};
  return {static_cast<s64>(std::floor(v + 0.5)), false};
}

}  // namespace forksim
