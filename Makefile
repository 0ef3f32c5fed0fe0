# Everything a person or CI runs. A fresh machine needs Python 3.11 to 3.13, make and gcc.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
IMAGES_PYTHON = $(shell sed -n 's/^FROM python:\([0-9.]*\).*/\1/p' infra/docker/api.Dockerfile | head -1)

.PHONY: help demo up test test-fast test-unit test-integration test-whole test-slow check docs bench bench-check bench-growth bench-peers lock setup format clean debian-packages audit chaos fuzz soak sbom secrets package package-test images images-offline compose-test upgrade-test

help: ## Say what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: $(READY) ## Put images into a bucket and print their verdicts (IMAGES=folder, JSON=1)
	@$(BIN)/assay demo $(if $(IMAGES),--images "$(IMAGES)") $(if $(JSON),--json)

up: $(READY) ## Start everything and keep it up; data stays in .assay/
	@$(BIN)/assay up

grafana: ## Start Prometheus, Alertmanager and Grafana beside docker-compose.yml's stack, and say where
	@test -s "$${ASSAY_SECRETS:-.assay/secrets}/grafana_password" || { echo "no password for Grafana yet: make secrets" >&2; exit 1; }
	@docker compose up --detach --wait prometheus alertmanager grafana
	@echo "Grafana: http://127.0.0.1:3000, user assay, password in $${ASSAY_SECRETS:-.assay/secrets}/grafana_password"

# Tests that share what is costly share a process (tests/support/groups.py).
PYTEST := $(BIN)/pytest

test: test-unit test-integration test-whole ## Unit, integration, acceptance, browser and short chaos tests

test-fast: $(READY) ## The unit tests alone, between two changes
	@$(PYTEST) -q -m "not slow and not gpu" -n auto tests/unit

test-unit: $(READY) debian-packages # The first part of `make test`
	@$(PYTEST) -m "not slow and not gpu" -n auto tests/unit

test-integration: $(READY) debian-packages # The second: each process has one embedded stack
	@$(PYTEST) -m "not slow and not gpu" -n auto tests/integration

test-whole: $(READY) debian-packages # The third: Assay's own processes; they wait more than they compute
	@$(PYTEST) -m "not slow and not gpu" -n 2 --no-loadscope-reorder tests/acceptance tests/browser tests/chaos

test-slow: $(READY) debian-packages ## The long ones
	@$(PYTEST) -m "slow and not gpu" -n 2 --no-loadscope-reorder

chaos: $(READY) ## Strike every fault while images pour in, and count (SEED=1, ONLY="kill *")
	@$(BIN)/assay chaos --seed $(or $(SEED),0) $(if $(ONLY),--only "$(ONLY)")

fuzz: $(READY) ## Mutated files of every format through decoder processes (N=50000, SEED=0)
	@$(BIN)/python -m infra.chaos.fuzz --files $(or $(N),50000) --seed $(or $(SEED),0)

soak: $(READY) ## Small images by the thousand through all of Assay: rate and memory, first and last (N=100000)
	@$(BIN)/python tests/bench/soak.py --images $(or $(N),100000)

check: $(READY) ## Lint, types, imports, spelling
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/mypy tests
	@$(BIN)/lint-imports
	@$(BIN)/bandit -q -c pyproject.toml -r worker api training infra migrations
	@$(BIN)/codespell worker api training infra migrations tests docs README.md CHANGELOG.md Makefile pyproject.toml

docs: $(READY) ## Check the documents: links, commands, generated tables
	@$(BIN)/pytest -q -n 0 tests/unit/docs

bench: $(READY) ## Throughput, cost and latency, measured here and now, into build/bench.json (DATA=folder, ONLY="idle,budget")
	@$(BIN)/python tests/bench/bench.py $(if $(DATA),--data "$(DATA)") $(if $(ONLY),--only "$(ONLY)")

bench-growth: $(READY) ## What history costs an image and the API, at 1,000, 10,000 and 100,000 images (HISTORY=1000,10000)
	@$(BIN)/python tests/bench/growth.py $(if $(HISTORY),--history "$(HISTORY)")

