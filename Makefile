# The two commands of the README are `make demo` and `make test`; `make help` lists the rest.
PYTHON ?= python3
VENV ?= .venv
PY := $(VENV)/bin/python
# Isolated from PYTHONPATH: pip would take this folder's own metadata for the installed project.
PIP := $(PY) -I -m pip --disable-pip-version-check
export PYTHONPATH := $(CURDIR)

LOCK := $(shell cat constraints.txt pyproject.toml | sha256sum | cut -c1-16)
INSTALLED := $(VENV)/.dependencies-$(LOCK)
# The fast suites run on every core; those that start a Ray cluster need the machine to themselves.
FAST := tests/unit tests/models
CLUSTER := tests/contract tests/e2e

.PHONY: help system setup demo compiled test-compiled test test-fast test-cluster test-crowded test-slow coverage fuzz certificates mutants soak drills check format gpu-check bench-planner bench-serving bench-peers bench-changes bench-cluster bench-live bench-live-cluster bench-shared-passes bench-models bench-prediction bench-prediction-cluster bench-record bench-watch site lock clean

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(INSTALLED):
	$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info < (3, 15) else "Python 3.11 to 3.14 is needed, this is " + sys.version.split()[0] + "; set PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet -c constraints.txt setuptools
	$(PIP) install --progress-bar off -c constraints.txt -e '.[train,dev]'
	echo "$(CURDIR)" > $(VENV)/.checkout
	touch $@

system: ## system packages that tests need (apt-get, as root); nothing to do where they are there
	@sh tests/support/install_system.sh

# The dependencies are installed once per lock; the project itself, editable, once per checkout,
# because one environment may serve several clones.
setup: $(INSTALLED) ## virtual environment and install; nothing to do the second time
	@if [ "$$(cat $(VENV)/.checkout 2>/dev/null)" != "$(CURDIR)" ] || [ ! -x $(VENV)/bin/testbed ]; then \
	  $(PIP) install --quiet --no-deps --no-build-isolation -e . \
	  && echo "$(CURDIR)" > $(VENV)/.checkout; fi

demo: setup ## the whole system, end to end, on this machine (about seven minutes)
	$(VENV)/bin/testbed demo --out out/demo

test: ## the whole test suite
	$(MAKE) test-fast
	$(MAKE) test-cluster

test-fast: setup ## the tests that start no cluster
	OMP_NUM_THREADS=1 $(PY) -m pytest -n auto $(FAST) -m "not gpu and not slow"

test-cluster: setup ## the tests on a real local Ray cluster
	$(PY) -m pytest $(CLUSTER) -m "not gpu and not slow"

test-crowded: setup ## the fast tests while other processes take the cores: none may lean on a quick machine
	OMP_NUM_THREADS=1 $(PY) tests/support/crowded.py $(PY) -m pytest -n auto $(FAST) -m "not gpu and not slow"

coverage: setup ## which lines and branches the tests reach, by room; a floor is in pyproject.toml
	$(PY) -m coverage erase
	OMP_NUM_THREADS=1 $(PY) -m coverage run -m pytest -n auto $(FAST) -m "not gpu and not slow"
	$(PY) -m coverage run -m pytest $(CLUSTER) -m "not gpu and not slow"
	$(PY) -m coverage combine --quiet
	mkdir -p out
	$(PY) -m coverage json --quiet -o out/coverage.json --fail-under=0
	$(PY) tests/support/coverage_by_room.py out/coverage.json
	$(PY) -m coverage report

fuzz: setup ## ten minutes of bytes that nobody meant, to everything that reads bytes (FUZZ_SECONDS, FUZZ_SEED)
	OMP_NUM_THREADS=1 PYTHONPATH=$(CURDIR):$(CURDIR)/tests $(PY) -m fuzz

certificates: setup ## look for false certificates on 2,000 adverse random problems, others each time (20 minutes)
	OMP_NUM_THREADS=1 $(PY) benchmarks/certificate_check.py

mutants: setup ## whether the fast tests notice 200 small changes (MUTANTS_SEED, MUTANTS_COUNT, MUTANTS_JOBS)
	PYTHONPATH=$(CURDIR):$(CURDIR)/tests $(PY) -m mutants

soak: setup ## ten minutes of traffic and plan changes: nothing may grow (SOAK_SECONDS=600)
	$(PY) -m pytest -s tests/soak -m slow

drills: setup ## kill and stop every kind of process at each step of a change of plan (DRILLS_SEED=1)
	$(PY) -m pytest -s tests/drills tests/contract tests/e2e -m slow

test-slow: setup ## what the suite leaves out of the fast tests: minutes of simulated time
	OMP_NUM_THREADS=1 $(PY) -m pytest -n auto $(FAST) -m "slow and not gpu"

compiled: setup ## compile what every simulated query passes: twice as fast with TESTBED_COMPILED=1
	TESTBED_COMPILED= $(PY) -m serving.compile_modules

