#!/usr/bin/env bash
# Puts the spell checker `typos` in place, from its Python wheel. Doing it twice does it once; nothing is installed into any Python.
#
# POQ_CACHE  where to put it (default: ~/.cache/proof-of-quality), as typos/bin/typos
# PYTHON     which Python with pip (default: python3)
set -euo pipefail

version=1.52.0
folder="${POQ_CACHE:-$HOME/.cache/proof-of-quality}/typos"
[[ -x "$folder/bin/typos" && -f "$folder/typos-$version.dist-info/METADATA" ]] && exit 0
rm -rf "$folder"
"${PYTHON:-python3}" -m pip install --quiet --disable-pip-version-check --root-user-action ignore --no-deps --only-binary :all: \
    --target "$folder" "typos==$version" ||
    { echo "setup-typos: pip cannot install typos $version" >&2; exit 1; }
echo "typos $version is in place: $folder/bin/typos"
