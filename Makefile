# Every verb sets up what it needs: `make demo` and `make test` work on a fresh clone with Python 3.11 or 3.12.
PYTHON ?= python3
VENV   ?= .venv
TRAINING ?= .venv-training
BIN    := $(VENV)/bin
ARGS   ?=
SERVICE ?= gateway

.PHONY: help demo test lint bench bench-ingest bench-detect bench-formulas bench-rescore bench-roads bench-eyes test-training run clean constraints

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 16

demo: $(VENV)/.installed  ## replay the recorded drives through everything, embedded, and serve the dashboard
	@$(BIN)/rumblestrip demo $(ARGS)

test: $(VENV)/.installed-dev  ## all tests, those on a real Kafka, TimescaleDB and browser included
	@$(BIN)/python -m pytest $(ARGS)

test-training: $(TRAINING)/.installed  ## what needs torch: training end to end, torch and ONNX Runtime agree (venv of its own, 7 GB)
	@$(TRAINING)/bin/python -m pytest -W default tests/training $(ARGS)

lint: $(VENV)/.installed-dev  ## style, types, floors, sizes
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports && $(BIN)/python tests/sizes.py

bench: bench-detect bench-formulas bench-ingest  ## figures to build/bench/*.json

bench-ingest: $(VENV)/.installed-dev  ## gateway, Kafka, workers, TimescaleDB: data points per second
	@RUMBLESTRIP_TIMESCALEDB="$${RUMBLESTRIP_TIMESCALEDB:-$(realpath ../shared/services/timescaledb)}" \
	  $(BIN)/python -m tests.bench.ingest $(ARGS)

bench-detect: $(VENV)/.installed-dev  ## detectors on recordings: recall, false alarms, mounting, points per second
	@$(BIN)/python -m tests.bench.detect $(ARGS)

bench-formulas: $(VENV)/.installed-dev  ## formulas of the score side by side: true risk, stability, how often the interval holds
	@$(BIN)/python -m tests.bench.formulas $(ARGS)

bench-roads: $(VENV)/.installed-dev  ## posted limits by matching to the road: right, wrong, unknown, points per second
	@$(BIN)/python -m tests.bench.roads $(ARGS)

bench-rescore: $(VENV)/.installed-dev  ## other rules on stored telemetry: milliseconds a vehicle-hour, with and without calm rows
	@$(BIN)/python -m tests.bench.rescore $(ARGS)

bench-eyes: $(VENV)/.installed-dev  ## eyes on people never trained on: AUC, events, false alarms, frames per second, memory
	@$(BIN)/python -m tests.bench.eyes $(ARGS)

run: $(VENV)/.installed  ## one service: make run SERVICE=gateway
	@$(BIN)/rumblestrip run $(SERVICE) $(ARGS)

clean:  ## environment, caches and build results; recorded data in .rumblestrip stays
	rm -rf $(VENV) $(TRAINING) build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

constraints: $(VENV)/.installed-dev  ## renew constraints.txt from what this environment holds
	@{ echo "# Tested together. Renew with: make constraints"; $(BIN)/uv pip freeze --exclude-editable | grep == ; } > constraints.txt

# uv resolves and installs in seconds what takes pip minutes.
$(BIN)/uv:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12) and "Rumblestrip needs Python 3.11 or 3.12; try: make PYTHON=python3.12 ...")'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt uv

$(VENV)/.installed: $(BIN)/uv pyproject.toml constraints.txt
	@$(BIN)/uv pip install --quiet -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-dev: $(BIN)/uv pyproject.toml constraints.txt
	@$(BIN)/uv pip install --quiet -c constraints.txt -e '.[dev,services]'
	@touch $@ $(VENV)/.installed

# Torch stays out of the environment that the product is tested in.
$(TRAINING)/.installed: $(BIN)/uv pyproject.toml constraints.txt
	@$(PYTHON) -m venv $(TRAINING)
	@$(BIN)/uv pip install --quiet --python $(TRAINING)/bin/python -c constraints.txt -e '.[training]' pytest pytest-timeout hypothesis
	@touch $@
