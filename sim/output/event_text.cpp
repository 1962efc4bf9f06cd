#include "sim/output/event_text.hpp"

#include <algorithm>
#include <array>

#include "kernel_model/base/contract.hpp"
#include "kernel_model/trace/functions.hpp"

namespace forksim {

using km::FieldKind;
using km::TraceEvent;
using km::TraceFlags;
using km::TracepointInfo;
using km::u64;
using km::u8;

namespace {
char irqs_char(u8 flags) { return flags & TraceFlags::kIrqsOff ? 'd' : '.'; }
char resched_char(u8 flags) { return flags & TraceFlags::kNeedResched ? 'N' : '.'; }
char irq_char(u8 flags) {
  const bool hard = flags & TraceFlags::kHardirq, soft = flags & TraceFlags::kSoftirq;
  return hard && soft ? 'H' : hard ? 'h' : soft ? 's' : '.';
}
char depth_char(u8 depth) { return depth == 0 ? '.' : "0123456789abcdef"[std::min<u8>(depth, 15)]; }

/// Digits of `v`, filled on the left up to `width`; a general formatter would be half the cost of a trace.
template <u64 kBase>
void append_number(u64 v, std::size_t width, char fill, std::string& out) {
  std::array<char, 20> digits;
  std::size_t n = 0;
  do {
    digits[n++] = "0123456789abcdef"[v % kBase];
    v /= kBase;
  } while (v != 0);
  if (n < width) out.append(width - n, fill);
  while (n > 0) out += digits[--n];
}
void append_signed(u64 v, std::string& out) {
  const bool negative = static_cast<km::s64>(v) < 0;
  if (negative) out += '-';
  append_number<10>(negative ? 0 - v : v, 0, ' ', out);
}
void pad_from(std::size_t from, std::size_t width, std::string& out) {
  const std::size_t have = out.size() - from;
  if (have < width) out.append(width - have, ' ');
}
}  // namespace

EventText::EventText(const km::NameTable& names, km::u32 cpus) : names_(names), mask_words_((u64{cpus} + 63) / 64 * 2) {
  for (const TracepointInfo& info : km::tracepoint_table()) formats_.push_back(compile(info));
}

EventText::Style EventText::style_of(const TracepointInfo& info, const km::FieldInfo& field, std::string_view inside) {
  if (inside.ends_with(":03")) return Style::zero3;
  // Two fields that the kernel prints in a way of their own.
  if (field.name == "target_mask") return Style::cpu_bitmap;
  if (info.name == "irq_handler_exit" && field.name == "ret") return Style::irq_ret;
  switch (field.kind) {
    case FieldKind::func:
      return Style::func;
    case FieldKind::comm:
      return Style::comm;
    case FieldKind::str:
      return Style::name;
    case FieldKind::pid:
    case FieldKind::prio:
    case FieldKind::dec:
      return Style::signed_dec;
    case FieldKind::hex:
      return Style::hex;
    case FieldKind::state:
      return Style::state;
    case FieldKind::word:
      return Style::word;
    case FieldKind::cpu:
    case FieldKind::ns:
    case FieldKind::u:
      break;
  }
  return Style::unsigned_dec;
}

std::vector<EventText::Piece> EventText::compile(const TracepointInfo& info) {
  std::vector<Piece> pieces;
  std::string_view rest = info.format;
  while (!rest.empty()) {
    const std::size_t open = rest.find('{');
    if (open != 0) pieces.push_back({Style::literal, 0, std::string(rest.substr(0, open)), {}});
    if (open == std::string_view::npos) break;
    const std::size_t close = rest.find('}', open);
    FS_CONTRACT(close != std::string_view::npos, "a format of tracepoints.def has an open brace");
    const std::string_view inside = rest.substr(open + 1, close - open - 1);
    const std::string_view name = inside.substr(0, inside.find(':'));
    const auto* end = info.fields.begin() + info.nr_fields;
    const auto* found = std::find_if(info.fields.begin(), end, [&](const km::FieldInfo& f) { return f.name == name; });
    FS_CONTRACT(found != end, "a format of tracepoints.def names a field that does not exist");
    pieces.push_back({style_of(info, *found, inside), static_cast<u8>(found - info.fields.begin()), {}, km::event_words(name)});
    rest.remove_prefix(close + 1);
  }
  return pieces;
}

void EventText::append_comm(u64 id, std::string& out) const {
  const std::size_t from = out.size();
  out += names_[km::NameId(static_cast<km::u32>(id))];
  std::replace(out.begin() + static_cast<std::ptrdiff_t>(from), out.end(), ' ', '_');
}

/// The mask of one CPU in groups of eight digits, the highest first ("%*pb").
void EventText::append_mask_of(u64 cpu, std::string& out) const {
  for (u64 word = std::max(mask_words_, cpu / 64 * 2 + 2); word-- > 0;) {
    append_number<16>(word == cpu / 32 ? u64{1} << (cpu % 32) : 0, 8, '0', out);
    if (word > 0) out += ',';
  }
}

void EventText::append_piece(const Piece& p, const TraceEvent& e, std::string& out) const {
  const u64 v = e.args[p.field];
  switch (p.style) {
    case Style::literal:
      out += p.literal;
      return;
    case Style::func:
      out += km::kFunctionTable[v].name;
      return;
    case Style::comm:
      return append_comm(v, out);
    case Style::name:
      out += names_[km::NameId(static_cast<km::u32>(v))];
      return;
    case Style::signed_dec:
      return append_signed(v, out);
    case Style::unsigned_dec:
      return append_number<10>(v, 0, ' ', out);
    case Style::hex:
      return append_number<16>(v, 0, ' ', out);
    case Style::zero3:
      return append_number<10>(v, 3, '0', out);
    case Style::cpu_bitmap:
      return append_mask_of(v, out);
    case Style::irq_ret:
      out += v ? "handled" : "unhandled";
      return;
    case Style::word:
      out += v < p.words.size() ? p.words[v] : "?";
      return;
    case Style::state:
      out += static_cast<char>(v & 0xff);
      if (v & km::TaskStateChar::kPreempted) out += '+';
      return;
  }
}

void EventText::append_fields(const TraceEvent& e, std::string& out) const {
  // A program's mark may contain blanks; it is the last thing on its line.
  if (e.id == km::Tp::print) {
    out += "tracing_mark_write: ";
    out += names_[km::NameId(static_cast<km::u32>(e.args[0]))];
    return;
  }
  for (const Piece& p : formats_[static_cast<std::size_t>(e.id)]) append_piece(p, e, out);
}

void EventText::append_line(const TraceEvent& e, std::string& out) const {
  const TracepointInfo& info = km::tracepoint_table()[static_cast<std::size_t>(e.id)];
  constexpr std::size_t kComm = 16, kPid = 5, kEvent = 21;
  static constexpr std::string_view kIdle = "<idle>";
  const std::size_t comm_size = e.pid.v == 0 ? kIdle.size() : names_[e.comm].size();
  if (comm_size < kComm) out.append(kComm - comm_size, ' ');
  if (e.pid.v == 0)
    out += kIdle;
  else
    append_comm(e.comm.v, out);
  out += '-';
  std::size_t from = out.size();
  append_number<10>(static_cast<u64>(e.pid.v), 0, ' ', out);
  pad_from(from, kPid, out);
  out += " [";
  append_number<10>(e.cpu.v, 3, '0', out);
  out += "] ";
  for (char c : {irqs_char(e.flags), resched_char(e.flags), irq_char(e.flags), depth_char(e.preempt_depth), ' '}) out += c;
  append_number<10>(e.ts.v / 1'000'000'000, 5, ' ', out);
  out += '.';
  append_number<10>(e.ts.v % 1'000'000'000, 9, '0', out);
  out += "5: ";
  // "name: " is 22 columns wide, as in trace-cmd report; longer names still get a blank.
  from = out.size();
  out += info.name;
  out += ':';
  pad_from(from, kEvent, out);
  out += ' ';
  append_fields(e, out);
  out += '\n';
}

}  // namespace forksim
