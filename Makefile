# Chores. Each target installs what it needs into .venv: the first run installs, later runs start at once.

.DEFAULT_GOAL := help
SHELL := /bin/sh
# Variables of another project's environment that would interfere.
unexport CDPATH VIRTUAL_ENV PYTHONHOME PYTHONPATH PIP_USER PIP_TARGET PIP_PREFIX
# Tests start hundreds of processes; without bytecode files, each would compile every module again.
unexport PYTHONDONTWRITEBYTECODE

# All paths are relative, so the checkout may be in a folder whose name contains spaces.
VENV := .venv
RUN := $(VENV)/bin/python -m
INSTALL := $(RUN) pip install --quiet --disable-pip-version-check
# For many packages, of which few modules are imported: uv resolves in seconds what takes pip minutes, and leaves it to
# Python to compile what is imported. Where uv cannot be had or finds nothing, as with an index that only pip is configured for,
# pip installs everything.
INSTALL_MANY = sh -c '{ $(INSTALL) uv && $(RUN) uv pip install --quiet --python $(VENV)/bin/python "$$@"; } 2>/dev/null \
	|| $(INSTALL) "$$@"' install

# ensurepip is needed too; some systems package it separately from Python.
USABLE := import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))
# The newest comes last, because some dependencies have no builds for it yet.
PYTHONS := python3.13 python3.12 python3.11 python3 python3.14
PYTHON ?= $(shell for each in $(PYTHONS); do "$$each" -c '$(USABLE)' >/dev/null 2>&1 && echo "$$each" && break; done)

# Continues after a failure, so that one run shows everything there is to fix.
define LINT
failed=""; \
$(RUN) ruff check --quiet . || failed="$$failed ruff"; \
$(RUN) ruff format --quiet --check . || failed="$$failed ruff-format"; \
$(RUN) mypy || failed="$$failed mypy"; \
$(VENV)/bin/lint-imports --no-logo || failed="$$failed import-linter"
endef
# More processes than cores, because tests spend much of their time waiting; tests of one group share a process.
TEST := $(RUN) pytest -n 4 --dist loadgroup -q
# The lint beside the tests, which leave a core idle while they wait; what it says comes after theirs.
BESIDE = found=$$(mktemp -d); ( $(LINT); echo "$$failed" >"$$found/failed" ) >"$$found/said" 2>&1 & tests=""
JOIN := wait; cat "$$found/said"; failed="$$(cat "$$found/failed")$$tests"; rm -r "$$found"
VERDICT := if [ -n "$$failed" ]; then echo "failed:$$failed" >&2; exit 1; fi

.PHONY: help demo check test conformance faults bench lint format clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

demo: $(VENV)/.demo ## Classify and enrich a file of support tickets, with callbacks, and show it in a browser
	@$(VENV)/bin/python examples/demo.py

check: $(VENV)/.test ## Check style, types and imports, and run the quick tests that need no server: under three minutes
	@$(LINT); \
	$(TEST) -m 'not servers and not slow and not conformance' || failed="$$failed pytest"; \
	$(VERDICT)

test: $(VENV)/.test ## Check style, types, imports and all tests but those of `make conformance`, with real servers
	@$(BESIDE); \
	$(TEST) -m 'not conformance' || tests=" pytest"; \
	$(JOIN); \
	$(VERDICT)

conformance: $(VENV)/.test ## Test by foreign tools: schemathesis, npm clients, generated clients, proxies, axe, pyright, promtool
	@$(TEST) -m conformance

faults: $(VENV)/.test ## Inject random faults into each combination of servers; MINUTES= each, SEED=, ON=embedded|redis|rabbitmq|streams
	@$(RUN) tests.faults $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED)) $(if $(ON),--on $(ON))

bench: $(VENV)/.bench ## Compare with the same job written by hand on other queues, 20 minutes; ROUNDS=, PROCESSES=, JSON=file
	@$(RUN) benchmarks.compare $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(PROCESSES),--processes $(PROCESSES)) $(if $(JSON),--json $(JSON))

lint: $(VENV)/.test ## Check style, formatting, types and the direction of imports
	@$(LINT); \
	$(VERDICT)

format: $(VENV)/.test ## Format the code and apply automatic fixes
	@$(RUN) ruff check --quiet --fix . ; $(RUN) ruff format --quiet .

clean: ## Remove everything that the targets above created, including the environment
	rm -rf $(VENV) demo build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Keeps an existing environment that works, whoever created it.
$(VENV)/.python:
	@$(VENV)/bin/python -c '$(USABLE)' 2>/dev/null && $(RUN) pip --version >/dev/null 2>&1 || { \
		if ! "$(PYTHON)" -c '$(USABLE)' 2>/dev/null; then \
			echo "error: found no Python 3.11 or newer with venv; install one (on Debian: python3 and python3-venv)," >&2; \
			echo "       or pass its path: make PYTHON=/path/to/python3 $(MAKECMDGOALS)" >&2; \
			exit 1; \
		fi; \
		echo "Creating .venv with $$("$(PYTHON)" --version) …"; \
		"$(PYTHON)" -m venv --clear $(VENV); \
	}
	@touch $@

$(VENV)/.demo: pyproject.toml $(VENV)/.python
	@echo "Installing what the demo needs …"
	@$(INSTALL) --editable '.[keywords,language,contacts,fuzzy,serve]'
	@touch $@

$(VENV)/.test: pyproject.toml $(VENV)/.python
	@echo "Installing what the tests need …"
	@$(INSTALL_MANY) --editable '.[test]'
	@touch $@ $(VENV)/.demo

$(VENV)/.bench: pyproject.toml $(VENV)/.python
	@echo "Installing what the comparison needs …"
	@$(INSTALL_MANY) --editable '.[test,bench]'
	@touch $@ $(VENV)/.test $(VENV)/.demo
