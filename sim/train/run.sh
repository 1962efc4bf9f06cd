#!/usr/bin/env bash
# run.sh FORKSIM_TRAIN PROFILE: runs the workloads that the compiler learns from, in the root of the sources; their counts come to the
# folder PROFILE by themselves. A fresh profile each time: nothing of another state.
set -euo pipefail
program=$1 profile=$2

# Wake-ups, periodic tasks and whole lives in equal parts, then a little of everything else.
runs=(
  "thread_pool"
  "periodic16"
  "unixbench_spawn --set parameters.loops=10000"
  "fork_storm"
  "vfork_exec_loop"
  "lmbench_lat_ctx"
  "unixbench_pipe"
  "make_j4"
  "rt_audio_under_load"
  "quota_throttle"
  "governor_ondemand_ramp"
)

rm -rf "$profile"
mkdir -p "$profile"
for run in "${runs[@]}"; do
  # shellcheck disable=SC2086 # a line is a name and options
  set -- $run
  "$program" run "workloads/$1.yaml" "${@:2}" --quiet --out "$profile/run"
done
rm -rf "$profile/run"
touch "$profile/done"
