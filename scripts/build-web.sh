#!/usr/bin/env bash
# Builds the page of web/app into web/dist, which is committed and compiled into `poq`, and prints the sizes of its files. To be run
# after changes of web/app, of sdk/typescript, of client/metadata.scale, and of the verifier of receipts: a test compares.
#
# POQ_CACHE  the folder of Node.js and of the packages, see scripts/setup-web.sh
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
root="$(cd "$here/.." && pwd)"
cache="${POQ_CACHE:-$HOME/.cache/proof-of-quality}"

"$here/setup-web.sh" >&2
scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT
mkdir "$scratch/app"
(cd "$root/web/app" && tar -c --exclude=./node_modules .) | tar -x -C "$scratch/app"
ln -s "$cache/web/node_modules" "$scratch/app/node_modules"
cd "$scratch/app"
"$cache/dapp/bin/node" node_modules/typescript/bin/tsc
"$cache/dapp/bin/node" build.mjs ../dist
rm -rf "$root/web/dist"
mv "$scratch/dist" "$root/web/dist"
