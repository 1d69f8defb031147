#!/usr/bin/env bash
# Makes the files of a release: the runtime as Wasm, the programs, notes for an upgrade, checksums and a manifest. `make release` calls it.
# docs/release.md says how others check them.
#
# The runtime is built twice, in two folders, and the two files must be equal byte by byte. Takes about an hour on 2 cores.
#
#   scripts/release.sh [FOLDER]     FOLDER: default ~/.cache/proof-of-quality/releases/VERSION; must not exist
#
# POQ_CACHE         folder for it and for the two builds (default: ~/.cache/proof-of-quality)
# CARGO_TARGET_DIR  folder with the programs, compiled by `make release` (default: $POQ_CACHE/target)
# PROGRAMS          programs to put in (default: none)
set -euo pipefail

fail() {
    echo "release: $*" >&2
    exit 1
}

root="$(cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"
cache="${POQ_CACHE:-$HOME/.cache/proof-of-quality}"
programs="${CARGO_TARGET_DIR:-$cache/target}/release"
cd "$root"
[[ -z "$(git status --porcelain)" ]] || fail "there are changes that are in no commit: commit them, or put them away"
commit="$(git rev-parse HEAD)"
version="$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)"
out="${1:-$cache/releases/$version}"
[[ ! -e "$out" ]] || fail "$out exists already"
tagged="$(git rev-parse --verify --quiet "refs/tags/v$version^{commit}" || true)"
[[ -z "$tagged" || "$tagged" == "$commit" ]] || fail "the tag v$version is another commit: raise the version in Cargo.toml"

mkdir -p "$cache"
scratch="$(mktemp -d "$cache/release-XXXXXX")"
trap 'rm -rf "$scratch"' EXIT
# Folders with names of different lengths: a path that came into the file would move what follows.
first="$scratch/first" second="$scratch/a/second/folder"
for folder in "$first" "$second"; do
    echo "release: building the runtime in $folder"
    "$root/scripts/runtime-wasm.sh" "$folder" "$commit"
done
wasm=poq_runtime.compact.compressed.wasm
cmp "$first/$wasm" "$second/$wasm" || fail "two builds of $commit differ: the runtime is not reproducible"
echo "release: both builds are equal, byte by byte"

mkdir -p "$scratch/files"
cp "$first/$wasm" "$first/poq_runtime.compact.wasm" "$scratch/files/"
for program in ${PROGRAMS:-}; do
    cp "$programs/$program" "$scratch/files/"
done
python3 "$root/scripts/release_manifest.py" "$scratch/files" "$root" "$commit"
(cd "$scratch/files" && sha256sum --check --quiet SHA256SUMS)
mkdir -p "$(dirname "$out")"
mv "$scratch/files" "$out"
echo "release: $version is in $out"
[[ -n "$tagged" ]] || echo "release: no tag yet: git tag --annotate v$version --file $out/UPGRADE.md"
