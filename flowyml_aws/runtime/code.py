"""The user's code in the job: loads the program and the payload, with verified digests."""

from __future__ import annotations

import hashlib
import inspect
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from flowyml_aws.artifacts.packs import read_part
from flowyml_aws.artifacts.store import ObjectReader
from flowyml_aws.core.errors import DamagedArtifactError, FlowymlError
from flowyml_aws.core.loading import importing
from flowyml_aws.runtime.child import let_children_load
from flowyml_aws.runtime.flowyml_stand_in import prepare_flowyml
from flowyml_aws.runtime.payload import (
    PackedSteps,
    Payload,
    load_error,
    load_payload,
    read_given,
    read_payload,
)
from flowyml_aws.runtime.program import enter_program
from flowyml_aws.runtime.snapshot import Snapshot, read_snapshot
from flowyml_aws.runtime.spec import JobSpec, StoredObject
from flowyml_aws.runtime.unpacking import unpack
from flowyml_aws.scripts import MainSpec, stable_name

__all__ = ["UnpackedCode", "fetch", "load_current_code", "load_unpacked", "unpack_code"]


def fetch(store: ObjectReader, stored: StoredObject) -> bytes:
    """Return an object's bytes, verified by the digest in the spec.

    Raises:
        DamagedArtifactError: The digest differs.
        ArtifactNotFoundError: The object does not exist.
    """
    if stored.offset is None:
        data = store.get(stored.key)
    else:
        data = read_part(store, stored.key, stored.offset, stored.size_bytes)
    actual = hashlib.sha256(data).hexdigest()
    if actual != stored.sha256:
        raise DamagedArtifactError(
            what=f"{store.uri}/{stored.key} does not contain what was submitted",
            why=f"its SHA-256 is {actual}, expected {stored.sha256}",
            fix="run the pipeline again; nothing was unpickled",
        )
    return data


@dataclass(frozen=True, slots=True)
class UnpackedCode:
    """The code of a job, unpacked and verified, but not loaded.

    Attributes:
        folder: Folder for the files of the code.
        root: The project's root.
        packed: The steps.
        parts: The payload and its large values.
        snapshot: Code to use instead of the files on disk, or None.
        bundle_file: File with the bundle, if it is such a snapshot.
    """

    folder: Path
    root: Path
    packed: PackedSteps
    parts: Sequence[bytes]
    snapshot: Snapshot | None
    bundle_file: Path | None


def unpack_code(store: ObjectReader, spec: JobSpec, folder: Path) -> UnpackedCode:
    """Read and unpack the code of a job.

    Args:
        store: Store that holds the bundle and the payload.
        spec: Spec of the job.
        folder: Empty folder for the files of the code.

    Raises:
        DamagedArtifactError: The bundle or the payload is not what was submitted.
    """
    code = spec.code
    bundle = fetch(store, code.bundle)
    parts = _fetch_payload(store, spec)
    root, snapshot, bundle_file = folder / "code", None, None
    folder.mkdir(parents=True, exist_ok=True)
    if code.in_place:
        root, bundle_file = Path(code.root), folder / "bundle"
        bundle_file.write_bytes(bundle)
        snapshot = read_snapshot(bundle, root)
    else:
        root.mkdir()
        unpack(bundle, root, f"{store.uri}/{code.bundle.key}")
    return UnpackedCode(folder, root, read_payload(parts[0]), parts, snapshot, bundle_file)


def load_unpacked(spec: JobSpec, code: UnpackedCode) -> tuple[Payload, dict[str, str]]:
    """Load the program and the steps of a job.

    Returns:
        The payload, and the digests of values that differ from those of the client, by name.

    Raises:
        PipelineFileError: The program or a module of the steps can't be loaded here.
    """
    packed, root = code.packed, code.root
    _enter(spec, packed, root, code.snapshot)
    changed = _changed(packed, root)
    payload = _load_steps(spec, packed, code.parts, code.folder, root, code.bundle_file)
    return payload, changed


def load_current_code(store: ObjectReader, spec: JobSpec, folder: Path, root: Path) -> Payload:
    """Load the program as it is now on this machine, and the steps of a job.

    Functions that the payload refers to by name have the code of now. Code without a file, context
    values and carried values are those that were submitted.

    Args:
        store: Store that holds the payload.
        spec: Spec of the job.
        folder: Folder for the files of the payload.
        root: The project's folder.

    Raises:
        DamagedArtifactError: The payload is not what was submitted.
        PipelineFileError: The program or a module of the steps can't be loaded here.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parts = _fetch_payload(store, spec)
    packed = read_payload(parts[0])
    _enter(spec, packed, root, None)
    return _load_steps(spec, packed, parts, folder, root, None)


def _fetch_payload(store: ObjectReader, spec: JobSpec) -> list[bytes]:
    """Return the payload of a job, and its large values."""
    return [fetch(store, part) for part in (spec.payload, *spec.large_values)]


def _enter(spec: JobSpec, packed: PackedSteps, root: Path, snapshot: Snapshot | None) -> None:
    """Load the program from a folder, with the code of a snapshot if there is one."""
    if packed.uses_flowyml:
        prepare_flowyml()
    try:
        enter_program(spec.code.program, root, snapshot, read_given(packed.given))
    except FlowymlError:
        raise
    except (Exception, SystemExit) as error:  # whatever the user's script raises
        raise load_error(error) from error


def _load_steps(
    spec: JobSpec,
    packed: PackedSteps,
    parts: Sequence[bytes],
    folder: Path,
    root: Path,
    bundle_file: Path | None,
) -> Payload:
    """Load the steps into the program, and let child processes do the same."""
    program = spec.code.program
    payload = load_payload(packed, parts[1:])
    files = [folder / f"payload-{number}" for number in range(len(parts))]
    for file, part in zip(files, parts, strict=True):
        file.write_bytes(part)
    let_children_load(program, root, bundle_file, files)
    if program.script is None:
        _define_main(payload)
    return payload


def _changed(packed: PackedSteps, root: Path) -> dict[str, str]:
    """Return the digests of values that differ from those of the client, by name."""
    if not packed.evaluated:
        return {}
    # Imported here: many jobs evaluate nothing, and start faster without these modules.
    from flowyml_aws.code.states import BindingReader

    reader = BindingReader(stable_name, str(root))
    changed = {}
    for binding, expected in packed.evaluated.items():
        with importing("A module of the steps"):
            digest = reader.state(binding, binding in packed.by_source).digest
        if digest != expected:
            changed[str(binding)] = digest
    return changed


def _define_main(payload: Payload) -> None:
    """Define in `__main__` the names that steps use from a notebook or prompt.

    Pickles that a step makes can then refer to them, and annotations of classes resolve.
    """
    main = ModuleType("__main__")
    for step in payload.steps.values():
        for function in (step.func, step.condition):
            names = getattr(inspect.unwrap(function), "__globals__", {}) if function else {}
            if names.get("__name__") == "__main__":
                vars(main).update(names)
    vars(main).pop("__file__", None)
    main.__spec__ = MainSpec(None)
    sys.modules["__main__"] = main
