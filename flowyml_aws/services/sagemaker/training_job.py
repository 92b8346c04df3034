"""The SageMaker SDK's object for a job of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.core.errors import SettingsError
from flowyml_aws.planning.plan import PlannedJob
from flowyml_aws.services.sagemaker.traits import TRAITS

if TYPE_CHECKING:
    from sagemaker.core.resources import TrainingJob

__all__ = ["training_job"]


def training_job(store: ArtifactStore, run_id: str, job: PlannedJob, attempt: int) -> TrainingJob:
    """Return the training job of an attempt.

    Args:
        store: Store of the run.
        run_id: Id of the run.
        job: Job in the plan.
        attempt: Number of the attempt, or 0 if there is none yet.

    Raises:
        SettingsError: The job does not run on SageMaker or has not been submitted yet, or the
            extra `sagemaker` is not installed.
        AwsRefusedError: AWS denied the call.
    """
    from flowyml_aws.aws.sagemaker.sdk import sdk_training_job

    if job.backend != TRAITS.name:
        raise SettingsError(
            what=f"Job {job.name!r} is not a training job",
            why=f"it runs on the backend {job.backend!r}",
            fix=f'run it with backend={{"{job.group or job.name}": "{TRAITS.name}", …}}',
        )
    return sdk_training_job(store, run_id, job.name, attempt)
