"""Schedules of an account: create, list, pause and delete them, and start their runs."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from itertools import islice
from typing import TYPE_CHECKING

from flowyml_aws.artifacts.layout import RunLayout
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.client.launch import final_plan, write_documents
from flowyml_aws.client.preflight import CheckedRequest, preflight
from flowyml_aws.client.request import RunRequest
from flowyml_aws.client.run import Run
from flowyml_aws.core.errors import (
    FlowymlError,
    InvalidPipelineError,
    RunNotFoundError,
    SettingsError,
)
from flowyml_aws.core.schedule_times import ScheduleTimes
from flowyml_aws.packaging.project import find_project
from flowyml_aws.planning.plan import ExecutionPlan
from flowyml_aws.planning.stored_plan import StoredPlan
from flowyml_aws.services.account import Account
from flowyml_aws.services.connect import account_settings, find_run
from flowyml_aws.services.drivers import DriverJob
from flowyml_aws.services.schedules import (
    COMMAND,
    schedule_client,
    schedule_problems,
    submit_job_request,
)
from flowyml_aws.submission.origin import client_text
from flowyml_aws.submission.record import (
    RunState,
    make_run_id,
    read_outcome,
    read_record,
    slug_of,
)
from flowyml_aws.submission.schedules import (
    Firing,
    Schedule,
    begin_firing,
    latest_firings,
    read_schedule,
    write_scheduled_run,
)

if TYPE_CHECKING:
    from flowyml_aws.aws.schedules import AwsSchedule

__all__ = [
    "ListedSchedule",
    "NewSchedule",
    "delete",
    "list_all",
    "prepare",
    "set_enabled",
    "start_run",
]

MONTH_DAYS = 30
"""Days of a month, for its number of runs."""

_NAME = re.compile(r"[0-9a-zA-Z_.-]{1,64}")
_UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class NewSchedule:
    """A schedule that was checked and planned, and is not created yet.

    Attributes:
        plan: Plan of each of its runs.
        times: Its times.
        runs_per_month: Number of its times in the next 30 days.
        driver: Job that starts and drives a run.
    """

    name: str
    plan: ExecutionPlan
    times: ScheduleTimes
    runs_per_month: int
    driver: DriverJob
    _checked: CheckedRequest

    @property
    def run_usd(self) -> float | None:
        """Expected cost of a run with its driver; None if it is unknown."""
        estimate = self.plan.estimate
        if estimate is None or estimate.cost_usd is None or estimate.wall_s is None:
            return None
        return estimate.cost_usd + (self.driver.price_usd_hour or 0.0) * estimate.wall_s / 3600

    @property
    def month_usd(self) -> float | None:
        """Expected cost of all runs of a month; None if it is unknown."""
        return None if self.run_usd is None else self.run_usd * self.runs_per_month

    def next_times(self, number: int) -> list[float]:
        """Return the next times, in seconds since the epoch."""
        return list(islice(self.times.after(time.time()), number))

    def create(self) -> Schedule:
        """Write the documents of its runs, then create it. It can be created once.

        Raises:
            SettingsError: A schedule of this name exists.
            AwsRefusedError: AWS denied a call.
        """
        from flowyml_aws.aws.schedules import create_schedule

        checked, account, now = self._checked, self.driver.account, time.time()
        store, layout = account.store, RunLayout(checked.run_id)
        client, group = schedule_client(account)
        places = write_documents(checked, self.plan, now)
        plan = StoredPlan.of(self.plan).to_json(indent=None)
        store.put(layout.plan, plan)
        schedule = Schedule(
            name=self.name,
            template=checked.run_id,
            pipeline=self.plan.pipeline,
            backend=self.plan.backend,
            created_at=now,
            client=client_text(),
            plan_sha256=hashlib.sha256(plan).hexdigest(),
            specs=dict(places),
            queue=self.driver.queue,
            driver_usd_hour=self.driver.price_usd_hour,
        )
        data = schedule.to_json()
        store.put(layout.schedule, data)
        request = submit_job_request(self.driver, schedule, hashlib.sha256(data).hexdigest())
        interval_s = self.times.interval_s
        start = None if interval_s is None else now + interval_s
        role = account.settings.schedule_role
        assert role is not None
        description = f"Runs of pipeline {self.plan.pipeline} of flowyml-aws"
        try:
            create_schedule(client, group, self.name, self.times, start, role, request, description)
        except FlowymlError:
            _delete_template(store, checked.run_id)
            raise
        return schedule


def prepare(request: RunRequest, times: ScheduleTimes, name: str | None) -> NewSchedule:
    """Check and plan the runs of a schedule. Every step is executed in each of them.

    Args:
        request: Pipeline with the options of its runs.
        times: Times of the schedule.
        name: Name of the schedule; by default that of the pipeline.

    Raises:
        InvalidPipelineError: With every mistake; nothing was written or created.
        SettingsError: The name is invalid.
    """
    name = slug_of(request.name) if name is None else name
    if not _NAME.fullmatch(name):
        raise SettingsError(
            what=f"Invalid name of a schedule: {name!r}",
            why="it must have 1 to 64 letters, digits and _.-",
            fix="write for example --name nightly",
        )
    placement = request.placement(request.project.root)
    if placement.host != "account":
        raise SettingsError(
            what="A schedule needs runs on AWS",
            why=f"backend {'+'.join(placement.backends)} runs its jobs on this machine",
            fix="add --backend batch, or call `flowyml-aws run` with this machine's own scheduler",
        )
    options = replace(request.options, cache=False)
    checked = preflight(replace(request, options=options, detached=True))
    plan = final_plan(checked)
    driver = checked.services.driver_job(plan)
    problems = schedule_problems(checked.settings)
    if problems or driver is None:
        raise InvalidPipelineError(request.name, problems)
    runs = times.count(time.time(), MONTH_DAYS)
    return NewSchedule(name, plan, times, runs, driver, checked)


@dataclass(frozen=True, slots=True)
class ListedSchedule:
    """A schedule with its last run.

    Attributes:
        next_time: Seconds since the epoch; None if it is paused or has no further time.
        firings: Its latest times, newest first.
        state: State of the last run; None without one.
    """

    name: str
    times: ScheduleTimes
    is_enabled: bool
    next_time: float | None
    firings: Sequence[Firing] = ()
    state: str | None = None

    @property
    def last_run(self) -> str | None:
        """Id of the last run; None without one."""
        return self.firings[0].last_run if self.firings else None

    @property
    def skipped(self) -> int:
        """Number of the latest times that were skipped after the last run was started."""
        number = 0
        for firing in self.firings:
            if firing.run_id is not None:
                break
            number += 1
        return number


def list_all() -> list[ListedSchedule]:
    """Return the schedules of the account, by name.

    Raises:
        SettingsError: The account has no schedules.
        AwsRefusedError: AWS denied a call.
    """
    from flowyml_aws.aws.schedules import list_schedules

    account = _account()
    client, group = schedule_client(account)
    own = [each for each in list_schedules(client, group) if _template_of(each.command)]
    return [_listed(account.store, each) for each in own]


def set_enabled(name: str, is_enabled: bool) -> None:
    """Pause a schedule, or let it continue. Times while it is paused are left out.

    Raises:
        SettingsError: There is no such schedule.
        AwsRefusedError: AWS denied a call.
    """
    from flowyml_aws.aws import schedules

    schedules.set_enabled(*schedule_client(_account()), name, is_enabled)


def delete(name: str) -> None:
    """Delete a schedule. Its runs remain, and one that has not ended continues.

    Raises:
        SettingsError: There is no such schedule.
        AwsRefusedError: AWS denied a call.
    """
    from flowyml_aws.aws.schedules import delete_schedule, list_schedules

    account = _account()
    client, group = schedule_client(account)
    templates = [_template_of(s.command) for s in list_schedules(client, group) if s.name == name]
    delete_schedule(client, group, name)
    for template in templates:
        if template is not None:
            _delete_template(account.store, template)


def start_run(template: str, sha256: str, at: str) -> tuple[Firing, Run | None]:
    """Start the run of a schedule at one of its times, in the job that drives it.

    Return the decision about it, and the run; None if it is skipped, or if another job has started
    it.

    Args:
        template: Id of the run that is copied.
        sha256: Digest of the stored schedule.
        at: Time of the schedule.

    Raises:
        ArtifactNotFoundError: The schedule was deleted.
        FlowymlError: The run can't be written.
    """
    store = _account().store
    schedule = read_schedule(store, template, sha256)
    job = os.environ.get("AWS_BATCH_JOB_ID", "")
    now = datetime.now(timezone.utc)
    run_id = make_run_id(schedule.pipeline, now, secrets.token_hex)
    firing = begin_firing(store, schedule, at, job, run_id, _has_ended)
    if firing.run_id is None or firing.job != job:
        return firing, None
    try:
        read_record(store, firing.run_id)  # an earlier attempt of this job has written it
    except RunNotFoundError:
        write_scheduled_run(store, schedule, at, firing.run_id, now.timestamp())
    return firing, Run.attach(firing.run_id)


def _has_ended(run_id: str) -> bool | None:
    try:
        return find_run(run_id).status().state is not RunState.RUNNING
    except RunNotFoundError:
        return None  # its job has not written it yet, or has died before


def _account() -> Account:
    return Account(account_settings(find_project([]).root))


def _listed(store: ArtifactStore, known: AwsSchedule) -> ListedSchedule:
    template = _template_of(known.command)
    firings = [] if template is None else latest_firings(store, template)
    listed = ListedSchedule(
        name=known.name,
        times=known.times,
        is_enabled=known.is_enabled,
        next_time=next(known.times.after(time.time(), known.start), None)
        if known.is_enabled
        else None,
        firings=firings,
    )
    last = listed.last_run
    return listed if last is None else replace(listed, state=_state_of(store, last))


def _state_of(store: ArtifactStore, run_id: str) -> str:
    try:
        outcome = read_outcome(store, run_id)
        return find_run(run_id).status().state_text if outcome is None else outcome.state.value
    except FlowymlError:
        return _UNKNOWN


def _template_of(command: Sequence[str]) -> str | None:
    is_own = tuple(command[: len(COMMAND)]) == COMMAND and len(command) > len(COMMAND)
    return command[len(COMMAND)] if is_own else None


def _delete_template(store: ArtifactStore, template: str) -> None:
    """Delete the documents of a schedule. Garbage collection deletes their contents."""
    layout = RunLayout(template)
    keys = [entry.key for entry in store.walk(layout.prefix)]
    store.delete(sorted(keys, key=lambda key: key != layout.schedule))  # the schedule first
