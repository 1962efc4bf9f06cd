// sim/setup.sh against stand-ins for dpkg-query, apt-get, id and sudo.
#include <doctest/doctest.h>

#include "tests/cli/process.hpp"

using namespace forksim::cli;

namespace {

const std::string kSetup = FORKSIM_SOURCE_DIR "/sim/setup.sh";

/// A machine whose dpkg knows `installed`, whose user has number `uid`, and whose apt-get notes how it was called.
class FakeMachine {
 public:
  FakeMachine(const std::string& installed, int uid) {
    std::string listing;
    for (std::size_t at = 0; at < installed.size();) {
      const std::size_t end = std::min(installed.find(' ', at), installed.size());
      listing += "ii " + installed.substr(at, end - at) + "\n";
      at = end + 1;
    }
    tool("dpkg-query", "printf '" + listing + "un removed-package\n'");
    tool("apt-get", "echo \"apt-get $*\" >>'" + log().string() + "'");
    tool("id", "echo " + std::to_string(uid));
  }
  void tool(const std::string& name, const std::string& body) {
    write_file(dir_.path() / "bin" / name, "#!/bin/sh\n" + body + "\n");
    std::filesystem::permissions(dir_.path() / "bin" / name, std::filesystem::perms::owner_all);
  }
  Result install(const std::string& packages) {
    return run(
        "PATH='" + (dir_.path() / "bin").string() + "':/usr/bin:/bin bash -c 'source \"" + kSetup + "\"; forksim_install " + packages + "'",
        dir_.path());
  }
  std::string calls() const { return std::filesystem::exists(log()) ? read_file(log()) : ""; }

 private:
  std::filesystem::path log() const { return dir_.path() / "calls"; }
  TempDir dir_;
};

}  // namespace

TEST_SUITE("cli") {
  TEST_CASE("set-up asks apt for nothing when everything is installed") {
    FakeMachine m("cmake g++ ninja-build", 0);
    const Result r = m.install("g++ cmake cmake");
    CHECK(r.code == 0);
    CHECK(r.out.empty());
    CHECK(m.calls().empty());
  }

  TEST_CASE("set-up installs exactly what is missing, and says so on stderr only") {
    FakeMachine m("cmake", 0);
    const Result r = m.install("g++ cmake removed-package");
    CHECK(r.code == 0);
    CHECK(r.out.empty());
    CHECK(r.err == "forksim: installing g++ removed-package\n");
    CHECK(m.calls() == "apt-get -q update\napt-get -q install -y --no-install-recommends g++ removed-package\n");
  }

  TEST_CASE("set-up goes through sudo when the user is not root") {
    FakeMachine m("", 1000);
    m.tool("sudo", "echo sudo; \"$@\"");
    const Result r = m.install("g++");
    CHECK(r.code == 0);
    CHECK(r.err.find("sudo\n") != std::string::npos);
    CHECK(m.calls().find("install -y --no-install-recommends g++") != std::string::npos);
  }

  TEST_CASE("set-up tries the lists at hand when they cannot be refreshed, and fails when apt does") {
    FakeMachine m("", 0);
    m.tool("apt-get", "[ \"$2\" != update ]");
    CHECK(m.install("g++").code == 0);
    m.tool("apt-get", "exit 100");
    const Result r = m.install("g++");
    CHECK(r.code == 1);
    CHECK(r.err.find("could not install g++") != std::string::npos);
  }
}
