# The verbs of this repository. `make` lists them.
SHELL := bash
PROFILE := ci
# Built things may stay outside the clone, so that a second clone starts warm.
export CARGO_TARGET_DIR ?= $(or $(wildcard $(HOME)/.cache/perennial/target),$(CURDIR)/target)
RUN_TESTS := $(shell cargo nextest --version >/dev/null 2>&1 && echo "nextest run --cargo-profile $(PROFILE) --profile ci" || echo "test --profile $(PROFILE) --no-fail-fast")

.PHONY: help demo run test test-quick clients check proto audit manifests bench reliability upgrade clean

help: ## List the verbs
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 22

demo: ## Build, simulate a shop's year, and show what its campaigns earned
	@cargo build --release -p perennial
	@$(CARGO_TARGET_DIR)/release/perennial demo

run: ## Run everything in one process on ./data
	@cargo run --release -p perennial -- serve

test: ## Every test, on SQLite, PostgreSQL and Redis, and with real clients
	@tests/with-services bash -c 'cargo $(RUN_TESTS) --workspace && tests/clients/run'

test-quick: ## Every test that needs no server
	@cargo $(RUN_TESTS) --workspace

clients: ## The vendors' own clients against a running server
	@tests/clients/run

check: ## Format and lints
	@cargo fmt --all --check
	@cargo clippy --workspace --all-targets --profile $(PROFILE) -- -D warnings

proto: ## Lint the protos and compare them with the last published ones
	@tests/tools buf lint proto
	@tests/tools buf breaking proto --against proto/baseline.binpb

audit: ## Licences, bans and sources of everything we depend on
	@tests/tools cargo-deny check bans licenses sources

manifests: ## Render what deploys us, and hold it against Kubernetes' schemas and our rules
	@deploy/check

bench: ## Time the value mathematics beside Python's lifetimes, events in, and replicas of ingestion, a table each
	@tests/bench/run
	@tests/bench/ingest
	@tests/bench/replicas

reliability: ## The torture, kill and outage tests, long: 200 rounds each, a whole year in both shapes, 480 stories in any order
	@PERENNIAL_TEST_TORTURE_ROUNDS=400 tests/with-services cargo test --profile $(PROFILE) -p perennial-feed --test it torture
	@cargo build --profile $(PROFILE) -p perennial
	@PERENNIAL_TEST_KILLS=200 PERENNIAL_TEST_DAYS=365 tests/with-services \
		cargo test --profile $(PROFILE) -p perennial-tests --test it -- --test-threads 1 --nocapture kill:: outage:: shapes::
	@PERENNIAL_TEST_STORIES=480 PERENNIAL_TEST_SEED=$$RANDOM \
		cargo test --profile $(PROFILE) -p perennial-tests --test it -- --nocapture any_order::

upgrade: ## The release before on this version's schema, once there is one
	@tests/with-services tests/upgrade

clean: ## Remove what was built and simulated here
	@cargo clean && rm -rf .perennial
