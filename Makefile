# Token Trails. `make demo` is the place to start; each target sets up what it needs.
STORE ?= data/demo
BENCH ?= report
FUZZ ?= 500
PYTHON ?= python3
BIN := .venv/bin
INSTALL = test -x $(BIN)/python || $(PYTHON) -m venv .venv; $(BIN)/python -m pip install -q --disable-pip-version-check -r

.PHONY: demo app test fuzz test-peers lint bench bench-app bench-ingest train-demo screenshots

# The app's packages alone: no torch among them.
.venv/app: requirements-app.lock
	$(INSTALL) $<
	touch $@

.venv/all: requirements.lock requirements-app.lock
	$(INSTALL) $<
	touch $@ .venv/app

# What `--engine spark`, `--engine ray` and s3:// need; a gigabyte, so only where it is asked for.
.venv/cluster: .venv/all requirements-cluster.lock
	$(INSTALL) requirements-cluster.lock
	touch $@

# Other tools that compute losses, for comparison alone: a quarter of a gigabyte.
.venv/peers: .venv/all requirements-peers.lock
	$(INSTALL) requirements-peers.lock
	touch $@

demo: .venv/all  ## score the bundled checkpoints, compare with the bundled store, open the app on it
	rm -rf build/demo-store
	$(BIN)/python -m ingest run data/demo/checkpoints --text data/demo/text/addresses.parquet \
		--max-parts 4 --store build/demo-store
	$(BIN)/python -m ingest compare build/demo-store data/demo
	$(BIN)/streamlit run app.py -- data/demo

app: .venv/app  ## open the app on STORE
	$(BIN)/streamlit run app.py -- $(STORE)

test: lint  ## check everything
	$(BIN)/python -m pytest -n auto --dist loadfile

fuzz: .venv/all  ## random texts through ingest, every analysis and page: FUZZ examples
	FUZZ=$(FUZZ) $(BIN)/python -m pytest tests/fuzz -p no:cacheprovider

test-peers: .venv/peers  ## check our losses against lm-evaluation-harness and minicons
	$(BIN)/python -m pytest tests/peers

lint: .venv/all
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/all  ## our queries beside other ways, on a store of the report's size or BENCH=large
	$(BIN)/python -m tests.bench.queries --size $(BENCH)

bench-app: .venv/all  ## how long the app takes in a browser, at the report's size (needs Chromium)
	$(BIN)/python -m tests.bench.app

bench-ingest: .venv/all  ## our scoring beside other ways (lm-evaluation-harness where installed)
	$(BIN)/python -m tests.bench.ingest

train-demo: .venv/all  ## train the demo model again, from nothing, into build/demo
	$(BIN)/python -m ingest demo

screenshots: .venv/all  ## make README's pictures again (needs Chromium)
	$(BIN)/python -m tests.browser.shots docs
