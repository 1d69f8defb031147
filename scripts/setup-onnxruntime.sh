#!/usr/bin/env bash
# Installs ONNX Runtime's shared library in the folder in which the engine looks for it. A second run changes nothing.
#
# The library is taken out of the Python wheel `onnxruntime`; nothing is installed into a Python.
# POQ_CACHE            folder for it (default: ~/.cache/proof-of-quality)
# ONNXRUNTIME_VERSION  release to install (the engine needs 1.24 or newer)
# PYTHON               the Python whose pip downloads the wheel (default: python3)
set -euo pipefail

version="${ONNXRUNTIME_VERSION:-1.31.1}"
python="${PYTHON:-python3}"
folder="${POQ_CACHE:-$HOME/.cache/proof-of-quality}/onnxruntime"
library="$folder/libonnxruntime.so"

if [[ -f "$library" && "$(cat "$folder/version" 2>/dev/null)" == "$version" ]]; then
    echo "ONNX Runtime $version is in place: $library"
    exit 0
fi

"$python" -m pip --version >/dev/null 2>&1 || {
    echo "setup-onnxruntime: '$python -m pip' does not work; install python3 with pip, or name one in PYTHON" >&2
    exit 1
}

mkdir -p "$folder"
scratch="$(mktemp -d "$folder/.fetch-XXXXXX")"
trap 'rm -rf "$scratch"' EXIT

# The library inside is the same for every Python version, so a wheel for any of them will do.
fetched=""
for python_version in "" 3.13 3.12 3.11; do
    if "$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
        ${python_version:+--python-version "$python_version"} \
        --dest "$scratch" "onnxruntime==$version" 2>"$scratch/log"; then
        fetched=yes
        break
    fi
done
[[ -n "$fetched" ]] || {
    cat "$scratch/log" >&2
    echo "setup-onnxruntime: cannot fetch the wheel onnxruntime==$version" >&2
    exit 1
}

"$python" - "$scratch" "$folder" <<'PYTHON'
import glob, os, re, sys, zipfile

scratch, folder = sys.argv[1:]
with zipfile.ZipFile(glob.glob(os.path.join(scratch, "*.whl"))[0]) as wheel:
    names = [n for n in wheel.namelist() if re.fullmatch(r"onnxruntime/capi/libonnxruntime\.so\.\d+\.\d+\.\d+", n)]
    if len(names) != 1:
        sys.exit("setup-onnxruntime: the wheel for this machine holds no libonnxruntime.so")
    part = os.path.join(scratch, "libonnxruntime.so")
    with wheel.open(names[0]) as source, open(part, "wb") as target:
        while chunk := source.read(1 << 20):
            target.write(chunk)
os.chmod(part, 0o755)
os.replace(part, os.path.join(folder, "libonnxruntime.so"))
PYTHON
echo "$version" >"$folder/version"
echo "ONNX Runtime $version is in place: $library"
