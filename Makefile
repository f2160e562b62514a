# `make demo` and `make test` set up what they need: a Python >= 3.10 with venv is enough.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help demo test test-all test-browser lint audit check clean

help:  ## show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit("VClipper needs Python 3.10 or newer") if sys.version_info < (3, 10) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/.installed: setup.cfg pyproject.toml | $(BIN)/python
	@echo "Installing VClipper and what it needs (9 GB on disk with PyTorch; once)"
	$(BIN)/python -m pip install --quiet --editable '.[dev,bench,web,mcp]'
	@touch $@

# Azure's storage for the tests: Microsoft's emulator, which needs Node.js. Without it those tests skip and say so.
AZURITE := azurite@3.35.0
$(VENV)/.azurite: | $(BIN)/python
	@if command -v npm > /dev/null && \
		npm install --silent --no-audit --no-fund --fetch-retries 1 --prefix $(VENV)/azurite $(AZURITE); \
		then touch $@; else echo "No $(AZURITE) from npm: the tests of az:// are skipped"; fi

demo: $(VENV)/.installed  ## make films, index them, search them, compare with the truth
	$(BIN)/python -m vclipper.demo demo-videos

test: $(VENV)/.installed $(VENV)/.azurite  ## the fast tests
	$(BIN)/python -m pytest

test-all: $(VENV)/.installed $(VENV)/.azurite  ## every test that this machine can run
	$(BIN)/python -m pytest -m "not gpu"

test-browser: $(VENV)/.installed  ## the page in Debian's chromium (skipped where it is missing)
	$(BIN)/python -m pytest -m browser -rs

lint: $(VENV)/.installed  ## ruff and mypy
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

audit: $(VENV)/.installed  ## known holes in what is installed, risky code
	$(BIN)/bandit --quiet --recursive --configfile pyproject.toml indexer searcher bench vclipper
	$(BIN)/pip-audit --skip-editable

check: lint test  ## what CI runs

clean:  ## delete the virtual environment and caches
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis demo-videos
