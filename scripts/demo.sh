#!/usr/bin/env bash
# A whole network on this machine, a question and its answer: starts `poq-node --dev`, asks, shows the pay, stops.
#
# ASK               the question
# WEB               1: stay, with a history and its page for browsers, until Ctrl-C
# POQ_DEMO_PAGE     address of that page (default: 127.0.0.1:8080)
# POQ_DEMO_PORT     port of the node's RPC (default: any free port)
# CARGO_TARGET_DIR  folder in which the programs were built
set -euo pipefail

question="${ASK:-What is the capital of Peru?}"
programs="${CARGO_TARGET_DIR:-$HOME/.cache/proof-of-quality/target}/release"
data="$(mktemp -d -t poq-demo-XXXXXX)"
log="$data/node.log"
node=

# Leaves nothing behind on success, and the node's log on failure.
stop() {
    [ -z "$node" ] || { kill "$node" 2>/dev/null && wait "$node" 2>/dev/null; } || true
    rm -rf "$data/chain"
}
trap stop EXIT

fail() {
    echo "demo: $* (the node's log: $log)" >&2
    exit 1
}

programs_needed=(poq-node poq)
[ "${WEB:-}" != 1 ] || programs_needed+=(poq-history)
for program in "${programs_needed[@]}"; do
    [ -x "$programs/$program" ] || { rm -rf "$data"; echo "demo: there is no $programs/$program: run \`make build\`" >&2; exit 1; }
done

"$programs/poq-node" --dev --base-path "$data/chain" --rpc-port "${POQ_DEMO_PORT:-0}" \
    --port 0 --no-mdns --no-prometheus --no-telemetry >"$log" 2>&1 &
node=$!

address() { sed -n 's/.*Running JSON-RPC server: addr=\([0-9.:]*\).*/\1/p' "$log" | head -n 1; }
engine_answers() { grep -q "The engine answers" "$log"; }

echo "demo: starting a network: one block author, two inference nodes, five quality validators, one engine"
for _ in $(seq 240); do
    kill -0 "$node" 2>/dev/null || fail "the node ended: $(tail -n 1 "$log")"
    [ -z "$(address)" ] || ! engine_answers || break
    sleep 0.5
done
[ -n "$(address)" ] || fail "the node does not answer"
engine_answers || fail "the engine does not answer"
POQ_URL="ws://$(address)"
export POQ_URL

echo "demo: asking: $question"
"$programs/poq" ask "$question" || fail "the question was not answered"
echo
echo "demo: the operators now"
"$programs/poq" operators || fail "the operators cannot be shown"

if [ "${WEB:-}" = 1 ]; then
    echo
    echo "demo: the network stays until Ctrl-C"
    # Ctrl-C ends the history and the node themselves; this goes on to clean up.
    trap : INT TERM
    # It reads the chain from the first block on: the node still has the state of all.
    POQ_LOG="${POQ_LOG:-warn}" "$programs/poq-history" --page "$POQ_URL" --listen "${POQ_DEMO_PAGE:-127.0.0.1:8080}" \
        --database "sqlite://$data/history.db" || fail "the page cannot be served"
fi

stop
node=
rm -rf "$data"
