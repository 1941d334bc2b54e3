.DEFAULT_GOAL := help
.PHONY: help setup demo test fuzz check docs bench

BIN := .venv/bin
READY := .venv/.ready

help: ## Show what there is to make
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-6s  %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY) ## Make .venv with the pinned packages and maskwise itself, editable

$(READY): requirements.txt pyproject.toml
	test -x $(BIN)/python || python3 -m venv .venv
	$(BIN)/python -m pip install --quiet torch==2.13.0 -r requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

demo: setup ## The whole story, small, on text that is already on this machine: 7 minutes on 2 cores
	$(BIN)/maskwise demo

test: setup ## Run the tests; ARGS="-k word -x" goes to pytest
	$(BIN)/python -m pytest -n 2 $(ARGS)

fuzz: setup ## Try 2,000 spoiled inputs: every one succeeds or is refused with a message
	$(BIN)/python -m pytest -q -s -m fuzz tests/fuzz

check: setup ## Lint, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright

docs: setup ## Build the documentation into site/, warnings being errors
	$(BIN)/mkdocs build --strict

bench: setup ## Measure every work against the stock way: 35 minutes on 2 quiet cores; ARGS="--quick"
	$(BIN)/python benchmarks/bench.py $(ARGS)
