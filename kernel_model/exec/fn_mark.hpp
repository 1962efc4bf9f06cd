// Marks: which kernel functions a step enters, calls and leaves.
//
// Purpose: the last field of a Step. Marks are read when a step begins, in order, before its cost runs; so the time of a step belongs to
//          the function that is open then. A path that returns leaves all that it has entered. Effects that branch call fn().
// Source:  calls of Linux 4.19 as function_graph prints them. Units: none. Ownership: constants.
// Errors:  none: leave() of a function that is not open does nothing. Not modelled: time inside functions that no cost row pays for.
#pragma once

#include "kernel_model/trace/functions.hpp"

namespace forksim::km {

struct Ctx;

struct FnMark {
  enum class Kind : u8 {
    end,
    enter,  ///< opens a function until it is left or the path returns
    leave,  ///< closes it, with all that is open inside
    call,   ///< a leaf that takes no time
    pay,    ///< open for this step only: takes its cost
  };
  Fn fn = Fn::count_;
  Kind kind = Kind::end;
  bool (*when)(Ctx&) = nullptr;  ///< null: always
};

using FnWhen = bool (*)(Ctx&);
template <Fn F, FnMark::Kind K, FnWhen When = nullptr>
struct FnMarkOf {
  static constexpr FnMark mark{F, K, When};
};
template <Fn F, FnWhen When = nullptr>
using enters = FnMarkOf<F, FnMark::Kind::enter, When>;
template <Fn F>
using leaves = FnMarkOf<F, FnMark::Kind::leave>;
template <Fn F, FnWhen When = nullptr>
using calls = FnMarkOf<F, FnMark::Kind::call, When>;
template <Fn F, FnWhen When = nullptr>
using pays = FnMarkOf<F, FnMark::Kind::pay, When>;

template <class... M>
struct FnMarkList {
  static constexpr FnMark list[] = {M::mark..., FnMark{}};
};
/// The marks of a step: `{effect, phase, cost, flags, marks<enters<Fn::a>, calls<Fn::b, condition>, pays<Fn::c>>}`.
template <class... M>
inline constexpr const FnMark* marks = FnMarkList<M...>::list;

}  // namespace forksim::km
