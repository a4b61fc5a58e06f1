# What people and CI call. `make` alone lists it.
SHELL := /bin/bash
python := .venv/bin/python
shell_scripts := scripts/lib.sh $(wildcard scripts/vm.d/*) \
    $(foreach name,setup image test demo vm-test proto,scripts/$(name)) \
    $(foreach name,install-packages apt-files finish,images/execution/$(name)) .ci/run

.DEFAULT_GOAL := help
.PHONY: help setup image proto lint format types imports test-unit test check bench soak demo vm-test clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## packages, Docker engine, .venv and image, from a bare machine (as root)
	scripts/setup

image: ## build flowsnap/execution if an input changed
	scripts/image

proto: ## generate the code beside proto/**/*.proto
	scripts/proto

lint: ## ruff and shellcheck
	$(python) -m ruff check .
	$(python) -m ruff format --check .
	shellcheck -x $(shell_scripts)

format: ## let ruff format and fix
	$(python) -m ruff format .
	$(python) -m ruff check --fix .

types: ## mypy, strict
	$(python) -m mypy

imports: ## who may import whom
	.venv/bin/lint-imports

test-unit: ## tests that need neither root nor Docker
	$(python) -m pytest tests/unit

test: ## set-up, lint, types, import rules, all tests: what CI runs
	scripts/test

check: proto ## the same, and that the generated code is what the .proto files give
	git diff --exit-code -- proto
	scripts/test

bench: ## the figures of docs/performance.md, beside raw CRIU
	$(python) -m tests.bench

soak: ## faults at 200 random schedules, a controller that dies all the time, a thousand sleepers (half an hour)
	FLOWSNAP_SCHEDULES=$${FLOWSNAP_SCHEDULES:-200} $(python) -m pytest --timeout 0 -s \
	    tests/soak tests/integration/faults/test_random_faults.py

demo: ## a flow that fails and is taken back, narrated
	scripts/demo

vm-test: ## set-up and demo in a virtual machine without hardware virtualisation (slow)
	scripts/vm-test

clean: ## remove what was built, except .venv and images
	rm -rf build dist artifacts .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
