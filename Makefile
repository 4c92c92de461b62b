# What people and CI run. `make` alone says what there is.

CARGO ?= cargo
DEMO_ARGS ?=
TOOLS := target/tools
FUZZ_SECONDS ?= 60

.PHONY: help demo pictures static test test-cgroup-v2 test-intercept test-two-sides check fmt clippy doc deny bench-intercept bench-load bench-decision bench-shapes bench-shadow-tax bench-progress bench-regret bench-operate docs fuzz-model nightly

help:
	@echo "make demo            two networks on this machine, real jobs, a table (DEMO_ARGS='--seconds 60 --json')"
	@echo "make test            install what the tests need, and pass them"
	@echo "make test-cgroup-v2  boot a Debian kernel in a virtual machine, and pass the tests of version 2 control groups"
	@echo "make test-intercept  services that know nothing of adumbra, intercepted in network namespaces (root)"
	@echo "make test-two-sides  two sidecars in two network namespaces around a service from PyPI; cut, killed, mended"
	@echo "make pictures        the page with something to show, as pictures for the documentation"
	@echo "make static          a program without libraries, run as its container image would run it (needs root)"
	@echo "make check           format, lints, documentation, dependencies"
	@echo "make docs            write docs/config.md from the parser again"
	@echo "make fuzz-model      throw changed model files at their reader for FUZZ_SECONDS=60 (needs a nightly toolchain)"
	@echo "make bench-intercept   what interception costs, against the same requests sent to the sidecar itself (root)"
	@echo "make bench-load      CPU per request, rate and latency beside HAProxy, nginx, Envoy and a TCP relay"
	@echo "make bench-decision  nanoseconds and allocations of a plan and a decision"
	@echo "make bench-shadow-tax  what shadows cost the jobs they are shadows of"
	@echo "make bench-progress  what shadows buy a service that shows its progress, and one that does not (TRACES='FILE…')"
	@echo "make bench-regret    adumbra and the rules people use against one who knows all (TRACES='FILE…', REGRET_ARGS='--load 0.7')"
	@echo "make bench-operate   how soon it stops, what a scrape costs, what an upgrade under load fails"
	@echo "make bench-shapes    CPU per request in each runtime shape that adumbra could have"

demo:
	$(CARGO) run --release -p proxy --bin adumbra -- demo $(DEMO_ARGS)

test:
	tests/setup.sh
	$(CARGO) test --workspace

test-cgroup-v2:
	tests/cgroup-v2.sh

test-intercept:
	tests/intercept/run.sh

test-two-sides:
	tests/two_sides/run.sh

check: fmt clippy doc deny

fmt:
	$(CARGO) fmt --all -- --check

clippy:
	$(CARGO) clippy --workspace --all-targets -- -D warnings

doc:
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --document-private-items

# The advisory database is fetched over the network, which not every build may; `cargo deny check advisories` asks it.
deny: $(TOOLS)/bin/cargo-deny
	$(TOOLS)/bin/cargo-deny --all-features check bans licenses sources

$(TOOLS)/bin/cargo-deny:
	$(CARGO) install cargo-deny --version 0.20.2 --locked --root $(TOOLS) --target-dir target/tools-build

# The seeds are small models; what the fuzzer finds interesting is kept in fuzz/corpus.
fuzz-model: nightly $(TOOLS)/bin/cargo-fuzz
	mkdir -p fuzz/corpus/model_file
	PATH="$(abspath $(TOOLS))/bin:$$PATH" $(CARGO) +nightly fuzz run model_file fuzz/corpus/model_file fuzz/seeds/model_file -- \
		-max_total_time=$(FUZZ_SECONDS) -max_len=65536

nightly:
	@$(CARGO) +nightly --version >/dev/null 2>&1 || { \
		echo "fuzzing needs a nightly toolchain: rustup toolchain install nightly --profile minimal" >&2; exit 1; }

$(TOOLS)/bin/cargo-fuzz:
	$(CARGO) install cargo-fuzz --version 0.13.1 --locked --root $(TOOLS) --target-dir target/tools-build

pictures:
	tests/setup.sh
	$(CARGO) build --release -p proxy
	target/tests-venv/bin/python tests/browser/pictures.py target/release/adumbra docs/pictures

static:
	deploy/container/build-static.sh target/static/out
	deploy/container/check.sh target/static/out

docs:
	$(CARGO) run -q -p config --example write_reference

bench-intercept:
	benches/intercept/run.sh

bench-load:
	$(CARGO) bench -p benches --bench load

bench-decision:
	$(CARGO) bench -p benches --bench decision

bench-shapes:
	$(CARGO) bench -p benches --bench shapes

bench-shadow-tax:
	$(CARGO) bench -p benches --bench shadow_tax

bench-progress:
	$(CARGO) bench -p benches --bench progress -- $(TRACES)

bench-regret:
	$(CARGO) bench -p benches --bench regret -- $(foreach trace,$(TRACES),--trace $(trace)) $(REGRET_ARGS)

bench-operate:
	$(CARGO) build --release -p proxy
	python3 benches/operate.py target/release/adumbra
