#include <doctest/doctest.h>

#include <random>

#include "tests/unit/kernel_model/sched/test_machine.hpp"

using namespace forksim::km;
using namespace forksim::km::test;

TEST_SUITE_BEGIN("sched/topology");

namespace {
std::vector<u32> ring(const SchedDomain& sd) {
  std::vector<u32> out;
  for (const SchedGroup* g : sd.groups) out.push_back(g->span.first());
  return out;
}
}  // namespace

TEST_CASE("without SCHED_MC four CPUs form one DIE domain and share no cache as far as the scheduler knows") {
  const DomainTree t(topology(4, 4), rpi());
  const SchedDomain& sd = *t.lowest(CpuId(2));
  CHECK(sd.name == "DIE");
  CHECK(sd.flags == 0x102f);
  CHECK(sd.imbalance_pct == 125);
  CHECK(sd.idle_idx == 1);
  CHECK(sd.parent == nullptr);
  CHECK(sd.min_interval == 4);
  CHECK(sd.max_interval == 8);
  CHECK(ring(sd) == std::vector<u32>{2, 3, 0, 1});
  CHECK(t.llc(CpuId(2)) == nullptr);
  CHECK(t.llc_size(CpuId(2)) == 1);
  CHECK(t.llc_id(CpuId(2)) == CpuId(2));
}

TEST_CASE("with SCHED_MC the MC level already covers everything and DIE is dropped") {
  const DomainTree t(topology(4, 4), mc());
  const SchedDomain& sd = *t.lowest(CpuId(3));
  CHECK(sd.name == "MC");
  CHECK(sd.flags == 0x122f);
  CHECK(sd.imbalance_pct == 117);
  CHECK(sd.parent == nullptr);
  CHECK(t.llc(CpuId(3)) == &sd);
  CHECK(t.llc_size(CpuId(3)) == 4);
  CHECK(t.llc_id(CpuId(3)) == CpuId(0));
}

TEST_CASE("two clusters give MC below DIE, whose groups are whole clusters shared by their CPUs") {
  const DomainTree t(topology(8, 4), mc(8));
  const SchedDomain& low = *t.lowest(CpuId(5));
  const SchedDomain& top = *low.parent;
  CHECK(ring(low) == std::vector<u32>{5, 6, 7, 4});
  CHECK(top.name == "DIE");
  CHECK(top.child == &low);
  REQUIRE(top.groups.size() == 2);
  CHECK(top.groups[0]->span.low_word() == 0xf0);
  CHECK(top.groups[0]->capacity == 4096);
  CHECK(top.groups[0] == t.lowest(CpuId(7))->parent->groups[0]);
  CHECK(top.groups[0] == t.lowest(CpuId(0))->parent->groups[1]);
  CHECK(t.llc_id(CpuId(5)) == CpuId(4));
}

TEST_CASE("a single CPU has no domain") {
  const DomainTree t(topology(1, 1), mc(1));
  CHECK(t.lowest(CpuId(0)) == nullptr);
  CHECK(t.llc_size(CpuId(0)) == 1);
}

TEST_CASE("domains are rebuilt without an offline CPU, and the scaled tunables follow") {
  TestMachine m(rpi());
  CHECK(m.sched.fair().sched_period(1) == 18'000'000);
  m.sched.set_cpu_online(CpuId(1), false, CpuId(0));
  CHECK(m.sched.domains().lowest(CpuId(1)) == nullptr);
  const SchedDomain& sd = *m.sched.domains().lowest(CpuId(2));
  CHECK(ring(sd) == std::vector<u32>{2, 3, 0});
  CHECK(sd.min_interval == 3);
  // 1 + ilog2(3) = 2 instead of 3
  CHECK(m.sched.fair().sched_period(1) == 12'000'000);
  m.sched.set_cpu_online(CpuId(1), true, CpuId(0));
  CHECK(ring(*m.sched.domains().lowest(CpuId(2))) == std::vector<u32>{2, 3, 0, 1});
  CHECK(m.sched.fair().sched_period(1) == 18'000'000);
}

TEST_CASE("every size from 2 to 1024 CPUs has a top domain over the whole machine whose groups partition it") {
  for (u32 cpus : {2u, 3u, 6u, 64u, 65u, 256u, 1024u}) {
    CAPTURE(cpus);
    const DomainTree t(topology(cpus, 4), mc(cpus));
    for (u32 c : {0u, cpus / 2, cpus - 1}) {
      const SchedDomain* sd = t.lowest(CpuId(c));
      while (sd->parent) sd = sd->parent;
      CHECK(sd->span == CpuMask::first_n(cpus));
      CpuMask all;
      u32 sum = 0;
      for (const SchedGroup* g : sd->groups) {
        all = all | g->span;
        sum += g->weight;
      }
      CHECK(all == sd->span);
      CHECK(sum == cpus);
      CHECK(sd->groups[0]->span.test(CpuId(c)));
    }
  }
}

