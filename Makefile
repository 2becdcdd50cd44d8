# `make demo` and `make test` run in a fresh clone; both create a virtual environment in $(VENV).
# `make bench` creates a second one with the libraries that the kernels are compared with.
PYTHON ?= python3
VENV ?= .venv
BENCH_VENV ?= .venv-bench
BIN := $(VENV)/bin
INSTALL := -m pip --disable-pip-version-check install --quiet --constraint constraints.txt
PIP := $(BIN)/python $(INSTALL)
# Additional options of the benchmark, e.g. `make bench BENCH="--cell lstm --limit 100 --resume"`.
BENCH ?=
BENCH_ROWS ?= benchmarks/results/kernels.csv

.PHONY: demo test lint types contract unit slow wheel bench clean

demo: $(VENV)/.installed
	$(BIN)/recurra demo

test: lint types contract unit

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(VENV)/.installed-dev
	$(BIN)/mypy

contract: $(VENV)/.installed-dev
	$(BIN)/lint-imports

# One thread per worker: the thread pools of two workers would compete for the same cores.
unit: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist worksteal -m "not slow"

# The tests that take longest, most of them with processes that train: some 8 minutes on 2 cores.
slow: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist worksteal -m slow

# The wheel: built, compared with the package, installed elsewhere and used.
wheel:
	PYTHON=$(PYTHON) .ci/wheel

# Takes about an hour on 2 otherwise idle cores; BENCH="--grid course" takes 10 minutes of it.
bench: $(BENCH_VENV)/.installed
	$(BENCH_VENV)/bin/python -m benchmarks.kernels run --grid table --out $(BENCH_ROWS) $(BENCH)
	$(BENCH_VENV)/bin/python -m benchmarks.kernels ahead $(BENCH_ROWS)

$(VENV)/bin/python $(BENCH_VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit("recurra needs Python 3.11 or newer") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(patsubst %/bin/python,%,$@)

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing into $(VENV) (a few minutes the first time) ..."
	$(PIP) --editable .
	touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing into $(VENV) (a few minutes the first time) ..."
	$(PIP) --editable '.[dev]'
	touch $@ $(VENV)/.installed

$(BENCH_VENV)/.installed: pyproject.toml constraints.txt | $(BENCH_VENV)/bin/python
	@echo "Installing into $(BENCH_VENV) (a few minutes the first time) ..."
	$(BENCH_VENV)/bin/python $(INSTALL) --editable '.[bench]'
	touch $@

clean:
	rm -rf $(VENV) $(BENCH_VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
