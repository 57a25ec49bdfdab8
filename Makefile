# Token Trails. Start with `make demo`. Each target installs what it needs into .venv.
STORE ?= data/demo
BENCH ?= report
STEPS ?= 3000
OUT ?= build/demo
SHOTS ?= docs
PORT ?= 8501
KILLS ?= 30
FUZZ ?= 500
CALIBRATE ?= full
TRIALS ?=
SEED ?= 1
WORKERS ?= 2
PROCEDURE ?=
PYTHON ?= python3
BIN := .venv/bin
INSTALL = test -x $(BIN)/python || $(PYTHON) -m venv .venv; $(BIN)/python -m pip install -q --disable-pip-version-check -r

.PHONY: demo demo-store app test test-kill test-peers lint bench bench-app bench-ingest bench-gpu train-demo screenshots sweep fuzz calibrate

# Only the app's packages, without torch.
.venv/app: requirements-app.lock
	$(INSTALL) $<
	touch $@

.venv/all: requirements.lock requirements-app.lock
	$(INSTALL) $<
	touch $@ .venv/app

# For `--engine spark`, `--engine ray` and s3://. A gigabyte, so it is a separate target.
.venv/cluster: .venv/all requirements-cluster.lock
	$(INSTALL) requirements-cluster.lock
	touch $@

# xarray and zarr: 20 MB.
.venv/arrays: .venv/all requirements-arrays.lock
	$(INSTALL) requirements-arrays.lock
	touch $@

# Other tools that compute losses, for comparison: a quarter of a gigabyte.
.venv/peers: .venv/all requirements-peers.lock
	$(INSTALL) requirements-peers.lock
	touch $@

demo: demo-store  ## score the bundled checkpoints, compare with the bundled store, open the app
	$(BIN)/python token_trails.py app data/demo --port $(PORT)

demo-store: .venv/all  ## the same without opening the app
	rm -rf build/demo-store
	$(BIN)/python -m ingest run data/demo/checkpoints --text data/demo/text/addresses.parquet \
		--max-parts 4 --predictions --store build/demo-store
	$(BIN)/python -m ingest compare build/demo-store data/demo

app: .venv/app  ## open the app on STORE
	$(BIN)/python token_trails.py app $(STORE) --port $(PORT)

test: lint  ## check everything
	$(BIN)/python -m pytest -n auto --dist loadfile --durations=20

test-kill: .venv/all  ## kill scoring KILLS times at random moments, and resume (the suite: 9 times)
	KILLS=$(KILLS) $(BIN)/python -m pytest tests/ingest -k killed

fuzz: .venv/all  ## random texts through ingest, every analysis and page: FUZZ examples
	FUZZ=$(FUZZ) $(BIN)/python -m pytest tests/fuzz -p no:cacheprovider

test-peers: .venv/peers  ## compare our losses with lm-evaluation-harness and minicons
	$(BIN)/python -m pytest tests/peers

sweep: .venv/all  ## score a tiny model of every architecture, in a run and separately; writes docs/architectures.md
	nice $(BIN)/python -m tests.sweep

lint: .venv/all  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

calibrate: .venv/all  ## simulate false claims and power of every procedure; writes docs/calibration.md
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 nice $(BIN)/python -m tests.calibrate --size $(CALIBRATE) \
		$(if $(TRIALS),--trials $(TRIALS)) --seed $(SEED) --workers $(WORKERS) --procedure "$(PROCEDURE)"

bench: .venv/all  ## our queries compared with other ways, on a store of size BENCH (small, report, large)
	$(BIN)/python -m tests.bench.queries --size $(BENCH)

bench-app: .venv/all  ## the app's response times in a browser (needs Chromium)
	$(BIN)/python -m tests.bench.app --size $(BENCH)

bench-ingest: .venv/all  ## our scoring compared with other ways, and the speed and memory of imports
	$(BIN)/python -m tests.bench.ingest --size $(BENCH)
	$(BIN)/python -m tests.bench.imports --size $(BENCH)

bench-gpu: .venv/all  ## scoring at each precision next to a bare loop, and runs from disk to Parquet
	$(BIN)/python -m tests.bench.gpu --size $(BENCH)

train-demo: .venv/all  ## train the demo model from scratch for STEPS steps, into OUT
	$(BIN)/python -m ingest demo --steps $(STEPS) --out $(OUT)

screenshots: .venv/all  ## take the README's pictures again, into SHOTS (needs Chromium)
	$(BIN)/python -m tests.browser.shots $(SHOTS)
