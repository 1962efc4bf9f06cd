# shellcheck shell=bash disable=SC2034,SC2154
# Sourced: the options in `variant` for the report $name, NAME or NAME@WITH, of which $forksim says whether WITH is a kernel.
variant=()
with=${name#"${name%@*}"}
with=${with#@}
if [[ -n $with ]]; then
  option=--placement
  "$forksim" list kernels | grep -q "^$with " && option=--kernel
  variant=("$option" "$with")
fi
