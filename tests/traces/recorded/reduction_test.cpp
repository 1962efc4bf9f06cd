// The parser and the reduction, proved on the recordings: they give the recordings' own order.txt, to the microsecond.
#include <doctest/doctest.h>

#include <string>

#include "tests/traces/phases.hpp"
#include "tests/traces/recordings.hpp"

using namespace forksim::traces;

namespace {

/// The section of order.txt under `##### name`.
std::string order_section(const std::string& folder, const std::string& name) {
  const std::string all = read_text_file(kData + folder + "/order.txt.xz");
  const std::string title = "##### " + name + "\n";
  const std::size_t at = all.find(title);
  REQUIRE(at != std::string::npos);
  const std::size_t begin = at + title.size();
  return all.substr(begin, all.find("#####", begin) - begin);
}

}  // namespace

TEST_SUITE("traces") {
  TEST_CASE("reducing the recorded reports gives the recordings' order.txt") {
    for (const char* folder : {"4.19-arm64-icount", "4.19-arm64-rpi-icount"})
      for (const char* name : {"a_forkwait", "b_vforkexec", "f_kill", "g_orphan", "h_autoreap"}) {
        CAPTURE(folder);
        CAPTURE(name);
        const TraceText t = parse_trace(read_text_file(kData + folder + "/" + name + ".report.xz"), StateLetters::linux_4_19_0);
        CHECK(t.bad_lines.empty());
        CHECK(order_text(reduce(t.events)) == order_section(folder, name));
      }
  }
}
