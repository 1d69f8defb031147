#!/usr/bin/env bash
# Holds the engine's HTTP API against real clients: OpenAI's Python client (client.py), and schemathesis, which makes
# requests of /openapi.json and looks whether the answers are what that document says.
#
#   scripts/compat/openai/run.sh [PROGRAM]     PROGRAM: poq-worker (default: the release build)
#
# Environment: POQ_CACHE (the Python packages go to $POQ_CACHE/compat/openai), PYTHON, CARGO_TARGET_DIR,
# EXAMPLES (requests per call that schemathesis makes up; default 30), SEED.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../../.." && pwd)
cache=${POQ_CACHE:-$HOME/.cache/proof-of-quality}
venv=$cache/compat/openai/venv
program=${1:-${CARGO_TARGET_DIR:-$cache/target}/release/poq-worker}

[ -x "$program" ] || { echo "there is no $program; run 'make build' first, or name the program" >&2; exit 2; }
[ ! -f "$cache/env.sh" ] || . "$cache/env.sh"

if ! cmp -s "$here/requirements.txt" "$venv/requirements.txt"; then
    rm -rf "$venv"
    mkdir -p "${venv%/*}"
    "${PYTHON:-python3}" -m venv "$venv"
    "$venv/bin/pip" install --quiet --requirement "$here/requirements.txt"
    cp "$here/requirements.txt" "$venv/requirements.txt"
fi

work=$(mktemp -d)
engines=()
finish() {
    for engine in "${engines[@]}"; do
        kill "$engine" 2>/dev/null || true
        wait "$engine" 2>/dev/null || true
    done
    rm -rf "$work"
}
trap finish EXIT

free_port() {
    "$venv/bin/python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# start NAME OPTION…: an engine with folders of its own; $base and $log are set.
start() {
    local name=$1 port
    shift
    port=$(free_port)
    base=http://127.0.0.1:$port
    log=$work/$name.log
    POQ_ENGINE_TOKEN=$token POQ_CONFIG=$work/none.toml "$program" serve --listen "127.0.0.1:$port" --demo-models \
        --models "$work/models" --data "$work/$name" "$@" 2>"$log" &
    engines+=($!)
    for _ in $(seq 300); do
        if "$venv/bin/python" -c "import urllib.request; urllib.request.urlopen('$base/health')" 2>/dev/null; then
            return
        fi
        kill -0 "${engines[-1]}" 2>/dev/null || break
        sleep 0.2
    done
    echo "the engine does not start:" >&2
    cat "$log" >&2
    exit 1
}

token=$("$venv/bin/python" -c 'import secrets; print(secrets.token_hex(16))')
: >"$work/none.toml"
# Requests here are for this machine, whatever proxy is set.
export NO_PROXY=127.0.0.1 no_proxy=127.0.0.1
failed=0

start full --queue-limit 0
full=$base
start main --job-seconds 60
main=$base

echo "== OpenAI's client"
POQ_TOKEN=$token POQ_BASE=$main POQ_FULL_BASE=$full "$venv/bin/python" "$here/client.py" || failed=1

# Every check that schemathesis has is on, and every call is tried.
echo "== schemathesis"
# It leaves files where it runs.
cd "$work"
"$venv/bin/schemathesis" --config-file "$here/schemathesis.toml" run "$main/openapi.json" \
    --header "Authorization: Bearer $token" --phases examples,coverage,fuzzing --max-examples "${EXAMPLES:-30}" \
    --seed "${SEED:-1}" --no-color --continue-on-failure >"$work/schemathesis.txt" 2>&1 || failed=1
if [ "$failed" = 0 ]; then
    grep -A 30 "SUMMARY" "$work/schemathesis.txt" || true
else
    cat "$work/schemathesis.txt"
fi

kill -0 "${engines[-1]}" || { echo "the engine died" >&2; failed=1; }
if grep -E "panicked|ERROR" "$work"/*.log; then
    echo "the engine's log has errors (above)" >&2
    failed=1
fi
[ "$failed" = 0 ] && echo "== all passed" || echo "== FAILED"
exit "$failed"
