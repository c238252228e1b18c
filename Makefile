# Each target sets itself up: it needs make, and Python 3.11 or newer as PYTHON.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

IMAGE := mlops-desafio:dev
CLUSTER := desafio
PEERS := mlserver bentoml mlflow
CLIENTS := triton kserve mlflow
NAMESPACE ?= desafio
RELEASE ?= desafio

.DEFAULT_GOAL := help
.PHONY: help run ui test test-slow check browser clients bench bench-peers bench-check soak fuzz jepsen audit sbom scan chart-readme \
	format setup lock vendor image cluster deploy e2e clean

help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(VENV)/.run ## Start the service on port 8000 with everything embedded, data in ./data
	@$(BIN)/python -m service

ui: $(VENV)/.run ## Open MLflow's page on ./data at port 5000 (beside the service or without it)
	@$(BIN)/python -m service.registry.ui

TESTS := python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

test: $(VENV)/.dev ## Run all fast tests
	@$(BIN)/$(TESTS) -m "not slow"

test-slow: $(VENV)/.dev ## Run the tests that start, kill and starve whole services
	@$(BIN)/$(TESTS) -m slow

check: $(VENV)/.dev ## Format, lint, types, layers, and the console's libraries (with npm: against their packages)
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m tools.vendor --check $(if $(CI),--need-packages)

browser: $(VENV)/.dev .vendor/installed ## Test the console in Chromium (needs chromium, npm)
	@$(BIN)/python -m pytest --numprocesses auto --dist loadfile tests/browser

clients: $(VENV)/.dev $(CLIENTS:%=.clients/%/.installed) .clients/mlflow/.plugin .peers/mlserver/.installed ## Try clients of other projects on the service
	@$(BIN)/python -m tests.clients

bench: $(VENV)/.dev ## Measure speed and memory as ratios to what is measured in the same run (needs wrk)
	@$(BIN)/python -m tools.bench

bench-peers: $(VENV)/.dev $(PEERS:%=.peers/%/.installed) ## Measure other servers of scikit-learn models beside the service (needs wrk)
	@$(BIN)/python -m tools.bench.peers

bench-check: $(VENV)/.dev ## Fail where speed has regressed, as ratios with generous bounds (needs wrk)
	@$(BIN)/python -m tools.bench.check

soak: $(VENV)/.dev .fuzz/.installed ## Find out whether the service grows over 1,000 changes and 10 minutes of load; then fuzz
	@$(BIN)/python -m tools.bench.soak
	@$(BIN)/python -m tests.fuzz

fuzz: $(VENV)/.dev .fuzz/.installed ## Send 20,000 requests by OpenAPI, 20,000 that are nearly HTTP, 40,000 files, more (an hour)
	@$(BIN)/python -m tests.fuzz

jepsen: $(VENV)/.dev ## Check histories of three replicas: changes, refusals and 40 faults (minutes)
	@$(BIN)/python -m tests.history

audit: $(VENV)/.dev .supply/.installed ## Look the locked releases up in published advisories; fails where it has no data
	@$(BIN)/python -m tools.supply.audit

sbom: $(VENV)/.dev .supply/.installed ## List what the image holds of Python in build/sbom.cdx.json (CycloneDX)
	@$(BIN)/python -m tools.supply.sbom

chart-readme: $(VENV)/.dev ## Make the chart's README from its values
	@$(BIN)/python -m tools.chart_readme

scan: $(VENV)/.dev .supply/.installed .scan/.installed ## Ask scanners about code, chart and Dockerfile (needs git, helm)
	@$(BIN)/python -m tools.supply.scan

format: $(VENV)/.dev ## Format the code
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

setup: $(VENV)/.dev ## Make .venv with everything that the other targets need

vendor: | $(VENV)/bin/python ## Copy the console's libraries anew from the locked packages (needs npm)
	@$(BIN)/python -m tools.vendor

