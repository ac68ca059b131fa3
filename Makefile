# What a person or CI types. Each target says what it does; `make help` lists them.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# The first Python that is new enough; setup says so when there is none.
PYTHON ?= $(shell for name in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$name && break; done || true)
BIN := .venv/bin
LOCKS := server worker cli local motor dev
SHELL_SCRIPTS = $(shell git ls-files .ci 'deploy/*.sh')
DOCKERFILES = $(wildcard deploy/docker/*Dockerfile*)
# Give an argument to pytest: make test PYTEST="-k lease -x"
PYTEST ?=
# The demo reads these from its environment, so that names with blanks and quotes arrive as they are.
export FILES ?=
export TO ?=
export KEEP ?=
# One minute is what the test suite runs too: make chaos SECONDS=600 SEED=7 RATE=5
SECONDS ?= 60
SEED ?=
RATE ?=

##@ Run it
.PHONY: setup
setup: python ## Install what is missing on this machine and in .venv; quick when nothing is
	@$(PYTHON) -m deploy.local.setup

.PHONY: up
up: setup ## Start everything and stay; Ctrl-C stops it, the data stays in .converto
	@exec $(BIN)/python -m deploy.local up

.PHONY: down
down: ## Stop what `make up` started, also after a crash
	@if [ -x $(BIN)/python ]; then exec $(BIN)/python -m deploy.local down; else echo "Nothing is installed, so nothing runs."; fi

.PHONY: status
status: ## Say what runs and where
	@if [ -x $(BIN)/python ]; then exec $(BIN)/python -m deploy.local status; else echo "Nothing is installed, so nothing runs."; exit 1; fi

.PHONY: demo
demo: setup ## Convert samples, or your own: make demo FILES="a.pptx b.jpg" TO=pdf
	@$(BIN)/python -m deploy.local.demo

##@ Work on it
.PHONY: setup-dev
setup-dev: python ## Install also what checks and tests need
	@$(PYTHON) -m deploy.local.setup --dev

.PHONY: test
test: setup-dev ## Set up and run the whole suite
	@$(BIN)/python -m pytest tests $(PYTEST)

.PHONY: test-unit
test-unit: setup-dev ## Run the tests that need no server: seconds
	@$(BIN)/python -m pytest tests/unit $(PYTEST)

.PHONY: check
check: setup-dev ## Format, lint, types, import rules, shell, containers
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@PYTHONPATH=libs:services:. $(BIN)/lint-imports
	@$(BIN)/python -m pytest -q tests/house
	@$(BIN)/shellcheck $(SHELL_SCRIPTS)
	@$(if $(DOCKERFILES),$(BIN)/hadolint $(DOCKERFILES),true)

.PHONY: fmt
fmt: setup-dev ## Mend the format and what ruff can mend by itself
	@$(BIN)/ruff check --fix-only .
	@$(BIN)/ruff format .

.PHONY: readme
readme: setup-dev ## Write the README's table of formats anew, from the converters
	@PYTHONPATH=libs:services $(BIN)/python -m deploy.local.formats_table

.PHONY: bench
bench: setup-dev ## Measure converto against the bare programs, in one run
	@$(BIN)/python -m bench

.PHONY: bench-engines
bench-engines: setup-dev ## Measure the converters against the bare programs, and run the corpus; needs no stack
	@PYTHONPATH=libs:services $(BIN)/python -m bench.engines

.PHONY: chaos
chaos: setup-dev ## Break everything for SECONDS while conversions run, and count what is lost (replay with SEED=)
	@PYTHONPATH=libs:services:. $(BIN)/python -m tests.chaos \
		--seconds $(SECONDS) $(if $(SEED),--seed $(SEED)) $(if $(RATE),--rate $(RATE))

.PHONY: bench-load
bench-load: setup-dev ## Measure a crowd of clients, and a long queue, on stacks of its own
	@PYTHONPATH=libs:services $(BIN)/python -m bench.load

.PHONY: lock
lock: setup-dev ## Write deploy/requirements/*.txt anew from the *.in; UPGRADE=1 takes the newest versions
	@cd deploy/requirements && for name in $(LOCKS); do \
		../../$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
			--no-emit-find-links --no-header $(if $(UPGRADE),--upgrade) --output-file $$name.txt $$name.in; \
	done

.PHONY: clean
clean: down ## Remove .venv, caches and what tests left; the data of `make up` in .converto stays
	@rm -rf .venv .converto/tests .converto/demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .schemathesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

##@ Find your way
.PHONY: help
help: ## Show this
	@awk 'BEGIN {FS = ":.*## "} \
		/^##@/ {printf "\n%s\n", substr($$0, 5)} \
		/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: python
python:
	@[ -n "$(PYTHON)" ] || { echo "Python 3.11 or newer is needed (Debian: apt-get install python3 python3-venv)." >&2; exit 1; }
