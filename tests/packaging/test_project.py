from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flowyml_aws.packaging.project import Project, find_project


def function_of(file: Path) -> Callable[[], Any]:
    """Return a function that is defined in a file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("def f(): pass\n")
    namespace: dict[str, Any] = {}
    exec(compile(file.read_text(), str(file), "exec"), namespace)
    function: Callable[[], Any] = namespace["f"]
    return function


@pytest.mark.parametrize("marker", [".git", "pyproject.toml"])
def test_the_root_is_the_nearest_folder_with_a_marker(tmp_path: Path, marker: str) -> None:
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "project" / marker).mkdir(parents=True)
    function = function_of(tmp_path / "project/flows/deep/flow.py")
    assert find_project([function]).root == tmp_path / "project"


def test_without_a_marker_the_root_is_the_scripts_folder(tmp_path: Path) -> None:
    if any((path / m).exists() for path in tmp_path.parents for m in (".git", "pyproject.toml")):
        pytest.skip("the temporary folder is inside a project")
    assert find_project([function_of(tmp_path / "flow.py")]).root == tmp_path


def test_functions_without_a_file_of_the_user_are_ignored(tmp_path: Path) -> None:
    import functools
    import json

    (tmp_path / "pyproject.toml").touch()
    cell: dict[str, Any] = {}
    exec(compile("def f(): pass", "<cell 1>", "exec"), cell)
    mine = function_of(tmp_path / "flow.py")
    functions = [cell["f"], json.dumps, len, functools.partial(mine), mine]
    assert find_project(functions).root == tmp_path


def test_a_decorated_function_belongs_to_the_file_that_defines_it(tmp_path: Path) -> None:
    import functools

    (tmp_path / "pyproject.toml").touch()
    mine = function_of(tmp_path / "flow.py")
    assert find_project([functools.lru_cache(mine)]).root == tmp_path


def test_without_any_file_the_project_is_that_of_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    project = find_project([])
    assert (project.root, project.folder) == (tmp_path, tmp_path / "notebooks")
    assert project.program(in_place=False).folder == "notebooks"


def test_a_job_searches_the_clients_paths_in_their_order_before_and_after_python(
    tmp_path: Path,
) -> None:
    outside, site = tmp_path.parent, tmp_path / ".venv/lib/python3/site-packages"
    search = (tmp_path / "lib", outside, tmp_path / "src", site, tmp_path / "late")
    program = Project(tmp_path, tmp_path, search).program(in_place=False)
    assert program.paths == ("lib", "src")
    assert program.last_paths[0] == "late"


def test_a_job_in_the_projects_folder_searches_all_of_the_clients_paths(tmp_path: Path) -> None:
    search = (tmp_path / "lib", tmp_path.parent)
    assert Project(tmp_path, tmp_path, search).program(in_place=True).paths == (
        "lib",
        str(tmp_path.parent),
    )


def test_jobs_of_a_client_elsewhere_work_in_the_projects_root(tmp_path: Path) -> None:
    assert Project(tmp_path, tmp_path.parent, ()).program(in_place=False).folder == "."


def test_archives_on_the_clients_path_are_included(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "modules.zip").touch()
    monkeypatch.setattr(sys, "path", [str(tmp_path / "modules.zip"), str(tmp_path / "missing")])
    assert find_project([]).search == (tmp_path / "modules.zip",)


def test_a_package_in_a_virtual_environment_of_the_project_is_not_part_of_it(
    tmp_path: Path,
) -> None:
    path = tmp_path / ".venv/lib/python3.11/site-packages/numpy/__init__.py"
    assert not Project(tmp_path, tmp_path, ()).has(path)


def test_a_file_below_the_root_is_part_of_the_project(tmp_path: Path) -> None:
    assert Project(tmp_path, tmp_path, ()).has(tmp_path / "flow.py")
