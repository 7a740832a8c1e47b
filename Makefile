# Heliostat. `make` alone lists what can be made.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
BIN := .venv/bin

.PHONY: help
help: ## List what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: install
install: ## Make .venv with Heliostat and its locked dependencies (LOCK=cuda: with CUDA)
	@LOCK='$(LOCK)' PYTHON='$(PYTHON)' tools/install.sh

.PHONY: demo
demo: install ## Render twelve prompts with a mini Helios on two CPU cards, into demo/
	@$(BIN)/farm demo

.PHONY: test
test: ## Everything that needs no GPU: lint and all tests (ARGS="-k name" picks)
	@tools/system.sh & system=$$!; \
	  code=0; $(MAKE) --no-print-directory install lint || code=$$?; \
	  wait $$system; exit $$code
	@tools/tests.sh $(ARGS)

.PHONY: lint
lint: install ## Style, types, floors and licences
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet . || { echo "ruff format: run $(BIN)/ruff format ."; exit 1; }
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python -m tools.release.licences

.PHONY: proto
proto: install ## Generate Python from proto/heliostat/v1/*.proto
	@tools/proto.sh

.PHONY: dashboards
dashboards: install ## Make the Grafana dashboards of farm/monitoring/grafana anew
	@$(BIN)/python -m tools.dashboards

.PHONY: chart
chart: install ## Make anew what helm/heliostat has from elsewhere: rules, dashboards, README
	@$(BIN)/python tools/chart.py

.PHONY: lock
lock: install ## Lock the dependencies anew, for CPU and for CUDA (LOCK_ARGS=--upgrade: the newest)
	@LOCK_ARGS='$(LOCK_ARGS)' tools/lock.sh

.PHONY: dist
dist: install ## Wheel and sdist, made in an isolated environment and checked, with SHA256SUMS, in dist/
	@$(BIN)/python -m tools.release.dist

.PHONY: dist-check
dist-check: install ## Make wheel and sdist twice, elsewhere and at other times: equal to the byte?
	@$(BIN)/python -m tools.release.dist --twice

.PHONY: sbom
sbom: install ## Bills of materials and licence reports of wheel and images, in dist/
	@$(BIN)/python -m tools.release.sbom
	@$(BIN)/python -m tools.release.licences --write dist >/dev/null

.PHONY: bench
bench: install ## Clips a second through the whole way, beside Ray Data; figures go to bench/results
	@$(BIN)/python bench/throughput.py

.PHONY: soak
soak: install ## Faults at random for long, adding up over runs (MINUTES=n, REPORT=1: only the table)
	@$(BIN)/python tools/soak.py $(if $(STATE),--state '$(STATE)') \
	  $(if $(MINUTES),--minutes $(MINUTES)) $(if $(REPORT),--report) $(ARGS)

.PHONY: docs
docs: install ## Check that the documents' links lead somewhere
	@$(BIN)/pytest -q tests/test_tidy.py -k docs

.PHONY: clean
clean: ## Remove .venv, caches and what the demo wrote
	@rm -rf .venv demo build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	@find farm node_agent proto tests tools -name __pycache__ -type d -prune -exec rm -rf {} +
