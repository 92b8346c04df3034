from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from flowyml_aws import step
from flowyml_aws.core.step import Step
from flowyml_aws.packaging.files import project_files
from flowyml_aws.packaging.modules import client_only_modules
from flowyml_aws.packaging.project import Project

pytestmark = pytest.mark.version_sensitive

PACKAGE = ("else_pkg/__init__", "else_pkg/sub/__init__", "else_pkg/sub/deep")


class Folders:
    """A project, and a folder that only the client has on its path."""

    def __init__(self, folder: Path) -> None:
        self.project, self.elsewhere = folder / "project", folder / "elsewhere"
        for path in (self.project, self.elsewhere):
            path.mkdir()
            sys.path.insert(0, str(path))

    def write(self, **files: str) -> None:
        """Write modules by path without `.py`: `else_…` elsewhere, others in the project."""
        for name, source in files.items():
            folder = self.elsewhere if name.startswith("else_") else self.project
            path = folder / f"{name}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(source)
        importlib.invalidate_caches()

    def problems(self, *steps: Step, include: tuple[str, ...] = ()) -> list[str]:
        project = Project(self.project, self.project, ())
        files = project_files(self.project, include).paths
        return [str(error) for error in client_only_modules(steps, project, files.values())]


@pytest.fixture
def folders(tmp_path: Path) -> Iterator[Folders]:
    path, modules = list(sys.path), set(sys.modules)
    yield Folders(tmp_path.resolve())
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        del sys.modules[name]
    importlib.invalidate_caches()


def load(name: str) -> ModuleType:
    return importlib.import_module(name)


def step_of_script(text: str, **names: Any) -> Step:
    """Return a step as a script defines it."""
    namespace: dict[str, Any] = {"__name__": "__main__", **names}
    exec(text, namespace)
    return step(namespace["work"])


def test_modules_of_the_project_are_in_the_bundle(folders: Folders) -> None:
    folders.write(mine="VALUE = 1")
    assert not folders.problems(step_of_script("def work(): mine.VALUE", mine=load("mine")))


def test_installed_packages_are_expected_in_the_image(folders: Folders) -> None:
    import json

    import pydantic

    work = step_of_script("def work(): json, pydantic", json=json, pydantic=pydantic)
    assert not folders.problems(work)


def test_a_module_that_only_the_client_has_is_reported(folders: Folders) -> None:
    folders.write(else_lib="VALUE = 1")
    (problem,) = folders.problems(
        step_of_script("def work(): else_lib.VALUE", else_lib=load("else_lib"))
    )
    assert "Step 'work' uses module 'else_lib', which jobs can't import" in problem
    assert str(folders.elsewhere / "else_lib.py") in problem
    assert f"add '{folders.elsewhere}/else_lib.py' to the setting `include`" in problem


@pytest.mark.parametrize("kind", ["function", "class", "instance"])
def test_a_module_is_found_through_an_object_that_the_step_uses(
    folders: Folders, kind: str
) -> None:
    folders.write(else_lib="class Class: pass\ndef function(): pass\ninstance = Class()\n")
    module = load("else_lib")
    thing = getattr(module, "Class" if kind == "class" else kind)
    (problem,) = folders.problems(step_of_script("def work(): thing", thing=thing))
    assert "'else_lib'" in problem


def test_a_module_is_found_through_a_module_of_the_project(folders: Folders) -> None:
    folders.write(else_lib="", mine="import other_of_mine", other_of_mine="import else_lib")
    (problem,) = folders.problems(step_of_script("def work(): mine", mine=load("mine")))
    assert "'else_lib'" in problem


def test_a_module_is_found_through_a_helper_of_the_script(folders: Folders) -> None:
    folders.write(else_lib="")
    script = "def helper(): return else_lib\ndef work(): helper()"
    (problem,) = folders.problems(step_of_script(script, else_lib=load("else_lib")))
    assert "'else_lib'" in problem


def test_a_module_is_found_in_a_closure(folders: Folders) -> None:
    folders.write(else_lib="")
    module = load("else_lib")

    def work() -> object:
        return module

    (problem,) = folders.problems(step(work))
    assert "'else_lib'" in problem