bench-peers: $(READY) ## Other serving frameworks beside Assay, each installed into build/peers-venv (ONLY="mosec,ray", N=200)
	@$(BIN)/python tests/bench/peers/run.py --images $(or $(N),200) $(if $(ONLY),--only "$(ONLY)")

bench-check: $(READY) ## Compare the ratios of the last bench with the stored ones; 10 % worse fails
	@$(BIN)/python tests/bench/check.py

debian-packages: $(READY) # What tests need from Debian; as root it is installed, else the command is said
	@$(BIN)/python -m infra.debian

secrets: $(READY) ## Write random secrets for docker compose into .assay/secrets
	@$(BIN)/assay init

images: $(READY) ## Build the images and say how large each is (TORCH_INDEX=an index with torch's CPU builds, CUDA=1)
	@$(BIN)/python -m infra.containers.images $(if $(TORCH_INDEX),--torch-index "$(TORCH_INDEX)") $(if $(CUDA),--cuda)

images-offline: $(READY) ## The same where nothing can be pulled: stand-ins of bases and services are made first
	@$(BIN)/python -m infra.containers.images --offline

compose-test: $(READY) ## Bring docker-compose.yml up with stand-ins, as root, and prove it (NETWORK="drop *" cuts too, BROKER=rabbitmq)
	@$(BIN)/python -m infra.containers.compose_test $(if $(NETWORK),--network "$(NETWORK)") $(if $(BROKER),--broker $(BROKER)) $(if $(PATIENCE),--patience $(PATIENCE))

upgrade-test: $(READY) ## Upgrade a compose deployment under load and roll it back (COMMIT=source of the last release)
	@$(BIN)/python -m infra.containers.upgrade_test $(if $(COMMIT),--commit "$(COMMIT)") $(if $(PATIENCE),--patience $(PATIENCE))

package: ## Build the wheel and the source distribution into dist/
	@rm -rf dist build/package && $(PYTHON) -m venv build/package
	@build/package/bin/python -m pip install --disable-pip-version-check --quiet build
	@build/package/bin/python -m build --outdir dist .

package-test: package ## Install the wheel into a fresh environment, some minutes and 6 GB, and scan a picture with it
	@$(PYTHON) infra/package_test.py dist/*.whl

audit: $(READY) ## Ask osv.dev for known vulnerabilities of everything that is locked
	@$(BIN)/python -m infra.audit

sbom: $(READY) ## Bills of material of the images, CycloneDX, into build/sbom
	@mkdir -p build/sbom
	@# What the locks hold for other Pythons and systems is in no image.
	@set -o pipefail; for image in api worker torch; do \
	  $(BIN)/uv pip compile -q --no-deps --no-header --no-annotate --generate-hashes --python-version $(IMAGES_PYTHON) \
	    infra/docker/$$image.lock | \
	  $(BIN)/cyclonedx-py requirements - --output-reproducible -o build/sbom/$$image.cdx.json || exit 1; \
	done
	@ls build/sbom/*.json

format: $(READY) ## Format the code
	@$(BIN)/ruff check --fix -q . ; $(BIN)/ruff format .

lock: $(READY) ## Lock the dependencies anew; what is locked stays, PACKAGES="a b" names what may move
	@bash infra/locks.sh

setup: $(READY) ## Install everything; done once, then instant

$(READY): requirements.lock infra/embedded/requirements-ministack.lock infra/encoders.lock pyproject.toml
	@echo "setting up $(VENV): about 6 GB, some minutes the first time" >&2
	@$(PYTHON) -I infra/interpreter.py
	@# pip comes last into a new environment: without it, an earlier attempt was interrupted.
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation -e .
	@$(BIN)/python -m infra.embedded.install
	@$(BIN)/assay encoders fetch
	@touch $@

clean: ## Remove the environment and caches; keeps .assay/
	rm -rf $(VENV) .venv-ministack .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
