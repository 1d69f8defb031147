#!/usr/bin/env bash
# Installs the spell checker `typos` from its Python wheel. A second run changes nothing; nothing is installed into a Python.
#
# POQ_CACHE  folder for it (default: ~/.cache/proof-of-quality), as typos/bin/typos
# PYTHON     a Python with pip (default: python3)
set -euo pipefail

version=1.52.0
folder="${POQ_CACHE:-$HOME/.cache/proof-of-quality}/typos"
[[ -x "$folder/bin/typos" && -f "$folder/typos-$version.dist-info/METADATA" ]] && exit 0
rm -rf "$folder"
"${PYTHON:-python3}" -m pip install --quiet --disable-pip-version-check --root-user-action ignore --no-deps --only-binary :all: \
    --target "$folder" "typos==$version" ||
    { echo "setup-typos: pip cannot install typos $version" >&2; exit 1; }
echo "typos $version is in place: $folder/bin/typos"
