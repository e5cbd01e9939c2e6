# Two commands do everything on a fresh machine with Python 3.11+ and make: `make run` and `make test`.
# The first one creates .venv and installs into it; nothing outside this folder is touched.

PYTHON ?= python3
VENV ?= .venv
DATA ?= shapes
METHOD ?= quick
MINUTES ?= 3
SEED ?= 0
OUT ?= runs/quickstart
# A smaller, CPU-only build of PyTorch from an index of your choice: make run TORCH_INDEX=<address>
TORCH_INDEX ?=

# Threads that wait for each other soon sleep: see sslkit/__init__.py. Notebooks import torch first, so it is set here, too.
ifndef OMP_WAIT_POLICY
export OMP_WAIT_POLICY := passive
export GOMP_SPINCOUNT ?= 1000
endif

PY := $(VENV)/bin/python
PYTEST := $(PY) -m pytest -q
NBVAL := --nbval-lax --nbval-current-env --nbval-cell-timeout 600
# Two files at a time: most tests keep one core busy.
TWO := -n 2 --dist loadfile
# Slow tests that need both cores for themselves.
ALONE := trained_again or scikit or predictions

.PHONY: help run lab test test-slow bench notebooks lint format clean
.DEFAULT_GOAL := help

help:  ## show this list
	@echo "sslkit: learn how machines learn to see without labels"
	@echo
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20
	@echo
	@echo "  make run DATA=emoji|fashion|digits|cifar10|path/to/pictures METHOD=quick|simclr|vicreg|byol|mae|... MINUTES=3 SEED=0"

run: $(VENV)/.installed  ## pretrain without labels, evaluate, write a report (5 to 7 minutes on two cores)
	@$(PY) -m sslkit quickstart --data "$(DATA)" --method "$(METHOD)" --minutes "$(MINUTES)" --seed "$(SEED)" --out "$(OUT)"

lab: $(VENV)/.installed  ## open the notebooks in JupyterLab
	@$(PY) -m sslkit lab

test: $(VENV)/.installed-test  ## unit tests, notebooks, documentation (at most 15 minutes on two cores)
	$(PY) -m ruff check .
	$(PYTEST) $(TWO) -m "not slow" --ignore tests/browser tests
	$(PYTEST) $(TWO) -m "not slow" tests/browser
	CI=true OMP_NUM_THREADS=1 $(PYTEST) $(TWO) $(NBVAL) notebooks

test-slow: $(VENV)/.installed-test  ## methods learn, wheel, every notebook retrained from nothing (at most 35 minutes)
	OMP_NUM_THREADS=1 $(PYTEST) -n 2 -m slow -k "not ($(ALONE))" tests
	$(PYTEST) -m slow -k "$(ALONE)" tests

bench: $(VENV)/.installed-bench  ## measure speed and memory beside other libraries (half an hour; QUICK=1: 3 minutes)
	@$(PY) benchmarks/all.py $(if $(QUICK),--quick) $(if $(AGAIN),--again)

notebooks: $(VENV)/.installed-test  ## build notebooks/*.ipynb from notebooks/source/*.py and execute them
	$(PY) notebooks/build.py

format: $(VENV)/.installed-test  ## format the code
	$(PY) -m ruff format sslkit tests data benchmarks
	$(PY) -m ruff check --fix .

clean:  ## remove everything that was made here, the virtual environment included
	rm -rf $(VENV) runs .pytest_cache .ruff_cache build dist

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "sslkit needs Python 3.11 or newer; '$(PYTHON)' is not. Try: make PYTHON=python3.12 ..."; exit 1; }
	@echo "Creating $(VENV) with $(PYTHON)"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "Python's venv module is missing. On Debian and Ubuntu: sudo apt install python3-venv"; \
		echo "Without it: pip install . && python -m sslkit quickstart"; exit 1; }
	@$(PY) -m pip install --quiet --upgrade pip

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "Installing sslkit and what it needs into $(VENV)."
	@echo "PyTorch's standard Linux build brings GPU libraries: a download of about 2.5 GB, 6 GB on disk."
	@echo "With TORCH_INDEX=<address of a CPU index> or on macOS it is about 0.2 GB."
ifneq ($(TORCH_INDEX),)
	@$(PY) -m pip install --quiet --constraint constraints.txt --index-url $(TORCH_INDEX) torch torchvision
endif
	@$(PY) -m pip install --quiet --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	@echo "Installing the test tools into $(VENV)."
	@$(PY) -m pip install --quiet --constraint constraints.txt --editable '.[test]'
	@touch $@

$(VENV)/.installed-bench: $(VENV)/.installed
	@echo "Installing the libraries that sslkit is measured against into $(VENV)."
	@$(PY) -m pip install --quiet --constraint constraints.txt --editable '.[bench]'
	@touch $@
