"""The user's code in the job: puts the bundle on `sys.path` and loads the steps' payload."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import io
import linecache
import os
import pickle
import shutil
import sys
import tarfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any, cast

import zstandard

from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.core.errors import DamagedArtifactError, FlowymlError, PipelineFileError
from flowyml_aws.core.importing import importing
from flowyml_aws.core.step import Step
from flowyml_aws.runtime.flowyml_stand_in import stand_in_for_flowyml
from flowyml_aws.runtime.spec import CodeSource, StoredObject

__all__ = [
    "PackedSteps",
    "Payload",
    "enter_code",
    "enter_main",
    "fetch",
    "load_payload",
    "step_function",
]


@dataclass(frozen=True, slots=True)
class Payload:
    """The steps of a job by name, and the context values that they read."""

    steps: Mapping[str, Step]
    context: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class PackedSteps:
    """The stored form of a payload.

    Attributes:
        sources: Source text of the files whose code was pickled by value (scripts, notebook
            cells), by the file name in the code object: tracebacks then show the user's lines.
        pickled: The pickled `Payload`.
        uses_flowyml: Whether the user's modules import FlowyML.
    """

    sources: Mapping[str, str]
    pickled: bytes
    uses_flowyml: bool = False


def fetch(store: ArtifactStore, stored: StoredObject) -> bytes:
    """Return an object's bytes, verified by the digest in the spec.

    Raises:
        DamagedArtifactError: The digest differs.
        ArtifactNotFoundError: The object does not exist.
    """
    data = store.get(stored.key)
    actual = hashlib.sha256(data).hexdigest()
    if actual != stored.sha256:
        raise DamagedArtifactError(
            what=f"{store.uri}/{stored.key} is not the object that was submitted",
            why=f"its SHA-256 is {actual}, expected {stored.sha256}",
            fix="run the pipeline again; nothing was unpickled",
        )
    return data


def enter_code(store: ArtifactStore, code: CodeSource, folder: Path) -> Path:
    """Make the user's modules importable and change to the working directory.

    Args:
        store: Store that holds the bundle.
        code: Location of the code.
        folder: Folder for the files of the bundle; created if there is a bundle.

    Returns:
        The project's root in this job.
    """
    root = Path(code.root)
    if code.bundle is not None:
        root = folder
        root.mkdir(parents=True)
        unpack(fetch(store, code.bundle), root, f"{store.uri}/{code.bundle.key}")
        # The folder in which the client was started may contain no files.
        (root / code.folder).mkdir(parents=True, exist_ok=True)
    sys.path[:0] = [str(path) for entry in code.paths if (path := root / entry).exists()]
    os.chdir(root / code.folder)
    return root


def unpack(packed: bytes, folder: Path, uri: str) -> None:
    """Write the files of a bundle below a folder.

    Args:
        packed: Bytes of the bundle.
        folder: Existing folder to write to.
        uri: URI of the bundle, for errors.

    Raises:
        DamagedArtifactError: The data is not a bundle, or a path in it leaves the folder.
    """
    try:
        with (
            zstandard.ZstdDecompressor().stream_reader(io.BytesIO(packed)) as stream,
            tarfile.open(fileobj=stream, mode="r|") as tar,
        ):
            # Without `extractall`: it supports filters only from Python 3.10.12 and 3.11.4 on.
            for member in tar:
                name = PurePosixPath(member.name)
                file = tar.extractfile(member) if member.isreg() else None
                if file is None or name.is_absolute() or ".." in name.parts:
                    raise DamagedArtifactError(
                        what=f"Unsafe member {member.name!r} in {uri}",
                        why="a bundle contains only regular files with relative paths below it",
                        fix="run the pipeline again",
                    )
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("xb") as copy:
                    shutil.copyfileobj(file, copy)
                target.chmod(0o755 if member.mode & 0o100 else 0o644)
    except (tarfile.TarError, zstandard.ZstdError) as error:
        raise DamagedArtifactError(
            what=f"{uri} is not a valid source bundle",
            why=f"{type(error).__name__}: {error}",
            fix="use the version of flowyml-aws that wrote it, in the client and in the image",
        ) from error


def step_function(module: str, qualname: str) -> Callable[..., Any]:
    """Return the function of a step by its module and name, as referenced in pickles."""
    value: Any = importlib.import_module(module)
    for name in qualname.split("."):
        value = getattr(value, name)
    return cast("Callable[..., Any]", value.func)


def load_payload(store: ArtifactStore, stored: StoredObject) -> Payload:
    """Load the steps of a job. The digest is verified before anything is unpickled.

    Raises:
        DamagedArtifactError: The payload is not the submitted payload.
        PipelineFileError: A module of the steps can't be imported here, or runs a pipeline.
    """
    packed = pickle.loads(fetch(store, stored))
    assert isinstance(packed, PackedSteps)
    for name, text in packed.sources.items():
        # Without a modification time, `linecache` does not check the file.
        linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    if packed.uses_flowyml:
        stand_in_for_flowyml()
    try:
        with importing("A module of the steps"):
            payload = pickle.loads(packed.pickled)
    except FlowymlError:
        raise
    except (Exception, SystemExit) as error:  # unpickling imports the user's modules
        missing = getattr(error, "name", None) if isinstance(error, ImportError) else None
        raise PipelineFileError(
            what=f"The steps can't be loaded in this job: {type(error).__name__}: {error}",
            why="their modules and packages must be importable in the job, as on the client",
            fix=f"install {missing or 'what is missing'} in the image, or add it to the code with "
            "the setting `include`",
        ) from error
    assert isinstance(payload, Payload)
    return payload


def enter_main(steps: Iterable[Step], code: CodeSource, root: Path) -> None:
    """Define in `__main__` the names that the steps use from the client's `__main__`.

    Pickles that a step makes (for a process pool, for example) can then refer to them, and
    annotations of the script's classes resolve. A script's `__file__` is its copy in the bundle.
    """
    main = ModuleType("__main__")
    for step in steps:
        for function in (step.func, step.condition):
            namespace = getattr(inspect.unwrap(function), "__globals__", {}) if function else {}
            if isinstance(file := namespace.get("__file__"), str):
                namespace["__file__"] = _path_in_job(file, code, root)
            if namespace.get("__name__") == "__main__":
                vars(main).update(namespace)
    # With `__file__`, a spawned process would run the script again, including its pipeline.
    vars(main).pop("__file__", None)
    sys.modules["__main__"] = main


def _path_in_job(file: str, code: CodeSource, root: Path) -> str:
    if code.bundle is not None and Path(file).is_relative_to(code.root):
        moved = root / Path(file).relative_to(code.root)
        if moved.exists():
            return str(moved)
    return file
