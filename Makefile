# failover: one short recipe for each thing that is done with this tree. `make help` lists them.

CARGO ?= cargo
PREFIX ?= /usr/local
DESTDIR ?=

# Arguments for the benchmark's own command line.
BENCH_ARGS ?=

# The tests with real peers, once they are there. `--all-targets` leaves out targets that say
# `test = false`, even when they are named beside it, so they are linted by a command of their own.
PEERS = $(wildcard tests/peers tests/peers.rs)

.DEFAULT_GOAL := build
.PHONY: build run test test-peers lint static bench install clean help \
	demo example-1 example-u2 example-u3 example-u4 example-u5

build: ## build for this machine, optimised (target/release/failover)
	$(CARGO) build --release

run: ## run the daemon on examples/failover.conf, the place to start editing
	$(CARGO) run --quiet -- run -c examples/failover.conf

test: ## run every test that needs nothing but this tree, and the examples of the manual
	$(CARGO) test

test-peers: ## run the tests with real peers (haproxy, keepalived, ...); installs them if root
	@sh tests/install-peers.sh
	PATH="$$PATH:/usr/sbin:/sbin" $(CARGO) test --test peers

lint: ## check formatting, clippy, the manual's links and the house rules
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets -- -D warnings
	$(if $(PEERS),$(CARGO) clippy --test peers -- -D warnings)
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps --document-private-items \
		--target-dir "$${CARGO_TARGET_DIR:-target}/doc-private"
	$(CARGO) test --quiet --test tidy

static: ## build the static binary and prove it static; ARCH=aarch64 for another machine
	@sh tests/static.sh build

bench: static ## measure the static binary; BENCH_ARGS are handed on
	tests/bench/run "$$(sh tests/static.sh path)" $(BENCH_ARGS)

install: static ## install the static binary in $(PREFIX)/bin, below $(DESTDIR)
	install -D -m 0755 "$$(sh tests/static.sh path)" "$(DESTDIR)$(PREFIX)/bin/failover"

# Debug builds, as `make run`: they show what happens, not how fast, and a fat-LTO release build is
# a long wait before the first answer.

demo: ## the daemon and services that fail and recover by a script; LISTEN, EVERY
	$(CARGO) run --quiet --example demo

# The examples read BACKEND, LISTEN, OK_AFTER, FAIL_AFTER and EVERY from the environment or from
# make's command line.

example-1: ## a mail server's port, asked at every request: GET /example-1
	$(CARGO) run --quiet --example example_1

example-u2: ## the same, judged by a count of outcomes
	$(CARGO) run --quiet --example u2

example-u3: ## the same, judged by how long it has been so
	$(CARGO) run --quiet --example u3

example-u4: ## the same, asked in the background
	$(CARGO) run --quiet --example u4

example-u5: ## the same, failed until a human resets it
	$(CARGO) run --quiet --example u5

clean: ## remove everything that was built
	$(CARGO) clean

help: ## list these targets
	@sed -n 's/^\([a-z0-9-]*\):[^#]*## \(.*\)/\1\t\2/p' $(firstword $(MAKEFILE_LIST)) | \
		while IFS="$$(printf '\t')" read -r target what; do \
			printf '  %-12s %s\n' "$$target" "$$what"; \
		done
