#include "sim/output/wchan.hpp"

namespace forksim {

namespace {
struct Call {
  km::s32 nr;
  std::string_view word, function;
};
struct Loop {
  std::string_view name, word, function;
};
#define WCHAN_CALL(nr, word, function) Call{nr, #word, #function},
#define WCHAN_LOOP(name, word, function)
constexpr Call kCalls[] = {
#include "sim/output/wchan.def"
};
#undef WCHAN_CALL
#undef WCHAN_LOOP
#define WCHAN_CALL(nr, word, function)
#define WCHAN_LOOP(name, word, function) Loop{#name, #word, #function},
constexpr Loop kLoops[] = {
#include "sim/output/wchan.def"
};
#undef WCHAN_CALL
#undef WCHAN_LOOP
}  // namespace

std::string_view wchan_of_call(km::s32 nr) {
  for (const Call& c : kCalls)
    if (c.nr == nr) return c.function;
  return {};
}

std::string_view wchan_of_loop(std::string_view comm) {
  for (const Loop& l : kLoops)
    if (comm.starts_with(l.name)) return l.function;
  return {};
}

std::string_view sleep_word(std::string_view wchan) {
  if (wchan == "do_signal_stop") return "stopped";
  if (wchan == "ptrace_stop") return "traced";
  for (const Call& c : kCalls)
    if (c.function == wchan) return c.word;
  for (const Loop& l : kLoops)
    if (l.function == wchan) return l.word;
  return {};
}

}  // namespace forksim
