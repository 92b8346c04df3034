"""The folder `/opt/ml` of a training container, and its transfers from and to S3."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from threading import RLock
from typing import Any

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.s3.exceptions import MissingBucket
from moto.s3.models import FakeKey, S3Backend, s3_backends

from flowyml_aws.testing.iam.service_roles import ServiceRoles

__all__ = [
    "ML_FOLDER",
    "TransferError",
    "create_folders",
    "download_inputs",
    "read_failure",
    "upload_results",
]

ML_FOLDER = "/opt/ml"
_CHECKPOINTS = f"{ML_FOLDER}/checkpoints"
_FOLDERS = ("input/config", "input/data", "model", "output/data", "checkpoints")
_GROUP = "homogeneousCluster"
_FAILURE_CHARS = 1024


class TransferError(Exception):
    """A transfer from or to S3 failed."""


def create_folders(
    request: Mapping[str, Any], instance_type: str, hosts: Sequence[str], host: str, base: Path
) -> None:
    """Create the folders and configuration files of a container, in an empty folder.

    Args:
        request: CreateTrainingJob request.
        instance_type: Type of the instance that the container runs on.
        hosts: Names of all hosts of the job.
        host: Name of the container's own host.
        base: Folder that is `/opt/ml` in the container.
    """
    for folder in _FOLDERS:
        (base / folder).mkdir(parents=True)
    channels = {c["ChannelName"]: c for c in request.get("InputDataConfig") or ()}
    documents = {
        "hyperparameters": request.get("HyperParameters") or {},
        "resourceconfig": {
            "current_host": host,
            "current_instance_type": instance_type,
            "current_group_name": _GROUP,
            "hosts": list(hosts),
            "instance_groups": [
                {
                    "instance_group_name": _GROUP,
                    "instance_type": instance_type,
                    "hosts": list(hosts),
                }
            ],
            "network_interface_name": "eth0",
        },
        "inputdataconfig": {
            name: {"TrainingInputMode": channel.get("InputMode") or "File"}
            for name, channel in channels.items()
        },
    }
    for name, document in documents.items():
        (base / f"input/config/{name}.json").write_text(json.dumps(document), "utf-8")
    for path in (base, *base.rglob("*")):
        if path.is_dir():
            path.chmod(0o755)  # SageMaker creates them for root


def download_inputs(
    request: Mapping[str, Any], base: Path, lock: RLock, roles: ServiceRoles
) -> None:
    """Download channels and checkpoints from S3.

    Args:
        request: CreateTrainingJob request.
        base: Folder that is `/opt/ml` in the container.
        lock: Guards moto.
        roles: Use of the account's roles.

    Raises:
        RoleError: The job's role does not allow it.
        TransferError: The bucket does not exist, or a channel has no data.
    """
    for channel in request.get("InputDataConfig") or ():
        source = (channel.get("DataSource") or {}).get("S3DataSource") or {}
        uri, name = str(source.get("S3Uri")), channel["ChannelName"]
        roles.transfer(request["RoleArn"], "s3:GetObject", uri)
        if not _download(uri, base / "input/data" / name, lock):
            raise TransferError(f"No S3 objects found under S3 URL '{uri}' given in input '{name}'")
    if checkpoints := _checkpoints(request, base):
        _download(*checkpoints, lock)


def upload_results(
    request: Mapping[str, Any], name: str, base: Path, lock: RLock, roles: ServiceRoles
) -> None:
    """Upload checkpoints, the model and other output to S3, if they exist.

    SageMaker uploads checkpoints while a job runs; here they are uploaded when the container ends.

    Raises:
        RoleError: The job's role does not allow it.
        TransferError: The bucket does not exist.
    """

    def put(uri: str, content: bytes) -> None:
        roles.transfer(request["RoleArn"], "s3:PutObject", uri)
        _put(uri, content, lock)

    if checkpoints := _checkpoints(request, base):
        uri, folder = checkpoints
        for path in _files(folder):
            put(f"{uri.rstrip('/')}/{path.relative_to(folder)}", path.read_bytes())
    output = f"{request['OutputDataConfig']['S3OutputPath'].rstrip('/')}/{name}/output"
    for folder, archive in ((base / "model", "model"), (base / "output/data", "output")):
        if any(folder.iterdir()):
            put(f"{output}/{archive}.tar.gz", _packed(folder))


def read_failure(base: Path) -> str:
    """Return the beginning of the failure message that the job has written; empty if none."""
    try:
        with (base / "output/failure").open(encoding="utf-8", errors="replace") as file:
            return file.read(_FAILURE_CHARS)
    except OSError:
        return ""


def _checkpoints(request: Mapping[str, Any], base: Path) -> tuple[str, Path] | None:
    config = request.get("CheckpointConfig")
    if not config:
        return None
    inside = PurePosixPath(config.get("LocalPath") or _CHECKPOINTS)
    if not inside.is_relative_to(ML_FOLDER) or ".." in inside.parts:
        raise TransferError(f"flowyml_aws.testing supports checkpoints below {ML_FOLDER} only")
    folder = base / inside.relative_to(ML_FOLDER)
    folder.mkdir(parents=True, exist_ok=True)
    return str(config["S3Uri"]), folder


def _download(uri: str, folder: Path, lock: RLock) -> int:
    """Download all objects with a prefix, and return their number."""
    bucket, prefix = _split(uri)
    with lock:
        objects = [(key.name, key.value) for key in _objects(bucket, prefix)]
    for name, value in objects:
        relative = name.removeprefix(prefix).lstrip("/") or name.rpartition("/")[2]
        path = (folder / relative).resolve()
        if name.endswith("/") or not path.is_relative_to(folder.resolve()):
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(value)
    return len(objects)


def _objects(bucket: str, prefix: str) -> Iterator[FakeKey]:
    s3 = _s3()
    try:
        yield from s3.list_objects(s3.head_bucket(bucket), prefix, None, None, None)[0]
    except MissingBucket as error:
        raise TransferError(f"The bucket {bucket} does not exist") from error


def _put(uri: str, content: bytes, lock: RLock) -> None:
    bucket, key = _split(uri)
    with lock:
        try:
            _s3().put_object(bucket, key, content)
        except MissingBucket as error:
            raise TransferError(f"The bucket {bucket} does not exist") from error


def _s3() -> S3Backend:
    return s3_backends[DEFAULT_ACCOUNT_ID]["aws"]


def _split(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.partition("://")[2].partition("/")
    return bucket, key


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def _packed(folder: Path) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for path in sorted(folder.iterdir()):
            archive.add(path, arcname=path.name)
    return packed.getvalue()
