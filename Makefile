# make demo: the whole pipeline on synthetic embryos.   make test: everything CI runs.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
export OMP_NUM_THREADS ?= 1

.PHONY: demo test check chaos format bench bench-cluster install
demo: install
	$(BIN)/distgan demo

test: check
check: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -m "not benchmark and not cluster" -n 2 --dist loadfile --no-loadscope-reorder
	$(BIN)/pytest -m "cluster and not slow and not benchmark"

chaos: install # on Ray: killed searches, hung workers, kill after kill. Before a release, and where cluster/ or tune/ changed
	$(BIN)/pytest -m "cluster and slow"

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: install
	$(BIN)/pytest -m benchmark -s tests/benchmarks

bench-cluster: install # as root: three machines as network namespaces, PostgreSQL, S3, MLflow
	$(BIN)/pip install --quiet -c constraints.txt "moto[s3]" boto3 psycopg2-binary
	$(BIN)/python -m tests.benchmarks.cluster.three_nodes

install: $(VENV)/.installed
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet -c constraints.txt -e ".[dev]"
	touch $@
