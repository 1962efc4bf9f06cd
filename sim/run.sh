#!/usr/bin/env bash
# Installs what is missing, builds, and runs forksim with the arguments given: bash sim/run.sh run workloads/fork_storm.yaml
set -euo pipefail
source "$(dirname -- "${BASH_SOURCE[0]}")/setup.sh"
forksim_install "${forksim_packages[@]}" || exit 4
forksim_make forksim || { forksim_say "the build failed, see above"; exit 4; }
exec "$forksim_build/forksim" "$@"
