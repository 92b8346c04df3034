from __future__ import annotations

import functools
import os
import os as operating_system
from os import environ, getenv
from typing import Any

import pytest

from flowyml_aws import step
from flowyml_aws.packaging.variables import VariableReader
from tests.packaging.test_modules import Folders, folders, load

__all__ = ["folders"]

pytestmark = pytest.mark.version_sensitive


def names(function: Any, **options: Any) -> set[str]:
    """Return the variables that a step reads, without those of this module."""
    return VariableReader().read_by(step(name="s", **options)(function))


def helper() -> str:
    return os.environ["HELPER"]


@step
def another() -> str:
    return os.environ["ANOTHER"]


class Reader:
    def read(self) -> str:
        return os.environ["READER"]


READER = Reader()


def all_forms() -> Any:
    if "CONTAINED" in os.environ:
        return os.environ["SUBSCRIPT"], os.environ.get("GET"), os.getenv("GETENV", "1")
    return environ["IMPORTED"], environ.get(key="KEYWORD"), getenv("FUNCTION")


def under_other_names() -> Any:
    import os as system
    from os import environ as variables

    return operating_system.environ["RENAMED"], system.getenv("INSIDE"), variables["ALIAS"]


def no_reads(other: dict[str, str], name: str) -> Any:
    os.environ["WRITTEN"] = "1"
    return os.environ[name], other["OTHER"], other.get("OTHER")


def test_every_form_with_a_literal_name_is_found() -> None:
    assert names(all_forms) == {
        "CONTAINED",
        "SUBSCRIPT",
        "GET",
        "GETENV",
        "IMPORTED",
        "KEYWORD",
        "FUNCTION",
    }


def test_imports_under_other_names_are_followed() -> None:
    assert names(under_other_names) == {"RENAMED", "INSIDE", "ALIAS"}


def test_other_mappings_writes_and_computed_names_are_not_reads() -> None:
    assert names(no_reads) == set()


def test_functions_classes_steps_and_objects_that_a_step_uses_are_read() -> None:
    inside = helper

    def uses_all() -> Any:
        return inside(), another(), READER.read(), (lambda: os.environ["LAMBDA"])()

    assert names(uses_all) == {"HELPER", "ANOTHER", "READER", "LAMBDA"}
    assert names(no_reads) == set()


def test_conditions_decorated_functions_and_partials_are_read() -> None:
    def decorated(function: Any) -> Any:
        @functools.wraps(function)
        def inner(*args: Any) -> Any:
            return os.environ["DECORATOR"], function(*args)

        return inner

    assert names(decorated(helper)) == {"DECORATOR", "HELPER"}
    assert names(functools.lru_cache(helper)) == {"HELPER"}
    assert names(functools.partial(helper)) == {"HELPER"}
    assert names(no_reads, condition=helper) == {"HELPER"}


def test_modules_are_read_as_their_import_executes_them(folders: Folders) -> None:
    folders.write(
        config="import os\n"
        "A = os.environ.get('ASSIGNED')\n"
        "def called(): return os.environ['CALLED']\n"
        "def not_called(): return os.environ['NOT_CALLED']\n"
        "B = called()\n"
        "class C:\n"
        "    member = os.environ.get('MEMBER')\n"
        "    def method(self): return os.environ['METHOD']\n"
        "try:\n"
        "    D = os.environ['TRIED']\n"
        "except KeyError:\n"
        "    def d(default=os.environ.get('DEFAULT')): return os.environ['NOT_EXECUTED']\n"
        "if __name__ == '__main__':\n"
        "    os.environ['MAIN']\n",
        helpers="import config\nimport os\ndef value(): return os.environ['VALUE']\n",
        steps="import helpers\ndef work(): return helpers.value()\n",
    )
    for name in ("ASSIGNED", "CALLED", "MEMBER", "TRIED", "DEFAULT"):
        os.environ[name] = "x"
    try:
        work = load("steps").work
    finally:
        for name in ("ASSIGNED", "CALLED", "MEMBER", "TRIED", "DEFAULT"):
            del os.environ[name]
    assert names(work) == {"ASSIGNED", "CALLED", "MEMBER", "TRIED", "DEFAULT", "VALUE"}


def test_a_module_that_only_the_step_imports_is_read_without_importing_it(folders: Folders) -> None:
    folders.write(
        late="import os\ndef value(): return os.environ['LATE']\n",
        steps="def work():\n    from late import value\n    return value()\n",
    )
    assert names(load("steps").work) == {"LATE"}


def test_steps_of_one_script_do_not_read_the_variables_of_each_other(folders: Folders) -> None:
    folders.write(
        script="import os\n"
        "from flowyml_aws import Pipeline, step\n"
        "@step\n"
        "def first(): return os.environ['FIRST']\n"
        "@step\n"
        "def second(): return os.environ['SECOND']\n"
        "pipeline = Pipeline('p').add_steps([first, second])\n"
    )
    reader = VariableReader()
    assert [reader.read_by(s) for s in load("script").pipeline.steps] == [{"FIRST"}, {"SECOND"}]


def test_code_without_source_has_no_known_variables() -> None:
    namespace: dict[str, Any] = {"os": os, "__name__": "typed"}
    exec("def work(): return os.environ['X']", namespace)
    assert names(namespace["work"]) == set()
