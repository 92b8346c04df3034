"""Memory of trial loads: a program that did not change is not loaded again before each run."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Any

from flowyml_aws.code.bindings import Binding
from flowyml_aws.code.states import State
from flowyml_aws.core.folders import cache_folder
from flowyml_aws.core.modules import installation_times
from flowyml_aws.packaging.payload import StepPayload
from flowyml_aws.packaging.trial import (
    CarriedStates,
    TrialLoad,
    TrialRequest,
    carried_states,
    loaded_states,
)

__all__ = ["RememberedTrial", "request_digest"]

_VERSION = 2
_MAX_FILES = 300
_MAX_PAYLOADS = 1000  # of one program
# Variables that differ in each terminal, which programs do not depend on.
_VOLATILE = frozenset(
    {"PYTEST_CURRENT_TEST", "SHLVL", "SSH_CLIENT", "SSH_CONNECTION", "SSH_TTY"}
    | {"TERM_SESSION_ID", "WINDOWID", "OLDPWD", "_"}
)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """The outcome of a trial load.

    Attributes:
        states: States of the names in the loaded program.
        payloads: States of the carried values of each payload that was loaded, by its digest.
    """

    states: Mapping[Binding, State | None]
    payloads: Mapping[str, CarriedStates]

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> _Outcome:
        """Return an outcome from JSON."""
        payloads = facts["payloads"].items()
        return cls(
            loaded_states(facts["states"]),
            {sha256: carried_states(carried) for sha256, carried in payloads},
        )

    def to_json(self) -> str:
        payloads = {sha256: _facts(carried) for sha256, carried in self.payloads.items()}
        return json.dumps({"states": _facts(self.states), "payloads": payloads})


def _facts(states: Mapping[Binding, Any]) -> list[Any]:
    return [
        [binding.module, binding.name, None if state is None else astuple(state)]
        for binding, state in states.items()
    ]


class RememberedTrial:
    """A trial load that is started only if its outcome is unknown.

    The outcome is known if an equal program was loaded before: with the same bundle, arguments,
    environment and Python, and with the same values on the client.
    """

    def __init__(self, request: TrialRequest) -> None:
        self._request = request
        self._file = cache_folder(os.environ) / "loads" / f"{request_digest(request)}.json"
        self._known = _read(self._file, request.survey.bindings.keys())
        self._loaded: dict[str, CarriedStates] = {}
        self._trial = TrialLoad(request) if self._known is None else None
        self._states = None if self._known is None else self._known.states

    @property
    def is_new(self) -> bool:
        """True if no outcome of an equal program was known."""
        return self._known is None

    def states(self) -> Mapping[Binding, State | None]:
        """Return the states of the names; None for those that are missing.

        Raises:
            PipelineFileError: The program can't be loaded.
        """
        if self._states is None:
            assert self._trial is not None
            self._states = self._trial.states()
        return self._states

    def load(self, payload: StepPayload) -> CarriedStates:
        """Load a payload as its job does, and return what the carried values are there.

        Raises:
            PipelineFileError: A job could not load the payload.
        """
        if self._known is not None and payload.sha256 in self._known.payloads:
            return self._known.payloads[payload.sha256]
        if self._trial is None:
            self._trial = TrialLoad(self._request)
            self._trial.states()
        self._loaded[payload.sha256] = carried = self._trial.load(payload)
        return carried

    def remember(self) -> None:
        """Keep the outcome for later runs. Nothing is kept if the folder can't be written."""
        if not self._loaded or self._states is None:
            return
        known = {} if self._known is None else self._known.payloads
        payloads = [*{**known, **self._loaded}.items()][-_MAX_PAYLOADS:]
        with contextlib.suppress(OSError):
            _write(self._file, _Outcome(self._states, dict(payloads)).to_json())

    def __enter__(self) -> RememberedTrial:
        return self

    def __exit__(self, *_: object) -> None:
        if self._trial is not None:
            self._trial.close()


def request_digest(request: TrialRequest) -> str:
    """Return the SHA-256 of everything that decides the outcome of a trial load, as hex."""
    survey = request.survey
    facts = {
        "version": _VERSION,
        "python": [sys.executable, sys.version, sys.flags],
        "package": [str(Path(__file__)), Path(__file__).stat().st_mtime_ns],
        "installed": installation_times(),
        "bundle": request.bundle.sha256,
        "program": asdict(request.program),
        "root": str(request.root),
        "in_place": request.in_place,
        "given": hashlib.sha256(request.given or b"").hexdigest(),
        "bindings": [
            [str(binding), own.state.digest, own.by_source]
            for binding, own in survey.bindings.items()
        ],
        "names": [[str(owner), sorted(names)] for owner, names in survey.names.items()],
        "environment": sorted(
            item for item in request.environment.items() if item[0] not in _VOLATILE
        ),
    }
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _read(file: Path, bindings: Collection[Binding]) -> _Outcome | None:
    """Return an outcome with states of these names; None if there is none, or it is damaged."""
    try:
        outcome = _Outcome.of(json.loads(file.read_bytes()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return outcome if outcome.states.keys() >= set(bindings) else None


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    files = sorted(file.parent.glob("*.json"), key=lambda path: path.stat().st_mtime)
    for old in files[: max(0, len(files) - _MAX_FILES)]:
        old.unlink(missing_ok=True)
    descriptor, name = tempfile.mkstemp(dir=file.parent, suffix=".tmp")
    with os.fdopen(descriptor, "w") as stream:
        stream.write(text)
    Path(name).replace(file)
