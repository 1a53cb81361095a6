# Needs make, and a Python 3.11 or 3.12 with venv. The environment is made on the first target that wants
# it, from the hash-locked requirements, and again whenever they change.

VENV ?= .venv
ARGS ?=
PYTHON ?=

BIN = $(VENV)/bin
UV = VIRTUAL_ENV="$(abspath $(VENV))" UV_PYTHON="$(abspath $(BIN)/python)" "$(BIN)/uv"
COMPILE = $(UV) pip compile --universal --python-version 3.11 \
	--generate-hashes --no-header --no-annotate --quiet $(ARGS)
# Two processes with one thread each: on two cores, 1.2 to 1.5 times one process with two threads. Files in their
# order: the long ones (kills) have few tests, and would otherwise come last, one process idle.
PYTEST = OMP_NUM_THREADS=1 "$(BIN)/pytest" -n 2 --dist loadfile --no-loadscope-reorder

# Searches and tests start many processes: modules are compiled for the first of them, not for each again, even
# where the shell asks that none be kept.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help env search confirm test test-all lint lock

help: ## this list
	@echo "make <target> [ARGS=...] [VENV=folder] [PYTHON=interpreter]"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' Makefile | expand -t 13
	@echo 'For example: make search ARGS="budget=md_lite trials=24"'

search: env ## search an architecture (ARGS: overrides; --help lists them)
	"$(BIN)/mdsearch" search $(ARGS)

confirm: env ## more seeds and steps for the best of a run (ARGS="run=runs/<name>"; default: the latest)
	"$(BIN)/mdsearch" confirm $(ARGS)

test: lint ## lint, types, the import contract and the quick tests
	@$(PYTEST) $(ARGS)

test-all: test ## the same, then the slow tests, one at a time: some take 11 GB
	@OMP_NUM_THREADS=1 "$(BIN)/pytest" -m slow --durations 20 $(ARGS)

lint: env ## ruff, mypy and the import contract
	@"$(BIN)/ruff" check .
	@"$(BIN)/ruff" format --check .
	@"$(BIN)/mypy"
	@"$(BIN)/lint-imports" --no-cache --no-logo

lock: $(VENV)/.uv ## make requirements.lock and bootstrap.lock from pyproject.toml (ARGS=--upgrade for newer versions)
	$(COMPILE) pyproject.toml --group dev --group bootstrap --output-file requirements.lock
	$(COMPILE) --group bootstrap --output-file bootstrap.lock
	@! grep -n '://' requirements.lock bootstrap.lock || { echo "error: an address stands in a lock" >&2; exit 1; }

env: $(VENV)/.installed ## the environment alone

# What a stamp stands for is done once, and again when a file it was made from is newer.
$(VENV)/.installed: $(VENV)/.uv requirements.lock pyproject.toml
	@echo "Installing the locked requirements into $(VENV) (6.5 GB) ..."
	@$(UV) pip sync --require-hashes --quiet requirements.lock
	@$(UV) pip install --no-deps --no-build-isolation --quiet --editable .
	@touch $@

$(VENV)/.uv: bootstrap.lock
	@test -x "$(BIN)/python" || { \
		for python in $(PYTHON) python3.12 python3.11 python3 python; do \
			"$$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' \
				2>/dev/null && exec "$$python" -m venv "$(VENV)"; \
		done; \
		echo "error: no Python 3.11 or 3.12 with venv found; name one: make PYTHON=/path/to/python3.12" >&2; \
		exit 1; }
	@"$(BIN)/python" -m pip install --quiet --require-hashes --no-deps --requirement bootstrap.lock
	@touch $@
