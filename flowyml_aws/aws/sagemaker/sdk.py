"""Training jobs as resources of the SageMaker SDK."""

from __future__ import annotations

from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.aws.errors import refused
from flowyml_aws.aws.names import training_name
from flowyml_aws.aws.sagemaker.location import read_location
from flowyml_aws.core.errors import SettingsError

if TYPE_CHECKING:
    from sagemaker.core.resources import TrainingJob

__all__ = ["sdk_training_job"]


def sdk_training_job(store: ArtifactStore, run_id: str, job: str, attempt: int) -> TrainingJob:
    """Return the training job of an attempt, using boto3's default credentials.

    Args:
        store: Store of the run.
        run_id: Id of the run.
        job: Name of the job in the plan.
        attempt: Number of the attempt, or 0 if there is none yet.

    Raises:
        SettingsError: The job has no training job yet, or the SDK is not installed.
        AwsRefusedError: AWS denied the call.
    """
    try:
        # Imported here, because the import takes seconds.
        from sagemaker.core.resources import TrainingJob
    except ModuleNotFoundError as error:
        raise SettingsError(
            what="The SageMaker SDK is not installed",
            why=f"module {error.name!r} was not found",
            fix="pip install 'flowyml-aws[sagemaker]'",
        ) from error
    location = read_location(store, run_id)
    if location is None or attempt == 0:
        raise SettingsError(
            what=f"Job {job!r} of run {run_id} has no training job yet",
            why="a job is submitted to SageMaker after its parents have succeeded",
            fix="wait for its parents, or for the account's quota",
        )
    name = training_name(run_id, job, attempt)
    try:
        return TrainingJob.get(training_job_name=name, region=location.region)
    except (ClientError, BotoCoreError) as error:
        raise refused(error, f"look up training job {name}") from error
