# make demo           compare all methods on real data: prints a table, writes compare.png
# make stubs          write the stubs of the optimizers' classes
# make test           lint, types, tests, and a sample of the GPU code: minutes
# make unit           only the tests; PYTEST_ARGS=tests/rules selects some
# make test-all       whole grids of options, all GPU code, and the next three: an hour
# make interpret      test the Triton backend in Triton's interpreter
# make interpret-old  test most of it in the oldest supported Triton
# make simulate-old   test the kernels of the oldest Triton on the simulated device
# make inspect        compile all GPU code, without a GPU, and check its limits (Linux)
# make mutants        mutation tests: apply faults that the tests must catch; an hour
# make docs           build the pages of docs/ into build/docs; needs no network after installation
# make tables         write the measured tables of docs/ from docs/benchmarks
# make bench          benchmark a step on this CPU, compared with its peers
#
# On a CUDA device, with results in build/gpu, each in less than ten minutes:
# make gpu-smoke      check that the backends work at all
# make gpu-test       run the tests that need a device, in parallel
# make gpu-bench      benchmark, compared with the peers that are installed, with plots
# make gpu-compile    benchmark, compared with torch.compile
# make gpu-sanitize   run every kernel under compute-sanitizer
# make gpu-profile    time each kernel, and read the device's counters with ncu
#
# Each creates .venv and installs its dependencies, once.
# PYTHON=python3.12 selects the interpreter for .venv, VENV=... its path; with VENV=none, PYTHON is
# used as it is, and nothing is installed.

PYTHON ?= python3
VENV ?= .venv
PYTEST_ARGS ?=
BENCH_ARGS ?=
MUTANT_ARGS ?=
GPU_ARGS ?=
WORKERS := -n auto --maxprocesses 8

ifeq ($(VENV),none)
RUN := $(PYTHON)
INSTALLED :=
FOR_DEMO :=
FOR_DOCS :=
else
RUN := $(VENV)/bin/python
INSTALLED := $(VENV)/.test
FOR_DEMO := $(VENV)/.demo
FOR_DOCS := $(VENV)/.docs
endif

PIP_INSTALL := -m pip --disable-pip-version-check install --quiet
PIP := PYTHONWARNINGS=ignore $(RUN) $(PIP_INSTALL)
# The first pip that installs dependency groups.
NEW_PIP := 'pip>=25.1'
OLD_TRITON := 3.6.0
OLD_VENV := $(if $(INSTALLED),$(VENV),.venv)/triton-$(OLD_TRITON)
SOURCES := $(shell find gpuopt kernels -name '*.py' -o -name '*.pyi' -o -name '*.cuh' -o -name py.typed)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo lint types stubs tables docs bench
.PHONY: gpu-smoke gpu-test gpu-bench gpu-compile gpu-sanitize gpu-profile
.PHONY: test test-all unit unit-all interpret interpret-old simulate-old inspect inspect-sample mutants

help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' Makefile

demo: $(FOR_DEMO)
	@$(RUN) -m gpuopt compare

# Triton has wheels only for Linux.
ON_LINUX := $(filter Linux,$(shell uname -s))

test: lint types unit $(if $(ON_LINUX),inspect-sample)

test-all: lint types unit-all $(if $(ON_LINUX),interpret interpret-old simulate-old inspect)

lint: $(INSTALLED)
	@echo '== lint'
	@$(RUN) -m ruff check --quiet .
	@$(RUN) -m ruff format --quiet --check .

types: build/typed/.stamp
	@echo '== types'
	@cd build/typed && $(if $(findstring /,$(RUN)),$(abspath $(RUN)),$(RUN)) -m mypy --config-file ../../pyproject.toml \
	    --cache-dir ../mypy -p gpuopt

# Signatures and docstrings of the optimizers, for editors and type checkers.
stubs: $(INSTALLED)
	@$(RUN) -m tests.helpers.stubs

tables: $(INSTALLED)
	@$(RUN) -m benchmarks.tables

# A warning fails the build, and so does a broken link, a wrong equation, or a page that loads
# anything from elsewhere.
docs: $(FOR_DOCS)
	@echo '== docs'
	@$(RUN) -m sphinx --fail-on-warning --keep-going --fresh-env --quiet -d build/doctrees \
	    docs build/docs
	@echo 'build/docs/index.html'

