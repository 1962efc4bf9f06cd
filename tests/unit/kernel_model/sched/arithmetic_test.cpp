#include <doctest/doctest.h>

#include <random>

#include "kernel_model/sched/cpu_load.hpp"
#include "kernel_model/sched/pelt.hpp"
#include "kernel_model/sched/weights.hpp"
#include "tests/unit/kernel_model/sched/test_machine.hpp"

using namespace forksim::km;
using namespace forksim::km::test;

TEST_SUITE_BEGIN("sched/arithmetic");

namespace {
SchedEntity entity(int nice) {
  SchedEntity se;
  const std::size_t i = static_cast<std::size_t>(nice + 20);
  se.load = {scale_load(sched_prio_to_weight[i]), sched_prio_to_wmult[i]};
  return se;
}
}  // namespace

TEST_CASE("one nice level changes the share of a CPU by about a tenth against a nice-0 task") {
  // 820 / (1024 + 820) = 44.5 %: 5.5 points below half; neighbours differ by a factor of 1.25 within the table's rounding.
  for (std::size_t i = 1; i < sched_prio_to_weight.size(); ++i) {
    const double ratio = double(sched_prio_to_weight[i - 1]) / sched_prio_to_weight[i];
    CHECK(ratio > 1.18);
    CHECK(ratio < 1.31);
  }
  CHECK(sched_prio_to_weight[20] == 1024);
}

TEST_CASE("inverse weights are at most one off the truncated quotient, and thirteen are") {
  int off = 0;
  for (std::size_t i = 0; i < sched_prio_to_weight.size(); ++i) {
    const u64 exact = (u64{1} << 32) / sched_prio_to_weight[i];
    CHECK(std::max<u64>(exact, sched_prio_to_wmult[i]) - std::min<u64>(exact, sched_prio_to_wmult[i]) <= 1);
    off += exact != sched_prio_to_wmult[i];
  }
  CHECK(off == 13);
}

TEST_CASE("a millisecond of wall time is less virtual time for a heavy task and more for a light one") {
  SchedEntity heavy = entity(-20), plain = entity(0), light = entity(19);
  CHECK(calc_delta_fair(1'000'000, heavy) == 11536);  // 1024 / 88761 of it
  CHECK(calc_delta_fair(1'000'000, plain) == 1'000'000);
  CHECK(calc_delta_fair(1'000'000, light) == 68266666);  // 1024 / 15 of it, rounded down
}

TEST_CASE("an empty queue's weight inverts to the largest 32-bit number and a huge one to one") {
  LoadWeight none{0, 0}, huge{(u64{1} << 32) << 10, 0}, two{2048, 0};
  update_inv_weight(none);
  update_inv_weight(huge);
  update_inv_weight(two);
  CHECK(none.inv_weight == 0xffffffff);
  CHECK(huge.inv_weight == 1);
  CHECK(two.inv_weight == 0x7fffffff);
}

TEST_CASE("equal tasks share 18 ms up to eight of them, then get 2.25 ms each") {
  // The few missing ns come from the truncated inverse of the queue's weight.
  constexpr std::array<u64, 11> expected{0, 17999995, 8999995, 5999998, 4499995, 3599996, 2999997, 2571427, 2249995, 2249996, 2249997};
  TestMachine m(rpi());
  CfsRq& q = m.rq(0).cfs;
  std::deque<SchedEntity> entities;
  for (u32 n = 1; n <= 10; ++n) {
    SchedEntity& se = entities.emplace_back(entity(0));
    se.cfs_rq = &q;
    se.on_rq = true;
    m.sched.fair().account_entity_enqueue(q, se);
    CHECK(m.sched.fair().sched_slice(q, entities.front()) == expected[n]);
  }
}

TEST_CASE("a load halves in 32 periods, loses one unit per call even for whole half-lives, and is gone after 2016") {
  CHECK(decay_load(47742, 0) == 47741);
  CHECK(decay_load(47742, 1) == 46718);
  CHECK(decay_load(47742, 32) == 23870);
  CHECK(decay_load(47742, 2016) == 0);
  CHECK(decay_load(~u64{0}, 2017) == 0);
}

