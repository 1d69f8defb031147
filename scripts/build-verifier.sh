#!/usr/bin/env bash
# Compiles the verifier of receipts (sdk/verifier) to WebAssembly, which the packages in sdk/ carry, and prints the file's path.
# A second run compiles nothing. The file depends on the sources, Cargo.lock and the compiler, not on folders of this machine.
#
# POQ_CACHE         folder of this machine's variables, which scripts/setup.sh writes (default: ~/.cache/proof-of-quality)
# CARGO_TARGET_DIR  folder of compiled files (default: $POQ_CACHE/target); the verifier goes to its folder verifier/
set -euo pipefail

root="$(cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"
cache="${POQ_CACHE:-$HOME/.cache/proof-of-quality}"
[[ ! -f "$cache/env.sh" ]] || . "$cache/env.sh"
folder="${CARGO_TARGET_DIR:-$cache/target}/verifier"
target=wasm32v1-none

cd "$root"
mkdir -p "$folder"
# Small, and without the names and paths that panics would print: nobody can read them.
export CARGO_PROFILE_RELEASE_OPT_LEVEL=s CARGO_PROFILE_RELEASE_LTO=fat CARGO_PROFILE_RELEASE_CODEGEN_UNITS=1
export CARGO_PROFILE_RELEASE_PANIC=abort CARGO_PROFILE_RELEASE_STRIP=symbols
# The SDK's crates build for Wasm as parts of a runtime only.
export RUSTFLAGS="--cfg substrate_runtime --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=cargo --remap-path-prefix=$root=poq"
unset CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_RUSTFLAGS
cargo ${WASM_BUILD_TOOLCHAIN:+"+$WASM_BUILD_TOOLCHAIN"} build --release --locked --quiet --package poq-verifier --lib \
    --target "$target" --target-dir "$folder" >"$folder/build.log" 2>&1 || {
    cat "$folder/build.log" >&2
    echo "build-verifier: the verifier does not compile; \`scripts/setup.sh\` installs Rust's target $target" >&2
    exit 1
}
echo "$folder/$target/release/poq_verifier.wasm"
