"""Versions of packages that a project requires, read without the tools that wrote them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from flowyml_aws.core.distributions import normalized
from flowyml_aws.core.errors import SettingsError
from flowyml_aws.core.written import parse_json
from flowyml_aws.images.requirements.find import find_requirements
from flowyml_aws.settings.model import Settings

__all__ = ["Pins", "project_pins"]

# Lock files whose tools would have to be started; in the order of precedence of an image.
_TABLES = ("uv.lock", "poetry.lock")
_PIPFILE = "Pipfile.lock"
_PACKAGE = re.compile(r'^\[\[package\]\]\nname = "([^"]+)"\nversion = "([^"]+)"', re.MULTILINE)
_PIN = re.compile(r"\s*([\w.-]+)\s*(?:\[[^]]*\])?\s*={2,3}\s*([^\s;,*]+)\s*(?:;|$|--)")


@dataclass(frozen=True, slots=True)
class Pins:
    """Versions of packages that a project requires.

    Attributes:
        versions: Version of each distribution, by normalized name; several, joined by " or ", if
            the version depends on the platform.
        source: Name of the setting or file, for messages.
    """

    versions: Mapping[str, str] = field(default_factory=dict)
    source: str = ""


def project_pins(root: Path, settings: Settings) -> Pins:
    """Return the exact versions in the requirements of a project's jobs.

    The source is the same as for the packages of jobs: the setting `requirements`, or what the
    project's image installs. Requirements that can't be read have no pins: a run reports them.
    """
    if settings.requirements:
        return _pins(_exact(settings.requirements), "the setting `requirements`")
    has_own = bool(settings.image_requirements) or (root / "requirements.txt").is_file()
    if not has_own:
        for name in _TABLES:
            if (text := _text(root / name)) is not None:
                return _pins(_PACKAGE.findall(text.replace("\r\n", "\n")), name)
        if (text := _text(root / _PIPFILE)) is not None:
            return _pins(_exact(_pipfile(text)), _PIPFILE)
    try:
        found = find_requirements(root, settings.image_requirements)
    except SettingsError:
        return Pins()
    return _pins(_exact((*found.constraints, *found.lines)), found.source)


def _pins(versions: Iterable[tuple[str, str]], source: str) -> Pins:
    by_name: dict[str, set[str]] = {}
    for name, version in versions:
        by_name.setdefault(normalized(name), set()).add(version)
    return Pins({name: " or ".join(sorted(all_)) for name, all_ in by_name.items()}, source)


def _exact(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield the names and versions of requirements such as `numpy==2.1.3`."""
    for line in lines:
        if match := _PIN.match(line):
            yield match[1], match[2]


def _pipfile(text: str) -> Iterator[str]:
    try:
        packages = parse_json(text).get("default", {})
    except (ValueError, AttributeError):
        return
    for name, facts in packages.items():
        if isinstance(facts, dict) and isinstance(version := facts.get("version"), str):
            yield f"{name}{version}"


def _text(path: Path) -> str | None:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return None
