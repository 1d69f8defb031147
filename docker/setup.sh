#!/bin/sh
# Puts each node's secrets into its own volume, as root, once, before the nodes start: in a container without a network that
# ends then. The nodes themselves see no secret but their own.
set -eu

secrets=/secrets
volumes=/volumes
poq=10001
# User and group of Prometheus.
nobody=65534

# give OWNER SECRET FILE
give() { install -D -m 0600 -o "$1" -g "$1" "$secrets/$2" "$3"; }

# The other nodes find the network by this key's node; they make their own network keys when they first start.
give "$poq" node-key "$volumes/alice/poq-node/chains/poq_local/network/secret_ed25519"

for operator in 0 1 2 3 4 5 6; do
    # The file's name is on the command line, not what is in it.
    XDG_DATA_HOME="$volumes/operator-$operator" poq-node key insert --chain local --scheme sr25519 --key-type 'poq!' \
        --suri "$secrets/worker-$operator"
done

give "$poq" gateway-account "$volumes/gateway/account"

# The engine in a container of its own, the node that gives it work, and Prometheus, which counts what it does.
give "$poq" engine-token "$volumes/engine-0/proof-of-quality/engine-token"
give "$poq" engine-token "$volumes/operator-0/engine-token"
give "$nobody" engine-token "$volumes/prometheus-token/engine-token"

chown "$nobody:$nobody" "$volumes/prometheus-token"
for volume in "$volumes"/alice "$volumes"/bob "$volumes"/charlie "$volumes"/dave "$volumes"/operator-? "$volumes/engine-0" "$volumes/gateway"; do
    chown -R "$poq:$poq" "$volume"
    chmod 0700 "$volume"
done
echo "setup: keys and tokens are in place"
