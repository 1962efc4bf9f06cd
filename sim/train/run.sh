#!/usr/bin/env bash
# run.sh FORKSIM_TRAIN OBJECTS PROFILE: runs the workloads that the compiler learns from, in the root of the sources, and leaves their
# profile in PROFILE under the names that g++ looks for: OBJECTS/names says which. A fresh profile each time: nothing of another state.
set -euo pipefail
program=$1 objects=$2 profile=$3

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

find "$objects" -name '*.gcda' -delete
rm -rf "$profile"
mkdir -p "$profile"
for run in "${runs[@]}"; do
  # shellcheck disable=SC2086 # a line is a name and options
  set -- $run
  "$program" run "workloads/$1.yaml" "${@:2}" --quiet --out "$profile/run"
done
rm -rf "$profile/run"
while read -r wrote name; do
  cp "$objects/$wrote" "$profile/$name"
done <"$objects/names"
touch "$profile/done"
