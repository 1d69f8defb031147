#!/usr/bin/env bash
# Installs the tools that build and test the page in web/app: Node.js and the package of sdk/typescript (by scripts/setup-dapp.sh), the
# packages of web/app and of the wallet in its tests, and Chromium. A second run changes nothing.
#
# POQ_CACHE  the folder for it (default: ~/.cache/proof-of-quality): the packages in web/node_modules and
#            web/wallet/node_modules
# CHROMIUM   the browser for the tests (default: `chromium`, which is installed by apt if it is missing)
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
root="$(cd "$here/.." && pwd)"
app="$root/web/app"
wallet="$app/tests/wallet"
cache="${POQ_CACHE:-$HOME/.cache/proof-of-quality}"
folder="$cache/web"

fail() {
    echo "setup-web: $*" >&2
    exit 1
}

"$here/setup-dapp.sh"

# ---------------------------------------------------------------- a browser

install_chromium() {
    local as_root=()
    command -v apt-get >/dev/null 2>&1 || fail "Chromium is missing: install it, or name one with CHROMIUM=PROGRAM"
    if [[ "$(id -u)" != 0 ]]; then
        command -v sudo >/dev/null 2>&1 || fail "Chromium is missing, and installing it needs root; there is no sudo"
        as_root=(sudo)
    fi
    echo "setup-web: installing the package chromium"
    local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get)
    "${apt[@]}" install -y --no-install-recommends chromium >"$cache/apt.log" 2>&1 && return
    "${apt[@]}" update >/dev/null 2>&1 || true
    "${apt[@]}" install -y --no-install-recommends chromium >"$cache/apt.log" 2>&1 ||
        fail "apt-get install chromium failed; the reason is in $cache/apt.log"
}
command -v "${CHROMIUM:-chromium}" >/dev/null 2>&1 || install_chromium

# ---------------------------------------------------------------- the packages

# Everything that determines what is installed. The recipe of setup-dapp.sh holds the SDK's sources, the metadata and the verifier.
recipe() {
    cat "$app/package.json" "$app/package-lock.json" "$app/.npmrc" "$wallet/package.json" "$wallet/package-lock.json"
    cksum <"$cache/dapp/recipe"
}

mkdir -p "$folder"
# Several checkouts may share the cache.
if command -v flock >/dev/null 2>&1; then
    exec 9>"$folder/lock"
    flock 9
fi
if [[ -f "$folder/recipe" && -d "$folder/node_modules" ]] && recipe | cmp -s - "$folder/recipe"; then
    echo "The packages of the page are in place: $folder"
    exit 0
fi

scratch="$(mktemp -d "$folder/.make-XXXXXX")"
trap 'rm -rf "$scratch"' EXIT
rm -f "$folder/recipe"

# As in the repository, because the page takes the SDK's package from its folder.
mkdir -p "$scratch/web/app" "$scratch/sdk/typescript"
cp "$app/package.json" "$app/package-lock.json" "$app/.npmrc" "$scratch/web/app/"
cp "$root/sdk/typescript/package.json" "$scratch/sdk/typescript/"
mkdir "$scratch/wallet"
cp "$wallet/package.json" "$wallet/package-lock.json" "$app/.npmrc" "$scratch/wallet/"
# --ignore-scripts: no package runs a program of its own at installation.
install() {
    (cd "$scratch/$1" && PATH="$cache/dapp/bin:$PATH" npm ci --cache "$cache/dapp/npm" --ignore-scripts --no-audit --no-fund) >"$2" 2>&1
}
# At once, because most of the time is spent waiting for the registry.
install wallet "$folder/npm-wallet.log" &
other=$!
install web/app "$folder/npm.log" || { wait "$other" || true; fail "npm ci in web/app failed; the reason is in $folder/npm.log"; }
wait "$other" || fail "npm ci in web/app/tests/wallet failed; the reason is in $folder/npm-wallet.log"
rm -rf "$folder/node_modules" "$folder/wallet"
mv "$scratch/web/app/node_modules" "$folder/node_modules"
mv "$scratch/wallet" "$folder/wallet"
# The SDK as it is published, in place of the folder that `npm ci` linked.
rm -rf "$folder/node_modules/proof-of-quality"
mkdir "$folder/node_modules/proof-of-quality"
tar -xzf "$cache/dapp"/proof-of-quality-*.tgz -C "$folder/node_modules/proof-of-quality" --strip-components=1

recipe >"$folder/recipe"
echo "The packages of the page are in place: $folder"
