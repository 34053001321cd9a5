#!/usr/bin/env bash
# The whole suite. Tests of the lab run where root is; in CI they must.
set -euo pipefail
cd "$(dirname "$0")"
export KVMPANEL_SECRET_KEY=${KVMPANEL_SECRET_KEY:-only-for-tests-and-development}
python=.venv/bin/python
notes=$(mktemp -d)
export KVMPANEL_FAILED_ONCE=$notes/failed-once
fetching=

# What failed and passed when it was run once more is the last thing that is read.
finish() {
    [ ! -s "$KVMPANEL_FAILED_ONCE" ] || { echo "FAILED ONCE, and passed when run again:"; cat "$KVMPANEL_FAILED_ONCE"; }
    rm -r "$notes"
}
trap finish EXIT

# Where it was never fetched it takes some minutes, for which the lab's tests would wait. It ends by itself.
if [ "$(id -u)" = 0 ]; then
    nice -n 19 $python -m lab fetch >"$notes/fetched" 2>&1 &
    fetching=$!
fi

# mypy has one processor for half a minute; the other begins with the tests.
make --no-print-directory -j 2 --output-sync lint types >"$notes/linted" 2>&1 &
linting=$!
unit="not lab and not browser and not postgres and not quiet"
$python -m pytest -q -n 2 --durations=15 -m "$unit and not waits"
wait "$linting" || { cat "$notes/linted"; exit 1; }
cat "$notes/linted"
# Each worker reads all the files it is given: tests/conftest.py holds these tests to these places.
$python -m tests.once_more -q -n 6 --dist load --maxschedchunk=1 --durations=15 -m "$unit and waits" tests/agent
$python -m tests.on_postgres --durations=10

if [ -n "$fetching" ]; then
    wait "$fetching" || echo "Not all could be fetched; the tests that need it will say what."
    cat "$notes/fetched"
fi
# The lab's hosts mostly wait, for guests that boot and windows that end, so there are more at a time than processors.
$python -m tests.once_more -q -n 3 --dist loadfile --no-loadscope-reorder --durations=25 -m "(lab or browser) and not quiet" \
    tests/lab tests/browser tests/panel/test_pages_in_chromium.py
# What counts packets or milliseconds has the machine for itself.
$python -m tests.on_postgres --once-more -n 0 -m quiet
$python -m tests.once_more -q --durations=10 -m quiet \
    tests/agent/test_bridge_move.py tests/agent/test_stp.py tests/panel/test_processes.py
