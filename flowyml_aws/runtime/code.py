"""The user's code in the job: the bundle on `sys.path`, the steps out of their payload."""

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
    """What is stored of a payload.

    Attributes:
        sources: Text of the files that code was pickled out of by value (scripts, notebook
            cells), by the name that the code knows them by: so tracebacks show the user's lines.
        pickled: The `Payload`.
        uses_flowyml: Whether the user's modules import FlowyML.
    """

    sources: Mapping[str, str]
    pickled: bytes
    uses_flowyml: bool = False


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
        folder: Where to unpack the bundle; it is made.

    Returns:
        The project's root in this job.
    """
    root = Path(code.root)
    if code.bundle is not None:
        root = folder
        root.mkdir(parents=True)
        unpack(fetch(store, code.bundle), root, f"{store.uri}/{code.bundle.key}")
        # No file need be in the folder in which the client was started.
        (root / code.folder).mkdir(parents=True, exist_ok=True)
    sys.path[:0] = [str(path) for entry in code.paths if (path := root / entry).exists()]
    os.chdir(root / code.folder)
    return root


def unpack(packed: bytes, folder: Path, where: str) -> None:
    """Write the files of a bundle below a folder.

    Raises:
        DamagedArtifactError: It is no bundle, or one of its names leads out of the folder.
    """
    try:
        with (
            zstandard.ZstdDecompressor().stream_reader(io.BytesIO(packed)) as stream,
            tarfile.open(fileobj=stream, mode="r|") as tar,
        ):
            # By hand: before Python 3.10.12 and 3.11.4, `extractall` knows no filter.
            for member in tar:
                name = PurePosixPath(member.name)
                file = tar.extractfile(member) if member.isreg() else None
                if file is None or name.is_absolute() or ".." in name.parts:
                    raise DamagedArtifactError(
                        what=f"{where} is refused: {member.name!r} could leave its folder",
                        why="a bundle holds regular files with relative names and nothing else",
                        fix="run the pipeline again",
                    )
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("xb") as copy:
                    shutil.copyfileobj(file, copy)
                target.chmod(0o755 if member.mode & 0o100 else 0o644)
    except (tarfile.TarError, zstandard.ZstdError) as error:
        raise DamagedArtifactError(
            what=f"{where} is no source bundle",
            why=f"{type(error).__name__}: {error}",
            fix="use the version of flowyml-aws that wrote it, in the client and in the image",
        ) from error


def step_function(module: str, qualname: str) -> Callable[..., Any]:
    """The function below a module's `@step`: pickles of it name it so."""
    found: Any = importlib.import_module(module)
    for name in qualname.split("."):
        found = getattr(found, name)
    return cast("Callable[..., Any]", found.func)


def load_payload(store: ArtifactStore, stored: StoredObject) -> Payload:
    """The steps of a job; the digest is checked before anything is unpickled.

    Raises:
        DamagedArtifactError: The payload is not the one that was submitted.
        PipelineFileError: A module of the steps does not import here, or runs a pipeline.
    """
    packed = pickle.loads(fetch(store, stored))
    assert isinstance(packed, PackedSteps)
    for name, text in packed.sources.items():
        # A missing modification time tells `linecache` not to look for the file.
        linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    if packed.uses_flowyml:
        stand_in_for_flowyml()
    try:
        with importing("A module of the steps"):
            payload = pickle.loads(packed.pickled)
    except FlowymlError:
        raise
    except (Exception, SystemExit) as error:  # it imports the user's modules
        missing = getattr(error, "name", None) if isinstance(error, ImportError) else None
        raise PipelineFileError(
            what=f"The steps do not load in this job: {type(error).__name__}: {error}",
            why="the modules and packages that they come from must import here as on the client",
            fix=f"install {missing or 'what is missing'} in the image, or add it to the code with "
            "the setting `include`",
        ) from error
    assert isinstance(payload, Payload)
    return payload


def enter_main(steps: Iterable[Step], code: CodeSource, root: Path) -> None:
    """Give `__main__` the names that the steps know from the client's.

    So pickles that a step makes (for a pool of processes, say) find them, and annotations of the
    script's classes resolve. `__file__` of a script leads to its copy in the bundle.
    """
    main = ModuleType("__main__")
    for step in steps:
        for function in (step.func, step.condition):
            known = getattr(inspect.unwrap(function), "__globals__", {}) if function else {}
            if isinstance(file := known.get("__file__"), str):
                known["__file__"] = _moved(file, code, root)
            if known.get("__name__") == "__main__":
                vars(main).update(known)
    # Not there: a process that is spawned would run the script again, pipeline and all.
    vars(main).pop("__file__", None)
    sys.modules["__main__"] = main


def _moved(file: str, code: CodeSource, root: Path) -> str:
    if code.bundle is not None and Path(file).is_relative_to(code.root):
        moved = root / Path(file).relative_to(code.root)
        if moved.exists():
            return str(moved)
    return file
