"""Packages in conda's environment.yml."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from flowyml_aws.core.errors import SettingsError
from flowyml_aws.images.requirements.files import read_lines
from flowyml_aws.images.requirements.lines import INSTEAD, Requirements
from flowyml_aws.images.requirements.pyproject import Pyproject

__all__ = ["from_conda"]

_FILES = ("environment.yml", "environment.yaml", "conda.yml", "conda.yaml")
_IN_EVERY_IMAGE = ("python", "pip")


def from_conda(root: Path, pyproject: Pyproject) -> Requirements | None:
    """Return the packages in the `pip` section of environment.yml; None if it has none.

    Raises:
        SettingsError: The file lists packages of conda, or can't be read.
    """
    file = next((file for name in _FILES if (file := root / name).is_file()), None)
    if file is None:
        return None
    entries = _dependencies(file)
    specs = [entry for entry in entries if isinstance(entry, str)]
    packages = [spec for spec in specs if _name(spec) not in _IN_EVERY_IMAGE]
    if packages:
        raise SettingsError(
            what=f"{file.name} lists conda packages: {', '.join(packages)}",
            why="an image installs packages with pip, where they may have other names or no wheels",
            fix=f"move them to the `pip` section, or {INSTEAD}; or build an image with conda and "
            "name it in the setting `image`",
        )
    sections = [entry["pip"] for entry in entries if not isinstance(entry, str)]
    lines = [line for section in sections for line in section]
    return read_lines(lines, root, file.name) if lines else None


def _dependencies(file: Path) -> list[str | dict[str, list[str]]]:
    try:
        import yaml
    except ImportError as error:
        raise SettingsError(
            what=f"Can't read {file.name}",
            why="PyYAML is not installed",
            fix=f"run `pip install pyyaml`, or {INSTEAD}",
        ) from error
    try:
        content: Any = yaml.safe_load(file.read_bytes())
    except yaml.YAMLError as error:
        raise SettingsError(
            what=f"Can't read {file.name}", why=str(error), fix="correct its YAML syntax"
        ) from error
    entries = content.get("dependencies", []) if isinstance(content, dict) else None
    if not isinstance(entries, list) or not all(map(_is_valid, entries)):
        raise SettingsError(
            what=f"Invalid dependencies in {file.name}",
            why="expected a list of packages, which may have a section `pip` with another list",
            fix="correct it",
        )
    return entries


def _is_valid(entry: Any) -> bool:
    is_pip = isinstance(entry, dict) and list(entry) == ["pip"] and isinstance(entry["pip"], list)
    return isinstance(entry, str) or is_pip


def _name(spec: str) -> str:
    """Return the name in a specification such as `conda-forge::python >=3.11`."""
    return re.split(r"[\s=<>!~\[]", spec.rpartition("::")[2].strip(), maxsplit=1)[0].lower()
