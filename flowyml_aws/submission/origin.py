"""The origin of a run: who started it, where, with which code, packages and parameters."""

from __future__ import annotations

import getpass
import platform
import re
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from pydantic import Field

from flowyml_aws.artifacts.documents import Document, read_document
from flowyml_aws.artifacts.layout import RunLayout
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.core.environment import sign_of_secret
from flowyml_aws.core.errors import ArtifactNotFoundError, DamagedArtifactError

__all__ = [
    "GitState",
    "RunOrigin",
    "client_text",
    "continued_origin",
    "find_origin",
    "parameter_texts",
    "read_origin",
]

_MAX_TEXT = 300
_GIT_TIMEOUT_S = 2.0
_HEADER = re.compile(r"^(Name|Version): *(\S.*?)\s*$", re.MULTILINE)


class GitState(Document):
    """The state of the project's git repository.

    Attributes:
        commit: Full hash of the commit.
        branch: Name of the branch, or None if none is checked out.
        changed_files: Number of tracked files that differ from the commit.
    """

    commit: str
    branch: str | None = None
    changed_files: int = 0


class RunOrigin(Document):
    """The origin of a run, for readers of its report. Nothing else depends on it.

    Attributes:
        user: Name of the user on the client.
        client: Host name of the client.
        python: Version of Python on the client.
        git: State of the project's repository; None without one.
        packages: Version of each package that is installed on the client.
        parameters: Values of the context, as text of limited length.
        items: Parameters of the items of mapped steps: by step and parameter, one text for each
            item.
    """

    version: Literal[1] = 1
    user: str | None
    client: str
    python: str
    git: GitState | None = None
    packages: dict[str, str] = Field(default_factory=dict)
    parameters: dict[str, str] = Field(default_factory=dict)
    items: dict[str, dict[str, tuple[str, ...]]] = Field(default_factory=dict)


def find_origin(
    project: Path,
    parameters: Mapping[str, Any],
    items: Mapping[str, dict[str, tuple[str, ...]]] = MappingProxyType({}),
) -> RunOrigin:
    """Return the origin of a run that this process starts.

    Args:
        project: Folder of the project.
        parameters: Values of the context.
        items: Parameters of the items of mapped steps.
    """
    return RunOrigin(
        user=_user(),
        client=platform.node(),
        python=platform.python_version(),
        git=_git_state(project),
        packages=_packages(),
        parameters=parameter_texts(parameters),
        items=dict(items),
    )


def parameter_texts(parameters: Mapping[str, Any]) -> dict[str, str]:
    """Return the values of a context as text of limited length."""
    return {_encodable(name): _parameter_text(name, value) for name, value in parameters.items()}


def continued_origin(origin: RunOrigin | None) -> RunOrigin | None:
    """Return the origin of a run that this process continues as a new one.

    Its code, packages and parameters are those of the earlier run.

    Args:
        origin: Origin of the earlier run, or None if it has none.
    """
    if origin is None:
        return None
    return origin.model_copy(update={"user": _user(), "client": platform.node()})


def client_text() -> str:
    """Return the user of this process and the machine, such as `ana on ana-laptop`."""
    return f"{_user() or 'unknown user'} on {platform.node()}"


def read_origin(store: ArtifactStore, run_id: str) -> RunOrigin | None:
    """Return the origin of a run, or None if it has none that this version reads."""
    key = RunLayout(run_id).origin
    try:
        return read_document(RunOrigin, store.get(key), f"{store.uri}/{key}")
    except (ArtifactNotFoundError, DamagedArtifactError):
        return None


def _user() -> str | None:
    try:
        return _encodable(getpass.getuser())
    except (KeyError, OSError, ImportError):  # the user has no name
        return None


def _packages() -> dict[str, str]:
    packages: dict[str, str] = {}
    for distribution in metadata.distributions():
        # Only two headers: parsing all of them would take a tenth of a second at each start.
        text = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or ""
        headers = dict(_HEADER.findall(text.partition("\n\n")[0]))
        if headers.keys() >= {"Name", "Version"}:  # a broken installation may have neither
            packages.setdefault(headers["Name"], headers["Version"])
    return dict(sorted(packages.items(), key=lambda item: item[0].lower()))


def _parameter_text(name: str, value: Any) -> str:
    try:
        text = _encodable(value if isinstance(value, str) else repr(value))
    except Exception as error:  # the user's `__repr__` can raise anything
        return f"<{type(value).__name__}: {type(error).__name__}>"
    if (sign := sign_of_secret(name, text)) is not None:
        return f"<not recorded: {sign}>"
    return text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}…"


def _encodable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def _git_state(project: Path) -> GitState | None:
    command = ["git", "status", "--porcelain=v2", "--branch", "--untracked-files=no"]
    try:
        answer = subprocess.run(
            command, cwd=project, capture_output=True, timeout=_GIT_TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None  # no git, no repository, or a very large one
    lines = answer.stdout.decode(errors="replace").splitlines()
    heads = dict(line[2:].split(" ", 1) for line in lines if line.startswith("# branch."))
    commit = heads.get("branch.oid", "(initial)")
    if commit == "(initial)":
        return None
    branch = heads.get("branch.head")
    return GitState(
        commit=commit,
        branch=None if branch == "(detached)" else branch,
        changed_files=sum(not line.startswith("#") for line in lines),
    )
