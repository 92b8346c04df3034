"""Memory of trial loads: a program that did not change is not loaded again before each run."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from flowyml_aws.core.code.bindings import Binding
from flowyml_aws.core.code.states import State
from flowyml_aws.core.errors import FlowymlError
from flowyml_aws.core.modules import is_installed
from flowyml_aws.packaging.payload import StepPayload
from flowyml_aws.packaging.trial import TrialLoad, TrialRequest
from flowyml_aws.planning.catalog_files import cache_folder

__all__ = ["RememberedTrial"]

_VERSION = 1
_MAX_FILES = 300
# Variables that differ in each terminal, which programs do not depend on.
_VOLATILE = frozenset(
    {"PYTEST_CURRENT_TEST", "SHLVL", "SSH_CLIENT", "SSH_CONNECTION", "SSH_TTY"}
    | {"TERM_SESSION_ID", "WINDOWID", "OLDPWD", "_"}
)


class RememberedTrial:
    """A trial load that is started only if its outcome is unknown.

    The outcome is known if an equal program was loaded before: with the same bundle, arguments,
    environment and Python, and with the same values on the client.
    """

    def __init__(self, request: TrialRequest) -> None:
        self._request = request
        self._file = cache_folder(os.environ) / "loads" / f"{_digest(request)}.json"
        self._known = _read(self._file, len(request.survey.bindings))
        self._loaded: list[str] = []
        self._states: Mapping[Binding, State | None] | None = None
        self._trial = TrialLoad(request) if self._known is None else None

    def states(self) -> Mapping[Binding, State | None]:
        """Return the states of the names; None for those that are missing.

        Raises:
            PipelineFileError: The program can't be loaded.
        """
        if self._states is None and self._known is not None:
            pairs = zip(self._request.survey.bindings, self._known["states"], strict=True)
            self._states = {b: None if state is None else State(*state) for b, state in pairs}
        if self._states is None:
            assert self._trial is not None
            self._states = self._trial.states()
        return self._states

    def problem_of(self, payload: StepPayload) -> FlowymlError | None:
        """Return why a job could not load its payload, or None."""
        if self._known is not None and payload.sha256 in self._known["payloads"]:
            return None
        if self._trial is None:
            self._trial = TrialLoad(self._request)
            self._trial.states()
        problem = self._trial.problem_of(payload)
        if problem is None:
            self._loaded.append(payload.sha256)
        return problem

    def remember(self) -> None:
        """Keep the outcome for later runs. Nothing is kept if the folder can't be written."""
        if not self._loaded or self._states is None:
            return
        known = self._known["payloads"] if self._known is not None else []
        facts = {
            "states": [
                None if s is None else [s.digest, s.is_comparable, s.has_moment]
                for s in self._states.values()
            ],
            "payloads": [*known, *self._loaded][-1000:],
        }
        with contextlib.suppress(OSError):
            _write(self._file, json.dumps(facts))

    def __enter__(self) -> RememberedTrial:
        return self

    def __exit__(self, *_: object) -> None:
        if self._trial is not None:
            self._trial.close()


def _digest(request: TrialRequest) -> str:
    survey = request.survey
    facts = {
        "version": _VERSION,
        "python": [sys.executable, sys.version, sys.flags],
        "package": [str(Path(__file__)), Path(__file__).stat().st_mtime_ns],
        "installed": _times_of_installed_packages(),
        "bundle": request.bundle.sha256,
        "program": asdict(request.program),
        "root": str(request.root),
        "in_place": request.in_place,
        "given": hashlib.sha256(request.given or b"").hexdigest(),
        "bindings": [
            [str(binding), own.state.digest, own.by_source]
            for binding, own in survey.bindings.items()
        ],
        "environment": sorted(
            item for item in request.environment.items() if item[0] not in _VOLATILE
        ),
    }
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _times_of_installed_packages() -> list[tuple[str, int]]:
    """Return the times of the last installation into each folder of packages."""
    return [
        (entry, Path(entry).stat().st_mtime_ns)
        for entry in sys.path
        if entry and is_installed(Path(entry)) and Path(entry).is_dir()
    ]


def _read(file: Path, count: int) -> dict[str, Any] | None:
    """Return an outcome with this number of states; None if there is none, or it is damaged."""
    try:
        facts = json.loads(file.read_bytes())
        is_complete = len(facts["states"]) == count and isinstance(facts["payloads"], list)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return facts if is_complete else None


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    files = sorted(file.parent.glob("*.json"), key=lambda path: path.stat().st_mtime)
    for old in files[: max(0, len(files) - _MAX_FILES)]:
        old.unlink(missing_ok=True)
    descriptor, name = tempfile.mkstemp(dir=file.parent, suffix=".tmp")
    with os.fdopen(descriptor, "w") as stream:
        stream.write(text)
    Path(name).replace(file)
