#!/usr/bin/env bash
# Holds the gateway against other people's clients, unchanged: a network of eleven nodes on this machine, poq-gateway in front of it, and
# OpenAI's clients for Python and Node, LiteLLM, Vercel's AI SDK, the Python SDK's Gateway class, and Open WebUI. All clients ask at the same
# time; Open WebUI asks last. The SDK's receipt is verified when the network is gone.
#
#   scripts/compat/network/run.sh [NAME…]     NAME: openai-python, openai-node, litellm, ai-sdk, sdk, open-webui (default: all)
#
# Environment: POQ_CACHE (packages go to $POQ_CACHE/compat/network), PYTHON (3.11 or 3.12), CARGO_TARGET_DIR,
# PORT (first of 22 free ports in a row, for the nodes; default: some below those of outgoing connections).
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../../.." && pwd)
cache=${POQ_CACHE:-$HOME/.cache/proof-of-quality}
packages=$cache/compat/network
programs=${CARGO_TARGET_DIR:-$cache/target}/release
python=${PYTHON:-python3}
all=(openai-python openai-node litellm ai-sdk sdk open-webui)
names=("${@:-${all[@]}}")

fail() {
    echo "compat/network: $*" >&2
    exit 1
}

for name in "${names[@]}"; do
    [[ " ${all[*]} " == *" $name "* ]] || fail "there is no '$name'; the names are ${all[*]}"
done
for program in poq poq-node poq-worker poq-testnet poq-gateway; do
    [ -x "$programs/$program" ] || fail "there is no $programs/$program; run 'make build' first"
done
[ ! -f "$cache/env.sh" ] || . "$cache/env.sh"
"$python" -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' ||
    fail "$python is not Python 3.11 or 3.12, which Open WebUI needs; name one in PYTHON"

wanted() {
    [[ " ${names[*]} " == *" $1 "* ]]
}

# Node.js, the SDK's Python packages and its verifier.
"$root/scripts/setup-dapp.sh"
node=$cache/dapp/bin/node
mkdir -p "$packages"

# venv NAME FILE OPTION…: a Python with the packages of FILE.
venv() {
    local folder=$packages/$1 file=$here/$2
    shift 2
    cmp -s "$file" "$folder/requirements.txt" && return
    rm -rf "$folder"
    "$python" -m venv "$folder" || fail "'$python -m venv' does not work; install python3-venv, or name a Python in PYTHON"
    nice "$folder/bin/pip" install --quiet --disable-pip-version-check "$@" --requirement "$file" || fail "cannot install the packages of $file"
    cp "$file" "$folder/requirements.txt"
}

if wanted openai-python || wanted litellm; then
    venv clients requirements.txt
fi
if wanted open-webui; then
    venv open-webui open-webui.txt --no-deps
