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
from flowyml_aws.packaging.modules import laptop_only_modules
from flowyml_aws.packaging.project import Project

pytestmark = pytest.mark.version_sensitive

PACKAGE = ("else_pkg/__init__", "else_pkg/sub/__init__", "else_pkg/sub/deep")


class Places:
    """A project, and a folder that only this machine has on its path."""

    def __init__(self, folder: Path) -> None:
        self.project, self.elsewhere = folder / "project", folder / "elsewhere"
        for place in (self.project, self.elsewhere):
            place.mkdir()
            sys.path.insert(0, str(place))

    def write(self, **files: str) -> None:
        """Modules by their path without `.py`; `else_…` lie elsewhere."""
        for name, text in files.items():
            place = self.elsewhere if name.startswith("else_") else self.project
            path = place / f"{name}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        importlib.invalidate_caches()

    def problems(self, *steps: Step, include: tuple[str, ...] = ()) -> list[str]:
        project = Project(self.project, self.project, ())
        files = project_files(self.project, include)
        return [str(error) for error in laptop_only_modules(steps, project, files.values())]


@pytest.fixture
def places(tmp_path: Path) -> Iterator[Places]:
    path, modules = list(sys.path), set(sys.modules)
    yield Places(tmp_path.resolve())
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        del sys.modules[name]
    importlib.invalidate_caches()


def load(name: str) -> ModuleType:
    return importlib.import_module(name)


def step_of_script(text: str, **names: Any) -> Step:
    """A step as a script defines it."""
    namespace: dict[str, Any] = {"__name__": "__main__", **names}
    exec(text, namespace)
    return step(namespace["work"])


def test_modules_of_the_project_travel(places: Places) -> None:
    places.write(mine="VALUE = 1")
    assert not places.problems(step_of_script("def work(): mine.VALUE", mine=load("mine")))


def test_installed_packages_are_expected_in_the_image(places: Places) -> None:
    import json

    import pydantic

    work = step_of_script("def work(): json, pydantic", json=json, pydantic=pydantic)
    assert not places.problems(work)


def test_a_module_that_only_this_machine_has_is_found(places: Places) -> None:
    places.write(else_lib="VALUE = 1")
    (told,) = places.problems(
        step_of_script("def work(): else_lib.VALUE", else_lib=load("else_lib"))
    )
    assert "Step 'work' uses module 'else_lib', which no job will have" in told
    assert str(places.elsewhere / "else_lib.py") in told
    assert f"add '{places.elsewhere}/else_lib.py' to the setting `include`" in told


@pytest.mark.parametrize("kind", ["function", "class", "instance"])
def test_a_module_is_found_by_what_the_step_uses_of_it(places: Places, kind: str) -> None:
    places.write(else_lib="class Class: pass\ndef function(): pass\ninstance = Class()\n")
    module = load("else_lib")
    thing = getattr(module, "Class" if kind == "class" else kind)
    (told,) = places.problems(step_of_script("def work(): thing", thing=thing))
    assert "'else_lib'" in told


def test_a_module_is_found_behind_a_module_of_the_project(places: Places) -> None:
    places.write(else_lib="", mine="import other_of_mine", other_of_mine="import else_lib")
    (told,) = places.problems(step_of_script("def work(): mine", mine=load("mine")))
    assert "'else_lib'" in told


def test_a_module_is_found_behind_a_helper_of_the_script(places: Places) -> None:
    places.write(else_lib="")
    script = "def helper(): return else_lib\ndef work(): helper()"
    (told,) = places.problems(step_of_script(script, else_lib=load("else_lib")))
    assert "'else_lib'" in told


def test_a_module_is_found_in_a_closure(places: Places) -> None:
    places.write(else_lib="")
    module = load("else_lib")

    def work() -> object:
        return module

    (told,) = places.problems(step(work))
    assert "'else_lib'" in told


def test_a_module_is_found_for_a_condition(places: Places) -> None:
    places.write(else_lib="")
    module = load("else_lib")

    @step(condition=lambda: module)
    def work() -> None:
        pass

    (told,) = places.problems(work)
    assert "'else_lib'" in told


@pytest.mark.parametrize("imported", [True, False])
def test_an_import_inside_the_step_is_found(places: Places, imported: bool) -> None:
    places.write(else_lib="raise ValueError('only looked for')" if not imported else "")
    if imported:
        load("else_lib")
    (told,) = places.problems(step_of_script("def work():\n    import else_lib"))
    assert "'else_lib'" in told


def test_an_import_that_this_machine_lacks_too_is_left_to_the_image(places: Places) -> None:
    assert not places.problems(step_of_script("def work():\n    import only_in_the_image"))


def test_a_relative_import_names_no_module_of_its_own(places: Places) -> None:
    text = (
        "from flowyml_aws import step\n"
        "@step\n"
        "def work():\n"
        "    from . import else_lib\n"
        "    from .else_lib import thing\n"
    )
    places.write(else_lib="", **{"pkg/__init__": "", "pkg/else_lib": "thing = 1"})
    places.write(**{"pkg/steps": text})
    assert not places.problems(load("pkg.steps").work)


def test_a_step_of_a_module_elsewhere_is_found(places: Places) -> None:
    places.write(else_steps="from flowyml_aws import step\n@step\ndef work(): pass\n")
    (told,) = places.problems(load("else_steps").work)
    assert "'else_steps'" in told


@pytest.mark.parametrize(
    ("module", "top"),
    [("else_pkg", "else_pkg"), ("else_pkg.sub", "else_pkg"), ("else_pkg.sub.deep", "else_pkg")],
)
def test_the_fix_names_the_top_of_the_package(places: Places, module: str, top: str) -> None:
    places.write(**dict.fromkeys(PACKAGE, ""))
    problems = places.problems(step_of_script("def work(): used", used=load(module)))
    told = next(problem for problem in problems if f"module {module!r}" in problem)
    assert f"add '{places.elsewhere / top}' to the setting `include`" in told


def test_the_fix_helps(places: Places) -> None:
    places.write(**dict.fromkeys(PACKAGE, ""))
    work = step_of_script("def work(): used", used=load("else_pkg.sub.deep"))
    assert places.problems(work)
    assert not places.problems(work, include=(str(places.elsewhere / "else_pkg"),))


def test_a_module_of_the_project_that_is_ignored_is_found(places: Places) -> None:
    places.write(generated="VALUE = 1")
    (places.project / ".flowymlignore").write_text("generated.py\n")
    work = step_of_script("def work(): used", used=load("generated"))
    (told,) = places.problems(work)
    assert "git or .flowymlignore ignores it" in told
    assert "add 'generated.py' to the setting `include`" in told
    assert not places.problems(work, include=("generated.py",))


def test_what_a_function_elsewhere_made_travels_without_its_module(places: Places) -> None:
    places.write(
        else_lib="""
def make(n):
    class Class:
        pass
    def work():
        return n, Class
    return work
"""
    )
    assert not places.problems(step(load("else_lib").make(1)))


def test_each_module_is_told_once(places: Places) -> None:
    places.write(else_lib="")
    used = load("else_lib")
    steps = [step(name=name)(step_of_script("def work(): used", used=used).func) for name in "ab"]
    assert len(places.problems(*steps)) == 1


def test_objects_that_answer_every_attribute_do_no_harm(places: Places) -> None:
    class Proxy:
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError("working outside of request context")

    class Odd:
        __module__ = property(lambda self: 1 / 0)

    assert not places.problems(
        step_of_script("def work(): proxy, odd", proxy=Proxy(), odd=Odd()),
    )
