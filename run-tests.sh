#!/usr/bin/env bash
# The whole suite. Tests of the lab run where root is; in CI they must.
set -euo pipefail
cd "$(dirname "$0")"
export KVMPANEL_SECRET_KEY=${KVMPANEL_SECRET_KEY:-only-for-tests-and-development}

make --no-print-directory lint types
# What needs no lab runs on both cores; the lab's hosts share the machine and go one after the other.
.venv/bin/python -m pytest -q -n 2 -m "not lab and not browser and not postgres and not quiet"
.venv/bin/python -m tests.on_postgres
.venv/bin/python -m tests.on_postgres -n 0 -m quiet
.venv/bin/python -m pytest -q -m "lab or browser or quiet"
