from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flowyml_aws import step
from flowyml_aws.core.step import Step
from flowyml_aws.packaging.bundle import BundleLimits, bundle_notes
from flowyml_aws.packaging.files import ProjectFiles, project_files
from flowyml_aws.packaging.imports import program_imports
from flowyml_aws.packaging.neighbors import with_neighbors
from flowyml_aws.packaging.project import Project

pytestmark = pytest.mark.version_sensitive


@pytest.fixture
def mono(tmp_path: Path) -> Iterator[Path]:
    """A folder with a project `flows`, and a folder `libs` that is on `sys.path`."""
    path, modules = list(sys.path), set(sys.modules)
    folder = tmp_path.resolve()
    for name in ("flows", "libs"):
        (folder / name).mkdir()
        sys.path.insert(0, str(folder / name))
    yield folder
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def step_with(text: str) -> Step:
    """Return a step as a script defines it."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(text, namespace)
    return step(namespace["work"])


def bundled(mono: Path, *steps: Step, max_bytes: int = 2**20) -> ProjectFiles:
    project = Project(mono / "flows", mono / "flows", tuple(map(Path, sys.path[:2])))
    files = project_files(project.root)
    return with_neighbors(files, program_imports(steps).users, project, max_bytes)


def test_a_module_next_door_is_added_with_all_modules_that_it_imports(mono: Path) -> None:
    write(mono / "libs", one_nb="def f():\n    import two_nb\n", two_nb="", unused_nb="")
    files = bundled(mono, step_with("import one_nb\ndef work(): one_nb.f()"))
    assert [*files.paths] == ["@1/libs/one_nb.py", "@1/libs/two_nb.py"]


def test_a_package_next_door_is_added_as_a_whole_without_its_environment(mono: Path) -> None:
    package = mono / "libs" / "pack_nb"
    for file in ("__init__.py", "sub/__init__.py", "sub/mod.py", "late.py", "data.csv"):
        (package / file).parent.mkdir(parents=True, exist_ok=True)
        (package / file).touch()
    (package / ".venv").mkdir()
    (package / ".venv" / "pyvenv.cfg").touch()
    files = bundled(mono, step_with("def work():\n    import pack_nb.sub.mod\n"))
    names = ("__init__.py", "data.csv", "late.py", "sub/__init__.py", "sub/mod.py")
    assert [*files.paths] == [f"@1/libs/pack_nb/{name}" for name in names]


def test_only_the_imported_part_of_a_namespace_package_is_added(mono: Path) -> None:
    (mono / "libs" / "space_nb" / "pack").mkdir(parents=True)
    for file in ("one.py", "two.py", "pack/__init__.py"):
        (mono / "libs" / "space_nb" / file).touch()
    files = bundled(mono, step_with("def work():\n    from space_nb import one, pack\n"))
    assert [*files.paths] == ["@1/libs/space_nb/one.py", "@1/libs/space_nb/pack/__init__.py"]


def test_a_namespace_package_in_a_package_that_is_not_imported_yet_is_found(mono: Path) -> None:
    write(mono / "libs", outer__init="", outer__inner__deep="import other")
    write(mono / "libs", other="", late="def f():\n    import outer.inner.deep")
    (mono / "libs" / "outer" / "init.py").rename(mono / "libs" / "outer" / "__init__.py")
    import late  # type: ignore[import-not-found]

    found = program_imports([step(late.f)]).users
    assert found.keys() >= {"late", "outer", "outer.inner.deep", "other"}


def test_a_note_names_what_was_added(mono: Path) -> None:
    write(mono / "libs", one_nb="")
    files = bundled(mono, step_with("import one_nb\ndef work(): one_nb"))
    (note,) = bundle_notes(files, BundleLimits())
    assert note == f"added to the bundle, because the program imports it: {mono}/libs/one_nb.py"


def test_a_package_next_door_that_is_too_large_is_not_added(mono: Path) -> None:
    write(mono / "libs", one_nb=f"'{'x' * 100}'")
    work = step_with("import one_nb\ndef work(): one_nb")
    assert not bundled(mono, work, max_bytes=100).paths


def test_modules_of_the_project_and_of_packages_are_not_added_again(mono: Path) -> None:
    write(mono / "flows", own_nb="import pathspec, json")
    files = bundled(mono, step_with("import own_nb\ndef work(): own_nb"))
    assert [*files.paths] == ["own_nb.py"]


def test_a_file_with_an_unusual_encoding_is_read_for_its_imports(mono: Path) -> None:
    write(mono / "libs", two_nb="")
    (mono / "flows" / "own_nb.py").write_bytes(b"# coding: latin-1\nX = '\xe9'\nimport two_nb\n")
    files = bundled(mono, step_with("import own_nb\ndef work(): own_nb"))
    assert [*files.paths] == ["@1/libs/two_nb.py", "own_nb.py"]
