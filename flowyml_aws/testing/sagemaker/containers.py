"""The container of a training job, with its inputs, outputs and failure reasons."""

from __future__ import annotations

from pathlib import Path
from threading import RLock

from flowyml_aws.catalog.files import load_catalog
from flowyml_aws.core.emulated import NODE_ADDRESS_VARIABLE
from flowyml_aws.testing.deviations import Deviations
from flowyml_aws.testing.iam.service_roles import ServiceRoles
from flowyml_aws.testing.machines.container import Container
from flowyml_aws.testing.sagemaker.files import (
    ML_FOLDER,
    TransferError,
    create_folders,
    download_inputs,
    read_failure,
    upload_results,
)
from flowyml_aws.testing.sagemaker.training_job import LOG_GROUP, Host, TrainingJob

__all__ = ["algorithm_failure", "make_container", "start_failure", "upload_output"]

_CLIENT_ERROR = "ClientError: "


def make_container(
    job: TrainingJob,
    host: Host,
    folder: Path,
    lock: RLock,
    roles: ServiceRoles,
    deviations: Deviations,
) -> Container:
    """Return the container of a host, after downloading its data into an empty folder.

    Raises:
        OSError: The download failed, or the job's role does not allow it.
    """
    algorithm = job.request["AlgorithmSpecification"]
    assert job.launch is not None
    credentials = roles.start_training(job.request, f"{LOG_GROUP}:{host.task.log_stream}")
    base, work, temporary = folder / "ml", folder / "work", folder / "tmp"
    hosts = [each.name for each in job.launch.hosts]
    create_folders(job.request, job.launch.instance_type, hosts, host.name, base)
    work.mkdir()
    temporary.mkdir(mode=0o755)
    try:
        download_inputs(job.request, base, lock, roles)
    except TransferError as error:
        raise OSError(f"{_CLIENT_ERROR}Data download failed: {error}") from error
    entrypoint = tuple(algorithm.get("ContainerEntrypoint") or ())
    arguments = tuple(algorithm.get("ContainerArguments") or ())
    return Container(
        image=algorithm["TrainingImage"],
        command=arguments or (() if entrypoint else ("train",)),
        environment={
            **credentials,
            **(job.request.get("Environment") or {}),
            "TRAINING_JOB_NAME": job.name,
            "TRAINING_JOB_ARN": job.arn,
            **({NODE_ADDRESS_VARIABLE: host.address} if len(hosts) > 1 else {}),
        },
        folder=work,
        entrypoint=entrypoint,
        volumes={ML_FOLDER: base, "/tmp": temporary},
        gpus=deviations.gpus(_gpus_of(job.launch.instance_type)),
    )


def _gpus_of(instance_type: str) -> int:
    known = load_catalog().get(instance_type.removeprefix("ml."))
    return 0 if known is None else known.gpu_count


def algorithm_failure(folder: Path, exit_code: int) -> str:
    """Return the failure reason of a job whose process failed, with the job's own message."""
    return f"AlgorithmError: {read_failure(folder / 'ml')}, exit code: {exit_code}"


def upload_output(job: TrainingJob, folder: Path, lock: RLock, roles: ServiceRoles) -> None:
    """Upload a job's output to S3.

    Raises:
        OSError: The upload failed, or the job's role does not allow it.
    """
    try:
        upload_results(job.request, job.name, folder / "ml", lock, roles)
    except TransferError as error:
        raise OSError(f"{_CLIENT_ERROR}Artifact upload failed: {error}") from error


def start_failure(error: str) -> str:
    """Return the failure reason of a job whose container start or data transfer failed."""
    if error.startswith(_CLIENT_ERROR):
        return error
    return (
        f"{_CLIENT_ERROR}CannotStartContainerError. Please make sure the container can be run with "
        f"'docker run <image> train': {error}"
    )
