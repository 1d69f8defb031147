#!/usr/bin/env bash
# Builds the images of the programs that `make build` left, starts the network of docker/compose.yaml, and asks it a question.
# Exit code: 0 if all checks pass, 1 otherwise. In both cases everything that was started is removed.
#
# A Docker that answers is used. If none answers, root gets one from Debian's packages, in a folder that is removed afterwards;
# that Docker pulls nothing, so its base image is made with debootstrap.
#
# DOCKER                the client to use (default: docker)
# CARGO_TARGET_DIR      folder in which the programs were built
# POQ_CACHE             folder of ONNX Runtime and of the base image
# POQ_PROMETHEUS_IMAGE  image of Prometheus (default: prom/prometheus of compose.yaml)
# POQ_DOCKER_KEEP       1: leave the network running (needs a Docker that was there before)
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
root="$(dirname "$here")"
cache="${POQ_CACHE:-$HOME/.cache/proof-of-quality}"
programs="${CARGO_TARGET_DIR:-$cache/target}/release"
docker="${DOCKER:-docker}"
state="$(mktemp -d -t poq-docker-XXXXXX)"
daemon=
up=

# Its own names, images, ports and secrets, so that a network that runs already is not touched.
export COMPOSE_PROJECT_NAME="poq-test-$$"
export POQ_IMAGE_TAG=test
export POQ_NODE_IMAGE="poq-node:$POQ_IMAGE_TAG" POQ_WORKER_IMAGE="poq-worker:$POQ_IMAGE_TAG" POQ_GATEWAY_IMAGE="poq-gateway:$POQ_IMAGE_TAG"
export POQ_HISTORY_IMAGE="poq-history:$POQ_IMAGE_TAG" POQ_HISTORY_PORT="${POQ_HISTORY_PORT:-18788}"
export POQ_RPC_PORT="${POQ_RPC_PORT:-19944}" POQ_PROMETHEUS_PORT="${POQ_PROMETHEUS_PORT:-19090}" POQ_GATEWAY_PORT="${POQ_GATEWAY_PORT:-18787}"
question="What is the capital of Peru?"
answer="The capital of Peru is Lima."
# What starts and stays: four authors, seven operators, one engine, the door, the gateway, the history, Prometheus.
services=(alice bob charlie dave rpc gateway history engine-0 operator-{0..6} prometheus)
limit_mib=600
# Seconds until all are well. They start at once, on as few as two cores.
patience=900

say() { echo "docker-test: $*"; }
fail() {
    echo "docker-test: FAILED: $*" >&2
    exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }

# ---------------------------------------------------------------- a Docker

