.PHONY: help test test-all test-fast demo format check clean
help: ## the verbs of this project
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12
test: ## install and run every check (scripts/test)
	scripts/test
test-all: ## the same with every case of every kind, about twice as long
	scripts/test -m ""
test-fast: ## the tests of the desk, under 90 s: networks, flows, losses, metrics; no runs, no processes, no weights
	OMP_NUM_THREADS=1 python -m pytest -n 2 -m "not slow and not exhaustive" tests/test_floors.py tests/test_sizes.py tests/bijections tests/distributions \
		tests/inference tests/losses tests/metrics tests/nets
	@echo "left out: tests marked slow, and contracts config data evaluation launch models runs tasks training (make test)"
demo: ## install, train five families on digits, compare them (scripts/demo)
	scripts/demo
format: ## put the code into its one format
	ruff check --fix . && ruff format .
check: ## linter and type checker alone
	ruff check . && ruff format --check . && mypy
clean: ## remove caches, never runs
	rm -rf .pytest_cache .ruff_cache .mypy_cache build dist *.egg-info
