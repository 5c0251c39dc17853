# What a person types. `make demo` to try it, `make test` before a change is sent.

PORT ?= 8443
DATA ?= demo-data

.PHONY: demo build test lint

# The profile `demo` (Cargo.toml) is optimised like a release but links without fat LTO: a fresh
# clone starts in a third of the time, and nobody measures a demo.
demo:
	cargo build --locked --profile demo
	exec target/demo/portcullis demo --port $(PORT) --data "$(DATA)"

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