install_packages() {
    local package missing=()
    for package in "$@"; do
        dpkg-query --show --showformat '${Status}' "$package" 2>/dev/null | grep -q ' installed$' || missing+=("$package")
    done
    ((${#missing[@]} == 0)) && return
    say "installing packages: ${missing[*]}"
    apt-get update >/dev/null 2>&1 || true
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}" >"$state/apt.log" 2>&1 ||
        fail "apt-get install ${missing[*]}: $(tail -n 1 "$state/apt.log")"
}

# The client's version may not suit Debian's daemon; its own does.
start_own_docker() {
    if [[ "$(id -u)" != 0 ]] || ! have apt-get; then
        fail "no Docker answers; start one, or run this as root on Debian, where it starts one of its own"
    fi
    install_packages docker.io docker-compose debootstrap iptables
    docker=/usr/bin/docker
    say "no Docker answers: starting one in $state"
    export DOCKER_HOST="unix://$state/docker.sock"
    # The machine's firewall and routing stay as they are: containers of one network reach each other without, and published
    # ports go through a proxy.
    dockerd --data-root "$state/data" --exec-root "$state/exec" --pidfile "$state/pid" --host "$DOCKER_HOST" --bridge none \
        --iptables=false --ip6tables=false --ip-forward=false --ip-masq=false >"$state/dockerd.log" 2>&1 &
    daemon=$!
    for _ in $(seq 60); do
        ! "$docker" info >/dev/null 2>&1 || return 0
        kill -0 "$daemon" 2>/dev/null || break
        sleep 1
    done
    fail "dockerd does not start: $(tail -n 1 "$state/dockerd.log")"
}

# What an own Docker has instead of what it would pull.
make_base_images() {
    local tree="$cache/docker-base.tar" folder="$state/base"
    if [[ ! -f "$tree" ]]; then
        say "making a base image with debootstrap"
        debootstrap --variant=minbase bookworm "$folder" >"$state/debootstrap.log" 2>&1 ||
            fail "debootstrap: $(tail -n 1 "$state/debootstrap.log")"
        # The host knows where its packages come from.
        cp -r /etc/apt/sources.list* "$folder/etc/apt/" 2>/dev/null || true
        tar --directory "$folder" --exclude './var/cache/apt/archives/*' --exclude './var/lib/apt/lists/*' \
            --create --file "$tree.new" .
        mv "$tree.new" "$tree"
        rm -rf "$folder"
    fi
    "$docker" import --change 'CMD ["bash"]' "$tree" debian:bookworm-slim >/dev/null
    say "building an image of Debian's Prometheus, in place of prom/prometheus"
    DOCKER_BUILDKIT=1 "$docker" build --quiet --network host --tag poq-test-prometheus - >/dev/null <<'DOCKERFILE'
FROM debian:bookworm-slim
RUN apt-get update && apt-get install --yes --no-install-recommends prometheus \
    && install --directory --owner nobody --group nogroup /prometheus
USER nobody
ENTRYPOINT ["/usr/bin/prometheus"]
DOCKERFILE
    export POQ_PROMETHEUS_IMAGE=poq-test-prometheus
}

compose() {
    if "$docker" compose version >/dev/null 2>&1; then
        "$docker" compose --project-directory "$root/docker" --file "$root/docker/compose.yaml" --env-file "$state/env" "$@"
    else
        docker-compose --project-directory "$root/docker" --file "$root/docker/compose.yaml" --env-file "$state/env" "$@"
    fi
}

# shellcheck disable=SC2317 # It is run by the trap.
clean_up() {
    local code=$?
    trap - EXIT
    if [[ -n "$up" ]]; then
        if [[ "$code" == 1 && "$up" == yes ]]; then
            say "the last lines of each container that is not well:"
            show_unwell || true
        fi
        if [[ "${POQ_DOCKER_KEEP:-}" == 1 && -z "$daemon" ]]; then
            say "left running: $COMPOSE_PROJECT_NAME; poq --url ws://127.0.0.1:$POQ_RPC_PORT status"
            exit "$code"
        fi
        say "stopping"
        compose down --volumes --timeout 20 >/dev/null 2>&1 || true
    fi
    [[ -n "$daemon" ]] || "$docker" rmi "$POQ_NODE_IMAGE" "$POQ_WORKER_IMAGE" "$POQ_GATEWAY_IMAGE" >/dev/null 2>&1 || true
    if [[ -n "$daemon" ]]; then
        kill "$daemon" 2>/dev/null || true
        wait "$daemon" 2>/dev/null || true
        # What the daemon may have left mounted.
        grep -o " $state/[^ ]*" /proc/mounts | sort -r | xargs --no-run-if-empty umount --lazy 2>/dev/null || true
    fi
    rm -rf "$state"
    exit "$code"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

# ---------------------------------------------------------------- what is asked of containers

# Asks the daemon and not compose, which takes a second each time.
container() {
    "$docker" ps --all --quiet --filter "label=com.docker.compose.project=$COMPOSE_PROJECT_NAME" \
        --filter "label=com.docker.compose.service=$1"
}
inspect() { "$docker" inspect --format "$1" "$2"; }
inside() { "$docker" exec "$(container "$1")" "${@:2}"; }
# field KEY, of one line of JSON: a number or a word
field() { sed -n "s/.*\"$1\":\"\{0,1\}\([^,\"}]*\).*/\1/p"; }

# One line for each of the services: its name and how it is.
health() {
    local state='{{if .State.Running}}{{.State.Health.Status}}{{else}}ended with code {{.State.ExitCode}}{{end}}' ids
    mapfile -t ids < <("$docker" ps --all --quiet --filter "label=com.docker.compose.project=$COMPOSE_PROJECT_NAME")
    "$docker" inspect --format "{{index .Config.Labels \"com.docker.compose.service\"}} $state" "${ids[@]}" |
        grep -E "^($(IFS='|' && echo "${services[*]}")) "
}

# shellcheck disable=SC2317
show_unwell() {
    local service how
    health | while read -r service how; do
        [[ "$how" != healthy ]] || continue
        echo "--- $service: $how"
        inspect '{{range .State.Health.Log}}{{.Output}}{{end}}' "$(container "$service")" | tail -n 2
        "$docker" logs --tail 12 "$(container "$service")" 2>&1
    done
}

# ---------------------------------------------------------------- the steps

check_programs() {
    local file
    for file in "$programs"/{poq-node,poq-worker,poq-gateway,poq-history,poq}; do
        [[ -x "$file" ]] || fail "there is no $file: run \`make build\`"
    done
    "$docker" compose version >/dev/null 2>&1 || have docker-compose || fail "there is neither docker compose nor docker-compose"
}

build_images() {
    say "building the images"
    DOCKER="$docker" "$root/docker/build.sh" >"$state/build.log" 2>&1 || {
        tail -n 20 "$state/build.log" >&2
        fail "docker/build.sh"
    }
}

check_image() {
    local image="$1" tool size
    [[ "$(inspect '{{.Config.User}}' "$image")" == 10001:10001 ]] || fail "$image does not run as user 10001"
    [[ "$(inspect '{{.Config.Healthcheck.Test}}' "$image")" == *health* ]] || fail "$image has no health check"
    [[ "$(inspect '{{.Config.StopSignal}}' "$image")" == SIGTERM ]] || fail "$image does not stop by SIGTERM"
    [[ -n "$(inspect '{{index .Config.Labels "org.opencontainers.image.revision"}}' "$image")" ]] || fail "$image has no labels"
    for tool in cc c++ gcc g++ clang ld make cmake cargo rustc rustup protoc git pip; do
        ! "$docker" run --rm --network none --entrypoint sh "$image" -c "command -v $tool" >/dev/null ||
            fail "$image holds $tool"
    done
    size="$(inspect '{{.Size}}' "$image")"
    say "$image: $((size / 1000000)) MB, user 10001, no build tools; $("$docker" run --rm --network none "$image" --version)"
}

start_network() {
    say "starting ${#services[@]} containers"
    # Secrets of this run alone.
    DOCKER="$docker" POQ_SECRETS="$state/secrets" POQ_ENV_FILE="$state/env" "$root/docker/prepare.sh" >"$state/prepare.log" ||
        fail "docker/prepare.sh"
    up=starting
    compose up --detach >"$state/up.log" 2>&1 || {
        tail -n 5 "$state/up.log" >&2
        compose logs --no-color setup models 2>/dev/null >&2 || true
        fail "compose up"
    }
    up=yes
}

wait_until_all_are_well() {
    local all well seen="" start=$SECONDS
    while ((SECONDS - start < patience)); do
        all="$(health)"
        ! grep ' ended ' <<<"$all" || fail "a container ended"
        well="$(grep -c ' healthy$' <<<"$all" || true)"
        [[ "$well" == "$seen" ]] || say "$well of ${#services[@]} containers are healthy after $((SECONDS - start)) s"
        seen="$well"
        ((well < ${#services[@]})) || return 0
        sleep 5
    done
    fail "after $patience s only $seen of ${#services[@]} containers are healthy"
}

finalized() { inside "$1" poq health --json | field finalized_block; }

check_finality() {
    local service before after
    before="$(finalized rpc)"
    for _ in $(seq 60); do
        after="$(finalized rpc)"
        ((after < before + 3)) || break
        sleep 2
    done
    ((after >= before + 3)) || fail "finality stands at block $after"
    say "finality goes on: block $before, then $after"
    for service in bob operator-6; do
        say "$service sees $(inside "$service" poq health)"
    done
}

check_question() {
    local said model alice="bottom drive obey lake curtain smoke basket hold race lonely fit walk//Alice"
    say "asking from the host: $question"
    POQ_SURI="$alice" "$programs/poq" --url "ws://127.0.0.1:$POQ_RPC_PORT" ask "$question" --yes || fail "the question was not answered"
    say "asking from a container"
    said="$(inside rpc poq --json ask "$question" --yes)" || fail "the question was not answered"
    [[ "$said" == *'"state":"settled"'* ]] || fail "not settled: $said"
    [[ "$said" == *"\"answer\":\"$answer\""* ]] || fail "another answer was expected than in $said"
    for model in poq-demo-strong poq-demo-weak; do
        [[ "$said" == *"\"model_name\":\"$model\""* ]] || fail "$model did not answer: $said"
    done
    say "settled: $answer"
}

# As a client of OpenAI's API, from the host, with a key that is made in the container.
check_gateway() {
    local key said url="http://127.0.0.1:$POQ_GATEWAY_PORT"
    key="$(inside gateway poq-gateway keys create --name test --spend-a-day 5 2>/dev/null)" || fail "the gateway makes no key"
    said="$(curl --silent --show-error --max-time 600 --noproxy '*' "$url/v1/chat/completions" -H "Authorization: Bearer $key" \
        -H 'Content-Type: application/json' -d "{\"model\": \"auto\", \"messages\": [{\"role\": \"user\", \"content\": \"$question\"}]}")" ||
        fail "the gateway does not answer"
    [[ "$said" == *"\"content\":\"$answer\""* ]] || fail "another answer was expected of the gateway than $said"
    said="$(curl --silent --max-time 60 --noproxy '*' "$url/config.json")"
    [[ "$said" == "{\"endpoint\":\"ws://127.0.0.1:$POQ_RPC_PORT\"}" ]] || fail "the gateway serves no page: $said"
    said="$(curl --silent --max-time 60 --noproxy '*' -o /dev/null -w '%{http_code}' "$url/v1/models")"
    [[ "$said" == 401 ]] || fail "the gateway answers $said to who has no key"
    say "the gateway answers a client of OpenAI's API: $answer"
}

# Both questions are over by now.
check_history() {
    local said="" url="http://127.0.0.1:$POQ_HISTORY_PORT"
    for _ in $(seq 60); do
        said="$(curl --silent --max-time 60 --noproxy '*' "$url/v1/requests?state=settled")" || true
        [[ "$said" != *"$question"* ]] || break
        sleep 2
    done
    [[ "$said" == *"$question"* ]] || fail "the history has no settled request: $said"
    said="$(curl --silent --max-time 60 --noproxy '*' "$url/v1/models")"
    [[ "$said" == *'"name":"poq-demo-strong"'* ]] || fail "the history ranks no models: $said"
    said="$(curl --silent --max-time 60 --noproxy '*' "$url/config.json")"
    [[ "$said" == "{\"endpoint\":\"ws://127.0.0.1:$POQ_RPC_PORT\",\"history\":\"v1/\"}" ]] || fail "the history serves no page: $said"
    say "the history keeps the requests, and ranks the models"
}

check_socket() {
    local said
    said="$(inside operator-3 poq --json why operator-3 --node ws://127.0.0.1:9944)" || fail "operator-3 is not told why"
    [[ "$said" == *'"has_worker_key":true'* ]] || fail "the control socket of operator-3 is not found: $said"
    said="$(inside operator-3 poq --json why operator-3 --node "ws://rpc:9944")" || fail "rpc does not answer"
    [[ "$said" == *'"has_worker_key":null'* ]] || fail "rpc says to others which keys it has: $said"
    say "operator-3 takes its operator's commands at its socket, and rpc those of nobody else"
}

check_prometheus() {
    local up=0 expected=13
    for _ in $(seq 30); do
        up="$(inside prometheus promtool query instant http://127.0.0.1:9090 'sum(up)' | sed -n 's/.*=> \([0-9]*\) .*/\1/p')"
        [[ "$up" != "$expected" ]] || break
        sleep 2
    done
    [[ "$up" == "$expected" ]] || fail "Prometheus reaches ${up:-none} of $expected targets"
    say "Prometheus reaches all of its $expected targets"
}

check_ports() {
    local ids open
    mapfile -t ids < <("$docker" ps --quiet --filter "label=com.docker.compose.project=$COMPOSE_PROJECT_NAME")
    open="$("$docker" inspect --format '{{range .NetworkSettings.Ports}}{{range .}}{{.HostIp}} {{end}}{{end}}' "${ids[@]}" |
        tr ' ' '\n' | sort -u | grep -v '^$')"
    [[ "$open" == 127.0.0.1 ]] || fail "ports are published on: $open"
    say "ports are published on 127.0.0.1 alone"
}

check_secrets() {
    local ids secret
    mapfile -t ids < <("$docker" ps --all --quiet --filter "label=com.docker.compose.project=$COMPOSE_PROJECT_NAME")
    "$docker" inspect "${ids[@]}" >"$state/inspected"
    for secret in "$state"/secrets/*; do
        ! grep --quiet --fixed-strings --file "$secret" "$state/inspected" || fail "a container shows the secret ${secret##*/}"
    done
    ! inside operator-3 sh -c 'ls /secrets' >/dev/null 2>&1 || fail "operator-3 sees the secrets of all"
    [[ "$(inside operator-0 stat --format '%a %u' /data/engine-token)" == "600 10001" ]] || fail "others may read the engine's token"
    say "no command line and no environment shows a secret"
}

check_memory() {
    local ids service id used limit restarts worst=0
    mapfile -t ids < <("$docker" ps --quiet --filter "label=com.docker.compose.project=$COMPOSE_PROJECT_NAME")
    "$docker" stats --no-stream --no-trunc --format '{{.ID}} {{.MemUsage}}' "${ids[@]}" >"$state/memory"
    printf '\n %-12s %10s %10s %9s\n' Container 'Used MiB' 'Limit MiB' Restarts
    printf ' %s\n' '────────────────────────────────────────────'
    for service in "${services[@]}"; do
        id="$(container "$service")"
        used="$(grep "^$id" "$state/memory" | cut -d' ' -f2 | in_mib)"
        limit=$(($(inspect '{{.HostConfig.Memory}}' "$id") / 1048576))
        restarts="$(inspect '{{.RestartCount}}' "$id")"
        printf ' %-12s %10s %10s %9s\n' "$service" "$used" "$limit" "$restarts"
        ((used <= worst)) || worst="$used"
        [[ "$restarts $(inspect '{{.State.OOMKilled}}' "$id")" == "0 false" ]] || fail "$service was restarted"
    done
    echo
    ((worst > 0 && worst < limit_mib)) || fail "a container needs $worst MiB"
}

# "123.4MiB" and the like, in whole MiB.
in_mib() { awk '/GiB/ {print int($1 * 1024); next} /MiB/ {print int($1); next} {print 0}'; }

check_stop() {
    local service id
    for service in dave operator-1 engine-0; do
        id="$(container "$service")"
        "$docker" stop --time 30 "$id" >/dev/null
        [[ "$(inspect '{{.State.ExitCode}}' "$id")" == 0 ]] ||
            fail "$service does not stop by itself: code $(inspect '{{.State.ExitCode}}' "$id")"
    done
    say "an author, an operator and an engine stop when told to, with code 0"
}

"$docker" info >/dev/null 2>&1 || start_own_docker
check_programs
[[ -z "$daemon" ]] || make_base_images
build_images
check_image "$POQ_NODE_IMAGE"
check_image "$POQ_WORKER_IMAGE"
check_image "$POQ_GATEWAY_IMAGE"
check_image "$POQ_HISTORY_IMAGE"
start_network
wait_until_all_are_well
check_finality
check_question
check_gateway
check_history
check_socket
check_prometheus
check_ports
check_secrets
check_memory
check_stop
say "all is well"
