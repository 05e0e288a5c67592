.PHONY: help test demo format check clean
help: ## the verbs of this project
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 10
test: ## install and run every check (scripts/test)
	scripts/test
demo: ## install, train five families on digits, compare them (scripts/demo)
	scripts/demo
format: ## put the code into its one format
	ruff check --fix . && ruff format .
check: ## linter and type checker alone
	ruff check . && ruff format --check . && mypy
clean: ## remove caches, never runs
	rm -rf .pytest_cache .ruff_cache .mypy_cache build dist *.egg-info
