#!/usr/bin/env bash
# The whole suite. Tests of the lab run where root is; in CI they must.
set -euo pipefail
cd "$(dirname "$0")"
export KVMPANEL_SECRET_KEY=${KVMPANEL_SECRET_KEY:-only-for-tests-and-development}

# What failed and passed when it was run once more is the last thing that is read.
KVMPANEL_FAILED_ONCE=$(mktemp)
export KVMPANEL_FAILED_ONCE
tell_failed_once() {
    [ ! -s "$KVMPANEL_FAILED_ONCE" ] || { echo "FAILED ONCE, and passed when run again:"; cat "$KVMPANEL_FAILED_ONCE"; }
    rm -f "$KVMPANEL_FAILED_ONCE"
}
trap tell_failed_once EXIT

make --no-print-directory lint types
# What needs no lab runs on both cores; the lab's hosts share the machine and go one after the other.
.venv/bin/python -m pytest -q -n 2 --durations=25 -m "not lab and not browser and not postgres and not quiet"
.venv/bin/python -m tests.on_postgres --durations=10
.venv/bin/python -m tests.on_postgres --once-more -n 0 -m quiet
.venv/bin/python -m tests.once_more -q --durations=25 -m "lab or browser or quiet"