test-compiled: compiled ## the tests of what is compiled, compiled
	TESTBED_COMPILED=1 OMP_NUM_THREADS=1 $(PY) -m pytest -n auto -m "not slow and not gpu" \
	  tests/unit/serving/simulation tests/unit/serving/node tests/unit/serving/routing tests/unit/serving/traffic

check: setup ## lint, formatting, types, import boundaries
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy & types=$$!; \
	$(PY) -m pytest -q tests/unit/test_architecture.py -k "not need_neither"; imports=$$?; \
	wait $$types && exit $$imports  # side by side; the test left out takes longest, and is one of test-fast

format: setup ## rewrite the code in the project's format
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

gpu-check: setup ## what only a GPU can answer, in eight minutes at most; writes out/gpu-check.json (DEVICE=cuda:0)
	$(PY) benchmarks/gpu_check.py --device $(or $(DEVICE),cuda:0) --out out/gpu-check.json

bench-planner: setup ## measure the planner, P10 with TRACE=arrivals.csv too; writes out/bench/planner.json
	OMP_NUM_THREADS=1 $(PY) benchmarks/bench_planner.py --out out/bench/planner.json $(if $(TRACE),--trace "$(TRACE)")

bench-serving: setup ## measure the data plane; writes out/bench/serving.json
	OMP_NUM_THREADS=1 $(PY) benchmarks/bench_serving.py --out out/bench/serving.json

bench-peers: setup ## environments of the servers that bench-serving compares with (1 GB)
	$(PY) benchmarks/peers/install.py

bench-record: setup ## take results of a clean commit over from out/bench/, and fill the page
	$(PY) benchmarks/record.py

bench-models: setup ## measure the zoo; writes out/bench/models.json (two minutes once pictures are rendered)
	OMP_NUM_THREADS=1 $(PY) benchmarks/bench_models.py --out out/bench/models.json

bench-changes: setup ## measure how soon a cluster follows a plan; writes out/bench/changes.json
	$(PY) benchmarks/bench_changes.py --out out/bench/changes.json

bench-cluster: setup ## measure how clusters come up and go, and what links carry, K5 with LINKS=capacities.csv; needs root; writes out/bench/cluster.json (30 minutes)
	$(PY) benchmarks/bench_cluster.py --out out/bench/cluster.json $(if $(LINKS),--link-trace "$(LINKS)")

bench-live: setup ## measure the live loop in simulated time; writes out/bench/live.json (20 minutes)
	OMP_NUM_THREADS=1 $(PY) benchmarks/bench_live.py --out out/bench/live.json

bench-live-cluster: setup ## the same on a cluster, on its own and on emulated devices (40 minutes); adds to live.json
	$(PY) benchmarks/bench_live.py --live own --out out/bench/live.json
	$(PY) benchmarks/bench_live.py --live emulated --out out/bench/live.json

bench-prediction: setup ## measure emulated devices against their profiles; writes out/bench/prediction.json (five minutes)
	OMP_NUM_THREADS=1 $(PY) benchmarks/bench_prediction.py --out out/bench/prediction.json
	TESTBED_COMPILED= $(PY) -m serving.compile_modules
	OMP_NUM_THREADS=1 $(PY) benchmarks/bench_prediction.py --simulated --out out/bench/prediction.json
	$(VENV)/bin/testbed up cluster/specs/demo.yaml
	$(VENV)/bin/testbed profile --fresh -o out/profiles-again.json
	$(VENV)/bin/testbed down
	$(PY) benchmarks/bench_prediction.py --again out/profiles-again.json --out out/bench/prediction.json

# --trace CSV adds recorded arrivals.
bench-prediction-cluster: setup ## measure what was predicted of a cluster, own and emulated devices (30 minutes); adds to prediction.json
	$(PY) benchmarks/bench_prediction.py --live own --out out/bench/prediction.json
	$(PY) benchmarks/bench_prediction.py --live emulated --out out/bench/prediction.json

bench-watch: setup ## measure the live page, on a cluster and replaying; writes out/bench/watch.json (15 minutes)
	$(PY) benchmarks/bench_watch.py --out out/bench/watch.json

bench-shared-passes: setup ## measure what shared passes gain; writes out/bench/shared_passes.json
	OMP_NUM_THREADS=1 $(PY) benchmarks/bench_shared_passes.py --out out/bench/shared_passes.json

site: setup ## the pages of docs/ as a web site in out/site, warnings as errors
	$(VENV)/bin/mkdocs build --quiet --strict --site-dir out/site

lock: setup ## rewrite constraints.txt from the installed environment
	{ head -1 constraints.txt; $(PIP) freeze --exclude-editable; } > constraints.next
	mv constraints.next constraints.txt

clean: ## remove the environment and everything a run wrote
	rm -rf $(VENV) out build *.egg-info .mypy_cache .ruff_cache .pytest_cache
