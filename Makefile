# `make demo` and `make test` are the two commands; `make help` lists the rest.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# A CPU-only PyTorch index, as PyTorch's install page gives it; empty takes the default build.
TORCH_INDEX ?=

.PHONY: help install demo test test-all check format protos bench clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "%-10s %s\n", $$1, $$2}'

$(BIN)/.installed: pyproject.toml client/pyproject.toml constraints.txt
	@start=$$(date +%s); \
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV); \
	$(BIN)/python -m pip install --quiet --upgrade pip && \
	$(BIN)/python -m pip install --quiet --constraint constraints.txt \
	  $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch==2.13.0 && \
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]' --editable ./client && \
	$(BIN)/python -m services.policy.engine.native.library > /dev/null && \
	touch $@ && echo "installed in $$(( $$(date +%s) - start )) s"

install: $(BIN)/.installed  ## make .venv and install Attune into it

demo: install  ## start the services, run the loop, keep serving (EXIT=1 stops at the end)
	$(BIN)/attune demo $(if $(EXIT),--exit)

test: install  ## the suite, 15 minutes at most on two cores
	$(BIN)/python -m pytest -m "not slow"

test-all: install  ## the suite and what takes longer
	$(BIN)/python -m pytest

check: install  ## formatting, lint, types, layering, generated code, released contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m protos.generate --check
	$(BIN)/python -m protos.check_breaking

format: install  ## format and fix
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

protos: install  ## generate the code beside the .proto files
	$(BIN)/python -m protos.generate

clean:  ## remove the environment and all state
	rm -rf $(VENV) .attune
