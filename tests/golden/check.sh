#!/usr/bin/env bash
# Compares the report of a shipped workload with the one kept here: check.sh FORKSIM SOURCE_DIR NAME, or NAME@WITH: with
# a placement rule or another kernel.
# A change of the model shows as a readable diff; tests/golden/update.sh accepts it, in the commit that changes the model.
set -euo pipefail
forksim=$1 source_dir=$2 name=$3
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
# shellcheck source=tests/golden/variant.sh
source "$source_dir/tests/golden/variant.sh"
"$forksim" run "$source_dir/workloads/${name%@*}.yaml" "${variant[@]}" --out "$dir/result" --quiet
if ! diff -u "$source_dir/tests/golden/$name.report.txt" "$dir/result/report.txt"; then
  echo "the report of $name changed; if that is meant: bash tests/golden/update.sh"
  exit 1
fi
