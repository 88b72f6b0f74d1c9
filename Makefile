# Millrace. `make demo` and `make test` set up all that they need; a second run is quick.
SHELL := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
PYTHON ?= python3
PY := .venv/bin/python
UV := .venv/bin/uv
HOME_DIR := .millrace
STAMPS := $(HOME_DIR)/stamps
export PYTHONPATH := $(CURDIR):$(CURDIR)/shared
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
export JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION := 1
export HF_HUB_OFFLINE := 1
export TOKENIZERS_PARALLELISM := false
# Portable: a build for this very processor crashes on some (AMX with Q4_K_M), and the wheel serves every machine.
export CMAKE_ARGS := -DGGML_NATIVE=OFF -DGGML_AVX=ON -DGGML_AVX2=ON -DGGML_FMA=ON -DGGML_F16C=ON -DGGML_BMI2=ON \
	-DLLAVA_BUILD=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_TOOLS=OFF -DLLAMA_BUILD_SERVER=OFF
SAY = printf '\033[1m%s\033[0m\n'

.PHONY: help setup preflight demo up down status test long lint lock docs images bench tiny clean

help: ## what can be asked for
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(STAMPS)/venv $(STAMPS)/engine $(STAMPS)/llama.cpp ## everything but the chromium of the browser tests

$(STAMPS)/uv: requirements/uv.txt
	@$(PYTHON) cdk/local/preflight.py setup
	@$(SAY) "1/4  a virtual environment"
	@test -x $(PY) || $(PYTHON) -m venv .venv
	@$(PY) -m pip install -q --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/venv: $(STAMPS)/uv requirements/dev.txt requirements/torch-cpu.txt requirements/torch.txt pyproject.toml
	@$(SAY) "2/4  dependencies, pinned by hash; llama.cpp is compiled (about 4 minutes the first time)"
	@if $(UV) pip install --python $(PY) --dry-run -q --no-deps -r requirements/torch-cpu.txt 2>/dev/null; \
	 then torch=requirements/torch-cpu.txt; else torch=requirements/torch.txt; fi; \
	 $(UV) pip install --python $(PY) --no-deps --require-hashes -r requirements/dev.txt -r $$torch
	@$(UV) pip install -q --python $(PY) --no-deps --no-build-isolation -e .
	@touch $@

$(STAMPS)/engine: $(STAMPS)/uv requirements/engine.txt
	@$(SAY) "3/4  the embedded AWS, in an environment of its own"
	@test -x $(HOME_DIR)/engine/bin/python || $(UV) venv -q --python $(PY) $(HOME_DIR)/engine
	@$(UV) pip install -q --python $(HOME_DIR)/engine/bin/python --no-deps --require-hashes -r requirements/engine.txt
	@touch $@

$(STAMPS)/llama.cpp: $(STAMPS)/venv training_containers/gguf/converter.py
	@$(SAY) "4/4  llama.cpp's converter, from the pinned source with its hash"
	@$(PY) -m training_containers.gguf.converter --fetch $(HOME_DIR)/llama.cpp
	@touch $@

preflight:
	@$(PYTHON) cdk/local/preflight.py twin

demo: preflight setup ## the main job on the local twin, from a text to a model that serves
	@$(PY) -m cdk.local demo

up: preflight setup ## start the local twin and leave it running
	@$(PY) -m cdk.local up

down: ## stop it; what it holds is there again after the next up
	@$(PY) -m cdk.local down

status: ## what runs, and where
	@$(PY) -m cdk.local status

lint: $(STAMPS)/venv ## style, types, the import rule
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@MYPYPATH=shared:. $(PY) -m mypy
	@.venv/bin/lint-imports

test: setup $(STAMPS)/chromium lint ## everything that stands between a change and main
	@$(PY) -m pytest

long: setup ## the long form of every test that has one: thousands of fault scripts, ten times the examples
	@MILLRACE_LONG=1 $(PY) -m pytest $$(grep -rlE 'LONG\b|examples\(' tests --include='test_*.py')
	@if command -v podman >/dev/null || docker info >/dev/null 2>&1; then $(MAKE) --no-print-directory images; \
	 else $(SAY) "No engine with Docker's command line: the images are neither built nor trained in."; fi

$(STAMPS)/chromium:
	@mkdir -p $(STAMPS)
	@command -v chromium >/dev/null || { \
	  $(SAY) "chromium, for the browser tests"; \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; \
	  then apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null; \
	  else echo "There is no chromium and no right to install it: the browser tests will say that they were skipped."; fi; }
	@touch $@

LOCK := $(UV) pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header
lock: ## write the lock files anew; torch apart, in its two builds
	@cd requirements && UV_FIND_LINKS= && export UV_FIND_LINKS && L="../$(LOCK)" && \
	 for name in uv functions gateway serve cdk engine bench templates; do $$L $$name.in -o $$name.txt; done && \
	 $$L --no-emit-package numpy --no-emit-package packaging torch.in -o torch.txt && \
	 apart=$$(grep -oE '^(torch|triton|nvidia[a-z0-9-]*|cuda[a-z0-9-]*)==' torch.txt | tr -d '=' | sort -u | sed 's/^/--no-emit-package /' | tr '\n' ' ') && \
	 for name in dev containers cnn; do $$L $$apart $$name.in -o $$name.txt; done

docs: $(STAMPS)/venv ## write the generated pages anew
	@$(PY) -m millrace.text.rules_doc
	@$(PY) -m millrace.models_doc

images: $(STAMPS)/venv ## build the images by docker or podman and run each without network, the twin too: half an hour, then 8 minutes; BASE=, TORCH=
	@$(PY) -m cdk.local.images
	@$(PY) -m tests.images

bench: setup $(STAMPS)/bench ## measure everything against its peers, or one: make bench ONLY=router
	@$(PY) -m tests.bench $(ONLY)

$(STAMPS)/bench: $(STAMPS)/uv requirements/bench.txt
	@$(SAY) "the benchmarks' peers, in an environment of their own"
	@test -x $(HOME_DIR)/bench-env/bin/python || $(UV) venv -q --python $(PY) $(HOME_DIR)/bench-env
	@$(UV) pip install -q --python $(HOME_DIR)/bench-env/bin/python --no-deps --require-hashes -r requirements/bench.txt
	@npm install --silent --no-audit --no-fund --ignore-scripts --prefix $(HOME_DIR)/bench-env/portkey @portkey-ai/gateway@1.15.2 \
	 || $(SAY) "No npm: @portkey-ai/gateway will be told to be absent."
	@touch $@

tiny: $(STAMPS)/venv ## train the demo's base model from scratch again, by its recipe
	@$(PY) -m training_containers.tiny.recipe --out $(HOME_DIR)/tiny

clean: down ## forget the twin's state; environments stay
	@rm -rf $(HOME_DIR)/state $(HOME_DIR)/twin.json $(HOME_DIR)/demo.json $(HOME_DIR)/logs
