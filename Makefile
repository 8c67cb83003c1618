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
A ?= build/bench-before.json
B ?= build/bench.json
export PROMPT ?=
# Whether a warning of the C++ compiler is an error: ON or OFF.
WERROR ?= OFF

PIP_VERSION := 26.3
BUF_VERSION := 1.75.0
PYRIGHT_VERSION := 1.1.414
PLAYWRIGHT_VERSION := 1.65.2

RUN := .venv/bin/python
READY := .venv/.ready
PIP := $(RUN) -m pip --disable-pip-version-check --quiet
# As an operator installs it: what development needs besides is loaded where it is found.
SERVED := .tools/served
SERVED_READY := $(SERVED)/.ready
SERVED_PIP := $(SERVED)/bin/python -m pip --disable-pip-version-check --quiet
BENCH := PYTHONPATH=tests GRPC_ENABLE_FORK_SUPPORT=0 SERVED="$(CURDIR)/$(SERVED)/bin/python" $(RUN)
BUF_READY := .tools/buf-$(BUF_VERSION)
PYRIGHT_READY := .tools/pyright-$(PYRIGHT_VERSION)
PLAYWRIGHT_READY := .venv/.playwright-$(PLAYWRIGHT_VERSION)
WEB_READY := clients/web/node_modules/.ready
NPM_INSTALL := npm install --silent --no-fund --no-audit --no-package-lock
# Built in the same environment, so that the pins hold for the build too.
PROJECTS := --no-build-isolation --group dev -e . -e clients/python[terminal]
SOURCES := server clients/python tests
SCRIPTS := protos clients/toolchains.py clients/go clients/typescript clients/web
CLIENTS := python go typescript java rust cpp
# Ends with a line for each toolchain that is missing, and what to install.
NEEDS := @$(RUN) clients/toolchains.py

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
	@$(if $(TESTS),:,$(MAKE) --no-print-directory test-usable-clients)

.PHONY: fast
fast: $(READY) ## Run the unit tests only
	@$(RUN) -m pytest -q tests/unit

.PHONY: clients
clients: $(CLIENTS:%=client-%) client-web ## Check, build and test every client; `make client-go` does one

