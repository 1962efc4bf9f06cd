// Handing out jobs to ranks that answer, fall silent or are all gone, over a transport made of queues.
#include <doctest/doctest.h>

#include <deque>
#include <map>
#include <thread>

#include "sim/study/ranks.hpp"

using namespace forksim;
using Kind = RankMessage::Kind;

namespace {

/// Workers that answer at once, but for those listed as dead after some jobs.
class FakeRanks final : public Ranks {
 public:
  FakeRanks(int size, std::map<int, int> jobs_before_death) : size_(size), lives_(std::move(jobs_before_death)) {
    for (int r = 1; r < size; ++r) inbox_.push_back({r, Kind::ready, {}});
  }
  int rank() const override { return 0; }
  int size() const override { return size_; }
  void send(int to, Kind kind, const std::string& text) override {
    if (kind == Kind::stop) stopped.push_back(to);
    if (kind != Kind::job) return;
    const auto life = lives_.find(to);
    if (life != lives_.end() && life->second-- <= 0) return;
    inbox_.push_back({to, Kind::record, text + "\nrecord of " + text});
    inbox_.push_back({to, Kind::ready, {}});
  }
  std::optional<RankMessage> receive(int timeout_ms) override {
    if (inbox_.empty()) {
      std::this_thread::sleep_for(std::chrono::milliseconds(timeout_ms));
      for (int r = 1; r < size_; ++r)
        if (!lives_.contains(r)) inbox_.push_back({r, Kind::alive, {}});
      return std::nullopt;
    }
    RankMessage m = inbox_.front();
    inbox_.pop_front();
    return m;
  }
  void leave(bool) override {}
  std::vector<int> stopped;

 private:
  int size_;
  std::map<int, int> lives_;
  std::deque<RankMessage> inbox_;
};

struct Outcome {
  std::map<std::size_t, std::string> records;
  std::size_t here = 0, lost = 0;
  bool all_there = false;
};

Outcome run(FakeRanks& ranks, std::size_t jobs) {
  Outcome o;
  std::vector<std::size_t> list;
  for (std::size_t j = 0; j < jobs; ++j) list.push_back(j);
  CoordinatorCalls calls;
  calls.finished = [&](std::size_t job, const std::string& record) { o.records[job] = record; };
  calls.run_here = [&](std::size_t job) {
    ++o.here;
    return "record of " + std::to_string(job);
  };
  calls.lost = [&](int, std::size_t) { ++o.lost; };
  const std::atomic<bool> stop{false};
  o.all_there = coordinate(ranks, list, calls, 200, stop);
  return o;
}

void check_all(const Outcome& o, std::size_t jobs) {
  REQUIRE(o.records.size() == jobs);
  for (const auto& [job, record] : o.records) CHECK(record == "record of " + std::to_string(job));
}

}  // namespace

TEST_SUITE("sim/study") {
  TEST_CASE("every job gets its record from the workers") {
    FakeRanks ranks(4, {});
    const Outcome o = run(ranks, 30);
    check_all(o, 30);
    CHECK(o.all_there);
    CHECK(o.here == 0);
    CHECK(ranks.stopped == std::vector<int>{1, 2, 3});
  }

  TEST_CASE("the job of a rank that falls silent is given to another") {
    FakeRanks ranks(3, {{2, 3}});
    const Outcome o = run(ranks, 30);
    check_all(o, 30);
    CHECK(o.lost == 1);
    CHECK_FALSE(o.all_there);
    CHECK(ranks.stopped == std::vector<int>{1});
  }

  TEST_CASE("with every worker gone rank 0 does the rest itself") {
    FakeRanks ranks(3, {{1, 2}, {2, 0}});
    const Outcome o = run(ranks, 6);
    check_all(o, 6);
    CHECK(o.lost == 2);
    CHECK(o.here == 4);
  }
}
