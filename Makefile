# Everything a newcomer needs: `make demo`, `make test`. Each target installs what is missing on Debian
# and Ubuntu (scripts/setup) and builds RocksDB once per machine (scripts/rocksdb).

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# Workspace crates of different clones have different names in it, registry crates are shared.
CACHE := $(or $(CAIRN_CACHE),$(if $(XDG_CACHE_HOME),$(XDG_CACHE_HOME)/cairn,$(HOME)/.cache/cairn))
export CARGO_TARGET_DIR ?= $(CACHE)/target

# Sets ROCKSDB_LIB_DIR if the shared library can be had; otherwise cargo builds RocksDB itself.
PREPARE := scripts/setup; lib=$$(scripts/rocksdb || true); if [ -n "$$lib" ]; then export ROCKSDB_LIB_DIR="$$lib" ROCKSDB_STATIC=1; fi;

.PHONY: help setup build demo test lint bench pgbench sim soak nemesis

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /make \1\t/p' $(MAKEFILE_LIST) | expand -t 14

setup: ## install what is missing
	@scripts/setup

build: ## the release binary, at $(CARGO_TARGET_DIR)/release/cairn
	@$(PREPARE) cargo build --release --bin cairn

demo: ## three nodes on this machine, sample data, a SQL shell
	@$(PREPARE) cargo build --release --bin cairn && "$(CARGO_TARGET_DIR)/release/cairn" demo

test: ## all tests that CI runs
	@$(PREPARE) scripts/test

lint: ## formatting and clippy
	@cargo fmt --all --check; $(PREPARE) cargo clippy --workspace --all-targets -- -D warnings

bench: ## pgbench against Cairn and PostgreSQL 15 in one run; a table of ratios
	@$(PREPARE) cargo build --release --bin cairn && scripts/bench

pgbench: ## pgbench's scripts on one node and on three, checked: SECONDS_EACH=60 SCALE=10
	@$(PREPARE) cargo build --release --bin cairn && scripts/pgbench

sim: ## the whole cluster simulated: SEEDS=1000 seeds
	@$(PREPARE) cargo build --release --bin cairn && "$(CARGO_TARGET_DIR)/release/cairn" sim --seeds $${SEEDS:-1000}

soak: ## kill -9 loops on real processes: ROUNDS=20
	@$(PREPARE) cargo build --release --bin cairn && scripts/soak

nemesis: ## workloads that judge themselves on three nodes in network namespaces, under all faults: SECONDS_EACH=120 TOGETHER=1 (root)
	@$(PREPARE) cargo build --release --bin cairn && scripts/nemesis
