"""Schedules of an account: what they need, and the job that each time of a schedule submits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flowyml_aws.core.errors import FlowymlError, SettingsError
from flowyml_aws.services.account import Account
from flowyml_aws.services.drivers import DriverJob
from flowyml_aws.settings.model import Settings, as_environment
from flowyml_aws.submission.schedules import Schedule

__all__ = ["COMMAND", "schedule_client", "schedule_problems", "submit_job_request"]

COMMAND = ("python", "-m", "flowyml_aws", "scheduled")
"""Start of the command of the job; then the template, its digest and the time of the schedule."""


def schedule_problems(settings: Settings) -> list[FlowymlError]:
    """Return an error for each setting that schedules require and that is missing."""
    return [
        SettingsError(
            what=f"Setting `{name}` is missing",
            why="EventBridge Scheduler submits a small job at each time of a schedule",
            fix=f"set up the account with the option {option}, or set {name} in flowyml-aws.toml",
        )
        for name, value, option in (
            ("schedule_group", settings.schedule_group, "`schedules` of infra/"),
            ("schedule_role", settings.schedule_role, "`schedules` of infra/"),
            ("driver_queue", settings.driver_queue, "`families` with `cpu` of infra/"),
        )
        if not value
    ]


def schedule_client(account: Account) -> tuple[Any, str]:
    """Return the client of EventBridge Scheduler, and the group of the account's schedules.

    Raises:
        SettingsError: The account has none.
        AwsRefusedError: AWS rejects every call.
    """
    group = account.settings.schedule_group
    if group is None:
        raise schedule_problems(account.settings)[0]
    if account.access_problem is not None:
        raise account.access_problem
    return account.client("scheduler"), group


def submit_job_request(driver: DriverJob, schedule: Schedule, sha256: str) -> Mapping[str, Any]:
    """Return the arguments of SubmitJob for the job that starts and drives a run of a schedule.

    Args:
        driver: Job that drives runs of the plan.
        schedule: The schedule.
        sha256: Digest of the stored schedule.

    Raises:
        AwsRefusedError: AWS denied a call.
    """
    from flowyml_aws.aws.batch.driver_job import driver_request
    from flowyml_aws.aws.names import batch_name
    from flowyml_aws.aws.schedules import SCHEDULED_TIME

    return driver_request(
        driver.account.client("batch"),
        driver.queue,
        driver.image,
        schedule.template_record(),
        batch_name("schedule", schedule.name),
        (*COMMAND, schedule.template, sha256, SCHEDULED_TIME),
        as_environment(driver.settings),
        driver.tags,
        driver.timeout_s,
    )
