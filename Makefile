# `make demo` and `make test` work on a fresh clone: as root, on Debian 12 or later, x86_64.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup build demo demo-down test fast-test lab-test bench lint down

CARGO ?= tests/lab/cargo
LAB := tests/lab/lab
BIN := target/release/cephdock
NET := $(or $(LAB_NET),10.32.3)
PACKAGES := gcc libc6-dev make perl pkg-config ca-certificates openssh-client openssh-server shellcheck python3

help: ## this list
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/  make \1\t\2/p' Makefile | expand -t 18

setup: ## install what building and testing need (Debian packages; Rust too, where it is missing)
	@missing=(); for p in $(PACKAGES); do dpkg-query -W -f '$${Status}\n' $$p 2>/dev/null | grep -q '^install ok' || missing+=($$p); done; \
	if (($${#missing[@]})); then echo "installing $${missing[*]}"; apt-get update -qq; \
	  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$${missing[@]}" </dev/null >/dev/null; fi
	@$(CARGO) --version

build: setup ## target/release/cephdock
	$(CARGO) build --release

demo: build ## three nodes on this machine, and a cluster on them, built before your eyes
	$(LAB) up B1=$(NET).147 B2=$(NET).148 B3=$(NET).149
	@mkdir -p .lab; $(LAB) known-hosts >.lab/known_hosts; $(LAB) inventory | sed 's#known_hosts: .*#known_hosts: $(CURDIR)/.lab/known_hosts#' >.lab/inventory.yaml
	$(LAB) run $(BIN) up -i .lab/inventory.yaml -y
	$(LAB) run $(BIN) status -i .lab/inventory.yaml
	@printf '%s\n' '' 'Look around:' '  $(LAB) ssh B1                          a node, as root' '  $(LAB) ssh B1 docker exec mon ceph -s' \
	  '  $(LAB) run $(BIN) status -i .lab/inventory.yaml' '  $(LAB) run $(BIN) volume test -i .lab/inventory.yaml   what one node writes the others read' 'Pull the plug of one and put it back:' '  $(LAB) cut B3; $(LAB) start B3' 'Take it all down:' '  make demo-down'

demo-down: ## take the demo down
	$(LAB) down
	@rm -rf .lab

test: setup fast-test lab-test ## every test: the fast ones, then those on the lab's nodes

fast-test: ## the tests that need no lab
	$(CARGO) test

lab-test: ## the tests on real nodes (beside a demo, not in its way)
	CARGO='$(CARGO)' tests/lab/all

bench: build ## by hand, the floor and cephdock, side by side (ROUNDS=3 for medians); then 3, 12 and 24 nodes; then volumes
	tests/bench/run
	tests/bench/scale
	ROUNDS=15 tests/bench/volumes

lint: setup ## rustfmt, clippy, rustdoc and shellcheck
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --lib --no-deps --document-private-items
	shellcheck $(LAB) tests/lab/all tests/lab/cargo .ci/run
	shellcheck -s dash src/host/probe.sh

down: ## take down every lab on this machine, and what a killed one left
	@for ns in $$(ls -F $${LAB_DIR:-/var/tmp/cephdock-lab}/ns 2>/dev/null | sed -n 's#/$$##p'); do LAB_NS=$$ns $(LAB) down; done
