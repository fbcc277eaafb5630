# Chores. Each sets up what it needs in .venv: the first run installs, later ones start at once.

.DEFAULT_GOAL := help
SHELL := /bin/sh
# What another project's environment would change about ours.
unexport CDPATH VIRTUAL_ENV PYTHONHOME PYTHONPATH PIP_USER PIP_TARGET PIP_PREFIX
# Tests start hundreds of processes: each would compile all of our modules again.
unexport PYTHONDONTWRITEBYTECODE

# Paths are relative throughout, so that a checkout may lie in a folder with spaces.
VENV := .venv
RUN := $(VENV)/bin/python -m
INSTALL := $(RUN) pip install --quiet --disable-pip-version-check

# Needs ensurepip too, which some systems ship apart from Python.
USABLE := import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))
# The newest comes last: not every dependency has been built for it.
PYTHONS := python3.13 python3.12 python3.11 python3 python3.14
PYTHON ?= $(shell for each in $(PYTHONS); do "$$each" -c '$(USABLE)' >/dev/null 2>&1 && echo "$$each" && break; done)

# Goes on after a failure: one run shows all there is to mend.
define LINT
failed=""; \
$(RUN) ruff check --quiet . || failed="$$failed ruff"; \
$(RUN) ruff format --quiet --check . || failed="$$failed ruff-format"; \
$(RUN) mypy || failed="$$failed mypy"; \
$(VENV)/bin/lint-imports --no-logo || failed="$$failed import-linter"
endef
# More processes than cores, since much of a test is waiting; what belongs together stays in one process.
TEST := $(RUN) pytest -n 4 --dist loadgroup -q
VERDICT := if [ -n "$$failed" ]; then echo "failed:$$failed" >&2; exit 1; fi

.PHONY: help demo check test faults bench lint format clean

help: ## Show what there is to type
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

demo: $(VENV)/.demo ## Classify and enrich a file of support tickets, with callbacks to a local receiver
	@$(VENV)/bin/python examples/demo.py

check: $(VENV)/.test ## Check style, types, imports, and run the quick tests that need no server: under three minutes
	@$(LINT); \
	$(TEST) -m 'not servers and not slow' || failed="$$failed pytest"; \
	$(VERDICT)

test: $(VENV)/.test ## Check everything: style, types, imports, tests; seven minutes on two cores
	@$(LINT); \
	$(TEST) || failed="$$failed pytest"; \
	$(VERDICT)

faults: $(VENV)/.test ## Strike every combination of servers with faults at random; MINUTES= each, SEED=, ON=embedded|redis|rabbitmq
	@$(RUN) tests.faults $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED)) $(if $(ON),--on $(ON))

bench: $(VENV)/.bench ## Compare with the same job by hand on other queues, a quarter of an hour; ROUNDS=, PROCESSES=, JSON=file
	@$(RUN) benchmarks.compare $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(PROCESSES),--processes $(PROCESSES)) $(if $(JSON),--json $(JSON))

lint: $(VENV)/.test ## Check style, formatting, types and the direction of imports
	@$(LINT); \
	$(VERDICT)

format: $(VENV)/.test ## Format the code and mend what can be mended by itself
	@$(RUN) ruff check --quiet --fix . ; $(RUN) ruff format --quiet .

clean: ## Remove what the commands above have made, the environment included
	rm -rf $(VENV) demo build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# An environment that is there and works is kept, whoever made it.
$(VENV)/.python:
	@$(VENV)/bin/python -c '$(USABLE)' 2>/dev/null && $(RUN) pip --version >/dev/null 2>&1 || { \
		if ! "$(PYTHON)" -c '$(USABLE)' 2>/dev/null; then \
			echo "error: no Python 3.11 or newer with venv was found; install one (on Debian: python3 and python3-venv)," >&2; \
			echo "       or name it: make PYTHON=/path/to/python3 $(MAKECMDGOALS)" >&2; \
			exit 1; \
		fi; \
		echo "Making .venv with $$("$(PYTHON)" --version) …"; \
		"$(PYTHON)" -m venv --clear $(VENV); \
	}
	@touch $@

$(VENV)/.demo: pyproject.toml $(VENV)/.python
	@echo "Installing what the demo needs …"
	@$(INSTALL) --editable '.[keywords,language,contacts,fuzzy]'
	@touch $@

$(VENV)/.test: pyproject.toml $(VENV)/.python
	@echo "Installing what the tests need …"
	@$(INSTALL) --editable '.[test]'
	@touch $@ $(VENV)/.demo

$(VENV)/.bench: pyproject.toml $(VENV)/.python
	@echo "Installing what the comparison needs …"
	@$(INSTALL) --editable '.[test,bench]'
	@touch $@ $(VENV)/.test $(VENV)/.demo
