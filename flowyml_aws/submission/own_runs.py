"""The runs that this user started on this machine.

The documents of a run do not prove who started it: whoever can write to the store can write them.
So the client keeps a list in the user's state folder, where only the user can write.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from flowyml_aws.core.folders import state_folder

__all__ = ["is_own_run", "own_runs", "own_runs_file", "remember_run"]

# Runs of this process that could not be added to the list.
_unlisted: set[str] = set()


def own_runs_file(environment: Mapping[str, str]) -> Path:
    """Return the path of the list."""
    return state_folder(environment) / "runs"


def remember_run(store_uri: str, run_id: str) -> None:
    """Add a run to the list. If that is not possible, only this process knows the run."""
    line = _line(store_uri, run_id)
    try:
        file = own_runs_file(os.environ)
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "ab", buffering=0) as stream:
            stream.write(line.encode() + b"\n")  # one write: others may append at the same time
    except (OSError, RuntimeError):  # no home folder, or one that can't be written
        _unlisted.add(line)


def is_own_run(store_uri: str, run_id: str) -> bool:
    """Return whether this user started a run on this machine."""
    line = _line(store_uri, run_id)
    if line in _unlisted:
        return True
    with suppress(OSError, RuntimeError), own_runs_file(os.environ).open("rb") as stream:
        return line.encode() in (entry.rstrip(b"\n") for entry in stream)
    return False


def own_runs() -> list[tuple[str, str]]:
    """Return the ids of the runs that this user started on this machine, with their stores."""
    try:
        lines = own_runs_file(os.environ).read_text("utf-8").splitlines()
    except (OSError, RuntimeError):
        return []
    return [(run_id, uri) for run_id, _, uri in (line.partition(" ") for line in lines) if uri]


def _line(store_uri: str, run_id: str) -> str:
    return f"{run_id} {store_uri}"
