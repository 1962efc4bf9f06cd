#!/usr/bin/env bash
# The benchmark binary runs, writes JSON and reports the counters of the contract: smoke.sh FORKSIM_BENCH
set -euo pipefail
json=$("$1" --benchmark_format=json --benchmark_min_time=0.01)
for wanted in events_per_second lifecycles_per_second bytes_per_task start_up whole_run git compiler; do
  grep -q "\"$wanted\|/$wanted\|$wanted\"" <<<"$json" || { echo "no $wanted in the output"; exit 1; }
done
