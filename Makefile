# make        list of the targets
# make demo   a whole network on this machine, a question and its answer

# Outside the checkout, so that compiled crates survive a fresh clone.
export CARGO_TARGET_DIR ?= $(HOME)/.cache/proof-of-quality/target
export POQ_CACHE ?= $(HOME)/.cache/proof-of-quality

# Sources the variables of this machine, which scripts/setup.sh writes. A recipe reads them when it runs, after `setup`.
CARGO := [ ! -f "$(POQ_CACHE)/env.sh" ] || . "$(POQ_CACHE)/env.sh"; cargo

# Always --workspace: the features of crates are then the same for every target, so that nothing is compiled twice.
BUILD := build --release --locked --workspace
# The programs of `make install`.
PROGRAMS := poq poq-node poq-worker poq-testnet poq-gateway poq-history
PREFIX ?= $(HOME)/.local

.DEFAULT_GOAL := help
.PHONY: help setup build install demo lint minilm dapp web test compat features bench adversaries weights image
.PHONY: network network-down network-status chaos

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:[^#]*## /\t/' | expand -t 16

setup: ## Install the tools of a build (packages, the Wasm target, ONNX Runtime)
	@scripts/setup.sh

build: setup ## Compile everything, tests and benches included
	@$(CARGO) $(BUILD) --all-targets

# A part of what `build` compiles.
.PHONY: programs
programs: setup
	@$(CARGO) $(BUILD) $(PROGRAMS:%=--bin %)

install: programs ## Compile the programs and copy them to ~/.local/bin (PREFIX=DIR: to DIR/bin)
	@install -d "$(PREFIX)/bin"
	@install -t "$(PREFIX)/bin" $(PROGRAMS:%="$(CARGO_TARGET_DIR)/release/%")
	@echo "installed in $(PREFIX)/bin: $(PROGRAMS)"
	@case ":$$PATH:" in *":$(PREFIX)/bin:"*) ;; *) echo 'not in your PATH yet: export PATH="$(PREFIX)/bin:$$PATH"' ;; esac

demo: setup ## Start a network, ask it a question (ASK="…"), stop it (WEB=1: stay, with a history and a page for browsers)
	@$(CARGO) $(BUILD) --bin poq-node --bin poq $(if $(filter 1,$(WEB)),--bin poq-history)
	@scripts/demo.sh

# `network-down` and `network-status` need no build.
POQ_NETWORK_PROGRAM = "$(CARGO_TARGET_DIR)/release/poq-testnet"

network: programs ## Start four block authors and seven operators, each a process of its own
	@$(POQ_NETWORK_PROGRAM) up

network-down: ## Stop that network (FORGET=1: remove its data)
	@$(POQ_NETWORK_PROGRAM) down $(if $(FORGET),--forget)

network-status: ## Show that network: processes, memory, blocks
	@$(POQ_NETWORK_PROGRAM) status

chaos: programs ## Inject faults into such a network and audit it; as root (SEED=n REQUESTS=n FAULTS=n)
	@$(POQ_NETWORK_PROGRAM) chaos

lint: setup ## Check format, spelling, lints, and licences and sources of dependencies
	@cargo fmt --all --check
	@scripts/setup-typos.sh
	@"$(POQ_CACHE)/typos/bin/typos"
	@scripts/setup-deny.sh
	@"$(POQ_CACHE)/deny/bin/cargo-deny" --log-level error check --hide-inclusion-graph bans licenses sources
	@$(CARGO) clippy --release --locked --workspace --all-targets -- -D warnings

minilm: setup
	@scripts/setup-minilm.sh

dapp: setup
	@scripts/setup-dapp.sh

web: setup
	@scripts/setup-web.sh

test: lint minilm dapp web ## Check what `lint` does, run all tests (POQ_QUICK=1: a shorter random walk)
	@$(CARGO) $(if $(shell command -v cargo-nextest),nextest run,test --lib --bins --tests) --release --locked --workspace
	@$(CARGO) test --release --locked --workspace --doc
	@scripts/test-monitoring.sh

.PHONY: package
package: setup ## Pack the crates that other projects build on, without an upload
	@$(CARGO) package --locked --no-verify --allow-dirty -p poq-primitives -p pallet-proof-of-quality -p poq-client -p poq-receipt

# Minutes of compiling and gigabytes of Python packages, so it is not part of `make test`.
compat: build ## Test engine and gateway with other projects' software (OpenAI's clients, LiteLLM, AI SDK, Open WebUI, llama.cpp's server, Infinity)
	@scripts/compat/openai/run.sh
	@scripts/compat/network/run.sh
	@scripts/compat/llama.sh
	@scripts/compat/infinity.sh
	@$(CARGO) test --release --locked --workspace --test it -- remote_compat:: --ignored --test-threads 1

# Other features make other artefacts, so they have a target folder of their own, with settings that compile quickly.
features: export CARGO_TARGET_DIR := $(CARGO_TARGET_DIR)/features
features: export CARGO_PROFILE_DEV_DEBUG = 0
features: export CARGO_PROFILE_TEST_DEBUG = 0
features: export SKIP_WASM_BUILD = 1
features: setup ## Test the features that the release build leaves out (runtime-benchmarks, try-runtime)
	@$(CARGO) test --locked -p pallet-proof-of-quality -p pallet-proof-of-quality-express --features runtime-benchmarks --lib bench
	@$(CARGO) check --locked -p poq-runtime --lib --features runtime-benchmarks,try-runtime
# To build a second runtime as Wasm would cost minutes of every build; to check its code for Wasm costs less.
	@export RUSTFLAGS="--cfg substrate_runtime"; $(CARGO) $${WASM_BUILD_TOOLCHAIN:++$$WASM_BUILD_TOOLCHAIN} check --locked \
		-p poq-minimal-runtime --lib --no-default-features --target wasm32v1-none

bench: build ## Measure the figures in benches/RESULTS.md (ONLY=consensus, engine, chain, latency, driver, express, gateway, history or page: one room)
	@scripts/bench.sh $(ONLY)

adversaries: setup ## Play attacks on the pallet in a mock runtime (QUICK=1: a small grid; SEED=n)
	@$(CARGO) $(BUILD) --bin poq-bench
	@"$(CARGO_TARGET_DIR)/release/poq-bench" adversaries $(if $(SEED),--seed $(SEED)) \
		$(if $(QUICK),--quick --out "$(CARGO_TARGET_DIR)/adversaries")

weights: setup ## Measure the pallets' weights and write them into their sources (ONLY=proof-of-quality or express)
	@[ ! -f "$(POQ_CACHE)/env.sh" ] || . "$(POQ_CACHE)/env.sh"; scripts/weights.sh $(ONLY)

# Programs of a release go to other machines, so they use no instructions of this processor alone.
.PHONY: release
release: export POQ_PORTABLE := 1
release: programs ## Make the files of a release: runtime built twice and compared, programs, checksums, notes (docs/release.md)
	@$(CARGO) test --release --locked --workspace --test metadata
	@PROGRAMS="$(PROGRAMS)" scripts/release.sh

# Images go to other machines, so they use no instructions of this processor alone.
image: export POQ_PORTABLE := 1
image: programs ## Build Docker images of the node and of the engine
	@docker/build.sh

# Needs a Docker, or root on Debian.
.PHONY: docker-test
docker-test: build ## Start the network of docker/compose.yaml, ask it a question, stop it
	@scripts/test-docker.sh
