// Tracepoints: typed records, listeners, and the hub that connects them.
//
// Purpose: everything observable leaves the model through here (design invariant 7). A tracepoint without a listener costs one
//          predictable branch. Source of names, fields and formats: Linux 4.19 include/trace/events/*.h, see tracepoints.def.
// Units:   TraceEvent::ts is simulated ns. Ownership: listeners are owned by the caller and must outlive the run; they are called in
//          registration order. Errors: none. Not modelled: ring-buffer overflow, tracing overhead.
#pragma once

#include <array>
#include <bitset>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "kernel_model/base/types.hpp"

namespace forksim::km {

enum class Tp : u8 {
#define TRACEPOINT(system, name, ...) name,
#include "kernel_model/trace/tracepoints.def"
#undef TRACEPOINT
  count_
};
inline constexpr std::size_t kTracepoints = static_cast<std::size_t>(Tp::count_);

enum class FieldKind : u8 { func, comm, str, pid, prio, cpu, dec, hex, ns, state, u, word };

struct FieldInfo {
  FieldKind kind;
  std::string_view name;
};
struct TracepointInfo {
  std::string_view system, name, format, doc;
  std::array<FieldInfo, 8> fields;
  u8 nr_fields;
};
/// The table behind tracepoints.def, indexed by Tp.
const std::array<TracepointInfo, kTracepoints>& tracepoint_table();

/// The words behind a field of kind `word`; empty for any other name.
std::span<const std::string_view> event_words(std::string_view field);

/// Flags of the ftrace line header.
struct TraceFlags {
  static constexpr u8 kIrqsOff = 1, kNeedResched = 2, kHardirq = 4, kSoftirq = 8;
};

/// sched_switch's prev_state: the letter shown, in the low byte, and kPreempted for the '+' suffix.
struct TaskStateChar {
  static constexpr u64 kPreempted = 0x100;
};

/// One record. `args` follow the fields of the tracepoint; signed fields are stored two's complement.
struct TraceEvent {
  Ns ts;
  Tp id;
  u8 flags;
  u8 preempt_depth;
  CpuId cpu;
  Pid pid;       ///< the task current on `cpu`, 0 for idle
  NameId comm;   ///< its comm
  std::array<u64, 8> args;
};

/// Interns names; index 0 is the empty name. Ids are dense in order of first use, so they are deterministic.
class NameTable {
 public:
  NameTable() { intern(""); }
  NameId intern(std::string_view s);
  const std::string& operator[](NameId id) const { return names_[id.v]; }

 private:
  std::vector<std::string> names_;
  std::unordered_map<std::string, u32> index_;
};

class TraceListener {
 public:
  virtual ~TraceListener() = default;
  /// Called once per enabled event this listener subscribed to, in time order.
  virtual void on_event(const TraceEvent& e) = 0;
};

using TpSet = std::bitset<kTracepoints>;

class Trace {
 public:
  void subscribe(TraceListener& l, const TpSet& events);
  /// From now on `l` alone listens, to `events`: for a branch of the simulation that reports to nobody else.
  void only(TraceListener& l, const TpSet& events);
  bool enabled(Tp id) const { return enabled_[static_cast<std::size_t>(id)]; }
  void dispatch(const TraceEvent& e);
  NameTable& names() { return names_; }
  const NameTable& names() const { return names_; }

 private:
  struct Sub {
    TraceListener* listener;
    TpSet events;
  };
  std::vector<Sub> subs_;
  TpSet enabled_;
  NameTable names_;
};

/// Field values of any of our strong or integral types as stored in TraceEvent::args.
constexpr u64 to_arg(u64 v) { return v; }
constexpr u64 to_arg(u32 v) { return v; }
constexpr u64 to_arg(s64 v) { return static_cast<u64>(v); }
constexpr u64 to_arg(int v) { return static_cast<u64>(static_cast<s64>(v)); }
constexpr u64 to_arg(bool v) { return v; }
constexpr u64 to_arg(Pid v) { return static_cast<u64>(static_cast<s64>(v.v)); }
constexpr u64 to_arg(CpuId v) { return v.v; }
constexpr u64 to_arg(NameId v) { return v.v; }
constexpr u64 to_arg(Ns v) { return v.v; }
constexpr u64 to_arg(VNs v) { return v.v; }

}  // namespace forksim::km
