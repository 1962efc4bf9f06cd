#include "sim/study/ranks.hpp"

#include <chrono>
#include <deque>
#include <map>
#include <set>

namespace forksim {

namespace {

using Clock = std::chrono::steady_clock;
using Kind = RankMessage::Kind;

constexpr int kPollMs = 20, kAliveMs = 1000;

std::size_t number(const std::string& text) { return static_cast<std::size_t>(std::strtoull(text.c_str(), nullptr, 10)); }

bool older(Clock::time_point t, int ms) { return Clock::now() - t > std::chrono::milliseconds(ms); }

class Coordinator {
 public:
  Coordinator(Ranks& ranks, const std::vector<std::size_t>& jobs, const CoordinatorCalls& calls, int patience_ms)
      : ranks_(ranks), calls_(calls), patience_ms_(patience_ms), queue_(jobs.begin(), jobs.end()), open_(jobs.begin(), jobs.end()) {
    for (int r = 1; r < ranks.size(); ++r) seen_[r] = Clock::now();
  }

  bool run(const std::atomic<bool>& stop) {
    while (!open_.empty() && !stop) {
      if (const auto m = ranks_.receive(kPollMs)) heard(*m);
      look_for_lost();
      hand_out();
      if (seen_.empty() && !queue_.empty()) run_one_here();
      greet();
    }
    for (int r = 1; r < ranks_.size(); ++r)
      if (!lost_.contains(r)) ranks_.send(r, Kind::stop, lost_.empty() ? "" : "a rank was lost");
    return lost_.empty();
  }

 private:
  void heard(const RankMessage& m) {
    if (!lost_.contains(m.peer)) seen_[m.peer] = Clock::now();
    if (m.kind == Kind::ready && !lost_.contains(m.peer)) idle_.insert(m.peer);
    if (m.kind != Kind::record) return;
    busy_.erase(m.peer);
    const std::size_t end = m.text.find('\n');
    done(number(m.text.substr(0, end)), m.text.substr(end + 1));
  }

  void done(std::size_t job, const std::string& record) {
    if (open_.erase(job)) calls_.finished(job, record);
  }

  void look_for_lost() {
    for (auto it = seen_.begin(); it != seen_.end();) {
      if (!older(it->second, patience_ms_)) {
        ++it;
        continue;
      }
      const int rank = it->first;
      it = seen_.erase(it);
      lost_.insert(rank);
      idle_.erase(rank);
      const auto job = busy_.find(rank);
      calls_.lost(rank, job == busy_.end() ? ~std::size_t{0} : job->second);
      if (job == busy_.end()) continue;
      queue_.push_front(job->second);
      busy_.erase(job);
    }
  }

  void hand_out() {
    while (!idle_.empty() && !queue_.empty()) {
      const std::size_t job = queue_.front();
      queue_.pop_front();
      if (!open_.contains(job)) continue;  // a lost rank's record came after all
      const int rank = *idle_.begin();
      idle_.erase(idle_.begin());
      busy_[rank] = job;
      ranks_.send(rank, Kind::job, std::to_string(job));
    }
  }

  void run_one_here() {
    const std::size_t job = queue_.front();
    queue_.pop_front();
    if (open_.contains(job)) done(job, calls_.run_here(job));
  }

  /// Workers want to know that rank 0 is there.
  void greet() {
    if (!older(greeted_, kAliveMs)) return;
    greeted_ = Clock::now();
    for (const auto& [rank, unused] : seen_) ranks_.send(rank, Kind::alive, {});
  }

  Ranks& ranks_;
  const CoordinatorCalls& calls_;
  int patience_ms_;
  std::deque<std::size_t> queue_;
  std::set<std::size_t> open_;              ///< without a record
  std::map<int, Clock::time_point> seen_;   ///< workers that are there
  std::map<int, std::size_t> busy_;
  std::set<int> idle_, lost_;
  Clock::time_point greeted_ = Clock::now();
};

}  // namespace

bool coordinate(Ranks& ranks, const std::vector<std::size_t>& jobs, const CoordinatorCalls& calls, int patience_ms, const std::atomic<bool>& stop) {
  return Coordinator(ranks, jobs, calls, patience_ms).run(stop);
}

bool serve(Ranks& ranks, const std::function<std::string(std::size_t, const std::function<void()>&)>& run, int patience_ms) {
  Clock::time_point said = Clock::now(), heard = said;
  const std::function<void()> tick = [&] {
    if (!older(said, kAliveMs / 2)) return;
    said = Clock::now();
    ranks.send(0, Kind::alive, {});
  };
  ranks.send(0, Kind::ready, {});
  while (!older(heard, patience_ms)) {
    tick();
    const auto m = ranks.receive(kPollMs);
    if (!m) continue;
    heard = Clock::now();
    if (m->kind == Kind::stop) return m->text.empty();
    if (m->kind != Kind::job) continue;
    const std::string record = run(number(m->text), tick);
    heard = Clock::now();
    ranks.send(0, Kind::record, m->text + '\n' + record);
    ranks.send(0, Kind::ready, {});
  }
  return false;
}

}  // namespace forksim
