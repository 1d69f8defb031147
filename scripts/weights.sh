#!/usr/bin/env bash
# Measures the weights of pallets on this machine and writes them into each pallet's src/weights.rs. Close all other programs before.
#
# Usage: scripts/weights.sh [proof-of-quality] [express]   (default: both)
#
# CARGO_TARGET_DIR  target folder; the runtime with the benchmarks is built into its folder `benchmarks`, so that no other artefact
#                   is rebuilt
# POQ_STEPS         number of values of each component (default: 20)
# POQ_REPEAT        number of measurements of each value (default: 20)
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
[ $# -gt 0 ] || set -- proof-of-quality express
for pallet in "$@"; do
    case "$pallet" in
    proof-of-quality | express) ;;
    *)
        echo "weights: unknown pallet \`$pallet\`: name proof-of-quality, express or both" >&2
        exit 2
        ;;
    esac
done
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
cp "$root/pallets/weights.hbs" "$scratch"
for pallet in "$@"; do
    case "$pallet" in
    express) crate=pallet_proof_of_quality_express ;;
    *) crate=pallet_proof_of_quality ;;
    esac
    cd "$scratch"
    frame-omni-bencher v1 benchmark pallet \
        --runtime poq_runtime.wasm --genesis-builder runtime --genesis-builder-preset development \
        --pallet "$crate" --extrinsic '*' --steps "${POQ_STEPS:-20}" --repeat "${POQ_REPEAT:-20}" \
        --template weights.hbs --output weights.rs
    cd "$root"
    weights="pallets/$pallet/src/weights.rs"
    cp "$scratch/weights.rs" "$weights"
    rustfmt --edition 2021 --config-path "$root" "$weights"
    echo "weights: written; look at the difference: git diff $weights"
done
