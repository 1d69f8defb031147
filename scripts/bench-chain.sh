#!/usr/bin/env bash
# Measures the chain: requests settled per second, state, blocks, weights, the driver, the way to a consensus.
#
# The programs must be built (make build). All arguments go to chain-bench: --only load, --help. Run as root and with perf
# (Debian: linux-perf), it also draws where a node's time goes under load.
# POQ_CACHE    where the programs are kept (default: ~/.cache/proof-of-quality)
# FLAME        where the flame graph goes (default: benches/flame.svg); empty for none
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
cache="${POQ_CACHE:-$HOME/.cache/proof-of-quality}"
programs="${CARGO_TARGET_DIR:-$cache/target}/release"

flame=()
if command -v perf >/dev/null && [[ "$(id -u)" == 0 && -n "${FLAME-default}" ]]; then
    flame=(--flame "${FLAME:-$here/benches/flame.svg}")
else
    echo "bench: no flame graph: it needs perf, and root"
fi
"$programs/chain-bench" --node "$programs/poq-node" --out "${BENCH_RESULTS:-$here/benches/results.json}" "${flame[@]}" "$@"
