"""The small Batch job of an account that drives a detached run."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
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

__all__ = ["end_run_driver", "run_driver_problems", "start_run_driver"]


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


def start_run_driver(
    account: Account,
    image: JobImage,
    record: RunRecord,
    plan: ExecutionPlan,
    settings: Settings,
    tags: Mapping[str, str],
    timeout_s: int,
    price_usd_hour: float | None,
) -> None:
    """Start the driver of a run, which ends while the run only waits for approvals.

    Args:
        account: Account whose setting `driver_queue` is checked.
        image: Container settings of the account's Batch jobs.
        record: Record of the run.
        plan: Plan of the run.
        settings: Settings of the driver.
        tags: Tags of its job.
        timeout_s: Time limit of its job.
        price_usd_hour: Price of its machine; None if it is unknown.

    Raises:
        AwsRefusedError: AWS denied a call.
    """
    from flowyml_aws.aws.batch.driver_job import start_driver

    own = account.settings
    assert own.driver_queue is not None
    start_driver(
        account.client("batch"),
        account.store,
        own.driver_queue,
        replace(image, job_role=own.driver_role or own.job_role),
        record,
        as_environment(settings),
        tags,
        timeout_s,
        pause=partial(sleep, own.poll_s),
        options=("--until-approval",) if plan.approvals else (),
        price_usd_hour=price_usd_hour,
    )


def end_run_driver(account: Account, run_id: str) -> Sequence[str]:
    """Terminate the driver of a run, except this process, and return its name if it still ends.

    Raises:
        AwsRefusedError: AWS denied a call.
    """
    from flowyml_aws.aws.batch.driver_job import end_driver

    own_job = os.environ.get("AWS_BATCH_JOB_ID")
    return end_driver(account.client("batch"), account.store, run_id, own_job)
