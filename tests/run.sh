#!/usr/bin/env bash
# Installs what is missing, builds everything and runs every test. Last line: "N passed, N failed"; exit 0 only if all passed.
# Arguments go to ctest, e.g. bash tests/run.sh -R traces
set -euo pipefail
source "$(dirname -- "${BASH_SOURCE[0]}")/../sim/setup.sh"
kSlowSeconds=600

finish() {  # finish PASSED FAILED: the last line and the exit code
  printf '%d passed, %d failed\n' "$1" "$2"
  [[ $2 -eq 0 && $1 -gt 0 ]]
  exit
}

# Value of attribute $2 in the <testsuite> element of JUnit file $1; 0 when it is not there.
junit_count() {
  local value
  value=$(tr '\n\t' '  ' <"$1" | grep -o '<testsuite [^>]*>' | head -1 | grep -o " $2=\"[0-9]*\"" | grep -o '[0-9]*') || true
  printf '%s' "${value:-0}"
}

forksim_install "${forksim_packages[@]}" "${forksim_test_packages[@]}" || finish 0 1
if ! forksim_make all; then
  echo "the build failed, see above"
  finish 0 1
fi

validation=$forksim_build/validation.txt
rm -f "$validation"
junit=$(mktemp)
trap 'rm -f "$junit"' EXIT
SECONDS=0
ctest_code=0
ctest --test-dir "$forksim_build" -j2 --output-on-failure --no-tests=error --output-junit "$junit" "$@" || ctest_code=$?
elapsed=$SECONDS
if [[ ! -s $junit ]]; then
  echo "ctest wrote no results (exit code $ctest_code)"
  finish 0 1
fi
total=$(junit_count "$junit" tests)
# A test that could not be run, for want of its program or of what it builds on, has not passed; ctest counts it as skipped.
not_run=$(grep -c ' status="notrun"' "$junit") || true
failed=$(($(junit_count "$junit" failures) + not_run))
skipped=$(($(junit_count "$junit" skipped) + $(junit_count "$junit" disabled) - not_run))
# ctest failed without a failing test (a crash of ctest itself): that is one failure.
[[ $ctest_code -ne 0 && $failed -eq 0 ]] && failed=1
[[ -f $validation ]] && cat "$validation"
((skipped > 0)) && echo "$skipped skipped"
((elapsed > kSlowSeconds)) && echo "warning: the tests took ${elapsed} s, more than ${kSlowSeconds} s"
passed=$((total - failed - skipped))
finish $((passed > 0 ? passed : 0)) "$failed"
