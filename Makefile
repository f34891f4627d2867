# On a machine with Python 3.11 and make: `make sweep` runs the main job, `make test` the tests.
# The first call sets up .venv/; later calls find it there.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.DEFAULT_GOAL := help
.PHONY: help setup sweep ui test test-slow truth lint format constraints clean

help: ## what can be made
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 22

.venv/.ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; ok = (3, 11) <= sys.version_info < (3, 14); sys.exit(None if ok else "sweep needs Python 3.11 to 3.13, got " + sys.version)'
	$(PYTHON) -m venv .venv
	@echo "Installing into .venv/ (over 2 GB: some minutes, once)"
	$(PIP) -e .
	@touch $@

.venv/.ready-dev: .venv/.ready
	$(PIP) -e '.[dev]'
	@touch $@

setup: .venv/.ready ## .venv/ with everything that a run needs

sweep: .venv/.ready ## the main job: the quickstart study (some minutes)
	$(BIN)/sweep run -m study=quickstart

ui: .venv/.ready ## the MLflow UI on this project's runs
	$(BIN)/sweep ui

test: .venv/.ready-dev ## the tests
	$(BIN)/python -m pytest -n 2 --dist loadscope

test-slow: .venv/.ready-dev ## the tests that take minutes
	$(BIN)/python -m pytest -m slow

truth: .venv/.ready-dev ## whether what is stated is true, on studies whose truth is known (an hour or more)
	$(BIN)/python -m benchmarks.coverage 1000
	$(BIN)/python -m benchmarks.planted 100

lint: .venv/.ready-dev ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/.ready-dev ## ruff's formatting
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

constraints: .venv/.ready-dev ## pins constraints.txt to what .venv/ has
	$(BIN)/python -m pip freeze --exclude-editable | grep '==' > constraints.txt

clean: ## removes .venv/ and caches, but no run
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache
