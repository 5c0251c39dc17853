# What a person types. `make demo` to try it, `make test` before a change is sent.

PORT ?= 8443
DATA ?= demo-data

.PHONY: demo build test torture operator-day lint profile bench bench-path

# In the profile `demo` (Cargo.toml) rather than as a release, whose fat LTO takes minutes that a
# demo does not repay; rather than as a debug build, whose password hashes and TLS would crawl.
demo:
	exec cargo run --locked --profile demo -- demo --port $(PORT) --data "$(DATA)"

# What goes to a server: fat LTO, slow to build.
build:
	cargo build --locked --release

test:
	scripts/test-needs
	cargo test --locked

# Three real nodes while what they stand on is killed and hung (tests/torture.rs). Another run:
# MINUTES=60 SEED=7 make torture
torture:
	scripts/test-needs
	cargo test --locked --profile demo --test torture -- --ignored --nocapture

# One day in the life of an operator, on a live systemd: a container that is booted, from installation to removal, by the
# commands of docs/. Needs root on Debian; the first run makes the container's root (debootstrap).
operator-day:
	tests/operator-day/setup "$(TARGET)/operator-day"
	cargo build --locked --profile demo
	unshare --mount --propagation private tests/operator-day/day.py --work "$(TARGET)/operator-day" \
	  --binary "$(TARGET)/demo/portcullis" $(if $(UNTIL),--until $(UNTIL)) $(if $(KEEP),--keep)

lint:
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items

# Counts again what releases are laid out after: before a release, and after a change of the request path.
profile:
	scripts/profile

# Beside HAProxy, Envoy and nginx on this machine (docs/performance.md). The gateway is built by itself: beside
# what examples and tests depend on, its functions have other names than in the profile. A part of it:
# make bench CASES=h1-hs256,memory TARGETS=portcullis,haproxy REPS=3
TARGET := $(or $(CARGO_TARGET_DIR),target)
only = $(if $($(1)),--$(2) $($(1)))

bench:
	benches/compare/setup "$(TARGET)/compare"
	cargo build --locked --release
	cargo build --locked --release --example bench-tools
	benches/compare/compare.py --work "$(abspath $(TARGET))/compare" $(call only,CASES,cases) $(call only,TARGETS,targets) \
	  $(call only,REPS,reps) $(if $(CASES)$(TARGETS),,--write)

# What each step of a request's path costs, into docs/performance.md.
bench-path:
	benches/budget.py
