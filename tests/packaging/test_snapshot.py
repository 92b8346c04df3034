from __future__ import annotations

from pathlib import Path

import flowyml_aws
from flowyml_aws.packaging.project import Project
from flowyml_aws.packaging.snapshot import snapshot_files


def write(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def names_below(folder: Path, root: Path, *search: Path) -> dict[str, str]:
    """Return the names of the files below a folder, by their path in it."""
    files = snapshot_files(Project(root, root, search), {})
    return {
        path.relative_to(folder).as_posix(): name
        for name, path in files.items()
        if path.is_relative_to(folder)
    }


def test_modules_and_packages_on_the_path_are_in_a_snapshot_and_other_folders_are_not(
    tmp_path: Path,
) -> None:
    root = tmp_path / "project"
    write(root, "flow.py", "notes.txt", "package/__init__.py", "package/deep/__init__.py")
    write(root, "package/deep/module.py", "data/module.py")
    write(tmp_path, "shared/lib.py")
    assert names_below(tmp_path, root, tmp_path / "shared") == {
        "project/flow.py": "flow.py",
        "project/package/__init__.py": "package/__init__.py",
        "project/package/deep/__init__.py": "package/deep/__init__.py",
        "project/package/deep/module.py": "package/deep/module.py",
        "shared/lib.py": "@1/shared/lib.py",
    }


def test_a_linked_module_is_in_a_snapshot_with_both_of_its_paths(tmp_path: Path) -> None:
    root = tmp_path / "project"
    write(tmp_path, "real/lib.py", "real/other.py", "project/flow.py")
    (tmp_path / "linked").symlink_to(tmp_path / "real")
    (root / "alias.py").symlink_to(tmp_path / "real" / "other.py")
    assert names_below(tmp_path, root, tmp_path / "linked") == {
        "project/flow.py": "flow.py",
        "project/alias.py": "alias.py",
        "linked/lib.py": "@1/linked/lib.py",
        "linked/other.py": "@1/linked/other.py",
        "real/lib.py": "@1/real/lib.py",
        "real/other.py": "@1/real/other.py",
    }


def test_a_package_with_a_link_to_itself_is_listed_once(tmp_path: Path) -> None:
    write(tmp_path, "package/__init__.py")
    (tmp_path / "package" / "again").symlink_to(tmp_path / "package")
    assert names_below(tmp_path, tmp_path) == {"package/__init__.py": "package/__init__.py"}


def test_a_checkout_of_this_package_is_not_in_a_snapshot(tmp_path: Path) -> None:
    package = Path(flowyml_aws.__path__[0])
    assert names_below(package, tmp_path, package.parent) == {}
