#!/usr/bin/env bash
# Builds the images `poq-node`, `poq-worker`, `poq-gateway` and `poq-history` from compiled programs (`make install` or `make build`).
#
# DOCKER             the client to use (default: docker)
# CARGO_TARGET_DIR   folder in which the programs were built
# POQ_CACHE          folder of ONNX Runtime
# POQ_IMAGE_TAG      the images' tag (default: latest)
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
cache="${POQ_CACHE:-$HOME/.cache/proof-of-quality}"
programs="${CARGO_TARGET_DIR:-$cache/target}/release"
context="$(mktemp -d)"
trap 'rm -rf "$context"' EXIT

for file in "$programs"/{poq-node,poq-worker,poq-gateway,poq-history,poq} "$cache/onnxruntime/libonnxruntime.so"; do
    [[ -f "$file" ]] || { echo "docker/build.sh: there is no $file: run \`make build\`" >&2; exit 1; }
done
install -D -t "$context/bin" "$programs"/{poq-node,poq-worker,poq-gateway,poq-history,poq}
install -D -t "$context/lib" "$cache/onnxruntime/libonnxruntime.so"

# The version names the commit that the programs were built from, which may differ from the checkout.
commit="$("$programs/poq-node" --version | sed 's/.*-//')"
for image in node worker gateway history; do
    # With the host's network, packages of the image come in the same way as the host's.
    DOCKER_BUILDKIT=1 "${DOCKER:-docker}" build --network host --file "$here/Dockerfile" --target "$image" \
        --build-arg PROGRAMS=prebuilt --build-arg "COMMIT=$commit" --tag "poq-$image:${POQ_IMAGE_TAG:-latest}" "$context"
done