def test_a_module_is_found_for_a_condition(folders: Folders) -> None:
    folders.write(else_lib="")
    module = load("else_lib")

    @step(condition=lambda: module)
    def work() -> None:
        pass

    (problem,) = folders.problems(work)
    assert "'else_lib'" in problem


@pytest.mark.parametrize("imported", [True, False])
def test_an_import_inside_the_step_is_found(folders: Folders, imported: bool) -> None:
    folders.write(else_lib="raise ValueError('searched but not imported')" if not imported else "")
    if imported:
        load("else_lib")
    (problem,) = folders.problems(step_of_script("def work():\n    import else_lib"))
    assert "'else_lib'" in problem


def test_an_import_that_the_client_lacks_too_is_expected_in_the_image(folders: Folders) -> None:
    assert not folders.problems(step_of_script("def work():\n    import only_in_the_image"))


def test_a_relative_import_is_not_a_top_level_module(folders: Folders) -> None:
    text = (
        "from flowyml_aws import step\n"
        "@step\n"
        "def work():\n"
        "    from . import else_lib\n"
        "    from .else_lib import thing\n"
    )
    folders.write(else_lib="", **{"pkg/__init__": "", "pkg/else_lib": "thing = 1"})
    folders.write(**{"pkg/steps": text})
    assert not folders.problems(load("pkg.steps").work)


def test_a_step_in_a_module_outside_the_project_is_reported(folders: Folders) -> None:
    folders.write(else_steps="from flowyml_aws import step\n@step\ndef work(): pass\n")
    (problem,) = folders.problems(load("else_steps").work)
    assert "'else_steps'" in problem


@pytest.mark.parametrize(
    ("module", "top"),
    [("else_pkg", "else_pkg"), ("else_pkg.sub", "else_pkg"), ("else_pkg.sub.deep", "else_pkg")],
)
def test_the_fix_names_the_top_folder_of_the_package(
    folders: Folders, module: str, top: str
) -> None:
    folders.write(**dict.fromkeys(PACKAGE, ""))
    problems = folders.problems(step_of_script("def work(): used", used=load(module)))
    problem = next(text for text in problems if f"module {module!r}" in text)
    assert f"add '{folders.elsewhere / top}' to the setting `include`" in problem


def test_the_suggested_fix_works(folders: Folders) -> None:
    folders.write(**dict.fromkeys(PACKAGE, ""))
    work = step_of_script("def work(): used", used=load("else_pkg.sub.deep"))
    assert folders.problems(work)
    assert not folders.problems(work, include=(str(folders.elsewhere / "else_pkg"),))


def test_an_ignored_module_of_the_project_is_reported(folders: Folders) -> None:
    folders.write(generated="VALUE = 1")
    (folders.project / ".flowymlignore").write_text("generated.py\n")
    work = step_of_script("def work(): used", used=load("generated"))
    (problem,) = folders.problems(work)
    assert "git or .flowymlignore ignores it" in problem
    assert "add 'generated.py' to the setting `include`" in problem
    assert not folders.problems(work, include=("generated.py",))


def test_an_object_made_by_a_function_elsewhere_does_not_need_its_module(folders: Folders) -> None:
    folders.write(
        else_lib="""
def make(n):
    class Class:
        pass
    def work():
        return n, Class
    return work
"""
    )
    assert not folders.problems(step(load("else_lib").make(1)))


def test_each_module_is_reported_once(folders: Folders) -> None:
    folders.write(else_lib="")
    used = load("else_lib")
    steps = [step(name=name)(step_of_script("def work(): used", used=used).func) for name in "ab"]
    assert len(folders.problems(*steps)) == 1


def test_objects_with_dynamic_attributes_are_ignored(folders: Folders) -> None:
    class Proxy:
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError("working outside of request context")

    class Odd:
        __module__ = property(lambda self: 1 / 0)

    assert not folders.problems(
        step_of_script("def work(): proxy, odd", proxy=Proxy(), odd=Odd()),
    )
