#!/usr/bin/env bash
# Makes the files that compose.yaml needs: the secrets, and the address of the first node. A file that exists is kept.
#
# DOCKER          the client to use (default: docker)
# POQ_NODE_IMAGE  the node's image (default: poq-node)
# POQ_SECRETS     folder of the secrets (default: secrets, beside this script)
# POQ_ENV_FILE    file of settings for docker compose (default: .env, beside this script)
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
docker="${DOCKER:-docker}"
image="${POQ_NODE_IMAGE:-poq-node}"
secrets="${POQ_SECRETS:-$here/secrets}"
env_file="${POQ_ENV_FILE:-$here/.env}"

fail() {
    echo "prepare: $*" >&2
    exit 1
}

# Writes standard input to a new secret. Only its owner may read the file, from the first byte on.
secret() {
    local file="$secrets/$1"
    [[ ! -s "$file" ]] || return 0
    (umask 077 && cat >"$file.new" && mv "$file.new" "$file")
    echo "prepare: made $file: $2"
}

random_hex() { od -An -v -tx1 -N32 /dev/urandom | tr -d ' \n'; }

"$docker" image inspect "$image" >/dev/null 2>&1 || fail "there is no image $image: run \`make image\`"
(umask 077 && mkdir -p "$secrets")

random_hex | secret node-key "who the first node is"
random_hex | secret engine-token "opens the engine that has a container of its own"
for operator in {0..6}; do
    # Everybody knows the development phrase and so these keys; the chain `local` has them at genesis, with stake.
    echo "bottom drive obey lake curtain smoke basket hold race lonely fit walk//PoQ//worker//$operator" | secret "worker-$operator" "the worker key of the demo's operator $operator"
done

echo "bottom drive obey lake curtain smoke basket hold race lonely fit walk//Bob" | secret gateway-account "pays for what the gateway asks"

# The peer id is the public half of the node key.
peer="$("$docker" run --rm --interactive --network none "$image" key inspect-node-key <"$secrets/node-key")" ||
    fail "$secrets/node-key is no node key; remove it to get a new one"
cat >"$env_file" <<ENV
# Written by prepare.sh; read by docker compose.
COMPOSE_PROJECT_NAME=${COMPOSE_PROJECT_NAME:-poq}
POQ_SECRETS=$secrets
POQ_BOOTNODE=/dns4/alice/tcp/30333/p2p/$peer
ENV
echo "prepare: all there; now: docker compose --project-directory docker up --detach"
