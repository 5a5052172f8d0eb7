# Needs Python 3.11 or later, make and python3-venv; everything else goes into .venv.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# Made last, so that an environment that broke half-way is not taken for a finished one.
READY     := $(VENV)/.ready
READY_DEV := $(VENV)/.ready-dev
READY_DOCS := $(VENV)/.ready-docs
# More options for pytest: make test PYTEST="-k cli -x"
PYTEST ?=

.PHONY: help demo test check format bench docs clean

help:
	@echo 'make demo    start everything on this machine, ask it in three ways, end it'
	@echo 'make test    run the tests'
	@echo 'make check   lint, formatting, types, imports'
	@echo 'make format  format the code'
	@echo 'make bench   compare the broker with zmq.proxy and with a direct connection'
	@echo 'make docs    build the documentation into docs/_build'
	@echo 'make clean   remove everything that make has made'

demo: $(READY)
	@$(BIN)/python etc/demo

test: $(READY_DEV)
	$(BIN)/python -m pytest $(PYTEST)

check: $(READY_DEV)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY_DEV)
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(READY)
	@$(BIN)/python tests/bench/compare.py

docs: $(READY_DOCS)
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build

$(READY): setup.cfg pyproject.toml
	@etc/make-venv $(PYTHON) $(VENV) -e '.[vsphere]'
	@touch $@

$(READY_DEV): $(READY)
	@etc/make-venv $(PYTHON) $(VENV) -e '.[dev,vsphere]'
	@touch $@

$(READY_DOCS): $(READY)
	@etc/make-venv $(PYTHON) $(VENV) -e '.[docs]'
	@touch $@

clean:
	rm -rf $(VENV) .build build dist docs/_build *.egg-info
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .grimp_cache .coverage
	find vpoller_like workers tests etc docs -name __pycache__ -type d -prune -exec rm -rf {} +
