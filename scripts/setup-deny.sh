#!/usr/bin/env bash
# Compiles cargo-deny, which checks licences and sources of dependencies. A second run changes nothing.
#
# POQ_CACHE  folder for it (default: ~/.cache/proof-of-quality), as deny/bin/cargo-deny
set -euo pipefail

version=0.20.2
folder="${POQ_CACHE:-$HOME/.cache/proof-of-quality}/deny"
"$folder/bin/cargo-deny" --version 2>/dev/null | grep -qxF "cargo-deny $version" && exit 0
echo "setup-deny: compiling cargo-deny $version, once: some minutes"
# Unoptimized: it runs for seconds.
cargo install --quiet --debug --locked --force --root "$folder" --target-dir "$folder/build" "cargo-deny@$version"
rm -rf "$folder/build"
echo "cargo-deny $version is in place: $folder/bin/cargo-deny"
