# `make train` and `make test` set everything up by themselves on a machine with
# Python 3.11+ and make; a second call reuses the virtual environment.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
# in two parts: traced graphs stay in memory, some 13 GiB a process in all;
# a file in one process: what its tests share is made once
PYTEST := $(BIN)/python -m pytest -n 2 --dist=loadfile --no-loadscope-reorder -m "not slow"
WHOLE := tests/integration/ tests/models/ tests/serving/
export TF_CPP_MIN_LOG_LEVEL ?= 2

.PHONY: train baselines test test-slow lint docs clean

train: $(READY)
	$(BIN)/python launch/train.py --config=configs/digits.py --workdir=runs/digits
	$(BIN)/python launch/export.py --workdir=runs/digits \
		--export_dir=runs/digits/export --overwrite

baselines: $(READY)
	$(BIN)/python launch/baselines.py --out=runs/baselines.json

test: $(READY) lint
	$(PYTEST) $(filter-out $(WHOLE),$(wildcard tests/*/ tests/test_*.py))
	$(PYTEST) $(WHOLE)

test-slow: $(READY)
	$(BIN)/python -m pytest -m slow tests

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $@

clean:
	rm -rf $(VENV)
