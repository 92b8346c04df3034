"""Packages that a program imports, and that can be imported before its jobs are forked."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from flowyml_aws import step
from flowyml_aws.packaging.imports import ProgramImports, libraries_of, program_imports


def imports(others: str, uses_environment: bool = False) -> ProgramImports:
    return ProgramImports({}, frozenset(others.split()), uses_environment)


@pytest.fixture
def no_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("numpy", "pandas", "torch"):
        monkeypatch.delitem(sys.modules, name, raising=False)


@pytest.mark.usefixtures("no_packages")
def test_packages_are_those_on_the_list_that_the_program_imports() -> None:
    assert libraries_of(imports("pandas pandas.io json polars numpy")) == ("numpy", "pandas")


@pytest.mark.usefixtures("no_packages")
def test_an_import_inside_a_function_does_not_count_if_the_program_may_set_variables() -> None:
    assert libraries_of(imports("numpy", uses_environment=True)) == ()


def test_a_package_that_the_client_has_imported_counts_in_any_case(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = ModuleType("numpy")
    module.__file__ = "/env/lib/python3.11/site-packages/numpy/__init__.py"
    monkeypatch.setitem(sys.modules, "numpy", module)
    assert libraries_of(imports("numpy", uses_environment=True)) == ("numpy",)


def test_a_module_of_the_user_with_the_name_of_a_package_does_not_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = ModuleType("numpy")
    module.__file__ = "/project/numpy.py"
    monkeypatch.setitem(sys.modules, "numpy", module)
    assert libraries_of(imports("numpy")) == ()


@pytest.mark.parametrize(
    ("line", "uses_environment"),
    [
        ("import os; os.environ['LEVEL'] = '9'", True),
        ("from os import putenv", True),
        ("environment = 'of the program'", False),
    ],
)
def test_imports_inside_functions_and_names_of_variables_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, uses_environment: bool
) -> None:
    source = f"{line}\ndef f():\n    import pandas.io\n    return pandas\n"
    (tmp_path / "late_imports.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("LEVEL", "1")  # so that it is restored
    import late_imports  # type: ignore[import-not-found]

    found = program_imports([step(late_imports.f)])
    del sys.modules["late_imports"]
    assert {"pandas", "pandas.io"} <= found.others
    assert "late_imports" in found.users
    assert found.uses_environment is uses_environment