# There are as many processes as cores, so that one thread of torch is enough for each.
unit: $(INSTALLED)
	@echo '== tests'
	@OMP_NUM_THREADS=1 $(RUN) -m pytest -q $(WORKERS) $(PYTEST_ARGS)

unit-all: $(INSTALLED)
	@echo '== all tests'
	@OMP_NUM_THREADS=1 $(RUN) -m pytest -q $(WORKERS) --all $(PYTEST_ARGS)

inspect: $(INSTALLED)
	@echo '== GPU code'
	@$(RUN) -m gpuopt inspect --check --backend all

inspect-sample: $(INSTALLED)
	@echo '== a sample of the GPU code'
	@$(RUN) -m gpuopt inspect --check --backend all --sample

mutants: $(INSTALLED)
	@$(RUN) -m tests.mutants $(MUTANT_ARGS)

# Triton's interpreter is not thread-safe and takes minutes for partials; `unit` tests both compiled.
# The oldest Triton skips the slowest tests that are not specific to a rule, and tails: with current
# NumPy its interpreter cannot reduce blocks.
INTERPRET := -m pytest -q $(WORKERS) --cuda interpret -k triton tests/backends \
    --ignore tests/backends/test_threads.py --ignore tests/backends/test_tail_on_device.py
SIMULATE := -m pytest -q $(WORKERS) --cuda sim --all -k triton tests/simgpu \
    tests/backends/test_same_bits.py tests/backends/test_dtypes.py tests/backends/test_literals.py \
    tests/backends/test_threads_on_device.py tests/inspection/test_warm.py

interpret: $(INSTALLED)
	@echo '== the Triton backend, interpreted'
	@$(RUN) $(INTERPRET)

interpret-old: $(OLD_VENV)/.interpret
	@echo '== the Triton backend, interpreted by Triton $(OLD_TRITON)'
	@$(OLD_VENV)/bin/python $(INTERPRET) -k 'triton and not tails' \
	    --ignore tests/backends/test_anything.py --ignore tests/backends/test_sizes.py

simulate-old: $(OLD_VENV)/.interpret
	@echo '== the Triton backend, compiled by Triton $(OLD_TRITON), simulated'
	@$(OLD_VENV)/bin/python $(SIMULATE)

bench: $(INSTALLED)
	@$(RUN) -m benchmarks $(BENCH_ARGS)

gpu-smoke gpu-test gpu-bench gpu-compile gpu-sanitize gpu-profile: gpu-%: $(INSTALLED)
	@$(RUN) -m tests.gpu $* $(GPU_ARGS)

# One environment; a stamp for what users install, and one for what the tests need.
$(VENV)/.demo: pyproject.toml | $(VENV)/bin/python
	@echo '== installing gpuopt[demo] into $(VENV)'
	@$(PIP) --editable '.[demo]'
	@touch $@

$(VENV)/.test: pyproject.toml | $(VENV)/bin/python
	@echo '== installing gpuopt and the group test into $(VENV)'
	@$(PIP) $(NEW_PIP)
	@$(PIP) --editable . --group test
	@touch $@

$(VENV)/.docs: pyproject.toml | $(VENV)/bin/python
	@echo '== installing what builds the pages into $(VENV)'
	@$(PIP) $(NEW_PIP)
	@$(PIP) --editable . --group docs
	@touch $@

$(VENV)/bin/python:
	@$(PYTHON) -m venv $(VENV)

$(OLD_VENV)/.interpret: pyproject.toml | $(if $(INSTALLED),$(RUN))
	@echo '== installing gpuopt, the group interpret and Triton $(OLD_TRITON) into $(OLD_VENV)'
	@$(RUN) -m venv $(OLD_VENV)
	@PYTHONWARNINGS=ignore $(OLD_VENV)/bin/python $(PIP_INSTALL) $(NEW_PIP)
	@PYTHONWARNINGS=ignore $(OLD_VENV)/bin/python $(PIP_INSTALL) \
	    --editable . --group interpret triton==$(OLD_TRITON)
	@touch $@

# mypy does not follow the editable mapping of kernels/, so it checks an installed copy.
# build/lib is removed first: setuptools would install files deleted from the sources.
build/typed/.stamp: $(SOURCES) pyproject.toml $(INSTALLED)
	@rm -rf build/lib build/typed
	@$(PIP) --no-deps --no-build-isolation --target build/typed .
	@touch $@
