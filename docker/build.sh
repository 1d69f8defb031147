#!/usr/bin/env bash
# Builds the image `poq-node` from the programs that `make build` left. DOCKER: the client to use (default: docker).
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
programs="${CARGO_TARGET_DIR:-$HOME/.cache/proof-of-quality/target}/release"
cache="${POQ_CACHE:-$HOME/.cache/proof-of-quality}"
context="$(mktemp -d)"
trap 'rm -rf "$context"' EXIT

install -D -t "$context/bin" "$programs/poq-node" "$programs/poq-worker" "$programs/poq"
install -D -t "$context/lib" "$cache/onnxruntime/libonnxruntime.so"
# The host's network: the image's packages come the same way as the host's.
${DOCKER:-docker} build --network host --tag poq-node --file "$here/Dockerfile" "$context"
