# Token Trails. `make demo` is the place to start; everything is set up where it is missing.
STORE ?= data/demo
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo app test lint train-demo
.venv/app: requirements-app.lock
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q -r requirements-app.lock
	touch $@

.venv/all: requirements.lock requirements-app.lock
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q -r requirements.lock
	touch $@ .venv/app

demo: .venv/all  ## score the bundled checkpoints, compare with the shipped store, open the app
	rm -rf build/demo-store
	$(BIN)/python -m ingest run data/demo/checkpoints --text data/demo/text/addresses.parquet \
		--store build/demo-store --max-parts 4
	$(BIN)/streamlit run app.py -- $(STORE)

app: .venv/app  ## open the app on STORE; needs no torch
	$(BIN)/streamlit run app.py -- $(STORE)

test: .venv/all lint  ## everything that is checked
	$(BIN)/python -m pytest

lint: .venv/all
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

train-demo: .venv/all  ## train the demo model again, from nothing
	$(BIN)/python -m ingest demo
