// JSON with one line per entry of the two outer levels.
//
// Purpose: files that people read and diff line by line, yet stay small. Units: none. Ownership: values. Errors: none.
// Note:    templates, so that this header does not pull in the JSON library; Json is nlohmann::ordered_json.
#pragma once

#include <string>

namespace forksim {

template <class Json>
void append_json_lines(const Json& j, int depth, std::string& out) {
  constexpr int kDepth = 2;
  if (depth == kDepth || !j.is_structured() || j.empty()) {
    out += j.dump();
    return;
  }
  const std::string indent(static_cast<std::size_t>(depth), ' ');
  const bool object = j.is_object();
  out += object ? '{' : '[';
  bool first = true;
  for (const auto& item : j.items()) {
    out += (first ? "\n " : ",\n ") + indent;
    first = false;
    if (object) out += Json(item.key()).dump() + ": ";
    append_json_lines(item.value(), depth + 1, out);
  }
  out += '\n' + indent + (object ? '}' : ']');
}

/// Ends with a newline; numbers as the library prints them (shortest text that reads back the same).
template <class Json>
std::string json_lines(const Json& j) {
  std::string out;
  append_json_lines(j, 0, out);
  out += '\n';
  return out;
}

}  // namespace forksim
