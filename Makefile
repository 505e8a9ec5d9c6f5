# make demo           compare all methods on real data: prints a table, writes compare.png
# make stubs          write the stubs of the optimizers' classes
# make test           lint, types, tests, and a sample of the GPU code: minutes
# make unit           the tests alone; PYTEST_ARGS=tests/rules selects some
# make test-all       whole grids of options, all GPU code, and the next three: an hour
# make interpret      test the Triton backend in Triton's interpreter
# make interpret-old  test most of it in the oldest supported Triton
# make simulate-old   test the kernels of the oldest Triton on the simulated device
# make inspect        compile all GPU code, without a GPU, and check its limits (Linux)
# make mutants        put faults into the sources, which the tests must notice: an hour
# make gpu-test       run the tests that need a CUDA device and a CUDA build of torch
# make bench          benchmark a step on this CPU, compared with its peers
# make gpu-bench      benchmark on a CUDA device, with plots, in build/bench
#
# Each creates .venv and installs its dependencies, once.
# PYTHON=python3.12 selects the interpreter for .venv, VENV=... its path.

PYTHON ?= python3
VENV ?= .venv
PYTEST_ARGS ?=
BENCH_ARGS ?=
MUTANT_ARGS ?=
WORKERS := -n auto --maxprocesses 8

BIN := $(VENV)/bin
PIP_INSTALL := -m pip --disable-pip-version-check install --quiet
PIP := PYTHONWARNINGS=ignore $(BIN)/python $(PIP_INSTALL)
OLD_TRITON := 3.6.0
OLD_VENV := $(VENV)/triton-$(OLD_TRITON)
SOURCES := $(shell find gpuopt kernels -name '*.py' -o -name '*.pyi' -o -name '*.cuh' -o -name py.typed)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo lint types stubs bench gpu-test gpu-bench
.PHONY: test test-all unit unit-all interpret interpret-old simulate-old inspect inspect-sample mutants

help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' Makefile

demo: $(VENV)/.demo
	@$(BIN)/gpuopt compare

# Triton has wheels only for Linux.
ON_LINUX := $(filter Linux,$(shell uname -s))

test: lint types unit $(if $(ON_LINUX),inspect-sample)

test-all: lint types unit-all $(if $(ON_LINUX),interpret interpret-old simulate-old inspect)

lint: $(VENV)/.test
	@echo '== lint'
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .

types: build/typed/.stamp
	@echo '== types'
	@cd build/typed && $(abspath $(BIN))/mypy --config-file ../../pyproject.toml \
	    --cache-dir ../mypy -p gpuopt

# Signatures and docstrings of the optimizers, for editors and type checkers.
stubs: $(VENV)/.test
	@$(BIN)/python -m tests.helpers.stubs

# There are as many processes as cores, so that one thread of torch is enough for each.
unit: $(VENV)/.test
	@echo '== tests'
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q $(WORKERS) $(PYTEST_ARGS)

unit-all: $(VENV)/.test
	@echo '== all tests'
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q $(WORKERS) --all $(PYTEST_ARGS)

inspect: $(VENV)/.test
	@echo '== GPU code'
	@$(BIN)/gpuopt inspect --check --backend all

inspect-sample: $(VENV)/.test
	@echo '== a sample of the GPU code'
	@$(BIN)/gpuopt inspect --check --backend all --sample

mutants: $(VENV)/.test
	@$(BIN)/python -m tests.mutants $(MUTANT_ARGS)

# Triton's interpreter is not thread-safe and takes minutes for partials; `unit` tests both compiled.
# The oldest Triton skips the slowest tests that are not specific to a rule, and tails: with current
# NumPy its interpreter cannot reduce blocks.
INTERPRET := -m pytest -q $(WORKERS) --cuda interpret -k triton tests/backends \
    --ignore tests/backends/test_threads.py --ignore tests/backends/test_tail_on_device.py
SIMULATE := -m pytest -q $(WORKERS) --cuda sim --all -k triton tests/simgpu \
    tests/backends/test_same_bits.py tests/backends/test_dtypes.py tests/backends/test_literals.py \
    tests/backends/test_threads_on_device.py tests/inspection/test_warm.py

interpret: $(VENV)/.test
	@echo '== the Triton backend, interpreted'
	@$(BIN)/python $(INTERPRET)

interpret-old: $(OLD_VENV)/.interpret
	@echo '== the Triton backend, interpreted by Triton $(OLD_TRITON)'
	@$(OLD_VENV)/bin/python $(INTERPRET) -k 'triton and not tails' \
	    --ignore tests/backends/test_anything.py --ignore tests/backends/test_sizes.py

simulate-old: $(OLD_VENV)/.interpret
	@echo '== the Triton backend, compiled by Triton $(OLD_TRITON), simulated'
	@$(OLD_VENV)/bin/python $(SIMULATE)

# doctor reports in one line what is missing, instead of every test.
gpu-test: $(VENV)/.test
	@$(BIN)/gpuopt doctor --require triton,cupy
	@$(BIN)/python -m pytest -q --cuda gpu -m gpu tests/gpu tests/backends

bench: $(VENV)/.test
	@$(BIN)/python -m benchmarks $(BENCH_ARGS)

# All suites, then the sizes for the roofline plot.
gpu-bench: $(VENV)/.test
	@mkdir -p build/bench
	@$(BIN)/python -m benchmarks --device cuda --suite update tail host groups accuracy memory \
	    --dtype float32 bfloat16 --json build/bench/suites.json
	@$(BIN)/python -m benchmarks --device cuda --size 1k..1G --json build/bench/sizes.json
	@$(BIN)/python -m benchmarks render build/bench/suites.json build/bench/sizes.json \
	    --plot build/bench --report build/bench/report.md

# One environment; a stamp per installed extra.
$(VENV)/.demo $(VENV)/.test: $(VENV)/.%: pyproject.toml | $(BIN)/python
	@echo '== installing gpuopt[$*] into $(VENV)'
	@$(PIP) --editable '.[$*]'
	@touch $@

$(BIN)/python:
	@$(PYTHON) -m venv $(VENV)

$(OLD_VENV)/.interpret: pyproject.toml | $(BIN)/python
	@echo '== installing gpuopt[interpret] and Triton $(OLD_TRITON) into $(OLD_VENV)'
	@$(BIN)/python -m venv $(OLD_VENV)
	@PYTHONWARNINGS=ignore $(OLD_VENV)/bin/python $(PIP_INSTALL) \
	    --editable '.[interpret]' triton==$(OLD_TRITON)
	@touch $@

# mypy does not follow the editable mapping of kernels/, so it checks an installed copy.
# build/lib is removed first: setuptools would install files deleted from the sources.
build/typed/.stamp: $(SOURCES) pyproject.toml $(VENV)/.test
	@rm -rf build/lib build/typed
	@$(PIP) --no-deps --no-build-isolation --target build/typed .
	@touch $@
