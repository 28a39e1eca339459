# Two commands set everything up on a fresh machine: `make design` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SCAFFOLD := CC(=O)N{4-9}c1ccc(F)cc1

.PHONY: workbench design test lint verify bench clean

design: $(VENV)/.installed  ## new molecules around a pinned scaffold, with the bundled model
	$(BIN)/seqdiff design smiles "$(SCAFFOLD)" --n 64 --syntax --out designs.csv --out designs.sdf --out designs.png --out designs.html

workbench: $(VENV)/.installed-workbench  ## the design workbench in a browser
	$(BIN)/seqdiff workbench

test: $(VENV)/.installed-dev  ## all tests
	$(BIN)/python -m pytest -n 2 -m "not slow"

lint: $(VENV)/.installed-dev  ## style, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

DATA ?= ../shared/data
verify: $(VENV)/.installed-dev  ## the longer evidence behind docs/results.md; DATA is the folder of the molecules
	$(BIN)/python -m pytest -n 2
	$(BIN)/python -m benchmarks.pins --data $(DATA) --designs 10000
	$(BIN)/python -m benchmarks.pins --data $(DATA) --designs 10000 --syntax
	$(BIN)/python -m benchmarks.constraints_hold --designs 10000
	$(BIN)/python -m benchmarks.composition
	$(BIN)/python -m benchmarks.kill --trials 100
	$(BIN)/python -m benchmarks.load
	$(BIN)/python -m benchmarks.protein_everything --data $(DATA) --rows unguided random-weights --n 500
	$(BIN)/python -m benchmarks.text_formats --model text-small --n 200
	$(BIN)/seqdiff evaluate smiles --n 1000
	$(BIN)/seqdiff evaluate smiles --n 1000 --sampler entropy-bounded --temperature 0.7

bench: $(VENV)/.installed-dev  ## speed of sampling and cost of constraints against the plain way and the floor
	$(BIN)/python -m benchmarks.sampling
	$(BIN)/python -m benchmarks.constraint_cost

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed; try: make PYTHON=python3.12 design")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements.lock -e .
	touch $@

$(VENV)/.installed-workbench: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements.lock -e ".[workbench]"
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements.lock -e ".[dev]"
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .ruff_cache .hypothesis designs.csv designs.sdf designs.png designs.html
