#!/usr/bin/env bash
# Builds the runtime as Wasm so that the same commit and the same compiler give the same bytes, on any machine and from any folder.
#
#   scripts/runtime-wasm.sh FOLDER [COMMIT]     COMMIT: default HEAD. FOLDER must be empty or not exist
#
# The file comes to FOLDER/poq_runtime.compact.compressed.wasm: what a chain stores, and what `authorize_upgrade` names by its hash.
#
# A compiler puts paths into what it makes, and cargo's names of crates depend on them. So the build runs in a mount namespace in which the
# sources, the compiled files, cargo's downloads and the compiler always lie at the same places below /mnt, and with nothing of this
# machine's environment. That takes Linux, and root or a kernel that lets users make namespaces; it changes nothing outside FOLDER and
# the downloads.
#
# CARGO_HOME  cargo's folder, for its downloads (default: ~/.cargo)
# TOOLCHAIN   the toolchain of rustup to build with (default: the one that `rustc` is)
set -euo pipefail

fail() {
    echo "runtime-wasm: $*" >&2
    exit 1
}

root="$(cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"
(($# == 1 || $# == 2)) || fail "usage: scripts/runtime-wasm.sh FOLDER [COMMIT]"
commit="$(git -C "$root" rev-parse --verify --quiet "${2:-HEAD}^{commit}")" || fail "there is no commit ${2:-HEAD}"
mkdir -p "$1"
folder="$(cd -P "$1" && pwd -P)"
[[ -z "$(ls -A "$folder")" ]] || fail "$folder is not empty"
sysroot="$(rustc ${TOOLCHAIN:+"+$TOOLCHAIN"} --print sysroot)"
compgen -G "$sysroot/lib/rustlib/wasm32v1-none/lib/libcore-*.rlib" >/dev/null ||
    fail "the compiler in $sysroot has no target wasm32v1-none; \`scripts/setup.sh\` installs it"
[[ -x "$sysroot/bin/cargo" ]] || fail "there is no cargo beside the compiler in $sysroot"

as_root=()
[[ "$(id -u)" == 0 ]] || as_root=(--user --map-root-user)
unshare "${as_root[@]}" --mount true 2>/dev/null || fail "this kernel lets $(id -un) make no mount namespaces; run it as root"

mkdir "$folder/source" "$folder/target"
git -C "$root" archive "$commit" | tar -x -C "$folder/source"
cargo_home="${CARGO_HOME:-$HOME/.cargo}"
# With the settings of this machine, which may need a proxy; the build itself asks no network.
(cd "$folder/source" && cargo fetch --locked --quiet) || fail "the crates of Cargo.lock cannot be fetched"

# $1 to $4: the real places of sources, compiled files, cargo's downloads and compiler.
inside='
set -eu
mount -t tmpfs -o size=16m none /mnt
mkdir -p /mnt/source /mnt/target /mnt/cargo/registry /mnt/rust /mnt/home
mount --bind "$1" /mnt/source
mount --bind "$2" /mnt/target
mount --bind "$3" /mnt/cargo/registry
mount --bind "$4" /mnt/rust
cd /mnt/source
exec env -i PATH=/mnt/rust/bin:/usr/local/bin:/usr/bin:/bin HOME=/mnt/home LC_ALL=C.UTF-8 TMPDIR=/tmp \
    CARGO_HOME=/mnt/cargo CARGO_TARGET_DIR=/mnt/target CARGO_TERM_COLOR=never \
    cargo check --release --locked --offline --package poq-runtime --lib
'
# The native side is only checked; the build script makes the Wasm.
unshare "${as_root[@]}" --mount bash -c "$inside" bash "$folder/source" "$folder/target" "$cargo_home/registry" "$sysroot" \
    >"$folder/build.log" 2>&1 || {
    tail -n 40 "$folder/build.log" >&2
    fail "the runtime does not compile; the log is $folder/build.log"
}
made="$folder/target/release/wbuild/poq-runtime/poq_runtime.compact.compressed.wasm"
[[ -f "$made" ]] || fail "the build made no $made; the log is $folder/build.log"
mv "$made" "$folder/"
cp "$folder/target/release/wbuild/poq-runtime/poq_runtime.compact.wasm" "$folder/"
rm -rf "$folder/source" "$folder/target"
echo "$folder/poq_runtime.compact.compressed.wasm"
