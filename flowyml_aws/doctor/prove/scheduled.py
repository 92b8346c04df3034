"""The run of a proof that a schedule starts at its only time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.client.request import RunRequest
from flowyml_aws.client.schedules import delete, prepare
from flowyml_aws.core.errors import RunNotFoundError, SettingsError
from flowyml_aws.core.schedule_times import ScheduleTimes, cron_times
from flowyml_aws.services.connect import find_run
from flowyml_aws.submission.driver import RunDriver
from flowyml_aws.submission.schedules import Firing, latest_firings

__all__ = ["FIRING_LIMIT_S", "ScheduledRun", "next_time", "schedule_run", "time_text"]

FIRING_LIMIT_S = 900.0
"""Longest wait from the time of a schedule to the start of its run."""

_MINUTE_S = 60


@dataclass(frozen=True, slots=True)
class ScheduledRun:
    """A schedule with one time, and the run that it starts.

    Attributes:
        name: Name of the schedule.
        store: Store of the run.
        template: Id of the run that is copied.
        due: The time, in seconds since the epoch.
        batch: Client of AWS Batch.
    """

    name: str
    store: ArtifactStore
    template: str
    due: float
    batch: Any

    def find(self) -> RunDriver | None:
        """Return the run; None if its job has not written it yet."""
        for firing in self.firings():
            if firing.run_id is not None:
                try:
                    return find_run(firing.run_id)
                except RunNotFoundError:
                    return None
        return None

    def firings(self) -> Sequence[Firing]:
        """Return the times that the schedule has served, newest first."""
        return latest_firings(self.store, self.template)

    def has_driver(self) -> bool:
        """Return whether the job that drives the run has not ended."""
        from flowyml_aws.aws.batch.jobs import unended_names

        return bool(unended_names(self.batch, [firing.job for firing in self.firings()]))

    def delete(self) -> None:
        """Delete the schedule with its documents; no-op if it does not exist.

        Raises:
            AwsRefusedError: AWS denied a call.
        """
        try:
            delete(self.name)
        except SettingsError:
            return


def schedule_run(request: RunRequest, name: str, now: float) -> ScheduledRun:
    """Create a schedule that starts a run in one to two minutes.

    Args:
        request: The run.
        name: Name of the schedule.
        now: Seconds since the epoch.

    Raises:
        InvalidPipelineError: With every mistake; nothing was created.
        FlowymlError: AWS denied a call.
    """
    times, due = next_time(now)
    planned = prepare(request, times, name)
    schedule, account = planned.create(), planned.driver.account
    return ScheduledRun(name, account.store, schedule.template, due, account.client("batch"))


def next_time(now: float) -> tuple[ScheduleTimes, float]:
    """Return the only time of a schedule: the next full minute that is a minute away.

    Args:
        now: Seconds since the epoch.
    """
    due = float((int(now) // _MINUTE_S + 2) * _MINUTE_S)
    return cron_times(f"{datetime.fromtimestamp(due, timezone.utc):%M %H %d %m ? %Y}"), due


def time_text(moment: float) -> str:
    """Return a time in UTC as EventBridge Scheduler writes it.

    Args:
        moment: Seconds since the epoch.
    """
    return f"{datetime.fromtimestamp(moment, timezone.utc):%Y-%m-%dT%H:%M:%SZ}"
