"""Preparation of a job, before it can call a step: secrets, packages, and the user's code."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from flowyml_aws.artifacts.store import ArtifactStore, ObjectReader
from flowyml_aws.core.errors import DamagedArtifactError
from flowyml_aws.runtime.code import load_unpacked, unpack_code
from flowyml_aws.runtime.payload import Payload
from flowyml_aws.runtime.secrets import provide_secrets
from flowyml_aws.runtime.spec import JobSpec
from flowyml_aws.runtime.usage import PhaseKind

__all__ = ["prepare_code"]


def prepare_code(
    store: ArtifactStore,
    spec: JobSpec,
    folder: Path,
    resolve_secret: Callable[[str], str],
    phase: Callable[[PhaseKind], AbstractContextManager[Any]],
    code: ObjectReader | None = None,
) -> tuple[Payload, dict[str, str]]:
    """Provide secrets and packages of a job, and load its code.

    Args:
        store: Store that holds the run.
        spec: Spec of the job.
        folder: Empty folder for the code and the packages.
        resolve_secret: Returns the value of a reference to a secret.
        phase: Returns a block that measures a phase.
        code: Reads the code from the store; the store itself by default.

    Returns:
        The payload, and the digests of values that differ from those of the client, by name.

    Raises:
        AwsRefusedError: A secret can't be read.
        RequirementsError: Packages can't be installed.
        DamagedArtifactError: The code is not what was submitted, or needs another Python.
        PipelineFileError: The program or a module of the steps can't be loaded here.
    """
    _check_python(spec)
    provide_secrets(spec.secrets, resolve_secret)
    if spec.layer is not None:
        # Imported here: most jobs have no layer and start faster without this module.
        from flowyml_aws.runtime.layer import enter_layer

        with phase(PhaseKind.LAYER):
            enter_layer(store, spec.layer, folder / "layer")
    with phase(PhaseKind.CODE):
        unpacked = unpack_code(code or store, spec, folder)
    with phase(PhaseKind.PROGRAM):
        return load_unpacked(spec, unpacked)


def _check_python(spec: JobSpec) -> None:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    if version != spec.python:
        raise DamagedArtifactError(
            what=f"Python version mismatch: {version} in the job, {spec.python} on the client",
            why="pickled functions contain bytecode, which differs between minor versions",
            fix=f"use an image with Python {spec.python}, or run the client with Python {version}",
        )
