# make demo   a virtual environment, the package, and a folder of pictures: demo/
# make app    the same digits as a page in the browser
# make test   lint, types and all tests
# make lint   the first two alone
# make kernels  the tests of numbers, under each kernel of OpenBLAS that this processor can run
# make docs   the site, in English and in Russian: docs/_build/html
# make translations  the texts of the tutorial, for translators: docs/locale
# make clean  remove what these made
#
# Another Python:              make demo PYTHON=python3.12
# With the optional tests too: make test EXTRAS=dev,diffusers

PYTHON ?= python3
VENV ?= .venv
OUT ?= demo
EXTRAS ?= dev
PYTEST = $(BIN)/python -m pytest --numprocesses 2 --dist worksteal
BIN = $(VENV)/bin
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable

KERNELS = Haswell SkylakeX Nehalem
# No numbers of ours are in these.
OTHERS = apps benchmarks datasets evaluation test_architecture.py test_docs.py test_fit_memory.py test_hostile_models.py \
	test_memory.py test_pictures.py test_processors.py test_progress.py test_saving.py

.PHONY: demo app test lint kernels docs translations clean
SPHINX = $(BIN)/sphinx-build --quiet --fail-on-warning --jobs 2

demo: $(VENV)/installed-demo
	$(BIN)/linear-diffusion demo --out $(OUT)

app: $(VENV)/installed-demo,web
	$(BIN)/linear-diffusion app

# Two processes side by side, so one thread in BLAS each.
test kernels: export OPENBLAS_NUM_THREADS = 1
test: lint
	$(PYTEST)

lint: $(VENV)/installed-$(EXTRAS)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

kernels: $(VENV)/installed-$(EXTRAS)
	@for kernel in $(KERNELS); do \
		export OPENBLAS_CORETYPE=$$kernel; \
		if $(BIN)/python -c "import numpy, threadpoolctl as t; numpy.eye(300) @ numpy.eye(300); \
			assert '$$kernel' in str(t.threadpool_info())" 2>/dev/null; \
		then echo "OpenBLAS's kernel $$kernel"; $(PYTEST) -q $(OTHERS:%=--ignore=tests/%) || exit 1; \
		else echo "OpenBLAS's kernel $$kernel: left out, this processor cannot run it"; fi; \
	done

# The Russian build finds what the English one ran, and runs no script again. One thread in BLAS, since scripts run side by side.
docs: export OPENBLAS_NUM_THREADS = 1
docs: $(VENV)/installed-docs
	$(SPHINX) --doctree-dir docs/_build/en docs docs/_build/html
	$(SPHINX) --doctree-dir docs/_build/ru -D language=ru docs docs/_build/html/ru

# Of the home page and the tutorial, the pages that are translated.
translations: $(VENV)/installed-docs
	$(SPHINX) --builder gettext --doctree-dir docs/_build/gettext -D plot_gallery=0 docs docs/_build/gettext
	rm -rf docs/_build/pot && mkdir docs/_build/pot && cd docs/_build/gettext && cp -r index.pot auto_tutorial ../pot
	$(BIN)/sphinx-intl update --locale-dir docs/locale --pot-dir docs/_build/pot --language ru --line-width 120 --no-obsolete

# Stamps: made once, and installed again when pyproject.toml changes. Sources need no install, it is editable.
$(VENV)/made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; name one: make PYTHON=python3.12" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/installed-%: $(VENV)/made pyproject.toml
	$(INSTALL) '.[$*]'
	@touch $@

clean:
	rm -rf $(VENV) demo build dist docs/_build docs/auto_* .mypy_cache .pytest_cache .ruff_cache .hypothesis