TEST_CASE("a new nice-0 task that runs reaches 8 % after one tick and 34 % after five") {
  SchedEntity se = entity(0);
  CfsRq q;
  q.curr = &se;
  se.on_rq = true;
  struct Row {
    u64 now, last, contrib, load_sum, util_sum, util_avg;
  };
  for (const Row r : {Row{4'000'000, 3999744, 834, 3773, 3863552, 81}, Row{8'000'000, 7999488, 644, 7216, 7390060, 156},
                      Row{12'000'000, 11999232, 454, 10358, 10607498, 224}, Row{16'000'000, 16000000, 265, 13224, 13542542, 288},
                      Row{20'000'000, 19999744, 75, 15836, 16217605, 346}}) {
    CHECK(update_load_avg_se(r.now, {}, q, se, true));
    CHECK(se.avg.last_update_time == r.last);
    CHECK(se.avg.period_contrib == r.contrib);
    CHECK(se.avg.load_sum == r.load_sum);
    CHECK(se.avg.util_sum == r.util_sum);
    CHECK(se.avg.util_avg == r.util_avg);
  }
}

TEST_CASE("running at 409/1024 of the frequency counts 40 % as much") {
  SchedEntity se = entity(0);
  CfsRq q;
  q.curr = &se;
  se.on_rq = true;
  update_load_avg_se(4'000'000, {409, 1024}, q, se, true);
  CHECK(se.avg.load_sum == 1506);
  CHECK(se.avg.util_sum == 1542144);
  CHECK(se.avg.util_avg == 32);
}

TEST_CASE("a clock that goes backwards moves the stamp and nothing else") {
  SchedAvg sa;
  sa.last_update_time = 5000;
  sa.load_sum = 77;
  CHECK_FALSE(update_load_sum(4000, {}, sa, 1, 1, true));
  CHECK(sa.last_update_time == 4000);
  CHECK(sa.load_sum == 77);
}

TEST_CASE("a queue without load ages sum by sum, and its averages are the sums over the divider") {
  std::mt19937 rng(11);
  for (int i = 0; i < 20'000; ++i) {
    CAPTURE(i);
    CfsRq q;
    SchedAvg& sa = q.avg;
    sa.last_update_time = 1'000'000'000;
    sa.period_contrib = rng() % 1024;
    // around the dividers, where an average of 0 becomes 1, and up to a queue of forty nice-0 tasks
    const u64 top = rng() % 2 ? 4096 : 40ull * 1024 * LOAD_AVG_MAX;
    sa.load_sum = LOAD_AVG_MAX - 1024 + rng() % top;
    sa.runnable_load_sum = rng() % 60'000;
    sa.util_sum = static_cast<u32>(rng() % 60'000);
    sa.util_avg = 77;
    const SchedAvg before = sa;
    const u64 units = rng() % 40'000;
    const bool aged = update_load_avg_cfs_rq(before.last_update_time + units * 1024 + rng() % 1024, {}, q);
    const u64 periods = (before.period_contrib + units) / 1024;
    CHECK(aged == (periods > 0));
    CHECK(sa.last_update_time == before.last_update_time + units * 1024);
    CHECK(sa.period_contrib == (before.period_contrib + units) % 1024);
    if (!aged) continue;
    CHECK(sa.load_sum == decay_load(before.load_sum, periods));
    CHECK(sa.runnable_load_sum == decay_load(before.runnable_load_sum, periods));
    CHECK(sa.util_sum == decay_load(before.util_sum, periods));
    CHECK(sa.load_avg == sa.load_sum / pelt_divider(sa));
    CHECK(sa.runnable_load_avg == sa.runnable_load_sum / pelt_divider(sa));
    CHECK(sa.util_avg == sa.util_sum / pelt_divider(sa));
  }
}

TEST_CASE("the older load averages follow a step up rounded up and forget missed ticks by table") {
  TestMachine m(rpi());
  Rq& rq = m.rq(0);
  rq.cfs.avg.runnable_load_avg = 1024;
  cpu_load_update_active(rq, 1001);
  // index 1: (0 + 1024 + 1) >> 1; index 2: (0 + 1024 + 3) >> 2; index 4: (0 + 1024 + 15) >> 4
  CHECK(rq.cpu_load[0] == 1024);
  CHECK(rq.cpu_load[1] == 512);
  CHECK(rq.cpu_load[2] == 256);
  CHECK(rq.cpu_load[4] == 64);
  // 5 missed = 101b: index 2 keeps 96/128 then 40/128 of it: 256 -> 192 -> 60.
  CHECK(decay_load_missed(256, 5, 2) == 60);
  CHECK(decay_load_missed(1000, 3, 1) == 125);
  CHECK(decay_load_missed(1000, 8, 1) == 0);
}

TEST_SUITE_END();
