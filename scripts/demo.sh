#!/usr/bin/env bash
# A whole network on this machine, a question and its answer: starts `poq-node --dev`, asks, prints, stops the node.
#
# ASK               the question
# POQ_DEMO_PORT     where the node answers RPC (default: 9944)
# CARGO_TARGET_DIR  where the programs were built
set -euo pipefail

question="${ASK:-What is the capital of Peru?}"
port="${POQ_DEMO_PORT:-9944}"
programs="${CARGO_TARGET_DIR:-$HOME/.cache/proof-of-quality/target}/release"
log="$(mktemp -t poq-demo-XXXXXX.log)"

fail() {
    echo "demo: $* (the node's log: $log)" >&2
    exit 1
}

"$programs/poq-node" --dev --rpc-port "$port" --no-prometheus --no-telemetry --port 0 >"$log" 2>&1 &
node=$!
trap 'kill "$node" 2>/dev/null; wait "$node" 2>/dev/null || true' EXIT

rpc_answers() { (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; }

echo "demo: starting a network of one author, two inference nodes and five quality validators (log: $log)"
for _ in $(seq 120); do
    kill -0 "$node" 2>/dev/null || fail "the node ended"
    rpc_answers && break
    sleep 0.5
done
rpc_answers || fail "the node does not answer on port $port"

echo "demo: asking: $question"
"$programs/poq" --url "ws://127.0.0.1:$port" ask "$question" || fail "the question was not answered"
