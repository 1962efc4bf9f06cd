#!/usr/bin/env bash
# Runs the shipped studies and keeps what they say in results/studies, and the baselines with their results: update_studies.sh [FORKSIM [STUDY...]]
set -euo pipefail
here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
forksim=$(realpath "${1:-$here/../../build/forksim}")
cd "$here/../.."
forksim=$(realpath --relative-to=. "$forksim")
shift || true
dir=results/runs/update_studies  # relative, so that the manifests do not name this machine's folders
rm -rf "$dir"
trap 'rm -rf "$dir"' EXIT
(($#)) || set -- $(basename -s .yaml workloads/studies/*.yaml)
for study in "$@"; do
  bash tests/golden/run_study.sh "$forksim" "$study" "$dir"
done
for made in "$dir"/*/; do
  rm -rf "results/studies/$(basename "$made")"
  mkdir -p results/studies
  mv "$made" results/studies/
done
for baseline in results/baselines/*/; do
  "$forksim" sweep "${baseline}study.yaml" --out "$dir/baseline" --quiet
  cp "$dir/baseline/results.csv" "$baseline"
done
