# Everything from a fresh checkout: `make demo`, `make test`. The second time both start at once.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready

# Tests start hundreds of processes, and each would compile our modules anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-faults test-all check format clean

demo: $(READY)
	$(BIN)/twostream demo

test: check
	$(BIN)/pytest -m "not slow" -n auto --dist worksteal

test-all: check
	$(BIN)/pytest -n auto --dist worksteal

test-faults: $(READY)
	$(BIN)/pytest -m faults -n auto --dist worksteal -rP

check: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "twostream needs Python 3.11 or newer: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps --upgrade --target $(VENV)/beside timm torchvision 'triton; sys_platform == "linux"'
	touch $@

clean:
	rm -rf $(VENV) demo *.egg-info .pytest_cache .ruff_cache .mypy_cache