TEST_CASE("a matrix of random machines: threads, clusters and packages give the domains that a table written by hand says") {
  struct Row {
    TopologyLevel::Kind kind;
    u32 flags, imbalance_pct, cache_nice_tries, busy_idx, idle_idx;
  };
  // sd_init of 4.19: LOAD_BALANCE, NEWIDLE, EXEC, FORK, WAKE_AFFINE and PREFER_SIBLING everywhere (0x102f); SMT adds SHARE_CPUCAPACITY and
  // SHARE_PKG_RESOURCES (0x280), MC the latter (0x200).
  const Row kSmt{TopologyLevel::Kind::smt, 0x12af, 110, 0, 0, 0}, kMc{TopologyLevel::Kind::llc, 0x122f, 117, 1, 2, 0},
      kDie{TopologyLevel::Kind::die, 0x102f, 125, 1, 2, 1};
  std::mt19937 rng(4);
  const auto block = [](u32 cpu, u32 size) {
    CpuMask m;
    for (u32 i = cpu / size * size; i < (cpu / size + 1) * size; ++i) m.set(CpuId(i));
    return m;
  };
  for (int round = 0; round < 60; ++round) {
    const u32 threads = 1u << (rng() % 3), cores = static_cast<u32>(1 + rng() % 8), clusters = static_cast<u32>(1 + rng() % 10);
    const u32 cluster = threads * cores, cpus = cluster * clusters;
    if (cpus < 2) continue;
    CAPTURE(threads);
    CAPTURE(cores);
    CAPTURE(clusters);
    MachineTopology topo{cpus, {}};
    for (const auto& [kind, size] : {std::pair{TopologyLevel::Kind::smt, threads}, std::pair{TopologyLevel::Kind::llc, cluster},
                                     std::pair{TopologyLevel::Kind::die, cpus}}) {
      topo.levels.push_back({kind, {}});
      for (u32 c = 0; c < cpus; ++c) topo.levels.back().mask.push_back(block(c, size));
    }
    const DomainTree with(topo, mc(cpus)), without(topo, rpi(cpus));
    for (u32 c : {0u, cpus / 2, cpus - 1}) {
      // Levels whose span grows, lowest first; a level of one CPU, or of the same CPUs as the one below, is no domain.
      std::vector<std::pair<Row, u32>> expected;
      if (threads > 1) expected.emplace_back(kSmt, threads);
      if (cluster > threads) expected.emplace_back(kMc, cluster);
      if (cpus > cluster) expected.emplace_back(kDie, cpus);
      const SchedDomain* sd = with.lowest(CpuId(c));
      u32 below = 1;
      for (const auto& [row, size] : expected) {
        REQUIRE(sd != nullptr);
        CHECK(sd->kind == row.kind);
        CHECK(sd->span == block(c, size));
        CHECK(sd->flags == row.flags);
        CHECK(sd->imbalance_pct == row.imbalance_pct);
        CHECK(sd->cache_nice_tries == row.cache_nice_tries);
        CHECK(sd->busy_idx == row.busy_idx);
        CHECK(sd->idle_idx == row.idle_idx);
        CHECK(sd->min_interval == size);
        CHECK(sd->max_interval == 2 * size);
        REQUIRE(sd->groups.size() == size / below);
        for (const SchedGroup* g : sd->groups) CHECK(g->weight == below);
        CHECK(sd->groups[0]->span == block(c, below));
        below = size;
        sd = sd->parent;
      }
      CHECK(sd == nullptr);
      const u32 llc = cluster > 1 ? cluster : 1;
      CHECK(with.llc_size(CpuId(c)) == llc);
      CHECK(with.llc_id(CpuId(c)) == CpuId(c / cluster * cluster));
      // Without SCHED_MC and SCHED_SMT there is one domain over everything, of single CPUs, and no shared cache.
      const SchedDomain* die = without.lowest(CpuId(c));
      REQUIRE(die != nullptr);
      CHECK(die->flags == kDie.flags);
      CHECK(die->groups.size() == cpus);
      CHECK(die->parent == nullptr);
      CHECK(without.llc(CpuId(c)) == nullptr);
    }
  }
}

TEST_CASE("every value of sched_domain reaches every domain, and none is touched that is not given") {
  KernelProfile k = rpi();
  const DomainTree plain(topology(4, 4), k);
  const SchedDomain& was = *plain.lowest(CpuId(0));
  for (std::size_t i = 0; i < kSdValues; ++i) k.sched_domain.of[i] = static_cast<s64>(100 + i);
  const DomainTree given(topology(4, 4), k);
  for (u32 c = 0; c < 4; ++c) {
    const SchedDomain& sd = *given.lowest(CpuId(c));
    const u64 got[] = {sd.min_interval, sd.max_interval, sd.busy_idx,      sd.idle_idx,         sd.newidle_idx,         sd.wake_idx,
                       sd.forkexec_idx, sd.busy_factor,  sd.imbalance_pct, sd.cache_nice_tries, sd.max_newidle_lb_cost};
    static_assert(std::size(got) == kSdValues);
    for (std::size_t i = 0; i < kSdValues; ++i) CHECK_MESSAGE(got[i] == 100 + i, kSdValueNames[i]);
    CHECK(sd.balance_interval == was.balance_interval);
    CHECK(sd.flags == was.flags);
  }
  CHECK(was.max_newidle_lb_cost == 0);
  CHECK(was.busy_factor == 32);
}

TEST_SUITE_END();
