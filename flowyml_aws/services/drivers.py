"""The small Batch job of an account that drives a detached run."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from flowyml_aws.core.clock import sleep
from flowyml_aws.core.errors import FlowymlError
from flowyml_aws.planning.plan import ExecutionPlan
from flowyml_aws.services.account import Account
from flowyml_aws.settings.model import Settings, as_environment
from flowyml_aws.submission.record import RunRecord

if TYPE_CHECKING:
    from flowyml_aws.aws.batch.definition import JobImage

__all__ = ["DriverJob", "end_run_driver", "run_driver_problems", "start_run_driver"]


def run_driver_problems(account: Account) -> list[FlowymlError]:
    """Return the reasons why no driver can be started on the account's queue for drivers."""
    from flowyml_aws.aws.batch.driver_job import driver_problem

    try:
        if account.access_problem is not None:
            return []  # reported by the account
        problem = driver_problem(account.client("batch"), account.settings.driver_queue)
    except FlowymlError as error:
        problem = error
    return [] if problem is None else [problem]


@dataclass(frozen=True, slots=True)
class DriverJob:
    """The small Batch job that would drive the runs of a plan.

    Attributes:
        account: Account whose setting `driver_queue` is checked.
        job_image: Container settings of the account's Batch jobs.
        settings: Settings of the driver.
        tags: Tags of the job.
        timeout_s: Time limit of the job.
        price_usd_hour: Price of its machine; None if it is unknown.
    """

    account: Account
    job_image: JobImage
    settings: Settings
    tags: Mapping[str, str]
    timeout_s: int
    price_usd_hour: float | None

    @property
    def queue(self) -> str:
        """Name of its queue."""
        assert self.account.settings.driver_queue is not None
        return self.account.settings.driver_queue

    @property
    def image(self) -> JobImage:
        """Container settings of the job, with its role."""
        own = self.account.settings
        return replace(self.job_image, job_role=own.driver_role or own.job_role)


def start_run_driver(driver: DriverJob, record: RunRecord, plan: ExecutionPlan) -> None:
    """Start the driver of a run, which ends while the run only waits for approvals.

    Args:
        driver: Its job.
        record: Record of the run.
        plan: Plan of the run.

    Raises:
        AwsRefusedError: AWS denied a call.
    """
    from flowyml_aws.aws.batch.driver_job import start_driver

    account = driver.account
    start_driver(
        account.client("batch"),
        account.store,
        driver.queue,
        driver.image,
        record,
        as_environment(driver.settings),
        driver.tags,
        driver.timeout_s,
        pause=partial(sleep, account.settings.poll_s),
        options=("--until-approval",) if plan.approvals else (),
        price_usd_hour=driver.price_usd_hour,
    )


def end_run_driver(account: Account, run_id: str) -> Sequence[str]:
    """Terminate the driver of a run, except this process, and return its name if it still ends.

    Raises:
        AwsRefusedError: AWS denied a call.
    """
    from flowyml_aws.aws.batch.driver_job import end_driver

    own_job = os.environ.get("AWS_BATCH_JOB_ID")
    return end_driver(account.client("batch"), account.store, run_id, own_job)
