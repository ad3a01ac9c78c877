# Every target sets up .venv from the lock file first, once: the stamp is newer than the lock file.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

export RAY_USAGE_STATS_ENABLED = 0

# Tools that want other versions than the lock file has: the tests' S3 and Google servers, and pip-audit.
TOOLS := $(VENV)-tools

.PHONY: study test test-slow fuzz soak bench docs lint format env lock clean

study: env
	$(BIN)/python run_study.py --grid paper $(ARGS)

# Files of tests side by side on two cores, each process with one thread.
test: env $(TOOLS)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses $(or $(JOBS),2) --dist loadfile --no-loadscope-reorder $(ARGS)

test-slow: env $(TOOLS)
	$(BIN)/python -m pytest -m slow $(ARGS)

# Some minutes: drawn and damaged input of every kind (tests/fuzz), of which `make test` has a few hundred.
fuzz: env
	FUZZ_INPUTS=$(or $(INPUTS),25000) $(BIN)/python -m pytest -m fuzz tests/fuzz $(ARGS)

# Random faults over runs in a row (tests/faults/soak.py), of which `make test` has one of each kind; N=20 is enough to see it.
soak: env
	$(BIN)/python -m tests.faults.soak --faults $(or $(N),200) $(ARGS)

# About an hour; `make bench QUICK=1` a few minutes. Without a network the rows whose peer is absent are left out.
bench: env
	@$(BIN)/pip install --quiet --disable-pip-version-check --retries 1 --timeout 15 --constraint requirements.lock \
		--no-build-isolation --editable '.[bench]' 2> /dev/null || \
		echo "bench: the extra 'bench' (jax) could not be installed: its rows are left out" >&2
	$(BIN)/python -m benchmarks $(if $(filter-out 0,$(QUICK)),--quick) $(ARGS)

# The site, site/index.html, with links checked and the notebook run. Where its tools are not to be had it is left out, but not in CI.
docs: env
	@if $(BIN)/pip install --quiet --disable-pip-version-check --retries 1 --timeout 15 --constraint requirements.lock \
		--constraint docs/requirements.txt --no-build-isolation --editable '.[docs]' 2> /dev/null; \
	then $(BIN)/python docs/notebook.py docs/notebooks/own_data.ipynb && NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet; \
	else echo "docs: the extra 'docs' (mkdocs-material and others) could not be installed: no site is built" >&2; test "$$CI" != true; \
	fi

lint: env $(TOOLS)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python tests/audit.py $(TOOLS)/bin/pip-audit

format: env
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

env: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: Python 3.11 or newer is needed; give one with: make PYTHON=python3.11 $(MAKECMDGOALS)" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --requirement requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(STAMP)

$(TOOLS):
	@$(PYTHON) -m venv $(TOOLS) && $(TOOLS)/bin/pip install --quiet --disable-pip-version-check --retries 1 --timeout 15 \
		moto==5.2.5 flask==3.1.3 flask-cors==6.0.5 gcp-storage-emulator==2026.7.19 pip-audit==2.10.1 2> /dev/null || \
		{ rm -rf $(TOOLS); echo "note: moto, gcp-storage-emulator and pip-audit could not be installed: what needs them is left out" >&2; }

# A new lock file from the ranges of pyproject.toml, solved in an environment of its own.
lock:
	rm -rf $(VENV)-lock && $(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/pip install --quiet '.[dev,onnx]'
	{ sed -n '/^#/p' requirements.lock; \
	  $(VENV)-lock/bin/pip freeze --all --exclude dae-study --exclude pip | sed 's/^torch==\([0-9.]*\)+.*/torch==\1/'; } > requirements.lock.new
	mv requirements.lock.new requirements.lock
	rm -rf $(VENV)-lock

clean:
	rm -rf $(VENV) $(TOOLS) .pytest_cache .ruff_cache .mypy_cache
