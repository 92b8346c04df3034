"""The user's code in the job: loads the program and the payload, with verified digests."""

from __future__ import annotations

import hashlib
import inspect
import sys
from pathlib import Path
from types import ModuleType

from flowyml_aws.artifacts.packs import read_part
from flowyml_aws.artifacts.store import ArtifactStore
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
from flowyml_aws.runtime.snapshot import read_snapshot
from flowyml_aws.runtime.spec import JobSpec, StoredObject
from flowyml_aws.runtime.unpacking import unpack
from flowyml_aws.scripts import MainSpec, stable_name

__all__ = ["fetch", "load_code"]


def fetch(store: ArtifactStore, stored: StoredObject) -> bytes:
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


def load_code(store: ArtifactStore, spec: JobSpec, folder: Path) -> tuple[Payload, dict[str, str]]:
    """Load the program and the steps of a job.

    Args:
        store: Store that holds the bundle and the payload.
        spec: Spec of the job.
        folder: Empty folder for the files of the code.

    Returns:
        The payload, and the digests of values that differ from those of the client, by name.

    Raises:
        DamagedArtifactError: The bundle or the payload is not what was submitted.
        PipelineFileError: The program or a module of the steps can't be loaded here.
    """
    code = spec.code
    bundle = fetch(store, code.bundle)
    data = fetch(store, spec.payload)
    large = [fetch(store, value) for value in spec.large_values]
    packed = read_payload(data)
    root, snapshot, bundle_file = folder / "code", None, None
    folder.mkdir(parents=True, exist_ok=True)
    if code.in_place:
        root, bundle_file = Path(code.root), folder / "bundle"
        bundle_file.write_bytes(bundle)
        snapshot = read_snapshot(bundle, root)
    else:
        root.mkdir()
        unpack(bundle, root, f"{store.uri}/{code.bundle.key}")
    if packed.uses_flowyml:
        prepare_flowyml()
    try:
        enter_program(code.program, root, snapshot, read_given(packed.given))
    except FlowymlError:
        raise
    except (Exception, SystemExit) as error:  # whatever the user's script raises
        raise load_error(error) from error
    changed = _changed(packed, root)
    payload = load_payload(packed, large)
    files = [folder / f"payload-{number}" for number in range(1 + len(large))]
    for file, part in zip(files, (data, *large), strict=True):
        file.write_bytes(part)
    let_children_load(code.program, root, bundle_file, files)
    if code.program.script is None:
        _define_main(payload)
    return payload, changed


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
