# Each target with its one line of help: `make help`.
SHELL := /bin/bash
PYTHON := .venv/bin/python
PORT ?= 8080
export KVMPANEL_SECRET_KEY ?= only-for-tests-and-development

.PHONY: help demo setup test soak bench lint types format messages lock

help:  ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

setup:  ## install what is missing: Debian packages by apt, pinned Python packages into .venv
	@./setup.sh

demo:  ## two real KVM hosts with guests and the panel, on this machine (PORT=8080); Ctrl-C takes everything down
	@./setup.sh demo
	@if [ "$$(id -u)" != 0 ] && command -v sudo >/dev/null && sudo -v; \
		then exec sudo $(PYTHON) -m lab demo --port $(PORT); else exec $(PYTHON) -m lab demo --port $(PORT); fi

test: setup  ## the whole suite: lint, types, boundaries, tests on real hosts (root)
	@./run-tests.sh

soak: setup  ## the long forms of the reliability tests
	KVMPANEL_SOAK=1 $(PYTHON) -m pytest -x --timeout=7200

bench: setup  ## POST to applied against the bare libvirt calls, the move into a bridge, and the agent at rest
	@$(PYTHON) -m benchmarks

lint:  ## ruff, djlint and the boundaries between the packages
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/djlint --lint --quiet templates
	.venv/bin/lint-imports

types:  ## mypy --strict
	.venv/bin/mypy virtnet kvmagent kvmpanel pages hosts networks audit team lab tests benchmarks

format:  ## let ruff format the code
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

messages:  ## gather the sentences for translation into locale/
	$(PYTHON) manage.py makemessages -l vi

lock:  ## pin the dependencies of pyproject.toml, with hashes, in requirements/
	.venv/bin/pip install -q uv
	for extra in agent panel; do \
		.venv/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-find-links \
			--custom-compile-command "make lock" --extra $$extra pyproject.toml -o requirements/$$extra.txt; done
	.venv/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-find-links \
		--custom-compile-command "make lock" --extra agent --extra panel --extra dev pyproject.toml -o requirements/dev.txt
