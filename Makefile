# Needs Python 3.11 or later, make and python3-venv; everything else goes into .venv.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# Made last, so that an environment that broke half-way is not taken for a finished one.
READY     := $(VENV)/.ready
READY_DEV := $(VENV)/.ready-dev
READY_DOCS := $(VENV)/.ready-docs
READY_BENCH := $(VENV)/.ready-bench
# More options for pytest: make test PYTEST="-k cli -x"
PYTEST ?=
# More options for the benchmarks: make bench BENCH="--rounds 3 --only 'DEALER 64'"
BENCH  ?=
# How much each part of `make faults` does: make faults REQUESTS=200000 INPUTS=10000000
SEEDS       ?= 2000
REQUESTS    ?= 20000
INPUTS      ?= 1000000
CONNECTIONS ?= 10000
FAULTS      := simulation kills worker-kills two-brokers broken decoders wire load overload leaks

.PHONY: help demo test check format bench bench-scale bench-peers bench-vsphere docs clean faults $(FAULTS:%=faults-%)

help:
	@echo 'make demo    start everything on this machine, ask it in three ways, end it'
	@echo 'make test    run the tests'
	@echo 'make check   lint, formatting, types, imports'
	@echo 'make format  format the code'
	@echo 'make faults  kill, starve, flood and fuzz it, for as long as asked'
	@echo 'make bench   compare with zmq.proxy, a direct connection and vPoller; writes docs/performance'
	@echo 'make bench-scale  the same with thousands of clients, workers, methods and waiting requests'
	@echo 'make bench-peers  beside NATS, Celery, dramatiq, RQ, Dask, ipyparallel and Parsl'
	@echo 'make bench-vsphere  the vSphere agent beside vPoller and a plain pyVmomi loop'
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

faults: $(FAULTS:%=faults-%)

faults-simulation: $(READY_DEV)
	$(BIN)/python tests/simulation/run.py --seeds $(SEEDS)

KILL_LOOP = $(BIN)/python tests/faults/kill_loop.py --requests $(REQUESTS)

faults-kills: $(READY_DEV)
	$(KILL_LOOP) --redelivery-limit 1 --first-reply-limit 3

faults-worker-kills: $(READY_DEV)
	$(KILL_LOOP) --worker-kills-only --redelivery-limit 1

faults-two-brokers: $(READY_DEV)
	$(KILL_LOOP) --brokers 2

# A test that cannot fail shows nothing: each of these brokers must be found out.
faults-broken: $(READY_DEV)
	! $(KILL_LOOP) --break requeue --worker-kills-only --patience 10
	! $(KILL_LOOP) --break memory --patience 20
	! $(KILL_LOOP) --break whohas --patience 20

faults-decoders: $(READY_DEV)
	$(BIN)/python tests/faults/fuzz_decoders.py --inputs $(INPUTS)

faults-wire: $(READY_DEV)
	$(BIN)/python tests/faults/hostile_wire.py --connections $(CONNECTIONS)

faults-load: $(READY_DEV)
	$(BIN)/python tests/faults/hostile_load.py

faults-overload: $(READY_DEV)
	$(BIN)/python tests/faults/overload.py

faults-leaks: $(READY_DEV)
	$(BIN)/python tests/faults/burst_leaks.py

bench: $(READY_BENCH)
	@$(BIN)/python tests/bench/run.py --output docs/performance $(BENCH)
	@$(BIN)/python tests/bench/profile_broker.py --output docs/performance/profile.rst
	@$(BIN)/python tests/bench/startup.py --output docs/performance

bench-scale: $(READY_BENCH)
	@$(BIN)/python tests/bench/scale.py --output docs/performance

bench-peers: $(READY_BENCH)
	@$(BIN)/python tests/bench/peers.py --output docs/performance

bench-vsphere: $(READY_BENCH)
	@$(BIN)/python tests/bench/vsphere.py --output docs/performance $(BENCH)

docs: $(READY_DOCS)
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build

$(READY): setup.cfg pyproject.toml setup.py vpoller_like/transport/_burst.c \
		$(wildcard vpoller_like/*/_hot.pyx vpoller_like/*/hot/*.pxi)
	@etc/make-venv $(PYTHON) $(VENV) -e '.[vsphere]'
	@touch $@

$(READY_DEV): $(READY)
	@etc/make-venv $(PYTHON) $(VENV) -e '.[dev,vsphere,metrics]'
	@touch $@

$(READY_BENCH): $(READY)
	@etc/make-venv $(PYTHON) $(VENV) -e '.[bench]'
	@touch $@

$(READY_DOCS): $(READY)
	@etc/make-venv $(PYTHON) $(VENV) -e '.[docs]'
	@touch $@

clean:
	rm -rf $(VENV) .build build dist docs/_build *.egg-info
	rm -f vpoller_like/*/*.so
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .grimp_cache .coverage
	find vpoller_like workers tests etc docs -name __pycache__ -type d -prune -exec rm -rf {} +
