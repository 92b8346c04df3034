from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from flowyml_aws.packaging.project import Project


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path.resolve() / "project"
    root.mkdir()
    return root


def load(patch: pytest.MonkeyPatch, name: str, path: Path) -> None:
    """Let this process have a module from a file, or a namespace package from a folder."""
    module = ModuleType(name)
    if path.suffix:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        module.__file__ = str(path)
    else:
        path.mkdir(parents=True, exist_ok=True)
        module.__path__ = [str(path)]
    patch.setitem(sys.modules, name, module)


def located(root: Path, *search: Path) -> dict[str, str]:
    program = Project(root, root, search).program(in_place=False)
    return {name: path for name, path in program.modules if "_loc" in name}


def test_a_module_in_a_folder_of_the_path_is_not_located(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(monkeypatch, "a_loc", root / "src" / "a_loc.py")
    load(monkeypatch, "p_loc", root / "src" / "p_loc" / "__init__.py")
    load(monkeypatch, "p_loc.inner", root / "src" / "p_loc" / "inner.py")
    load(monkeypatch, "n_loc", root / "src" / "n_loc")
    load(monkeypatch, "n_loc.inner", root / "src" / "n_loc" / "inner.py")
    assert located(root, root / "src") == {}


def test_a_module_that_another_one_hides_is_located(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "other").mkdir()
    (root / "other" / "a_loc.py").touch()
    load(monkeypatch, "a_loc", root / "src" / "a_loc.py")
    assert located(root, root / "other", root / "src") == {"a_loc": "src/a_loc.py"}


def test_of_a_package_only_the_package_is_located(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(monkeypatch, "p_loc", root / "__init__.py")
    load(monkeypatch, "p_loc.inner", root / "inner.py")
    load(monkeypatch, "p_loc.sub", root / "sub")
    assert located(root, root.parent) == {"p_loc": "__init__.py"}


def test_a_namespace_package_that_is_the_project_is_located(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(monkeypatch, "n_loc", root)
    load(monkeypatch, "n_loc.inner", root / "inner.py")
    assert located(root, root.parent) == {"n_loc": "."}


def test_a_module_without_a_folder_of_its_name_is_located(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(monkeypatch, "_hidden_loc.test_a", root / ".hidden_loc" / "test_a.py")
    assert located(root, root) == {"_hidden_loc.test_a": ".hidden_loc/test_a.py"}


def test_a_module_outside_the_project_is_not_located(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(monkeypatch, "a_loc", root.parent / "a_loc.py")
    assert located(root, root.parent) == {}
