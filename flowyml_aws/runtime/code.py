"""The user's code in the job: the bundle on `sys.path`, the steps out of their payload."""

from __future__ import annotations

import hashlib
import importlib
import io
import linecache
import os
import sys
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import cloudpickle
import zstandard

from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.core.errors import DamagedArtifactError
from flowyml_aws.core.importing import importing
from flowyml_aws.core.step import Step
from flowyml_aws.runtime.spec import CodeSource, StoredObject

__all__ = ["Payload", "enter_code", "fetch", "load_payload", "step_function"]


@dataclass(frozen=True, slots=True)
class Payload:
    """What travels to a job beside its spec.

    Attributes:
        steps: By name.
        context: The context values that the steps read.
        sources: Text of files that steps were pickled out of by value, so that tracebacks show
            the user's lines: scripts and notebook cells.
    """

    steps: Mapping[str, Step]
    context: Mapping[str, Any]
    sources: Mapping[str, str]


def fetch(store: ArtifactStore, stored: StoredObject) -> bytes:
    """An object's bytes, proven to be those that the spec names.

    Raises:
        DamagedArtifactError: They are others.
        ArtifactNotFoundError: Nothing lies there.
    """
    data = store.get(stored.key)
    found = hashlib.sha256(data).hexdigest()
    if found != stored.sha256:
        raise DamagedArtifactError(
            what=f"{store.uri}/{stored.key} is not what was submitted",
            why=f"its SHA-256 is {found}, expected {stored.sha256}",
            fix="run the pipeline again; nothing was unpickled",
        )
    return data


def enter_code(store: ArtifactStore, code: CodeSource, folder: Path) -> Path:
    """Make the user's modules importable and enter the working directory.

    Args:
        store: Holds the bundle.
        code: What to restore.
        folder: An empty folder for the bundle.

    Returns:
        The project's root in this job.
    """
    root = Path(code.root)
    if code.bundle is not None:
        root = folder
        root.mkdir(parents=True)
        packed = fetch(store, code.bundle)
        with (
            zstandard.ZstdDecompressor().stream_reader(io.BytesIO(packed)) as stream,
            tarfile.open(fileobj=stream, mode="r|") as tar,
        ):
            tar.extractall(root, filter="data")
    sys.path[:0] = [str(path) for entry in code.paths if (path := root / entry).is_dir()]
    os.chdir(root / code.folder)
    return root


def step_function(module: str, qualname: str) -> Callable[..., Any]:
    """The function below a module's `@step`: pickles of it name it so."""
    found: Any = importlib.import_module(module)
    for name in qualname.split("."):
        found = getattr(found, name)
    function = found.func
    assert callable(function)
    return cast("Callable[..., Any]", function)


def load_payload(store: ArtifactStore, stored: StoredObject) -> Payload:
    """The steps of a job; the digest is checked before anything is unpickled."""
    data = fetch(store, stored)
    with importing("A module of the steps"):
        payload = cloudpickle.loads(data)
    assert isinstance(payload, Payload)
    for name, text in payload.sources.items():
        # A missing modification time tells `linecache` not to look for the file.
        linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    return payload
