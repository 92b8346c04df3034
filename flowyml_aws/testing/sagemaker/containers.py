"""The container of a training job: what it is given, and what is taken from it."""

from __future__ import annotations

from pathlib import Path
from threading import RLock

from flowyml_aws.testing.container import Container, credentials_of
from flowyml_aws.testing.sagemaker.files import (
    ML_FOLDER,
    TransferError,
    bring,
    collect,
    lay_out,
    told_failure,
)
from flowyml_aws.testing.sagemaker.training_job import TrainingJob

__all__ = ["failure_of", "keep_output", "make_container", "start_failure"]

_CLIENT_ERROR = "ClientError: "


def make_container(job: TrainingJob, folder: Path, lock: RLock) -> Container:
    """What a job runs, with its data in an empty folder.

    Raises:
        OSError: Its data could not be brought.
    """
    base, work = folder / "ml", folder / "work"
    lay_out(job.request, base)
    work.mkdir()
    try:
        bring(job.request, base, lock)
    except TransferError as error:
        raise OSError(f"{_CLIENT_ERROR}Data download failed: {error}") from error
    algorithm = job.request["AlgorithmSpecification"]
    entrypoint = tuple(algorithm.get("ContainerEntrypoint") or ())
    arguments = tuple(algorithm.get("ContainerArguments") or ())
    return Container(
        image=algorithm["TrainingImage"],
        command=arguments or (() if entrypoint else ("train",)),
        environment={
            **credentials_of(job.request.get("RoleArn")),
            **(job.request.get("Environment") or {}),
            "TRAINING_JOB_NAME": job.name,
            "TRAINING_JOB_ARN": job.arn,
        },
        folder=work,
        entrypoint=entrypoint,
        volumes={ML_FOLDER: base},
    )


def failure_of(folder: Path, exit_code: int) -> str:
    """Why a job failed, in its own words."""
    return f"AlgorithmError: {told_failure(folder / 'ml')}, exit code: {exit_code}"


def keep_output(job: TrainingJob, folder: Path, lock: RLock) -> None:
    """Copy what a job has made to S3.

    Raises:
        OSError: That failed.
    """
    try:
        collect(job.request, job.name, folder / "ml", lock)
    except TransferError as error:
        raise OSError(f"{_CLIENT_ERROR}Artifact upload failed: {error}") from error


def start_failure(error: str) -> str:
    """Why a job failed whose container did not start, or whose data could not be moved."""
    if error.startswith(_CLIENT_ERROR):
        return error
    return (
        f"{_CLIENT_ERROR}CannotStartContainerError. Please make sure the container can be run with "
        f"'docker run <image> train': {error}"
    )
