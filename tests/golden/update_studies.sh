#!/usr/bin/env bash
# Runs the shipped studies and keeps what they say in results/studies, and the baselines with their results: bash tests/golden/update_studies.sh [FORKSIM [STUDY...]]
set -euo pipefail
here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
cd "$here/../.."
forksim=$(realpath "${1:-build/forksim}")
shift || true
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
for study in ${@:-workloads/studies/*.yaml}; do
  name=$(basename "$study" .yaml)
  "$forksim" sweep "$study" --out "$dir/$name"
  rm -rf "results/studies/$name"
  mkdir -p "results/studies/$name"
  cp -r "$dir/$name/summary.csv" "$dir/$name/report.md" "$dir/$name/plots" "results/studies/$name/"
done
for baseline in results/baselines/*/; do
  "$forksim" sweep "${baseline}study.yaml" --out "$dir/baseline"
  cp "$dir/baseline/results.csv" "$baseline"
done
