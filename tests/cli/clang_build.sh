#!/usr/bin/env bash
# Builds forksim alone with clang++, little optimised to save time: clang_build.sh SOURCE_DIR BUILD_DIR. The result is BUILD_DIR/forksim.
set -euo pipefail
source_dir=$1 build_dir=$2
if [[ ! -f $build_dir/build.ninja ]]; then
  cmake -S "$source_dir" -B "$build_dir" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_CXX_FLAGS_RELEASE="-O1 -DNDEBUG" -DCMAKE_CXX_COMPILER=clang++ \
    -DFORKSIM_COLD_FLAGS=-O0 -DCMAKE_UNITY_BUILD_BATCH_SIZE=99 -DFORKSIM_TESTS=OFF
fi
ninja -C "$build_dir" --quiet forksim
