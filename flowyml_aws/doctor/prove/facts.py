"""Facts that a step sees of its machine. Runs in the job: standard library only."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypedDict

from flowyml_aws.core.emulated import NOT_EMULATED, SHARED_MEMORY_VARIABLE

__all__ = ["MachineFacts", "machine_facts"]

_METADATA_VARIABLE = "AWS_EC2_METADATA_SERVICE_ENDPOINT"
_METADATA = "http://169.254.169.254"
_METADATA_TIMEOUT_S, _METADATA_TRIES = 1.0, 2
_GPU_TIMEOUT_S = 10.0
_TRAINING_FOLDERS = ("model", "output", "checkpoints")
_GPU_LINE = re.compile(r"GPU \d+: (?P<name>.+?)(?: \(UUID.*)?$", re.MULTILINE)


class MachineFacts(TypedDict):
    """Facts of one machine, as JSON values.

    `refused` maps each folder that can't be written to the reason. `metadata` is empty if the
    instance metadata service can't be reached, and says otherwise what it answered.
    """

    uid: int
    shm_mib: int
    disk_gib: float
    training_disk_gib: float
    refused: dict[str, str]
    metadata: str
    gpus: list[str]
    not_emulated: dict[str, str]


def machine_facts(environment: Mapping[str, str], asks_metadata: bool) -> MachineFacts:
    """Return the facts of this machine.

    Args:
        environment: Environment variables of the job.
        asks_metadata: Whether to try the instance metadata service, which takes two seconds if it
            is blocked by a firewall that answers nothing.
    """
    training = Path(environment.get("SAGEMAKER_BASE_DIR") or "/opt/ml")
    shared = Path(environment.get(SHARED_MEMORY_VARIABLE) or "/dev/shm")
    folders = [training / name for name in _TRAINING_FOLDERS] if training.is_dir() else []
    refused = refused_folders([*folders, Path(environment.get("TMPDIR") or "/tmp")])
    return MachineFacts(
        uid=os.getuid(),
        shm_mib=round(_size_bytes(shared) / 2**20),
        disk_gib=_size_bytes(Path.cwd()) / 2**30,
        training_disk_gib=_size_bytes(training / "model") / 2**30,
        refused=refused,
        metadata=_metadata(environment) if asks_metadata else "",
        gpus=_gpus(),
        not_emulated={
            name.removeprefix(NOT_EMULATED).lower(): reason
            for name, reason in environment.items()
            if name.startswith(NOT_EMULATED)
        },
    )


def refused_folders(folders: Iterable[Path]) -> dict[str, str]:
    """Return the folders in which no file can be created, each with the reason.

    Missing folders are created: SageMaker creates `/opt/ml/checkpoints` only for some jobs.
    """
    refused = {}
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # Creates a file and removes it: access rights alone say nothing about read-only disks.
            with tempfile.NamedTemporaryFile(dir=folder):
                pass
        except OSError as error:
            refused[str(folder)] = error.strerror or type(error).__name__
    return refused


def _size_bytes(path: Path) -> int:
    """Return the size of the file system that contains a path; 0 if the path does not exist."""
    try:
        return shutil.disk_usage(path).total
    except OSError:
        return 0


def _metadata(environment: Mapping[str, str]) -> str:
    """Try to get a token of the instance metadata service, version 2."""
    from http.client import HTTPConnection, HTTPException
    from urllib.parse import urlsplit

    url = urlsplit(environment.get(_METADATA_VARIABLE) or _METADATA)
    ttl = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
    for _ in range(_METADATA_TRIES):  # a slow answer is an answer
        connection = HTTPConnection(url.hostname or "", url.port, timeout=_METADATA_TIMEOUT_S)
        try:
            connection.request("PUT", url.path.rstrip("/") + "/latest/api/token", headers=ttl)
            return "it gave a token" if connection.getresponse().status == 200 else ""
        except (OSError, HTTPException, ValueError):
            continue
        finally:
            connection.close()
    return ""


def _gpus() -> list[str]:
    """Return the names of the visible GPUs, or their device files without `nvidia-smi`."""
    if (program := shutil.which("nvidia-smi")) is not None:
        try:
            output = subprocess.run(
                [program, "-L"], capture_output=True, text=True, timeout=_GPU_TIMEOUT_S, check=False
            ).stdout
        except (OSError, subprocess.SubprocessError):
            output = ""
        return _GPU_LINE.findall(output)
    return sorted(str(path) for path in Path("/dev").glob("nvidia[0-9]*"))
