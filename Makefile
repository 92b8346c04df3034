# `make help` lists the targets. Each first creates its virtual environment, and needs only Python and make.
#
# VENV     the folder of the environment                      (default: .venv)
# PYTHON   the Python of a new environment                    (default: the newest of 3.10 to 3.13 on PATH that works)
# PYTEST   more arguments for pytest: only these tests run, without the other checks  (PYTEST='tests/core -k grouping')
# WORKERS  number of parallel test processes                  (default: one more than cores, as tests wait for jobs)
# FLOWYML_TESTS  the folder `tests` of a clone of FlowyML, for `make flowyml`
# BENCH    the benchmarks to run                              (BENCH=benchmarks/startup.py)
# BENCH_OPTIONS  options of each of them                      (BENCH_OPTIONS='--repetitions 30')
# CHAOS    arguments of `make chaos`                          (CHAOS='--backend batch --seed 7 --schedules 20')

VENV ?= .venv
PYTHON ?=
PYTEST ?=
WORKERS ?= $(shell expr 1 + $$(getconf _NPROCESSORS_ONLN))
BENCH ?= $(sort $(wildcard benchmarks/[a-z]*.py))
BENCH_OPTIONS ?=
PIN_FLAGS ?=
CHAOS ?=
FLOWYML_TESTS ?=

# Without compiled files, each of the many processes of the tests compiles all that it imports.
unexport PYTHONDONTWRITEBYTECODE

bin := $(VENV)/bin
install := PYTHON='$(PYTHON)' scripts/environment
pytest := $(bin)/python -m pytest -n $(WORKERS) --dist loadgroup
heading = @printf '\n== %s\n'
# mypy uses one core for most of a minute if it has no cache, so it runs next to the tests.
define tests_and_types
report=$$(mktemp); $(bin)/mypy >"$$report" 2>&1 & types=$$!; \
  trap 'kill $$types 2>/dev/null; rm -f "$$report"' EXIT; trap 'exit 130' INT TERM; \
  $(pytest); tests=$$?; wait $$types; types_failed=$$?; \
  printf '\n== types (mypy)\n'; cat "$$report"; exit $$((tests | types_failed))
endef

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo check quick-checks unit test test-all every-python lowest compat coverage flowyml with-flowyml flowymls-tests sdk format chaos bench bench-check \
  run-benchmarks pin base-images setup infra-tools audit docs release-check clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | while IFS="$$(printf '\t')" read -r target text; \
	  do printf 'make %-12s %s\n' "$$target" "$$text"; done

demo: $(VENV)/.installed-examples,testing ## run the example pipeline on this machine
	$(heading) 'examples/digits: a pipeline in three jobs, on this machine'
	@$(bin)/python examples/digits/pipeline.py

check: quick-checks ## check format, lint, types, import rules and English
	$(heading) 'types (mypy)'
	@$(bin)/mypy

quick-checks: $(VENV)/.installed-dev
	$(heading) 'format (ruff)'
	@$(bin)/ruff format --check .
	$(heading) 'lint (ruff)'
	@$(bin)/ruff check .
	$(heading) 'import rules (import-linter)'
	@$(bin)/lint-imports --no-logo
	$(heading) 'English (codespell, scripts/check-prose)'
	@$(bin)/codespell .
	@$(bin)/python scripts/check-prose
	$(heading) 'workflows (check-jsonschema)'
	@scripts/check-workflows $(bin)
	$(heading) 'figures of the benchmarks (scripts/bench-figures)'
	@$(bin)/python scripts/bench-figures --check

unit: $(VENV)/.installed-dev ## run the unit tests: no processes, no servers
	$(heading) 'unit tests (pytest)'
	@$(pytest) -m 'not contract and not system' $(PYTEST)

test: $(if $(PYTEST),,quick-checks) $(VENV)/.installed-dev ## run the checks, and all tests except the thorough ones
	$(heading) 'tests (pytest)'
	@$(if $(PYTEST),$(pytest) $(PYTEST),$(tests_and_types))

test-all: check infra-tools ## run every test on every Python, with more examples and jobs (up to an hour)
	$(heading) 'all tests (pytest)'
	@$(pytest) --thorough $(PYTEST)
	@$(MAKE) --no-print-directory audit every-python lowest flowyml sdk demo

