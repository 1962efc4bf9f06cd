#!/usr/bin/env bash
# Writes every report kept in this folder anew, from build/forksim or the binary given: bash tests/golden/update.sh [FORKSIM]
set -euo pipefail
here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
root=$here/../..
forksim=$(realpath "${1:-$root/build/forksim}")
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
for golden in "$here"/*.report.txt; do
  name=$(basename "$golden" .report.txt)
  # shellcheck source=tests/golden/variant.sh
  source "$here/variant.sh"
  "$forksim" run "$root/workloads/${name%@*}.yaml" "${variant[@]}" --out "$dir/$name" --quiet
  cp "$dir/$name/report.txt" "$golden"
done
