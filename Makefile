# Commands for people and CI; `make help` lists them.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# The first Python that is new enough; `make setup` reports when there is none.
PYTHON ?= $(shell for name in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$name && break; done || true)
BIN := .venv/bin
# The release of swagger-ui-dist that services/file_service/http/static/swagger-ui holds; `make swagger-ui` fetches it.
SWAGGER_UI := 5.35.0
SWAGGER_UI_FILES := LICENSE NOTICE favicon-32x32.png index.css swagger-ui.css swagger-ui-bundle.js swagger-ui-bundle.js.LICENSE.txt
SHELL_SCRIPTS = $(shell git ls-files .ci 'deploy/*.sh')
DOCKERFILES = $(wildcard deploy/docker/*Dockerfile*)
# Pass arguments to pytest: make test PYTEST="-k lease -x"
PYTEST ?=
# Folders or files for `make test-only`.
SUITES ?= tests/unit
# --python-only: Python packages only, where no conversion program is needed.
SETUP ?=
# Test processes for tests that need no server.
JOBS ?= auto
# Two processes, because each start of the provider takes a core; in order, because the longest files come first.
TERRAFORM_TESTS := -n 2 --dist loadgroup -p no:randomly tests/terraform
# Some machines forbid bytecode files; without them every run of the suite compiles everything again.
unexport PYTHONDONTWRITEBYTECODE
# The demo reads these from its environment, so that names with spaces and quotes stay intact.
export FILES ?=
export TO ?=
export KEEP ?=
# The test suite runs one minute too. Example: make chaos SECONDS=600 SEED=7 RATE=5
SECONDS ?= 60
SEED ?=
RATE ?=
# Simulated runs in fake time, by number. Example: make model SEEDS=1 FIRST=4711
SEEDS ?= 10000
FIRST ?= 0
# Words in the names of the mutants to try: make mutants ONLY="outbox"
ONLY ?=
# Programs per core that keep the machine busy beside `make chaos`.
LOADED ?=
MINUTES ?= 60

##@ Run
.PHONY: setup
setup: python ## Install what is missing on this machine and in .venv; fast when complete
	@$(PYTHON) -m deploy.local.setup

.PHONY: up
up: setup ## Start everything in the foreground; Ctrl-C stops it, data stays in .converto
	@exec $(BIN)/python -m deploy.local up

.PHONY: down
down: ## Stop what `make up` started, even after a crash
	@if [ -x $(BIN)/python ]; then exec $(BIN)/python -m deploy.local down; else echo "Nothing is installed, so nothing is running."; fi

.PHONY: status
status: ## Show what is running and where
	@if [ -x $(BIN)/python ]; then exec $(BIN)/python -m deploy.local status; else echo "Nothing is installed, so nothing is running."; exit 1; fi

.PHONY: demo
demo: setup ## Convert samples or your own files: make demo FILES="a.pptx b.jpg" TO=pdf
	@$(BIN)/python -m deploy.local.demo

##@ Develop
.PHONY: setup-dev
setup-dev: python ## Also install what checks and tests need
	@$(PYTHON) -m deploy.local.setup --dev $(SETUP)

# Three runs: tests without servers in parallel, those that share servers and measure time, and Terraform. All always
# run, and a filter in PYTEST may leave one of them without a test (status 5).
.PHONY: test
test: setup-dev ## Set up and run the whole suite
	@status=0; empty=$(if $(PYTEST),5,0); \
	run() { $(BIN)/python -m pytest "$$@" $(PYTEST) || { code=$$?; [ $$code -eq $$empty ] || status=$$code; }; }; \
	run -n $(JOBS) --dist loadfile tests/unit tests/house tests/engines; \
	run tests/contract tests/integration tests/e2e tests/scenarios tests/chaos; \
	run $(TERRAFORM_TESTS); \
	exit $$status

.PHONY: test-unit
test-unit: setup-dev ## Run the tests that need no server
	@$(BIN)/python -m pytest tests/unit $(PYTEST)

.PHONY: test-only
test-only: setup-dev ## Run some folders or files of the suite: make test-only SUITES="tests/contract tests/engines"
	@$(BIN)/python -m pytest $(SUITES) $(PYTEST)

.PHONY: scenarios
scenarios: setup-dev ## Run all scenarios, also those that take minutes and that `make test` leaves out
	@$(BIN)/python -m pytest tests/scenarios -m "minutes or not minutes" $(PYTEST)

.PHONY: model
model: setup-dev ## Simulate the whole installation in fake time, SEEDS runs from FIRST on, on all cores
	@PYTHONPATH=libs:services:. $(BIN)/python -m tests.unit.model --seeds $(SEEDS) --first $(FIRST)

.PHONY: test-compose
test-compose: setup-dev ## Convert with each worker of the running Compose stack
	@CONVERTO_TEST_COMPOSE=1 $(BIN)/python -m pytest tests/e2e/images/test_compose_stack.py $(PYTEST)

.PHONY: test-terraform
test-terraform: setup-dev ## Test, plan, apply and destroy terraform/ on a double of AWS; skips without the provider
	@$(BIN)/python -m pytest $(TERRAFORM_TESTS) $(PYTEST)

.PHONY: terraform-mirror
terraform-mirror: setup-dev ## Download Terraform's AWS provider for test-terraform
	@$(BIN)/python -m tests.terraform.mirror

# The lock files in the repository hold the checksums for linux_amd64 only. Terraform computes them from the packages of
# all platforms, which it downloads from its registry.
TERRAFORM_PLATFORMS := linux_amd64 linux_arm64 darwin_arm64 darwin_amd64
.PHONY: terraform-lock
terraform-lock: ## Lock the provider for macOS and ARM64 too (lock files hold linux_amd64 only); needs Terraform's registry
	@for lock in terraform/environments/*/.terraform.lock.hcl; do \
		folder=$$(dirname "$$lock"); \
		terraform -chdir="$$folder" get > /dev/null; \
		terraform -chdir="$$folder" providers lock $(TERRAFORM_PLATFORMS:%=-platform=%); \
	done

.PHONY: check
check: setup-dev ## Check format, lint, types, import rules, shell scripts, Dockerfiles
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@PYTHONPATH=libs:services:. $(BIN)/lint-imports
	@$(BIN)/python -m pytest -q tests/house
	@$(BIN)/shellcheck $(SHELL_SCRIPTS)
	@$(if $(DOCKERFILES),$(BIN)/hadolint $(DOCKERFILES),true)

.PHONY: fmt
fmt: setup-dev ## Fix formatting and what ruff can fix automatically
	@$(BIN)/ruff check --fix-only .
	@$(BIN)/ruff format .

.PHONY: readme
readme: setup-dev ## Update the README's table of formats and docs/formats.md from the converters
	@PYTHONPATH=libs:services $(BIN)/python -m deploy.local.formats_table

.PHONY: bench
bench: setup-dev ## Benchmark converto against the bare programs
	@$(BIN)/python -m bench

.PHONY: bench-engines
bench-engines: setup-dev ## Benchmark the converters against the bare programs and the corpus; needs no stack
	@PYTHONPATH=libs:services $(BIN)/python -m bench.engines

.PHONY: chaos
chaos: setup-dev ## Inject faults for SECONDS while conversions run and count losses (replay with SEED=)
	@PYTHONPATH=libs:services:. $(BIN)/python -m tests.chaos \
		--seconds $(SECONDS) $(if $(SEED),--seed $(SEED)) $(if $(RATE),--rate $(RATE)) $(if $(LOADED),--loaded $(LOADED))

.PHONY: soak
soak: setup-dev ## Convert at a low rate for MINUTES without faults; memory has to stay flat, and nothing may be left over
	@PYTHONPATH=libs:services:. $(BIN)/python -m tests.chaos.soak \
		--minutes $(MINUTES) $(if $(SEED),--seed $(SEED)) $(if $(RATE),--rate $(RATE))

.PHONY: mutants
mutants: setup-dev ## Try each of a list of deliberate faults against the tests: all have to be caught (ONLY="words")
	@$(BIN)/python -m tests.mutants $(if $(ONLY),--only "$(ONLY)")

.PHONY: bench-load
bench-load: setup-dev ## Benchmark many clients and a long queue on separate stacks
	@PYTHONPATH=libs:services $(BIN)/python -m bench.load

.PHONY: lock
lock: setup-dev ## Write deploy/requirements/*.txt from pyproject.toml; UPGRADE=1 takes the newest versions
	@lock() { $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-emit-find-links --no-header $(if $(UPGRADE),--upgrade) --output-file deploy/requirements/$$1.txt \
		"$${@:2}" $${pyproject-pyproject.toml}; }; \
	lock cli; lock server --extra server; lock worker --extra worker; lock local --extra local; \
	lock motor --extra motor; lock rotation --extra rotation; lock dev --extra local --extra motor --group dev; \
	pyproject= lock checkov --group pyproject.toml:checkov

.PHONY: swagger-ui
swagger-ui: ## Fetch Swagger UI for the API's documentation page from npm; to update, change SWAGGER_UI above
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT \
		&& npm pack --silent --pack-destination "$$folder" swagger-ui-dist@$(SWAGGER_UI) > /dev/null \
		&& tar -xzf "$$folder"/*.tgz -C "$$folder" \
		&& cd "$$folder"/package && cp $(SWAGGER_UI_FILES) $(CURDIR)/services/file_service/http/static/swagger-ui/

.PHONY: clean
clean: down ## Remove .venv, caches and test output; the data of `make up` in .converto stays
	@rm -rf .venv .converto/tests .converto/demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .schemathesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

##@ Help
.PHONY: help
help: ## Show this help
	@awk 'BEGIN {FS = ":.*## "} \
		/^##@/ {printf "\n%s\n", substr($$0, 5)} \
		/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: python
python:
	@[ -n "$(PYTHON)" ] || { echo "Python 3.11 or newer is needed (Debian: apt-get install python3 python3-venv)." >&2; exit 1; }