lock: ## Renew the lock files from pyproject.toml and package.json (needs uv, npm)
	@uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes \
		--no-annotate --no-header --quiet --output-file requirements.lock
	@uv pip compile pyproject.toml --extra server --extra grpc --extra kubernetes --constraint requirements.lock --universal \
		--python-version 3.11 --generate-hashes --no-annotate --no-header --quiet \
		--output-file requirements-server.lock
	@uv pip compile pyproject.toml --extra grpc --constraint requirements.lock --universal \
		--python-version 3.11 --generate-hashes --no-annotate --no-header --quiet \
		--output-file requirements-grpc.lock
	@uv pip compile pyproject.toml --extra dev --extra grpc --extra kubernetes --constraint requirements.lock \
		--universal --python-version 3.11 --generate-hashes --no-annotate --no-header --quiet \
		--output-file requirements-dev.lock
	@for peer in $(PEERS); do \
		uv pip compile tools/bench/peers/$$peer.in --universal --python-version 3.11 --generate-hashes \
			--no-annotate --no-header --quiet --output-file tools/bench/peers/$$peer.txt || exit 1; \
	done
	@for client in $(CLIENTS); do \
		uv pip compile tests/clients/$$client.in --universal --python-version 3.11 --generate-hashes \
			--no-annotate --no-header --quiet --output-file tests/clients/$$client.txt || exit 1; \
	done
	@uv pip compile tests/fuzz/requirements.in --universal --python-version 3.11 --generate-hashes \
		--no-annotate --no-header --quiet --output-file tests/fuzz/requirements.txt
	@for name in requirements scan; do \
		uv pip compile tools/supply/$$name.in --universal --python-version 3.11 --generate-hashes \
			--no-annotate --no-header --quiet --output-file tools/supply/$$name.txt || exit 1; \
	done
	@cd tools/vendor && npm install --package-lock-only --ignore-scripts --no-audit --no-fund \
		--omit-lockfile-registry-resolved --loglevel=error

image: ## Build the container image, mlops-desafio:dev; PYTHON_IMAGE=name@sha256:… chooses the base
	@docker build --tag $(IMAGE) $(if $(PYTHON_IMAGE),--build-arg PYTHON_IMAGE=$(PYTHON_IMAGE)) .

cluster: ## Start a kind cluster named desafio unless it runs (needs docker, kind, kubectl)
	@kind get clusters 2>/dev/null | grep -qx $(CLUSTER) || \
		kind create cluster --name $(CLUSTER) --config k8s/kind.yaml --wait 180s
	@kind export kubeconfig --name $(CLUSTER)

deploy: ## Load the image into that cluster and install the chart (needs helm)
	@$(if $(filter existing,$(E2E_CLUSTER)),:,kind load docker-image $(IMAGE) --name $(CLUSTER))
	@kubectl create namespace $(NAMESPACE) --dry-run=client -o yaml | kubectl apply -f - >/dev/null
	@kubectl label namespace $(NAMESPACE) pod-security.kubernetes.io/enforce=restricted --overwrite >/dev/null
	@helm upgrade --install $(RELEASE) charts/mlops-desafio --namespace $(NAMESPACE) \
		--values k8s/values/dev.yaml --wait --timeout 10m || \
		{ k8s/explain $(NAMESPACE) >&2; exit 1; }

e2e: $(VENV)/.dev ## Test the release on the cluster; E2E_CLUSTER=existing: that of kubectl's context
	@$(if $(filter existing,$(E2E_CLUSTER)),:,kind export kubeconfig --name $(CLUSTER))
	@E2E_NAMESPACE=$(NAMESPACE) E2E_RELEASE=$(RELEASE) $(BIN)/python -m pytest tests/e2e

clean: ## Remove .venv, .peers, .clients, .fuzz, .supply, .scan, .vendor, build and caches; data stays
	@rm -rf $(VENV) .peers .clients .fuzz .supply .scan .vendor build .schemathesis .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.13 …" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.run: requirements.lock | $(VENV)/bin/python
	@echo "installing what the service needs into $(VENV) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.run
	@echo "installing what tests and checks need into $(VENV) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

COMMA := ,

# What $(1) is called, into an environment of its own: the folder of the target, by the lock.
define install
	@echo "installing $(1) into $(@D) …"
	@$(BIN)/python -m venv --clear $(@D)
	@$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@
endef

.peers/%/.installed: tools/bench/peers/%.txt | $(VENV)/bin/python
	$(call install,$*)

.clients/%/.installed: tests/clients/%.txt | $(VENV)/bin/python
	$(call install,$*)

# The plugin in clients/mlflow is installed as users install it.
.clients/mlflow/.plugin: $(wildcard clients/mlflow/*.toml clients/mlflow/*/*.py) .clients/mlflow/.installed
	@$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --no-index --no-deps \
		--no-build-isolation --force-reinstall ./clients/mlflow
	@rm -rf clients/mlflow/build clients/mlflow/*.egg-info
	@touch $@

# `python -m tools.vendor` writes the file, unless what the lock says is there already.
.vendor/installed: tools/vendor/package-lock.json | $(VENV)/bin/python
	@$(BIN)/python -m tools.vendor --install
	@touch $@

.fuzz/.installed: tests/fuzz/requirements.txt | $(VENV)/bin/python
	$(call install,Schemathesis)

.supply/.installed: tools/supply/requirements.txt | $(VENV)/bin/python
	$(call install,pip-audit$(COMMA) cyclonedx-bom and detect-secrets)

.scan/.installed: tools/supply/scan.txt | $(VENV)/bin/python
	$(call install,bandit$(COMMA) checkov and hadolint)
