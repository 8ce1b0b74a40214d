# `make run` starts Updraft, `make test` tests it; `make help` lists the rest.
.DEFAULT_GOAL := help
.PHONY: help build run test lint fmt bench fuzz sqlx ui test-ui shots bench-ui

# Flags for `updraft standalone`: make run ARGS="--port 9000"
ARGS ?=
# Filters for the tests: make test FILTER=standalone
FILTER ?=

NEXTEST := $(shell command -v cargo-nextest 2>/dev/null)

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ui ## build what is missing and start everything: http://127.0.0.1:8080
	cargo build
	@tools/busybox-image.sh
	exec target/debug/updraft standalone $(ARGS)

test: ui ## set up what the tests need and run them
ifdef NEXTEST
	tools/test-env.sh cargo nextest run --workspace --features failpoints $(FILTER)
else
	tools/test-env.sh cargo test --workspace --features failpoints $(FILTER)
endif

build: ui ## an optimised binary: target/release/updraft
	cargo build --release

lint: ## formatting, lints, generated files
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --features failpoints -- -D warnings
	tools/test-env.sh tools/sqlx.sh check
	@[ ! -e ui/package.json ] || tools/ui.sh lint

fmt: ## format the code
	cargo fmt --all

bench: ## how fast it is, beside floors measured in the same run
	tools/test-env.sh cargo bench --bench engine -- $(ARGS)

fuzz: ## a minute of nonsense for each parser: make fuzz ARGS="600 yaml"
	tools/fuzz.sh $(ARGS)

sqlx: ## renew .sqlx/ after a change of SQL
	tools/test-env.sh tools/sqlx.sh write

ui: ## build the dashboard, when Node is there
	@[ ! -e ui/package.json ] || tools/ui.sh build

# With UPDRAFT_URL these three use that running server (UPDRAFT_USER, UPDRAFT_PASSWORD) instead of one of their own.
test-ui: ui ## the dashboard in Chromium against the real binary
	@[ -n "$(UPDRAFT_URL)" ] || cargo build
	tools/ui.sh test:e2e

shots: ui ## pictures of every page of the dashboard: target/shots/
	@[ -n "$(UPDRAFT_URL)" ] || cargo build
	tools/ui.sh shots

bench-ui: ui ## how fast the dashboard is, from Chromium's own timings
	@[ -n "$(UPDRAFT_URL)" ] || cargo build --release
	UPDRAFT_BIN=target/release/updraft tools/ui.sh bench
