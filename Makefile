# What a person types. `make demo` to try it, `make test` before a change is sent.

PORT ?= 8443
DATA ?= demo-data

.PHONY: demo build test lint

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

lint:
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items
