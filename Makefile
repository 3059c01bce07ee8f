# make demo: the whole pipeline on synthetic embryos.   make test: everything CI runs.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
export OMP_NUM_THREADS ?= 1

.PHONY: demo test check format bench install
demo: install
	$(BIN)/distgan demo

test: check
check: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -m "not benchmark and not cluster" -n 2 --dist loadfile
	$(BIN)/pytest -m "cluster and not benchmark"

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: install
	$(BIN)/pytest -m benchmark -s tests/benchmarks

install: $(VENV)/.installed
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet -c constraints.txt -e ".[dev]"
	touch $@
