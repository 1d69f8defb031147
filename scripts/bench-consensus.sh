#!/usr/bin/env bash
# Measures the consensus natively and in Wasm. Arguments go to the program `consensus`.
#
# The Wasm is compiled first, as wasm-builder compiles a runtime, in a target folder of its own: nothing else needs it, so no
# build should have to wait for it. The first time that takes some minutes.
# POQ_CACHE      where env.sh is (default: ~/.cache/proof-of-quality)
# BENCH_RESULTS  where the figures go (default: benches/results.json)
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
cache="${POQ_CACHE:-$HOME/.cache/proof-of-quality}"
target="${CARGO_TARGET_DIR:-$cache/target}"
# shellcheck disable=SC1091
[[ ! -f "$cache/env.sh" ]] || . "$cache/env.sh"

cd "$here"
CARGO_TARGET_DIR="$target/bench-wasm" CARGO_PROFILE_RELEASE_LTO=thin CARGO_PROFILE_RELEASE_PANIC=abort \
    RUSTFLAGS="-C link-arg=--export-table -C link-arg=--export=__heap_base -C link-arg=--import-memory --cfg substrate_runtime" \
    cargo ${WASM_BUILD_TOOLCHAIN:++$WASM_BUILD_TOOLCHAIN} rustc --quiet --release --locked -p poq-bench-consensus --lib \
    --no-default-features --crate-type cdylib --target wasm32v1-none

"$target/release/consensus" --wasm "$target/bench-wasm/wasm32v1-none/release/poq_bench_consensus.wasm" \
    --out "${BENCH_RESULTS:-$here/benches/results.json}" "$@"
