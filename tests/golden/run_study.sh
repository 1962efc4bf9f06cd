#!/usr/bin/env bash
# Runs a shipped study and collects what results/studies keeps of it: run_study.sh FORKSIM STUDY DIR, from the repository's folder, makes
# DIR/STUDY. Of `rules` it also makes DIR/rules_with_plugin: the same runs and those of the example plug-in, built by its documented line.
set -euo pipefail
forksim=$1 study=$2 dir=$3

keep() {  # keep NAME: what the sweep in $dir/sweep says, as DIR/NAME
  mkdir -p "$dir/$1"
  cp -r "$dir"/sweep/{summary.csv,report.md,manifest.json,plots} "$dir/$1/"
}

mkdir -p "$dir"
"$forksim" sweep "workloads/studies/$study.yaml" --out "$dir/sweep" --quiet
keep "$study"
if [[ $study == rules ]]; then
  g++ -std=c++20 -O2 -shared -fPIC -I . sim/placement/example/shortest_queue.cpp -o "$dir/shortest_queue.so"
  "$forksim" sweep "workloads/studies/$study.yaml" --add "rule=$dir/shortest_queue.so" --out "$dir/sweep" --resume --quiet
  keep rules_with_plugin
  rm "$dir/shortest_queue.so"
fi
rm -r "$dir/sweep"
