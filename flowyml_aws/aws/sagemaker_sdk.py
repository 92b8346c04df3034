"""Training jobs as the SageMaker SDK's resources."""

from __future__ import annotations

from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.aws.errors import refused
from flowyml_aws.aws.names import training_name
from flowyml_aws.aws.sagemaker_place import read_place
from flowyml_aws.core.errors import SettingsError

if TYPE_CHECKING:
    from sagemaker.core.resources import TrainingJob

__all__ = ["sdk_training_job"]


def sdk_training_job(store: ArtifactStore, run_id: str, job: str, attempt: int) -> TrainingJob:
    """The training job of an attempt, looked up with boto3's default credentials.

    Args:
        store: Of the run.
        run_id: The run's.
        job: Name in the plan.
        attempt: 0 where there is none yet.

    Raises:
        SettingsError: There is none yet, or the SDK is not installed.
        AwsRefusedError: AWS denied the call.
    """
    try:
        # Imported only here: it takes seconds.
        from sagemaker.core.resources import TrainingJob
    except ModuleNotFoundError as error:
        raise SettingsError(
            what="The SageMaker SDK is not installed",
            why=f"there is no module {error.name!r}",
            fix="pip install 'flowyml-aws[sagemaker]'",
        ) from error
    place = read_place(store, run_id)
    if place is None or attempt == 0:
        raise SettingsError(
            what=f"Job {job!r} of run {run_id} has no training job yet",
            why="SageMaker gets a job when those before it are done",
            fix="wait for them, or for room in the account's quota",
        )
    name = training_name(run_id, job, attempt)
    try:
        return TrainingJob.get(training_job_name=name, region=place.region)
    except (ClientError, BotoCoreError) as error:
        raise refused(error, f"look up training job {name}") from error
