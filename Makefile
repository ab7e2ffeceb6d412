# One command each, from a fresh clone. `make help` lists them.
# Needs make and Python 3.11 or newer; everything else goes into .venv from hashed lock files.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
JOBS ?= 2

# Interpreters of a parent virtual environment must not leak into ours.
unexport VIRTUAL_ENV PYTHONHOME PYTHONPATH

PACKAGES := packages/signer packages/validate packages/attest packages/dumps packages/authority
PROJECTS := $(addsuffix /pyproject.toml,$(PACKAGES))
SOURCES := packages tools $(if $(wildcard bench/*.py bench/*/*.py),bench)

UV_INSTALL := $(BIN)/uv pip install --quiet --python $(BIN)/python
UV_COMPILE := $(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 \
	--no-emit-index-url --no-emit-find-links --no-header

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help env env-dev up test test-slow check lint format types imports drills conformance bench lock clean

help: ## list every target
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "  make %-14s %s\n", $$1, $$2}'

env: $(VENV)/.stamp-env ## make .venv with every program of ours in .venv/bin
env-dev: $(VENV)/.stamp-dev ## the same, with what tests, checks and benchmarks need

up: env ## start signer, authority and demo relying parties (options: make up ARGS="--help")
	$(BIN)/sealwright up $(ARGS)

test: env-dev ## the fast tests (options: make test ARGS="-k name")
	$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup --durations=8 --durations-min=4 -m "not slow" $(ARGS)

test-slow: env-dev ## the tests that take more than a few seconds
	$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup --durations=8 --durations-min=4 -m slow $(ARGS)

check: lint types imports budgets text ## everything that is decided without running the programs

lint: env-dev ## ruff: rules and format
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)

format: env-dev ## let ruff rewrite what it can
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

types: env-dev ## mypy --strict over code, tests and tools
	$(BIN)/mypy $(SOURCES)

imports: env-dev ## import contracts: leaves apart, rooms downwards
	$(BIN)/lint-imports --no-logo

budgets: env-dev ## files, and the signer as a whole, are short enough to review
	$(BIN)/python tools/check_budgets.py

text: env-dev ## nothing unfinished, no address or path of one machine; shown help text is true
	$(BIN)/python tools/check_text.py
	$(BIN)/python tools/check_help.py

help-text: env-dev ## rewrite the help text shown in the documents from what the programs print
	$(BIN)/python tools/check_help.py --write

check-leaves: env-dev ## each leaf package alone in a fresh environment: installs, imports, passes its tests
	$(BIN)/python tools/check_leaves.py $(ARGS)

drills: env ## run every drill against a sandbox of its own (options: make drills ARGS=--json)
	$(BIN)/sealwright drill all $(ARGS)

conformance: env-dev ## put some hundred named tokens to ours and to other validators; writes docs/conformance.md
	npm ci --silent --ignore-scripts --prefix packages/validate/adapters
	mvn -B -q -f packages/validate/adapters/spring/pom.xml package
	mkdir -p build
	$(BIN)/sealwright-validate conformance --all --tolerate-others --node packages/validate/adapters \
		--java packages/validate/adapters/spring/target/jars \
		--markdown docs/conformance.md --html build/conformance.html $(ARGS)

bench: env-dev ## the whole benchmark table in one run
	$(BIN)/python bench/run.py $(ARGS)

lock: $(VENV)/.stamp-installer ## make the lock files anew from requirements/*.in (upgrade: make lock ARGS=--upgrade)
	$(UV_COMPILE) $(ARGS) requirements/installer.in -o requirements/installer.lock
	$(UV_COMPILE) $(ARGS) requirements/run.in -o requirements/run.lock
	$(UV_COMPILE) $(ARGS) requirements/dev.in -o requirements/dev.lock

clean: ## remove the environment and every cache; state/ is kept
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find packages tools bench -type d -name __pycache__ -prune -exec rm -rf {} +

$(VENV)/.stamp-installer: requirements/installer.lock
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else \
	  "Sealwright needs Python 3.11 or newer; %s is %d.%d. Say which to use: make env PYTHON=/path/to/python3.11" \
	  % (sys.executable, v[0], v[1]))'
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/installer.lock
	@touch $@

# A dev environment satisfies `env` too: dev.lock pins the same versions for everything that run.lock names.
$(VENV)/.stamp-env: $(VENV)/.stamp-installer requirements/run.lock $(PROJECTS)
	$(UV_INSTALL) --require-hashes -r requirements/run.lock
	$(UV_INSTALL) --no-deps --no-build-isolation $(addprefix -e ,$(PACKAGES))
	$(BIN)/uv pip check --quiet --python $(BIN)/python
	@touch $@

$(VENV)/.stamp-dev: $(VENV)/.stamp-env requirements/dev.lock
	$(UV_INSTALL) --require-hashes -r requirements/dev.lock
	@touch $@
