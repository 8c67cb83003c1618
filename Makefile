# Every target does its own set-up: Python 3.11 or newer, make and a package index are enough.
# Paths are relative, so that a directory with spaces in its name is as good as any other.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules --warn-undefined-variables

# The first Python that is new enough; `make PYTHON=...` names another.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$p" && break; done)
# What to run of the tests, and how: `make test TESTS="tests/unit -k sse"`.
TESTS ?=
ARGS ?=
export PROMPT ?=

PIP_VERSION := 26.3
BUF_VERSION := 1.75.0

RUN := .venv/bin/python
READY := .venv/.ready
PIP := $(RUN) -m pip --disable-pip-version-check --quiet
BUF_READY := .tools/buf-$(BUF_VERSION)
# Built in the same environment, so that the pins hold for the build too.
PROJECTS := --no-build-isolation --group dev -e . -e clients/python[terminal]
SOURCES := server clients/python tests

.PHONY: help
help: ## Print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-16s %s\n", $$1, $$2 }' Makefile

.PHONY: demo
demo: $(READY) ## Stream an answer through sandbox, gateway and client; PROMPT="..." asks
	@$(RUN) -m headgate demo $(if $(PROMPT),"$$PROMPT")

.PHONY: serve
serve: $(READY) ## Serve the gateway in front of the embedded sandbox; ARGS="..." adds flags
	@$(RUN) -m headgate serve --sandbox $(ARGS)

.PHONY: test
test: $(READY) ## Run all tests; TESTS="tests/unit -k sse" runs some
	@$(RUN) -m pytest $(TESTS)

.PHONY: fast
fast: $(READY) ## Run the unit tests only
	@$(RUN) -m pytest -q tests/unit

.PHONY: conformance
conformance: $(READY) ## Give every client the same cases; ARGS="--language go" chooses
	@$(RUN) tests/conformance/kit.py $(ARGS)

.PHONY: bench-traffic
bench-traffic: $(READY) ## Measure the promises about time over sockets; ARGS=--quick for a tenth
	@PYTHONPATH=tests GRPC_ENABLE_FORK_SUPPORT=0 $(RUN) tests/bench/traffic/measure.py $(ARGS)

.PHONY: check
check: lint types buf check-generated check-floors ## Run every check that is not a test

.PHONY: lint
lint: $(READY) ## Check format and lint
	@$(RUN) -m ruff format --check $(SOURCES) protos
	@$(RUN) -m ruff check $(SOURCES) protos

.PHONY: types
types: $(READY) ## Check types
	@$(RUN) -m mypy $(SOURCES)

.PHONY: format
format: $(READY) ## Format the code and put right what can be put right
	@$(RUN) -m ruff format $(SOURCES) protos
	@$(RUN) -m ruff check --fix $(SOURCES) protos

.PHONY: settings
settings: $(READY) ## Write the README's table of settings
	@$(RUN) -m headgate.settings_doc README.md

.PHONY: clean
clean: ## Remove everything that was made, the environment included
	@rm -rf .venv .tools .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
	@find . -name __pycache__ -prune -exec rm -rf {} +

.PHONY: buf
buf: $(BUF_READY) ## Check the contract: lint, and nothing that breaks callers
	@cd protos && ../.tools/node_modules/.bin/buf lint
	@cd protos && ../.tools/node_modules/.bin/buf format --diff --exit-code
	@cd protos && ../.tools/node_modules/.bin/buf breaking --against baseline.binpb

$(BUF_READY):
	@command -v npm >/dev/null || { echo "buf comes from npm, which is missing; install Node.js" >&2; exit 1; }
	@npm install --silent --no-fund --no-audit --prefix .tools @bufbuild/buf@$(BUF_VERSION)
	@touch $(BUF_READY)

.PHONY: proto
proto: $(READY) ## Make the stubs, and whatever else follows from the contract
	@$(RUN) protos/generate.py

.PHONY: check-generated
check-generated: $(READY) ## Fail if a generated file is not what the contract makes
	@$(RUN) protos/generate.py --check

.PHONY: check-floors
check-floors: $(READY) ## Import the stubs at the oldest and the newest grpcio and protobuf
	@$(RUN) protos/check_floors.py

.PHONY: constraints
constraints: ## Pin the newest versions that the projects allow, into server/constraints.txt
	@rm -rf .tools/newest && $(PYTHON) -m venv .tools/newest
	@.tools/newest/bin/python -m pip install --quiet --disable-pip-version-check pip==$(PIP_VERSION)
	@.tools/newest/bin/python -m pip install --quiet --disable-pip-version-check hatchling
	@.tools/newest/bin/python -m pip install --quiet --disable-pip-version-check $(PROJECTS)
	@{ echo "# Written by \`make constraints\`: what the tests run with, the same on every machine."; \
		.tools/newest/bin/python -m pip freeze --exclude-editable; } > server/constraints.txt

# The environment is made again where a project's dependencies or the pins have changed.
$(READY): pyproject.toml clients/python/pyproject.toml server/constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "Python 3.11 or newer is needed ($(PYTHON) is not); name one with make PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) cannot make environments; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@echo "setting up .venv ($$($(PYTHON) --version)); this is done once"
	@$(RUN) -c '' 2>/dev/null || $(PYTHON) -m venv --clear .venv
	@$(PIP) install pip==$(PIP_VERSION)
	@$(PIP) install -c server/constraints.txt hatchling
	@$(PIP) install -c server/constraints.txt $(PROJECTS)
	@touch $(READY)
