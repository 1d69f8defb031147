#!/usr/bin/env bash
# Checks docker/monitoring: the syntax of the alert rules, that each rule fires when it should and stays silent otherwise, and
# that the dashboard is JSON. A test of the node (node/program/tests/it/monitoring.rs) checks that the metrics exist.
#
# Needs promtool (or the program named by PROMTOOL). If it is missing, Debian's package `prometheus` is unpacked (not installed)
# into the cache: 19 MB. Without network or Debian the script says so and checks nothing (exit code 0).
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
cache="${POQ_CACHE:-$HOME/.cache/proof-of-quality}/prometheus"

fetch() {
    command -v apt-get > /dev/null && command -v dpkg > /dev/null || return 1
    mkdir -p "$cache"
    (
        cd "$cache"
        # apt drops its rights for downloads and says so where it cannot.
        apt-get download prometheus > fetch.log 2>&1 || exit 1
        dpkg -x prometheus_*.deb . && rm -f prometheus_*.deb
    )
}

promtool="${PROMTOOL:-$(command -v promtool || echo "$cache/usr/bin/promtool")}"
if [ ! -x "$promtool" ] && ! { [ -z "${PROMTOOL:-}" ] && fetch; }; then
    echo "monitoring: skipped, no promtool at $promtool (Debian's package prometheus has it)"
    exit 0
fi

cd "$here/docker/monitoring"
"$promtool" check rules alerts.yml
"$promtool" test rules alerts_test.yml
python3 -m json.tool grafana-dashboard.json > /dev/null
echo "monitoring: alert rules and dashboard are well"
