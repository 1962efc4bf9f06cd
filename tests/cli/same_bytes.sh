#!/usr/bin/env bash
# Same input, same bytes: same_bytes.sh FORKSIM OTHER_FORKSIM WORKLOAD.yaml, in the folder that has platforms/
# Runs the workload twice, from its resolved.yaml, with --jobs 1 and 2, and with a binary of another compiler; every file of the result
# folder but manifest.json must be the same byte for byte. What run prints must be report.txt.
set -euo pipefail
forksim=$1 other=$2 workload=$3
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
failed=0

run() {  # run BINARY INPUT NAME OPTION...: result in $dir/NAME, output in $dir/NAME.out
  local binary=$1 input=$2 name=$3
  shift 3
  if ! "$binary" run "$input" --out "$dir/$name" "$@" >"$dir/$name.out" 2>"$dir/$name.err"; then
    echo "FAILED: $binary run $input $*"
    cat "$dir/$name.err"
    exit 1
  fi
}

same() {  # same WHAT A B: compares two result folders
  if ! diff -rq --exclude=manifest.json "$dir/$2" "$dir/$3"; then
    echo "FAILED: $1 differ"
    failed=1
  fi
}

run "$forksim" "$workload" first --trace ftrace
run "$forksim" "$workload" second --trace ftrace
same "two runs" first second
cmp -s "$dir/first.out" "$dir/second.out" || { echo "FAILED: two runs print different text"; failed=1; }
[[ -s $dir/first/trace.ftrace && -s $dir/first/report.json ]] || { echo "FAILED: trace or report is empty"; failed=1; }

run "$forksim" "$dir/first/resolved.yaml" resolved --trace ftrace
same "the workload and its resolved.yaml" first resolved

run "$forksim" "$workload" jobs1 --repeat 2 --jobs 1
run "$forksim" "$workload" jobs2 --repeat 2 --jobs 2
same "--jobs 1 and --jobs 2" jobs1 jobs2

run "$other" "$workload" other --trace ftrace
same "g++ and clang++" first other
exit $failed
