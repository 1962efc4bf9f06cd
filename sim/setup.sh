# Shared set-up of sim/run.sh and tests/run.sh (sourced, not executed).
#
# Purpose: on a fresh Debian 12, install what is missing and build a release into build/, once; afterwards cost well under a second
#          and need no network. Everything this prints goes to stderr: stdout belongs to the program that runs afterwards.
# Errors:  each function prints what to do and returns non-zero.

forksim_root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
forksim_build=$forksim_root/build

# What compiles and runs forksim; gnuplot draws.
forksim_packages=(g++ cmake ninja-build pkg-config libsimgrid-dev libboost-graph-dev libyaml-cpp-dev libfmt-dev nlohmann-json3-dev
  libcli11-dev liblzma-dev libssl-dev libbenchmark-dev doctest-dev gnuplot-nox libsqlite3-dev libopenmpi-dev openmpi-bin)
# Added by tests/run.sh: the second compiler, for the test that both give the same bytes.
forksim_test_packages=(clang)

forksim_say() { printf 'forksim: %s\n' "$*" >&2; }

# Prints the packages among the arguments that are not installed, one per line.
forksim_missing() {
  local installed
  installed=$(dpkg-query -W -f='${db:Status-Abbrev}${Package}\n' "$@" 2>/dev/null | sed -n 's/^ii *//p') || true
  comm -23 <(printf '%s\n' "$@" | sort -u) <(printf '%s\n' "$installed" | sort)
}

# Installs the packages named; asks apt only when something is missing.
forksim_install() {
  local missing as_root=()
  missing=$(forksim_missing "$@")
  [[ -z $missing ]] && return 0
  # One package per line becomes one word each.
  local -a list
  mapfile -t list <<<"$missing"
  if [[ $(id -u) -ne 0 ]]; then
    if ! command -v sudo >/dev/null; then
      forksim_say "missing: ${list[*]}; run as root: apt-get install --no-install-recommends ${list[*]}"
      return 1
    fi
    as_root=(sudo)
  fi
  forksim_say "installing ${list[*]}"
  "${as_root[@]}" apt-get -q update >&2 || forksim_say "apt-get update failed; trying with the lists at hand"
  if ! "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends "${list[@]}" >&2; then
    forksim_say "could not install ${list[*]}"
    return 1
  fi
}

# forksim_make TARGET...: configures build/ when it is not, and brings the targets up to date. A lock keeps two calls apart.
forksim_make() {
  local quiet=(--quiet)
  mkdir -p "$forksim_build" || return 1
  (
    flock 9 || exit 1
    if [[ ! -f $forksim_build/build.ninja ]]; then
      forksim_say "first build in $forksim_build, this takes a few minutes"
      quiet=()
      cmake -S "$forksim_root" -B "$forksim_build" -G Ninja -DCMAKE_BUILD_TYPE=Release >&2 || exit 1
    fi
    ninja -C "$forksim_build" "${quiet[@]}" "$@" | sed '/^ninja: no work to do\.$/d' >&2
    exit "${PIPESTATUS[0]}"
  ) 9>"$forksim_build/.lock"
}