every-python: $(VENV)/.installed-dev ## run the unit and contract tests on each other supported Python of this machine
	@main=$$($(bin)/python -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	  scripts/other-pythons "$$main" | while read -r version python; do \
	  $(MAKE) --no-print-directory test PYTEST='-m "not system"' VENV=".venv-$$version" PYTHON="$$python" </dev/null || exit 1; done

# Warnings of dependencies about each other are not errors there, unlike in the other targets.
lowest: .venv-lowest/.installed ## run the tests of Batch, SageMaker and S3 with the lowest versions allowed
	$(heading) 'lowest versions of the dependencies (pytest)'
	@.venv-lowest/bin/python -m pytest -n $(WORKERS) --dist loadgroup -m contract -W ignore::DeprecationWarning \
	  tests/aws tests/testing tests/contracts -k '(batch or sagemaker or training or store or s3) and not project_shapes' $(PYTEST)

compat: $(VENV)/.installed-dev ## run the tests whose outcome may depend on the Python version
	$(heading) 'tests that depend on the Python version (pytest)'
	@$(pytest) -m version_sensitive $$(grep -rl --include='test_*.py' version_sensitive tests | sort) $(PYTEST)

coverage: $(VENV)/.installed-dev ## run the tests of `make test`, and report the coverage of each folder
	$(heading) 'tests with coverage (pytest)'
	@$(pytest) --cov --cov-report= $(PYTEST)
	@$(bin)/python scripts/coverage-by-folder

flowyml: ## run the tests that need FlowyML, in a separate environment; FlowyML's own with FLOWYML_TESTS=path/to/flowyml/tests
	@$(MAKE) --no-print-directory VENV=.venv-flowyml $(if $(FLOWYML_TESTS),flowymls-tests,with-flowyml)

# FlowyML never closes its databases, which Python 3.13 and later report.
with-flowyml: $(VENV)/.installed-flowyml-dev
	$(heading) 'tests with FlowyML (pytest)'
	@$(pytest) -W 'ignore:unclosed database:ResourceWarning' tests/integrations/flowyml $(PYTEST)
	@echo "FlowyML's own tests: clone it at v2.2.1, and run \`make flowyml FLOWYML_TESTS=path/to/flowyml/tests\`"

# In a copy, because a clone contains FlowyML itself, too. Its package is called `tests`, as ours.
flowymls-tests: $(VENV)/.installed-flowyml-dev
	$(heading) "FlowyML's own tests, as jobs (pytest)"
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && cp -r '$(abspath $(FLOWYML_TESTS))' "$$folder/tests" && \
	  cd "$$folder" && touch pyproject.toml && PYTHONPATH='$(CURDIR)/tests/integrations/flowyml' \
	  '$(CURDIR)/$(bin)/python' -m pytest -n $(WORKERS) -p tree_plugin -c /dev/null --rootdir . -q tests $(PYTEST)

sdk: $(VENV)/.installed-dev,sagemaker ## check SageMaker requests against its SDK (downloads 450 MB)
	$(heading) "SageMaker's SDK (pytest)"
	@$(bin)/python -m pytest tests/aws/sagemaker/test_sdk.py tests/aws/sagemaker/test_shapes.py $(PYTEST)

docs: .venv-docs/.installed ## build the documentation as a site into build/site; a broken link is an error
	$(heading) 'documentation (zensical)'
	@.venv-docs/bin/python scripts/docs-pages build/docs
	@.venv-docs/bin/zensical build --clean --strict

release-check: .venv-release/.installed ## build sdist and wheel, and check what a user installs, on each Python; nothing is uploaded
	$(heading) 'the release of the last commit'
	@main=$$(.venv-release/bin/python -c 'import sys; print(sys.executable)'); \
	  scripts/release-check "$$main" $$(scripts/find-python) $$(scripts/other-pythons \
	  $$($$(scripts/find-python) -c 'import sys; print("%d.%d" % sys.version_info[:2])') 2>/dev/null | cut -d ' ' -f 2)

audit: .venv-audit/.installed ## report known vulnerabilities of the pinned packages (needs a database in the internet)
	$(heading) 'known vulnerabilities (pip-audit)'
	@$(bin)/python scripts/audit .venv-audit/bin/pip-audit constraints.txt infra/constraints.txt

format: $(VENV)/.installed-dev ## format the code, and fix the lint errors that can be fixed automatically
	@$(bin)/ruff check --fix .
	@$(bin)/ruff format .

chaos: $(VENV)/.installed-dev ## run pipelines while clients, hosts and calls fail, and check what is left (docs/contributing/chaos.md)
	@$(bin)/python -m tests.chaos $(CHAOS)

bench: ## run the benchmarks, also with Metaflow and FlowyML, and write their table of results
	@$(MAKE) --no-print-directory VENV=.venv-bench run-benchmarks ACTION=run

bench-check: ## run the benchmarks, and compare the ratios with those of the committed table
	@$(MAKE) --no-print-directory VENV=.venv-bench run-benchmarks ACTION=check

run-benchmarks: $(VENV)/.installed-bench
	@$(bin)/python -m benchmarks $(ACTION) $(BENCH) --options='$(BENCH_OPTIONS)'; status=$$?; \
	  $(if $(filter run,$(ACTION)),$(bin)/python scripts/bench-figures || exit 1;) exit $$status

pin: ## rewrite the constraints files (PIN_FLAGS=--upgrade: newest versions)
	@scripts/pin $(PIN_FLAGS)

base-images: $(VENV)/.installed-dev ## report outdated base images of projects' images (asks Docker Hub)
	@$(bin)/python scripts/base-images

setup: $(VENV)/.installed-dev ## create the virtual environment for development

# checkov needs old versions of packages that others need newer, so these tools have a separate environment.
infra-tools: .venv-infra/.installed ## install the tools that check infra/ (CDK, cdk-nag, cfn-lint, checkov)

.venv-audit/.installed: scripts/audit-tools.txt scripts/audit-constraints.txt
	$(heading) 'installing pip-audit into .venv-audit'
	@$(install) .venv-audit scripts/audit-constraints.txt -r scripts/audit-tools.txt
	@touch $@

.venv-release/.installed: scripts/release-tools.txt scripts/release-constraints.txt
	$(heading) 'installing the tools of a release into .venv-release'
	@$(install) .venv-release scripts/release-constraints.txt -r scripts/release-tools.txt
	@touch $@

.venv-docs/.installed: scripts/docs-tools.txt scripts/docs-constraints.txt pyproject.toml
	$(heading) 'installing the tools of the documentation into .venv-docs'
	@$(install) .venv-docs constraints.txt hatchling hatch-vcs editables
	@$(install) .venv-docs scripts/docs-constraints.txt --no-build-isolation -r scripts/docs-tools.txt --editable .
	@touch $@

clean: ## remove the virtual environments and the files of the tools
	rm -rf .venv .venv-* build dist .coverage* .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Environments without a working Python are created again.
broken := $(if $(shell $(bin)/python -c 'print(1)' 2>/dev/null),,broken)
.PHONY: broken

# A stamp file records the extras of the environment. The package is installed editable, with the pinned backend.
$(VENV)/.installed-%: pyproject.toml constraints.txt $(broken)
	$(heading) 'installing flowyml-aws[$*] into $(VENV)'
	@$(install) '$(VENV)' constraints.txt hatchling hatch-vcs editables
	@$(install) '$(VENV)' constraints.txt --no-build-isolation --editable '.[$*]'
	@touch $@

.venv-lowest/.installed: pyproject.toml constraints.txt scripts/lowest-constraints
	$(heading) 'installing the lowest versions that pyproject.toml allows into .venv-lowest'
	@$(install) .venv-lowest constraints.txt hatchling hatch-vcs editables
	@scripts/lowest-constraints .venv-lowest/bin/python >.venv-lowest/constraints.txt
	@$(install) .venv-lowest .venv-lowest/constraints.txt --no-build-isolation --editable '.[examples,testing]' \
	  hypothesis pandas polars pyarrow pytest-xdist
	@touch $@

.venv-infra/.installed: infra/tools.txt infra/constraints.txt
	$(heading) 'installing the tools that check infra/ into .venv-infra'
	@$(install) .venv-infra infra/constraints.txt -r infra/tools.txt
	@touch $@

