"""One job of a run, as its service knows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flowyml_aws.core.errors import SettingsError
from flowyml_aws.planning.placement import SAGEMAKER
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
        planned: As the plan has it.
    """

    planned: PlannedJob
    _driver: RunDriver

    @property
    def name(self) -> str:
        return self.planned.name

    def status(self) -> JobView:
        """How it is now."""
        views = {view.job.name: view for view in self._driver.status().jobs}
        return views[self.name]

    def training_job(self) -> TrainingJob:
        """The training job of its newest attempt, as the SageMaker SDK has it.

        Raises:
            SettingsError: It does not run on SageMaker, has not been submitted yet, or the extra
                `sagemaker` is not installed.
            AwsRefusedError: AWS denied the call.
        """
        from flowyml_aws.aws.sagemaker_sdk import sdk_training_job

        if self.planned.backend != SAGEMAKER:
            raise SettingsError(
                what=f"Job {self.name!r} is no training job",
                why=f"the plan has it on the backend {self.planned.backend!r}",
                fix=f'run it with backend={{"{self.planned.group or self.name}": "sagemaker", …}}',
            )
        attempt = self.status().attempt
        return sdk_training_job(self._driver.store, self._driver.record.run_id, self.name, attempt)
