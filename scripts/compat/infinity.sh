#!/usr/bin/env bash
# Makes a rerank server to compare the engine's scores with: Infinity (PyTorch), and the bundled demo evaluator as a model
# for it. A second run changes nothing.
#
# POQ_CACHE      folder for it (default: ~/.cache/proof-of-quality): compat/infinity is a virtual environment,
#                compat/reranker the model
# PYTHON         the Python that makes the environment, 3.9 to 3.13 (default: python3)
# SITE_PACKAGES  a folder of Python packages that is searched first: a folder with PyTorch saves some gigabytes
set -euo pipefail

release="0.0.78"
here="$(cd "$(dirname "$0")" && pwd)"
python="${PYTHON:-python3}"
folder="${POQ_CACHE:-$HOME/.cache/proof-of-quality}/compat"
environment="$folder/infinity"

if [[ "$(cat "$environment/version" 2>/dev/null)" != "$release" ]]; then
    rm -rf "$environment"
    mkdir -p "$folder"
    "$python" -m venv "$environment" || {
        echo "compat/infinity: '$python -m venv' does not work; install python3-venv, or name a Python in PYTHON" >&2
        exit 1
    }
    if [[ -n "${SITE_PACKAGES:-}" ]]; then
        for packages in "$environment"/lib/python3.*/site-packages; do
            echo "$SITE_PACKAGES" >"$packages/site-packages-from-elsewhere.pth"
        done
    fi
    nice "$environment/bin/pip" install --quiet --disable-pip-version-check "infinity-emb[torch,server]==$release" \
        "onnx==1.17.0" "safetensors" "numpy<2" || {
        echo "compat/infinity: cannot install infinity-emb==$release" >&2
        exit 1
    }
    echo "$release" >"$environment/version"
fi
"$environment/bin/python" "$here/reranker.py" "$here/../../models/poq-demo-evaluator" "$folder/reranker"
echo "Infinity $release is in place: $environment/bin/infinity_emb, and its model: $folder/reranker"
