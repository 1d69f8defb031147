#!/usr/bin/env bash
# Tests scripts/judge on a small set of our own making (models/poq-judge/suite.jsonl): every step, in a few minutes. Not
# part of `make test`, because it needs PyTorch. The environment is that of judge.sh.
#
#   scripts/judge/test.sh [-v] [NAME OF A TEST]
set -euo pipefail

# shellcheck source=scripts/judge/environment.sh
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
exec "$python" "$here/tests.py" "$@"
