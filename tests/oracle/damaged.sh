#!/usr/bin/env bash
# The runner's own answers: a wrong expected value, a kernel it does not model, a folder without vectors. $1 is forksim-oracle.
set -euo pipefail
oracle=$1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
mkdir "$dir/4.19" "$dir/empty"
header='{"header":1,"source":"Linux 4.19.0","config":"FAIR_GROUP_SCHED=n PREEMPT_NONE=y"}'
expect() {  # expect CODE TEXT ARGUMENTS...
  local want=$1 text=$2 code=0 out
  shift 2
  out=$("$oracle" "$@" 2>&1) || code=$?
  [[ $code -eq $want && $out == *"$text"* ]] || { printf 'expected exit %s and "%s", got exit %s and:\n%s\n' "$want" "$text" "$code" "$out"; exit 1; }
}
# 47742 after one period is 46718.
printf '%s\n' "$header" '{"val":47742,"n":1,"out":46718}' >"$dir/4.19/pelt_decay_load.jsonl"
expect 0 "4.19/pelt_decay_load.jsonl: 1 passed, 0 failed, 0 skipped" "$dir"
expect 0 "1 passed, 0 failed" "$dir/4.19"
printf '%s\n' "$header" '{"val":47742,"n":1,"out":46719}' >"$dir/4.19/pelt_decay_load.jsonl"
expect 1 "out: expected 46719, actual 46718" "$dir"
printf '%s\n' "${header/4.19.0/5.4.0}" '{"val":47742,"n":1,"out":46718}' >"$dir/4.19/pelt_decay_load.jsonl"
expect 1 "0 passed, 0 failed, 1 skipped (kernel not modelled" "$dir"
expect 2 "no *.jsonl or *.jsonl.xz in it" "$dir/empty"
expect 2 "not a folder" "$dir/nowhere"
expect 2 "bad argument" --set no_such_tunable=1 "$dir"
