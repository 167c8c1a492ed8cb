# Every target says what it does: `make help`. Your own data: make featurize SOURCE=... STORE=... ENCODER=...
SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PERMAFROST := $(BIN)/permafrost

DEMO_SOURCE := data/demo
DEMO_STORE := data/demo.zarr
DEMO_EPISODES ?= 100
SOURCE ?= $(DEMO_SOURCE)
STORE ?= $(if $(filter $(DEMO_SOURCE),$(SOURCE)),$(DEMO_STORE),$(SOURCE).zarr)
ENCODER ?=
WEIGHTS ?=
PRESET ?= $(if $(filter $(DEMO_STORE),$(STORE)),demo,medium)
RUN ?= runs/$(PRESET)
# More options of the commands: make featurize OPTIONS="--num-views 4", make train OPTIONS="--steps 1000"
OPTIONS ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo-data featurize train evaluate report status verify bench ui serve test lint types format

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/installed ## Make .venv with the tested versions of everything

$(VENV)/installed: pyproject.toml constraints.txt
	@echo "Setting up $(VENV): some 6 GB of packages, a few minutes"
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 14) else f"Python 3.11 to 3.13 is needed, {sys.executable} is {v[0]}.{v[1]}; say make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	@touch $@

demo-data: $(DEMO_SOURCE) ## Write the sample data set: an arm at a table, in DROID raw format

$(DEMO_SOURCE): | $(VENV)/installed
	@echo "Writing $(DEMO_EPISODES) sample episodes to $(DEMO_SOURCE)"
	$(PERMAFROST) demo-data $(DEMO_SOURCE) --episodes $(DEMO_EPISODES)

featurize: $(VENV)/installed $(filter $(DEMO_SOURCE),$(SOURCE)) ## Encode SOURCE once into STORE (ENCODER=vjepa2-vitg)
	$(PERMAFROST) featurize --source $(SOURCE) --store $(STORE) $(if $(ENCODER),--encoder $(ENCODER)) $(if $(WEIGHTS),--weights $(WEIGHTS)) $(OPTIONS)

# There once a store has been finished; what was begun since, `make featurize` finishes.
$(STORE)/ledger.parquet:
	@$(MAKE) --no-print-directory featurize

train: $(VENV)/installed $(STORE)/ledger.parquet ## Train PRESET on STORE, evaluate, and draw the report
	$(PERMAFROST) train --store $(STORE) --run $(RUN) --preset $(PRESET) $(OPTIONS)
	@$(PERMAFROST) status $(STORE)
	@$(PERMAFROST) report $(RUN)

evaluate: $(VENV)/installed ## Measure the last checkpoint of RUN on the held-out episodes
	$(PERMAFROST) evaluate $(RUN)

report: $(VENV)/installed ## Draw RUN again
	$(PERMAFROST) report $(RUN)

status: $(VENV)/installed ## How far STORE is
	@$(PERMAFROST) status $(STORE)

verify: $(VENV)/installed ## Read every byte of STORE back and compare it with what was written
	@$(PERMAFROST) verify $(STORE)

bench: $(VENV)/installed ## What limits STORE on this machine: disk, memory, encoder or predictor
	@$(PERMAFROST) bench $(STORE) --preset $(PRESET) $(if $(wildcard $(SOURCE)),--source $(SOURCE)) $(OPTIONS)

ui: $(VENV)/installed ## Start the Prefect UI on loopback; flows started elsewhere then show up there
	PREFECT_SERVER_ANALYTICS_ENABLED=false DO_NOT_TRACK=1 $(BIN)/prefect server start --host 127.0.0.1 --port 4200

serve: $(VENV)/installed ## Let the Prefect UI start every step by its run button; starts the UI where none runs
	$(PERMAFROST) serve

# Two files at a time, many of whose tests wait for processes they start. One file stays in one process, which
# makes what its tests share once; with more threads than cores each would wait for the others.
test: $(VENV)/installed ## All tests
	OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile

lint: $(VENV)/installed ## ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/installed ## mypy
	$(BIN)/mypy

format: $(VENV)/installed ## Let ruff rewrite the files
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
