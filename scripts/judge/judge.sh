#!/usr/bin/env bash
# Trains the judge of answers: from the data to models/poq-judge's files. README.md beside this file describes it.
#
#   scripts/judge/judge.sh               every step that is not done yet
#   scripts/judge/judge.sh STEP [OPTION] one step: see `judge.sh --help`
#
# POQ_JUDGE_DATA  path of judge_data.jsonl.gz (needed by `prepare`)
# POQ_CACHE       where Python packages, weights and work go (default: ~/.cache/proof-of-quality), as judge/
# PYTHON          which Python, 3.11 or newer, with pip (default: python3)
# POQ_JUDGE_THREADS  threads of one process (default: 1)
set -euo pipefail

# shellcheck source=scripts/judge/environment.sh
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
exec "$python" "$here/judge.py" "$@"
