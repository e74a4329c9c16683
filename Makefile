# make demo   a virtual environment, the package, and a folder of pictures: demo/
# make test   lint, types and all tests
# make lint   the first two alone
# make kernels  the tests of numbers, under each kernel of OpenBLAS that this processor can run
# make clean  remove what these made
#
# Another Python:              make demo PYTHON=python3.12
# With the optional tests too: make test EXTRAS=dev,diffusers

PYTHON ?= python3
VENV ?= .venv
OUT ?= demo
EXTRAS ?= dev
BIN = $(VENV)/bin
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable

KERNELS = Haswell SkylakeX Nehalem
# No numbers of ours are in these.
OTHERS = apps benchmarks datasets evaluation test_architecture.py test_docs.py test_fit_memory.py test_hostile_models.py \
	test_memory.py test_pictures.py test_processors.py test_progress.py test_saving.py

.PHONY: demo test lint kernels clean

demo: $(VENV)/installed-demo
	$(BIN)/linear-diffusion demo --out $(OUT)

test: lint
	$(BIN)/python -m pytest

lint: $(VENV)/installed-test-$(EXTRAS)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

kernels: $(VENV)/installed-test-$(EXTRAS)
	@for kernel in $(KERNELS); do \
		export OPENBLAS_CORETYPE=$$kernel; \
		if $(BIN)/python -c "import numpy, threadpoolctl as t; numpy.eye(300) @ numpy.eye(300); \
			assert '$$kernel' in str(t.threadpool_info())" 2>/dev/null; \
		then echo "OpenBLAS's kernel $$kernel"; $(BIN)/python -m pytest -q $(OTHERS:%=--ignore=tests/%) || exit 1; \
		else echo "OpenBLAS's kernel $$kernel: left out, this processor cannot run it"; fi; \
	done

# Stamps: made once, and installed again when pyproject.toml changes. Sources need no install, it is editable.
$(VENV)/made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; name one: make PYTHON=python3.12" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/installed-demo: $(VENV)/made pyproject.toml
	$(INSTALL) '.[demo]'
	@touch $@

$(VENV)/installed-test-$(EXTRAS): $(VENV)/made pyproject.toml
	$(INSTALL) '.[$(EXTRAS)]'
	@touch $@

clean:
	rm -rf $(VENV) demo build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
