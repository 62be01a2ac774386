# `make demo` and `make test` set up everything they need: Rust, Python 3.11 or newer and make are enough.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
STAMPS := .stamps
RUST_SOURCES := Cargo.toml Cargo.lock $(shell find core tower-lb mock python -name '*.rs' -o -name Cargo.toml -o -name '*.proto')
export VIRTUAL_ENV := $(CURDIR)/$(VENV)

.PHONY: demo test test-rust test-loom test-python lint docs features msrv bench evidence lock clean

demo: $(STAMPS)/extension ## Six mock replicas, four policies, a table, an HTML page and a PNG in out/demo
	$(VENV)/bin/trimtab demo --out out/demo

test: test-rust test-loom test-python ## All tests

test-rust:
	cargo test --workspace --exclude trimtab-python --all-features --locked

# Loom checks every interleaving of the lock-free parts; its own target folder keeps the cfg apart.
test-loom:
	RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=target/loom cargo test -p trimtab-core --lib --release --locked loom

test-python: $(STAMPS)/extension
	$(PY) -m pytest

lint: $(STAMPS)/extension docs features msrv ## Everything that CI checks beside the tests
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --all-features --locked -- -D warnings
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy
	$(PY) -m mypy.stubtest trimtab._trimtab --mypy-config-file pyproject.toml

docs:
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --exclude trimtab-python --all-features --no-deps --locked

features: ## Each feature of each crate alone
	.ci/features

msrv: ## The minimum Rust version holds
	.ci/msrv

bench: $(STAMPS)/extension ## The benchmarks that tests/bench/README.md quotes; takes a while
	tests/bench/run

evidence: $(STAMPS)/extension ## The tables of tests/evidence, from their scenarios; takes half an hour
	tests/evidence/run
	tests/evidence/learning/run

lock: $(STAMPS)/venv ## Pins requirements/dev.in anew
	$(PY) -m pip install -q pip-tools
	$(VENV)/bin/pip-compile -q --upgrade --no-header --no-annotate --strip-extras --no-emit-index-url \
		--no-emit-trusted-host --no-emit-find-links -o requirements/dev.txt requirements/dev.in

$(STAMPS)/venv: requirements/dev.txt
	@$(PYTHON) -c 'import sys; sys.exit("trimtab needs Python 3.11 or newer; set PYTHON=...") if sys.version_info < (3, 11) else None'
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PY) -m pip install -q --disable-pip-version-check -r requirements/dev.txt
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/extension: $(STAMPS)/venv pyproject.toml $(RUST_SOURCES)
	$(VENV)/bin/maturin develop --release --locked
	@mkdir -p $(STAMPS) && touch $@

clean:
	cargo clean
	rm -rf $(VENV) $(STAMPS) out
