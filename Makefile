# `make help` lists the targets. Each makes its own virtual environment first, from nothing but Python and make.
#
# VENV     where that environment lies                    (default: .venv)
# PYTHON   the Python to make it from, if it is not there (default: the newest of 3.10 to 3.13 on PATH that works)
# PYTEST   more arguments for pytest                      (PYTEST='tests/core -k grouping')

VENV ?= .venv
PYTHON ?=
PYTEST ?=
BENCH ?= $(sort $(wildcard benchmarks/[a-z]*.py))
PIN_FLAGS ?=

bin := $(VENV)/bin
# Errors alone are printed.
install := $(bin)/python -m pip install -qq --disable-pip-version-check --no-input -c constraints.txt
heading = @printf '\n== %s\n'

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test unit flowyml with-flowyml sdk format bench pin setup infra-tools clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | while IFS="$$(printf '\t')" read -r target text; \
	  do printf 'make %-11s %s\n' "$$target" "$$text"; done

demo: $(VENV)/.installed-examples,testing ## run the example pipeline on this machine
	$(heading) 'examples/digits: a pipeline in three jobs, on this machine'
	@$(bin)/python examples/digits/pipeline.py

test: $(VENV)/.installed-dev ## check everything: format, lint, types, import rules, tests
	$(heading) 'format (ruff)'
	@$(bin)/ruff format --check .
	$(heading) 'lint (ruff)'
	@$(bin)/ruff check .
	$(heading) 'types (mypy)'
	@$(bin)/mypy
	$(heading) 'import rules (import-linter)'
	@$(bin)/lint-imports --no-logo
	$(heading) 'tests (pytest)'
	@$(bin)/python -m pytest -n logical --dist loadgroup $(PYTEST)

unit: $(VENV)/.installed-dev ## run only the tests that need no emulator
	$(heading) 'unit tests (pytest)'
	@$(bin)/python -m pytest -n logical --dist loadgroup -m 'not integration' $(PYTEST)

flowyml: ## run the tests that need FlowyML, in an environment of their own
	@$(MAKE) --no-print-directory VENV=.venv-flowyml with-flowyml

# FlowyML closes none of its databases, which Python tells from 3.13 on.
with-flowyml: $(VENV)/.installed-flowyml-dev
	$(heading) 'tests with FlowyML (pytest)'
	@$(bin)/python -m pytest -W 'ignore:unclosed database:ResourceWarning' -n logical --dist loadgroup \
	  tests/integrations/flowyml $(PYTEST)

sdk: $(VENV)/.installed-dev,sagemaker ## hold requests to SageMaker against its own SDK (450 MB more)
	$(heading) "SageMaker's SDK (pytest)"
	@$(bin)/python -m pytest tests/aws/test_sagemaker_sdk.py tests/aws/test_sagemaker_shapes.py $(PYTEST)

format: $(VENV)/.installed-dev ## format the code and mend what the linter can mend
	@$(bin)/ruff check --fix .
	@$(bin)/ruff format .

bench: $(VENV)/.installed-bench ## run the benchmarks, beside Metaflow and FlowyML
	@for file in $(BENCH); do printf '\n== %s\n' "$$file"; $(bin)/python "$$file" || exit 1; done

pin: ## write constraints.txt anew (PIN_FLAGS=--upgrade: newest versions)
	@scripts/pin $(PIN_FLAGS)

setup: $(VENV)/.installed-dev ## make the virtual environment for development

# checkov holds back what everybody else wants newer, so these tools have an environment of their own.
infra-tools: .venv-infra/.installed ## install what checks infra/ (CDK, cdk-nag, cfn-lint, checkov)

.venv-infra/.installed: infra/tools.txt infra/constraints.txt
	$(heading) 'installing what checks infra/ into .venv-infra'
	@python=$$(PYTHON='$(PYTHON)' scripts/find-python) && "$$python" -m venv --clear .venv-infra
	@.venv-infra/bin/python -m pip install -qq --disable-pip-version-check --no-input -c infra/constraints.txt -r infra/tools.txt
	@touch $@

clean: ## remove the virtual environments and what the tools left
	rm -rf .venv .venv-* build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp says which extras the environment has. The package itself is installed editable, with the pinned backend.
$(VENV)/.installed-%: pyproject.toml constraints.txt $(VENV)/.made
	$(heading) 'installing flowyml-aws[$*] into $(VENV) (a minute or two, the first time)'
	@$(install) hatchling editables
	@$(install) --no-build-isolation --editable '.[$*]'
	@touch $@

# The environment is made anew where its Python is gone or does not run.
ifneq ($(shell $(bin)/python -c 'print(1)' 2>/dev/null),1)
.PHONY: $(VENV)/.made
endif
$(VENV)/.made:
	@python=$$(PYTHON='$(PYTHON)' scripts/find-python) || exit 1; \
	  printf '\n== making %s with %s\n' '$(VENV)' "$$("$$python" -V)"; "$$python" -m venv --clear '$(VENV)'
	@touch $@
