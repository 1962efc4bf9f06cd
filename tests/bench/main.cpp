// forksim-bench: Google Benchmark with the build in its context (git commit, compiler).
#include <benchmark/benchmark.h>

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::AddCustomContext("git", FORKSIM_GIT);
  benchmark::AddCustomContext("compiler", FORKSIM_COMPILER);
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
