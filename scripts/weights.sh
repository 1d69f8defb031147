#!/usr/bin/env bash
# Measures the pallet's weights on this machine and writes them into the pallet's src/weights.rs. Close all other programs before.
#
# CARGO_TARGET_DIR  target folder; the runtime with the benchmarks is built into its folder `benchmarks`, so that no other artefact
#                   is rebuilt
# POQ_STEPS         number of values of each component (default: 20)
# POQ_REPEAT        number of measurements of each value (default: 20)
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
pallet="$root/pallets/proof-of-quality"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$HOME/.cache/proof-of-quality/target}/benchmarks"
runtime="$CARGO_TARGET_DIR/release/wbuild/poq-runtime/poq_runtime.compact.compressed.wasm"

command -v frame-omni-bencher >/dev/null || {
    echo "weights: there is no frame-omni-bencher: \`cargo install frame-omni-bencher --locked\`" >&2
    exit 1
}

cd "$root"
cargo build --release --locked -p poq-runtime --features runtime-benchmarks

# In a separate folder, so that the command, which is recorded beside the weights, names no paths of this machine.
scratch="$(mktemp -d -t poq-weights-XXXXXX)"
trap 'rm -rf "$scratch"' EXIT
cp "$runtime" "$scratch/poq_runtime.wasm"
cp "$pallet/weights.hbs" "$scratch"
cd "$scratch"
frame-omni-bencher v1 benchmark pallet \
    --runtime poq_runtime.wasm --genesis-builder runtime --genesis-builder-preset development \
    --pallet pallet_proof_of_quality --extrinsic '*' --steps "${POQ_STEPS:-20}" --repeat "${POQ_REPEAT:-20}" \
    --template weights.hbs --output weights.rs
cd "$root"
cp "$scratch/weights.rs" "$pallet/src/weights.rs"
rustfmt --edition 2021 --config-path "$root" "$pallet/src/weights.rs"
echo "weights: written; look at the difference: git diff $pallet/src/weights.rs"
