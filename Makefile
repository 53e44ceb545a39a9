# Most targets first set up the virtual environment in VENV. If the environment exists, this takes only a moment. PYTHON
# is the interpreter that creates the environment. VENV can also be your own environment with your own Detectron2.
PYTHON ?= python3
VENV ?= .venv
RUN = $(VENV)/bin/python
# Number of processes of `make test`. `make test JOBS=0` runs the tests in one process, for example in a debugger.
JOBS ?= 2
# By default, waiting OpenMP threads spin, and slow down small models.
export OMP_WAIT_POLICY ?= passive

.PHONY: help setup demo demo-classification gpu test test-all lint docs dist format clean
.DEFAULT_GOAL := help

help:
	@echo "make demo      make the glyph data set, train Seesaw Mask R-CNN on it, evaluate, show the results"
	@echo "make demo-classification  train cross-entropy and Seesaw Loss on long-tailed digits, compare (a minute)"
	@echo "make test      run the tests"
	@echo "make gpu       test and measure on this machine's NVIDIA GPU (9 minutes at most; downloads nothing)"
	@echo "make test-all  run all tests, including the slow ones"
	@echo "make lint      check the style and the types"
	@echo "make docs      the guides and the library's reference as web pages, in site/"
	@echo "make dist      build the source archive and the wheel in dist/, and check them"
	@echo "make format    fix the style with ruff"
	@echo "make setup     only set up the environment \$$(VENV) (default .venv) with \$$(PYTHON) (default python3)"
	@echo "make clean     remove output/ with all trainings, datasets/glyphs, caches and builds, but not the environment"

setup:
	@$(PYTHON) tools/bootstrap.py --venv $(VENV)

demo: setup
	@$(RUN) tools/demo.py

demo-classification: setup
	@OMP_NUM_THREADS=1 $(RUN) tools/demo_classification.py

# This target downloads nothing. It does not call setup, and uses the installed PyTorch.
gpu:
	@$(if $(wildcard $(RUN)),$(RUN),$(PYTHON)) tools/gpu.py

# With worksteal, an idle process takes over tests of the other process. Each process uses one thread, because threads
# of two processes would compete for the cores.
test: setup
	@OMP_NUM_THREADS=1 $(RUN) -m pytest -n $(JOBS) --dist worksteal

test-all: setup
	@$(RUN) -m pip install --quiet --disable-pip-version-check --editable ".[docs,notebook,release,timm,transformers]"
	@$(RUN) -m pytest -m ""

lint: setup
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@$(RUN) -m mypy

docs: setup
	@$(RUN) -m pip install --quiet --disable-pip-version-check --editable ".[docs]"
	@NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs build --strict --quiet

dist: setup
	@$(RUN) -m pip install --quiet --disable-pip-version-check --editable ".[release]"
	@rm -rf dist build
	@$(RUN) -m build --outdir dist
	@$(RUN) -m twine check --strict dist/*

format: setup
	@$(RUN) -m ruff check --fix .
	@$(RUN) -m ruff format .

clean:
	rm -rf output datasets/glyphs .pytest_cache .ruff_cache build dist site *.egg-info .mypy_cache
