#!/usr/bin/env bash
# Measures what is claimed, and makes benches/RESULTS.md of it. All rooms, or those that are named: consensus, engine, chain,
# latency, driver. The programs must be built (make build).
#
# POQ_CACHE      where the programs are kept (default: ~/.cache/proof-of-quality)
# BENCH_RESULTS  where the figures go (default: benches/results.json); the page is written beside them
# BENCH_TURNS    turns of each comparison; fewer are for trying things out, not for results
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
cache="${POQ_CACHE:-$HOME/.cache/proof-of-quality}"
programs="${CARGO_TARGET_DIR:-$cache/target}/release"
results="${BENCH_RESULTS:-$here/../benches/results.json}"
turns=(${BENCH_TURNS:+--turns "$BENCH_TURNS"})

# In this order: the quick one first, the one that heats the machine last.
rooms=("$@")
((${#rooms[@]})) || rooms=(consensus engine chain)
begun=$SECONDS
for room in "${rooms[@]}"; do
    echo "bench: $room"
    case "$room" in
        consensus) "$here/bench-consensus.sh" "${turns[@]}" ;;
        engine) "$here/bench-engine.sh" "${turns[@]}" ;;
        # Asked for alone, `chain` is the room of that name; otherwise its program measures latency and driver as well.
        chain)
            if (($# == 0)); then "$here/bench-chain.sh"; else
                "$here/bench-chain.sh" --only load --only blocks --only state --only storage --only weights
            fi
            ;;
        latency | driver) "$here/bench-chain.sh" --only "$room" ;;
        *)
            echo "bench: there is no $room: consensus, engine, chain, latency or driver" >&2
            exit 2
            ;;
    esac
done
"$programs/bench-report" --results "$results" --text "$here/../benches/RESULTS.in.md" \
    --out "$(dirname "$results")/RESULTS.md"
echo "bench: done after $(((SECONDS - begun) / 60)) min"