# Says which it leaves out and why; `make clients` leaves none out.
.PHONY: test-usable-clients
test-usable-clients: $(READY)
	@mkdir -p build
	@targets=$$($(RUN) clients/toolchains.py --usable 2>build/left-out.txt); \
		test -z "$$targets" || $(MAKE) --no-print-directory $$targets; \
		echo "clients: tested here: python" $${targets//test-/}; cat build/left-out.txt

.PHONY: lint-clients
lint-clients: $(CLIENTS:%=lint-%) lint-web ## Check format and lint of every client

.PHONY: $(CLIENTS:%=client-%) $(CLIENTS:%=lint-%) $(CLIENTS:%=test-%) client-web lint-web test-web
$(CLIENTS:%=client-%) client-web: client-%: lint-% test-%

lint-python: lint

test-python: $(READY)
	@$(RUN) -m pytest -q tests/unit/client tests/integration/test_python_client.py

lint-go: $(READY)
	$(NEEDS) go
	@cd clients/go && test -z "$$(gofmt -l .)" || { echo "run gofmt -w clients/go" >&2; exit 1; }
	@cd clients/go && go vet ./...

test-go: $(READY)
	$(NEEDS) go
	@cd clients/go && go test -count=1 ./...

lint-typescript: $(READY)
	$(NEEDS) typescript
	@cd clients/typescript && $(NPM_INSTALL) && npm run --silent lint

test-typescript: $(READY)
	$(NEEDS) typescript
	@cd clients/typescript && $(NPM_INSTALL) && npm test --silent

lint-java: $(READY)
	$(NEEDS) java
	@cd clients/java && mvn -q -B spotless:check

test-java: $(READY)
	$(NEEDS) java
	@cd clients/java && mvn -q -B -Dmaven.javadoc.skip package

lint-rust: $(READY)
	$(NEEDS) rust
	@cd clients/rust && cargo fmt --check && cargo clippy --quiet --all-targets -- -D warnings

test-rust: $(READY)
	$(NEEDS) rust
	@cd clients/rust && cargo test --quiet

lint-cpp: $(READY)
	$(NEEDS) cpp
	@find clients/cpp -path '*/build' -prune -o -name '*.cc' -print0 -o -name '*.h' -print0 | \
		xargs -0 clang-format --dry-run -Werror

test-cpp: $(READY)
	$(NEEDS) cpp
	@cmake -S clients/cpp -B build/cpp -DHEADGATE_TESTS=ON -DHEADGATE_WERROR=$(WERROR) >/dev/null
	@MAKEFLAGS= cmake --build build/cpp -j2 >/dev/null
	@ctest --test-dir build/cpp --quiet --no-tests=error --output-log build/cpp/tests.log || { \
		ctest --test-dir build/cpp --rerun-failed --output-on-failure; exit 1; }

.PHONY: web
web: $(WEB_READY) ## Build the page for the browser, into clients/web/dist
	@cd clients/web && npm run --silent build -- --logLevel warn
	@echo "clients/web/dist is ready for any web server that Envoy allows calls from; on this machine:"
	@echo "    npm --prefix clients/web run preview"
	@echo "    http://127.0.0.1:4173/?target=http://127.0.0.1:8080    with Envoy's own address"

lint-web: $(WEB_READY)
	@cd clients/web && npm run --silent lint

# Through Envoy, in a browser without a window; what it looks like is put into build/web.
test-web: $(READY) $(PLAYWRIGHT_READY) $(WEB_READY)
	$(NEEDS) web
	@cd clients/web && npm test --silent && npm run --silent build -- --logLevel warn
	@$(RUN) -m pytest -q tests/web $(ARGS)

# What each registry wants, below dist/.
.PHONY: packages
packages: $(CLIENTS:%=package-%) ## Build what each language's registry wants, into dist/

.PHONY: package-python
package-python: $(READY)
	@rm -rf dist/python
	@$(RUN) -m hatchling build -d dist/python
	@cd clients/python && ../../$(RUN) -m hatchling build -d ../../dist/python

# A proxy's files for the tag clients/go/v0.1.0: GOPROXY=file:///.../dist/go.
.PHONY: package-go
package-go: $(READY)
	$(NEEDS) go
	@rm -rf dist/go
	@cd tests/packages/modzip && go run . ../../../clients/go ../../../dist/go

.PHONY: package-typescript
package-typescript: $(READY)
	$(NEEDS) typescript
	@rm -rf dist/typescript && mkdir -p dist/typescript
	@cd clients/typescript && $(NPM_INSTALL) && npm pack --silent --pack-destination ../../dist/typescript

# A Maven repository's files: jar, sources, javadoc, pom, checksums.
.PHONY: package-java
package-java: $(READY)
	$(NEEDS) java
	@rm -rf dist/java
	@cd clients/java && mvn -q -B -DskipTests deploy -DaltDeploymentRepository=dist::file:../../dist/java

# Cargo builds the crate once more from what is in it.
.PHONY: package-rust
package-rust: $(READY)
	$(NEEDS) rust
	@rm -rf dist/rust && mkdir -p dist/rust
	@cd clients/rust && cargo package --quiet --allow-dirty
	@cp clients/rust/target/package/*.crate dist/rust

.PHONY: package-cpp
package-cpp: $(READY)
	$(NEEDS) cpp
	@rm -rf dist/cpp
	@cmake -S clients/cpp -B build/cpp >/dev/null
	@cpack --config build/cpp/CPackSourceConfig.cmake -B dist/cpp >/dev/null
	@rm -rf dist/cpp/_CPack_Packages

.PHONY: test-packages
test-packages: $(READY) packages $(PYRIGHT_READY) $(BUF_READY) ## Install what was packed as a user would, run the READMEs
	@$(RUN) -m pytest tests/packages $(ARGS)

.PHONY: check-deploy
check-deploy: $(READY) ## Render and validate the chart, hold it against the program, build the image (root, Debian)
	@$(RUN) tests/deploy/tools.py
	@$(RUN) -m pytest tests/deploy $(ARGS)

.PHONY: mesh
mesh: $(READY) ## Serve three headgates behind Envoy, sharing one limit in Redis; ARGS="--port 8080"
	@PYTHONPATH=tests $(RUN) -m mesh.run $(ARGS)

.PHONY: test-mesh
test-mesh: $(READY) ## Kill, drain and hang headgates behind a real Envoy (needs Redis)
	@$(RUN) -m pytest tests/mesh $(ARGS)

.PHONY: conformance
conformance: $(READY) ## Give every client the same cases; ARGS="--language go" chooses
	@$(RUN) tests/conformance/kit.py $(ARGS)

.PHONY: bench
bench: $(READY) $(SERVED_READY) ## Measure what headgate costs and adds; ARGS="--quick stream" chooses, --help tells
	@$(BENCH) -m bench.cost.measure $(ARGS)

.PHONY: bench-compare
bench-compare: $(READY) ## Put two results of `make bench` side by side: A=old.json B=new.json
	@$(BENCH) -m bench.cost.compare "$(A)" "$(B)"

.PHONY: bench-ci
bench-ci: $(READY) $(SERVED_READY) ## Fail when a token or a call has become about twice as dear, in two minutes
	@$(BENCH) -m bench.cost.ci

.PHONY: bench-peers
bench-peers: $(READY) $(SERVED_READY) ## Measure headgate beside LiteLLM, Portkey, CrabLLM, litellm-rs, Envoy and nginx; ARGS="--help" tells
	@$(BENCH) -m bench.peers.measure $(ARGS)

.PHONY: bench-traffic
bench-traffic: $(READY) ## Measure the promises about time over sockets; ARGS=--quick for a tenth
	@PYTHONPATH=tests GRPC_ENABLE_FORK_SUPPORT=0 $(RUN) tests/bench/traffic/measure.py $(ARGS)

.PHONY: bench-mesh
bench-mesh: $(READY) ## Measure what deploy/envoy promises: restarts, hangs, retries, limits
	@PYTHONPATH=tests:tests/bench/traffic GRPC_ENABLE_FORK_SUPPORT=0 $(RUN) -m mesh.measure $(ARGS)

.PHONY: bench-production
bench-production: $(READY) ## Measure rotation, strangers, watchers, label attacks and drains; ARGS=--quick for a tenth
	@PYTHONPATH=tests:tests/bench/traffic GRPC_ENABLE_FORK_SUPPORT=0 GRPC_VERBOSITY=NONE \
		$(RUN) tests/bench/production/measure.py $(ARGS)

.PHONY: check
check: lint types buf check-generated check-floors ## Run every check that is not a test

.PHONY: lint
lint: $(READY) ## Check format and lint
	@$(RUN) -m ruff format --check $(SOURCES) $(SCRIPTS)
	@$(RUN) -m ruff check $(SOURCES) $(SCRIPTS)

.PHONY: types
types: $(READY) ## Check types
	@$(RUN) -m mypy $(SOURCES)

.PHONY: format
format: $(READY) ## Format the code and put right what can be put right
	@$(RUN) -m ruff format $(SOURCES) $(SCRIPTS)
	@$(RUN) -m ruff check --fix $(SOURCES) $(SCRIPTS)

.PHONY: settings
settings: $(READY) ## Write the README's table of settings
	@$(RUN) -m headgate.settings_doc README.md

.PHONY: clean
clean: ## Remove everything that was made, the environment included
	@rm -rf .venv .tools .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
	@rm -rf clients/*/build clients/*/target clients/*/dist clients/*/node_modules
	@rm -f clients/{typescript,web}/package-lock.json clients/rust/Cargo.lock
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

$(WEB_READY): clients/web/package.json
	@command -v npm >/dev/null || { echo "the page is built with npm, which is missing; install Node.js" >&2; exit 1; }
	@cd clients/web && $(NPM_INSTALL)
	@touch $(WEB_READY)

$(PLAYWRIGHT_READY): $(READY)
	@$(PIP) install -c server/constraints.txt playwright==$(PLAYWRIGHT_VERSION) greenlet==3.5.6
	@touch $(PLAYWRIGHT_READY)

$(PYRIGHT_READY):
	@command -v npm >/dev/null || { echo "pyright comes from npm, which is missing; install Node.js" >&2; exit 1; }
	@npm install --silent --no-fund --no-audit --no-save --prefix .tools/pyright pyright@$(PYRIGHT_VERSION)
	@touch $(PYRIGHT_READY)

$(SERVED_READY): pyproject.toml server/constraints.txt
	@echo "installing what serves into $(SERVED)"
	@$(PYTHON) -m venv --clear $(SERVED)
	@$(SERVED_PIP) install pip==$(PIP_VERSION)
	@$(SERVED_PIP) install -c server/constraints.txt hatchling
	@$(SERVED_PIP) install -c server/constraints.txt --no-build-isolation -e .
	@touch $(SERVED_READY)

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
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "Python 3.11 or newer is needed ($(PYTHON) is not); name one with make PYTHON=..." >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) cannot make environments; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@echo "setting up .venv ($$($(PYTHON) --version)); this is done once"
	@$(RUN) -c '' 2>/dev/null || $(PYTHON) -m venv --clear .venv
	@$(PIP) install pip==$(PIP_VERSION)
	@$(PIP) install -c server/constraints.txt hatchling
	@$(PIP) install -c server/constraints.txt $(PROJECTS)
	@touch $(READY)
