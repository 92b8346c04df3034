"""One job of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flowyml_aws.planning.plan import PlannedJob
from flowyml_aws.submission.driver import RunDriver
from flowyml_aws.submission.status import JobView

if TYPE_CHECKING:
    from sagemaker.core.resources import TrainingJob

__all__ = ["RunJob"]


@dataclass(frozen=True, slots=True)
class RunJob:
    """One job of a run.

    Attributes:
        planned: The job in the plan.
    """

    planned: PlannedJob
    _driver: RunDriver

    @property
    def name(self) -> str:
        """Name of the job in the plan."""
        return self.planned.name

    def status(self) -> JobView:
        """Return the current status."""
        views = {view.job.name: view for view in self._driver.status().jobs}
        return views[self.name]

    def training_job(self) -> TrainingJob:
        """Return the SageMaker SDK's object for the training job of the newest attempt.

        Raises:
            SettingsError: The job does not run on SageMaker or has not been submitted yet, or the
                extra `sagemaker` is not installed.
            AwsRefusedError: AWS denied the call.
        """
        from flowyml_aws.services.sagemaker.training_job import training_job

        driver = self._driver
        attempt = self.status().attempt
        return training_job(driver.store, driver.record.run_id, self.planned, attempt)