fi
if wanted openai-node || wanted ai-sdk; then
    modules=$packages/node
    if ! cmp -s "$here/package-lock.json" "$modules/installed.json"; then
        rm -rf "$modules"
        mkdir -p "$modules"
        cp "$here/package.json" "$here/package-lock.json" "$here/.npmrc" "$modules/"
        (cd "$modules" && PATH="$cache/dapp/bin:$PATH" npm ci --cache "$packages/npm" --ignore-scripts --no-audit --no-fund) \
            >"$packages/npm.log" 2>&1 || fail "npm ci failed; the reason is in $packages/npm.log"
        cp "$here/package-lock.json" "$modules/installed.json"
    fi
    # Programs find packages beside themselves only.
    cp "$here"/*.mjs "$modules/"
fi

work=$(mktemp -d)
network=$work/network
servers=()
clients=()

# stop PID…: ends these processes, the hard way after 10 seconds.
stop() {
    local process
    kill "$@" 2>/dev/null || true
    for process in "$@"; do
        for _ in $(seq 100); do
            kill -0 "$process" 2>/dev/null || break
            sleep 0.1
        done
        kill -9 "$process" 2>/dev/null || true
        wait "$process" 2>/dev/null || true
    done
}
down() {
    [ ! -d "$network" ] || "$programs/poq-testnet" down --folder "$network" --forget
}
finish() {
    stop "${clients[@]}" "${servers[@]}"
    down || echo "compat/network: the network in $network does not stop" >&2
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 1' INT TERM HUP

free_port() {
    "$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

free_ports() {
    "$python" - <<'PYTHON'
import random, socket
while True:
    first = random.randrange(12000, 30000)
    try:
        for port in range(first, first + 22):
            socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        continue
    print(first)
    break
PYTHON
}

# until_up NAME URL PROCESS LOG: waits for a server, 300 seconds.
until_up() {
    for _ in $(seq 300); do
        if "$python" -c "import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=10)" "$2" 2>/dev/null; then
            return
        fi
        kill -0 "$3" 2>/dev/null || break
        sleep 1
    done
    cat "$4" >&2
    fail "$1 does not start; its log is above"
}

# Requests here are for this machine, whatever proxy is set.
export NO_PROXY=127.0.0.1 no_proxy=127.0.0.1
unset POQ_URL POQ_GENESIS POQ_GATEWAY_DATA POQ_GATEWAY_LISTEN POQ_GATEWAY_SURI_FILE POQ_GATEWAY_CAP POQ_GATEWAY_CAP_A_DAY
unset OPENAI_API_KEY OPENAI_BASE_URL OPENAI_ORG_ID OPENAI_PROJECT_ID

echo "== the network"
rpc_port=${PORT:-$(free_ports)}
"$programs/poq-testnet" up --folder "$network" --rpc-port "$rpc_port" --port $((rpc_port + 11)) --models "$root/models"
GENESIS=$("$python" - "http://127.0.0.1:$rpc_port" <<'PYTHON'
import json, sys, urllib.request
ask = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "chain_getBlockHash", "params": [0]}).encode()
request = urllib.request.Request(sys.argv[1], ask, {"Content-Type": "application/json"})
print(json.load(urllib.request.urlopen(request))["result"])
PYTHON
)
export GENESIS

port=$(free_port)
gateway=http://127.0.0.1:$port
data=$work/gateway
"$programs/poq-gateway" --suri-file "$network/bob" --cap 100 --url "ws://127.0.0.1:$rpc_port" --data "$data" --listen "127.0.0.1:$port" \
    >"$work/gateway.out" 2>"$work/gateway.log" &
servers+=($!)
until_up "the gateway" "$gateway/health" $! "$work/gateway.log"
secret() {
    "$python" -c 'import secrets; print(secrets.token_hex(16))'
}
new_key() {
    "$programs/poq-gateway" keys create --data "$data" --name "$1" 2>/dev/null
}

if wanted open-webui; then
    front=http://127.0.0.1:$(free_port)
    mkdir "$work/open-webui"
    # Loads no model (embeddings are set to an API, which is not used) and asks nobody but the gateway. By default it offers the model tools of
    # its own with each question, which the network refuses: "legacy" turns that off. Titles, tags and follow-ups would be questions that cost.
    (
        cd "$work/open-webui"
        exec env HOME="$PWD" DATA_DIR="$PWD" WEBUI_SECRET_KEY="$(secret)" OFFLINE_MODE=true HF_HUB_OFFLINE=1 \
            ENABLE_OLLAMA_API=false OPENAI_API_BASE_URL="$gateway/v1" OPENAI_API_KEY="$(new_key open-webui)" \
            DEFAULT_MODEL_PARAMS='{"function_calling": "legacy"}' RAG_EMBEDDING_ENGINE=openai CORS_ALLOW_ORIGIN="$front" \
            ENABLE_TITLE_GENERATION=false ENABLE_TAGS_GENERATION=false ENABLE_FOLLOW_UP_GENERATION=false \
            ANONYMIZED_TELEMETRY=false DO_NOT_TRACK=true \
            "$packages/open-webui/bin/open-webui" serve --host 127.0.0.1 --port "${front##*:}"
    ) >"$work/open-webui.log" 2>&1 &
    servers+=($!)
fi

if wanted sdk; then
    # The package as it is published.
    mkdir -p "$work/sdk/source/sdk"
    cp -r "$root/sdk/python" "$work/sdk/source/sdk/python"
    cp "$root/LICENSE" "$work/sdk/source/"
    POQ_VERIFIER=$cache/dapp/verifier.wasm "$cache/dapp/python/bin/python" -m build --no-isolation --wheel --outdir "$work/sdk" \
        "$work/sdk/source/sdk/python" >"$work/sdk/build.log" 2>&1 || { cat "$work/sdk/build.log" >&2; fail "the Python SDK does not build"; }
    "$python" -m zipfile -e "$work"/sdk/*.whl "$work/sdk/site"
fi
sdk=(env PYTHONPATH="$work/sdk/site" "$cache/dapp/python/bin/python" "$here/gateway_sdk.py" "$work/sdk")

# ask NAME COMMAND…: runs a client in the background, with an API key of its own.
ask() {
    local name=$1 key
    shift
    key=$(new_key "$name")
    POQ_GATEWAY=$gateway/v1 POQ_KEY=$key "$@" >"$work/$name.log" 2>&1 &
    clients+=($!)
    asking+=("$name")
}

export PYTHONDONTWRITEBYTECODE=1
# Prices of models come with the package.
export LITELLM_LOCAL_MODEL_COST_MAP=True LITELLM_TELEMETRY=False
asking=()
! wanted openai-python || ask openai-python "$packages/clients/bin/python" "$here/openai_python.py"
! wanted openai-node || ask openai-node "$node" "$packages/node/openai_node.mjs"
! wanted litellm || ask litellm "$packages/clients/bin/python" "$here/litellm_library.py"
! wanted ai-sdk || ask ai-sdk "$node" "$packages/node/ai_sdk.mjs"
! wanted sdk || ask sdk "${sdk[@]}"

failed=()
for index in "${!asking[@]}"; do
    wait "${clients[$index]}" || failed+=("${asking[$index]}")
    echo "== ${asking[$index]}"
    cat "$work/${asking[$index]}.log"
done
clients=()

if wanted open-webui; then
    echo "== open-webui"
    until_up "Open WebUI" "$front/health" "${servers[1]}" "$work/open-webui.log"
    # In the background, so that a signal ends it at once.
    OPEN_WEBUI=$front "$packages/open-webui/bin/python" "$here/front_end.py" &
    clients=($!)
    wait "${clients[0]}" || {
        failed+=(open-webui)
        tail -n 60 "$work/open-webui.log" >&2
    }
fi

clients=()

kill -0 "${servers[0]}" 2>/dev/null || failed+=("the gateway, which ended")
if grep -E "panicked|ERROR" "$work/gateway.log" >&2; then
    failed+=("the gateway's log, which has errors (above)")
fi
stop "${servers[@]}"
servers=()
down
if wanted sdk && [[ " ${failed[*]} " != *" sdk "* ]]; then
    echo "== sdk, without the network"
    "${sdk[@]}" verify || failed+=("sdk verify")
fi
if [ "${#failed[@]}" = 0 ]; then
    echo "== all passed"
else
    echo "== FAILED: $(IFS=,; echo "${failed[*]}")"
    exit 1
fi
