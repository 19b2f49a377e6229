# Paribus. `make demo` and `make test` set themselves up: python3 (3.11+), make and a package index are all they need.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STORE  ?= paribus-store
SCALE  ?= pocket

# One compute thread per process; spinning OpenMP threads slow every neighbour down (docs/footguns.md).
export OMP_NUM_THREADS ?= 1
export OMP_WAIT_POLICY ?= passive
export TOKENIZERS_PARALLELISM ?= false

.PHONY: demo test test-fast lint format bench docs clean help

help:  ## show the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/'

$(VENV)/installed: pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing Paribus into $(VENV) (1-3 minutes the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@

demo: $(VENV)/installed  ## set up, then run the Aya Expanse study at pocket scale; ends with the report's path
	$(BIN)/paribus run aya-expanse --scale $(SCALE) --store $(STORE) --workers 2

test: $(VENV)/installed  ## set up, then the whole test suite
	$(BIN)/python -m pytest -n 2 --dist loadgroup

test-fast: $(VENV)/installed  ## the suite without the tests marked slow
	$(BIN)/python -m pytest -n 2 --dist loadgroup -m "not slow"

lint: $(VENV)/installed  ## ruff, mypy and the import contracts
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/installed  ## let ruff mend what it can
	$(BIN)/ruff check --fix src tests benchmarks
	$(BIN)/ruff format src tests benchmarks

bench: $(VENV)/installed  ## every benchmark, one after the other; each prints a table
	@for file in benchmarks/bench_*.py; do $(BIN)/python $$file || exit 1; done

docs: $(VENV)/installed  ## build the documentation site into site/
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[docs]"
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean:  ## remove build products (never the store)
	rm -rf build dist site .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
