// Random streams.
//
// Purpose: one stream per (master seed, task, purpose), so that adding a task or an action leaves all other draws as they were.
// Source:  SplitMix64 (Steele, Lea, Flood 2014) as fixed engine, FNV-1a for names. Units: 64 random bits a step.
// Ownership: values. Errors: none. Not modelled: cryptographic quality; streams are 2^64 states on one cycle, entered at hashed places.
#pragma once

#include <bit>
#include <string_view>

#include "kernel_model/base/types.hpp"

namespace forksim {

using km::s64;
using km::u16;
using km::u32;
using km::u64;
using km::u8;

constexpr u64 mix64(u64 z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

/// The next 64 bits of the stream whose state is `state`.
constexpr u64 next_u64(u64& state) { return mix64(state += 0x9e3779b97f4a7c15ULL); }

constexpr u64 hash_name(std::string_view s) {
  u64 h = 0xcbf29ce484222325ULL;
  for (char c : s) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  return h;
}

/// Key of something inside something: task in run, child in task, purpose in task.
constexpr u64 derive_key(u64 outer, u64 inner) { return mix64(mix64(outer) + std::rotl(inner, 17) * 0x9e3779b97f4a7c15ULL + inner); }

/// A double in (0, 1), 53 random bits, never 0 or 1.
constexpr double unit_open(u64 bits) { return (static_cast<double>(bits >> 11) + 0.5) * 0x1p-53; }

/// A whole number in [0, n), n > 0, without bias worth naming (128-bit multiply).
constexpr u64 below(u64 bits, u64 n) { return static_cast<u64>((static_cast<km::u128>(bits) * n) >> 64); }

}  // namespace forksim
