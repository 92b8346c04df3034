"""Costs of the runs in some stores, from their documents."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timezone

from flowyml_aws.artifacts.documents import read_document
from flowyml_aws.artifacts.layout import RunLayout
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.core.concurrency import STORE_REQUESTS, map_concurrently
from flowyml_aws.core.errors import (
    ArtifactNotFoundError,
    DamagedArtifactError,
    FlowymlError,
    RunNotFoundError,
    SettingsError,
)
from flowyml_aws.core.time_spans import TIME_UNITS, TimeSpan, seconds_of
from flowyml_aws.packaging.project import find_project
from flowyml_aws.planning.plan import ExecutionPlan, PlannedJob
from flowyml_aws.runtime.summary import JobSummary
from flowyml_aws.services.connect import account_settings, find_run, stores
from flowyml_aws.submission.answers import Approvals
from flowyml_aws.submission.approvals import waited_s
from flowyml_aws.submission.backend import JobState
from flowyml_aws.submission.costs import CostKey, CostRow, RunCost, job_costs, sum_costs, total_of
from flowyml_aws.submission.origin import read_origin
from flowyml_aws.submission.record import (
    DriverRecord,
    RunOutcome,
    RunRecord,
    created_at,
    read_outcome,
    read_plan,
    read_record,
    run_ids,
)
from flowyml_aws.submission.reports import JobReports
from flowyml_aws.submission.status import JobView, RunStatus

__all__ = ["AccountCosts", "account_costs", "read_costs"]

_MAX_ASKED = 10


@dataclass(frozen=True, slots=True)
class AccountCosts:
    """The costs of runs.

    Attributes:
        since: Earliest start of the runs, in seconds since the epoch.
        runs: Runs on AWS, newest first.
        free: Number of runs on this machine, which cost nothing.
        unknown: Runs whose cost could not be determined.
    """

    since: float
    runs: tuple[RunCost, ...]
    free: int = 0
    unknown: tuple[str, ...] = ()

    def by(self, key: CostKey | str) -> list[CostRow]:
        """Return the costs by key, the highest counted cost first; days in their order."""
        return sum_costs(self.runs, CostKey(key))

    @property
    def total(self) -> CostRow:
        """The sum of all costs."""
        return total_of(self.by(CostKey.PIPELINE), len(self.runs))


def account_costs(since: TimeSpan = "30d") -> AccountCosts:
    """Return the costs of the runs in the stores of the project in the current folder.

    Args:
        since: Age of the oldest runs, such as `"30d"`.

    Raises:
        SettingsError: The age or a setting is invalid.
        AwsRefusedError: AWS denied a call.
    """
    age_s = seconds_of(since)
    if age_s is None:
        raise SettingsError(
            what=f"Invalid since={since!r}",
            why=f"it must be a number with a unit ({TIME_UNITS}), or a number of seconds above 0",
            fix='write for example since="30d"',
        )
    project = find_project([]).root
    own = dict.fromkeys(stores(account_settings(project), project).values())
    now = time.time()
    return read_costs(own, now - age_s, now=now)


def read_costs(
    run_stores: Iterable[ArtifactStore],
    since: float = 0.0,
    with_users: bool = True,
    now: float | None = None,
) -> AccountCosts:
    """Return the costs of the runs in some stores.

    Of the runs whose end is not recorded, the services of the newest 10 are asked.

    Args:
        run_stores: The stores.
        since: Earliest start of the runs, in seconds since the epoch.
        with_users: Whether to read who started each run, which is one more request.
        now: Seconds since the epoch; the current time by default.
    """
    now = time.time() if now is None else now
    store_of = {
        run_id: store
        for store in run_stores
        for run_id in run_ids(store)
        if created_at(run_id) >= int(since)
    }
    order = sorted(store_of, key=created_at, reverse=True)
    read = map_concurrently(
        lambda run_id: _read(store_of[run_id], run_id), order, limit=STORE_REQUESTS
    )
    runs = [run for run in read if run is not None and run.record.created_at >= since]
    unended = [run for run in runs if run.is_on_aws and run.status is None][:_MAX_ASKED]
    asked = dict(
        zip(
            (run.record.run_id for run in unended),
            map_concurrently(_ask, unended, limit=_MAX_ASKED),
            strict=True,
        )
    )
    known: list[RunCost] = []
    unknown: list[str] = []
    for run in runs:
        if not run.is_on_aws:
            continue
        status = run.status or asked.get(run.record.run_id)
        if status is None:
            unknown.append(run.record.run_id)
            continue
        known.append(_cost(run, status, now))
    if with_users:
        users = map_concurrently(
            lambda cost: _user(store_of[cost.run_id], cost.run_id), known, limit=STORE_REQUESTS
        )
        known = [replace(cost, user=user) for cost, user in zip(known, users, strict=True)]
    free = sum(not run.is_on_aws and run.record.parent is None for run in runs)
    return AccountCosts(since, tuple(known), free, tuple(unknown))


@dataclass(frozen=True, slots=True)
class _ReadRun:
    """A run as its documents describe it.

    Attributes:
        is_on_aws: Whether its jobs cost money.
        status: Its jobs, lost attempts and times; None if its end is not recorded.
        driver: Job that drove it, or None.
    """

    record: RunRecord
    is_on_aws: bool
    status: RunStatus | None = None
    driver: DriverRecord | None = None


def _read(store: ArtifactStore, run_id: str) -> _ReadRun | None:
    """Return a run; None if it has no readable record or plan."""
    try:
        record, plan = read_record(store, run_id), read_plan(store, run_id)
        if not plan.is_priced:
            return _ReadRun(record, is_on_aws=False)
        outcome = read_outcome(store, run_id)
    except (RunNotFoundError, ArtifactNotFoundError, DamagedArtifactError):
        return None  # its client stopped before it was written; `status` reports damage
    status = None if outcome is None else _ended(store, record, plan, outcome)
    return _ReadRun(record, True, status, _driver(store, run_id))


def _ended(
    store: ArtifactStore, record: RunRecord, plan: ExecutionPlan, outcome: RunOutcome
) -> RunStatus:
    names = [job.name for job in plan.jobs]
    summaries = JobReports(store, record.run_id, len(names)).summaries(names)
    return RunStatus(
        run_id=record.run_id,
        pipeline=record.pipeline,
        backend=record.backend,
        created_at=record.created_at,
        jobs=tuple(_view(plan, job, summaries.get(job.name)) for job in plan.jobs),
        ended_at=outcome.ended_at,
        lost=outcome.lost,
        ended=outcome.ended,
        times=outcome.times,
        approvals=tuple(Approvals(store, record.run_id).read(plan, {}, None).values()),
    )


def _view(plan: ExecutionPlan, job: PlannedJob, summary: JobSummary | None) -> JobView:
    if summary is None:
        return JobView(job, JobState.FAILED)  # or it never ran: both cost what `ended` says
    name = summary.instance_type
    return JobView.of_result(job, summary, None if name is None else plan.offer_of(job, name))


def _ask(run: _ReadRun) -> RunStatus | None:
    """Return the status of a run as its services report it; None if they do not answer."""
    with suppress(FlowymlError):  # `status` reports the reason
        return find_run(run.record.run_id).status()
    return None


def _cost(run: _ReadRun, status: RunStatus, now: float) -> RunCost:
    driver_usd: float | None = 0.0
    if run.driver is not None:
        results = [view.result for view in status.jobs if view.result is not None]
        times = [(result.started_at, result.ended_at) for result in results]
        waited = waited_s(status.approvals, times)
        seconds = (status.ended_at or now) - status.created_at - waited
        price = run.driver.price_usd_hour
        driver_usd = None if price is None else price * seconds / 3600
    return RunCost(
        run_id=status.run_id,
        pipeline=status.pipeline,
        user=None,
        day=datetime.fromtimestamp(status.created_at, timezone.utc).date(),
        jobs=job_costs(status, now),
        driver_usd=driver_usd,
    )


def _driver(store: ArtifactStore, run_id: str) -> DriverRecord | None:
    key = RunLayout(run_id).driver
    try:
        return read_document(DriverRecord, store.get(key), f"{store.uri}/{key}")
    except ArtifactNotFoundError:
        return None


def _user(store: ArtifactStore, run_id: str) -> str | None:
    origin = read_origin(store, run_id)
    return None if origin is None else origin.user
