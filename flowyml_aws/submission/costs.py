"""The cost of runs, as it is predicted and counted, and its sums.

The counted cost of a job is that of its attempts: price of the machine for the time that the
container ran, so far or until its end, with lost attempts. Starts of machines are not included.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timezone
from enum import Enum

from flowyml_aws.submission.backend import JobState
from flowyml_aws.submission.losses import LostAttempts
from flowyml_aws.submission.status import JobView, RunStatus
from flowyml_aws.submission.times import JobTimes

__all__ = [
    "CostKey",
    "CostRow",
    "JobCost",
    "RunCost",
    "cost_against_limit_usd",
    "counted_cost_usd",
    "job_costs",
    "sum_costs",
    "total_of",
]

Price = Callable[[JobView], float | None]


class CostKey(str, Enum):
    """A key by which costs are added up."""

    PIPELINE = "pipeline"
    GROUP = "group"
    USER = "user"
    DAY = "day"


@dataclass(frozen=True, slots=True)
class JobCost:
    """The cost of a job.

    Attributes:
        group: Execution group, or name of the job.
        instance_type: Type that it ran on, or the planned one.
        day: Day of its start (UTC), or of the start of the run.
        predicted_usd: Cost according to the plan; None if it is unknown.
        counted_usd: Counted cost; None if a price is unknown.
    """

    group: str
    instance_type: str | None
    day: date
    predicted_usd: float | None
    counted_usd: float | None


@dataclass(frozen=True, slots=True)
class RunCost:
    """The cost of a run.

    Attributes:
        user: Name of the user who started it; None if it is unknown, or was not read.
        day: Day of its start (UTC).
        driver_usd: Cost of the job that drove it; None if its price is unknown, 0 without one.
    """

    run_id: str
    pipeline: str
    user: str | None
    day: date
    jobs: tuple[JobCost, ...]
    driver_usd: float | None = 0.0


@dataclass(frozen=True, slots=True)
class CostRow:
    """The costs of one key.

    Attributes:
        runs: Number of runs.
        predicted_usd: Sum of the predicted costs that are known.
        counted_usd: Sum of the counted costs that are known.
        unpredicted: Number of jobs without a predicted cost.
        uncounted: Number of jobs and drivers whose price is unknown.
    """

    key: str
    runs: int
    predicted_usd: float = 0.0
    counted_usd: float = 0.0
    unpredicted: int = 0
    uncounted: int = 0

    @property
    def difference(self) -> float | None:
        """Counted cost in relation to the predicted one, minus 1; None if one is incomplete."""
        if self.unpredicted or self.uncounted or not self.predicted_usd:
            return None
        return self.counted_usd / self.predicted_usd - 1


def counted_cost_usd(status: RunStatus, now: float) -> float | None:
    """Return the cost of a run so far, with its sub-runs.

    None if a job has run whose price is unknown.

    Args:
        status: Status of the run.
        now: Seconds since the epoch.
    """
    costs = [_job_cost(view, status, now, _price) for view in status.jobs]
    own = None if any(cost.is_partial for cost in costs) else sum(cost.usd for cost in costs)
    all_costs = [own, *(counted_cost_usd(each, now) for each in _sub_runs(status))]
    return None if None in all_costs else sum(filter(None, all_costs))


def cost_against_limit_usd(status: RunStatus, now: float) -> float:
    """Return the cost of a run so far, with the highest possible price instead of unknown ones.

    It includes its sub-runs.
    """
    own = sum(_job_cost(view, status, now, _highest_price).usd for view in status.jobs)
    return own + sum(cost_against_limit_usd(each, now) for each in _sub_runs(status))


def job_costs(status: RunStatus, now: float) -> tuple[JobCost, ...]:
    """Return the cost of each job of a run that has begun, in plan order.

    Args:
        status: Status of the run.
        now: Seconds since the epoch.
    """
    return tuple(
        JobCost(
            group=view.job.group or view.job.name,
            instance_type=view.instance_type,
            day=_day(status.created_at if view.result is None else view.result.started_at),
            predicted_usd=view.job.expected_cost_usd,
            counted_usd=_counted_usd(view, status, now),
        )
        for view in status.jobs
    )


def sum_costs(runs: Iterable[RunCost], by: CostKey) -> list[CostRow]:
    """Return the costs by key, the highest counted cost first; days in their order."""
    jobs: dict[str, list[JobCost]] = {}
    drivers: dict[str, list[float | None]] = {}
    names: dict[str, set[str]] = {}
    for run in runs:
        for job in run.jobs:
            key = _key(run, job, by)
            jobs.setdefault(key, []).append(job)
            names.setdefault(key, set()).add(run.run_id)
        if run.driver_usd != 0:
            key = _key(run, None, by)
            drivers.setdefault(key, []).append(run.driver_usd)
            names.setdefault(key, set()).add(run.run_id)
    rows = [
        _row(key, len(ids), jobs.get(key, ()), drivers.get(key, ())) for key, ids in names.items()
    ]
    return sorted(
        rows, key=lambda row: row.key if by is CostKey.DAY else (-row.counted_usd, row.key)
    )


def total_of(rows: Sequence[CostRow], runs: int) -> CostRow:
    """Return the sum of all rows.

    Args:
        rows: Rows of a table.
        runs: Number of runs, of which each may be in several rows.
    """
    return CostRow(
        key="total",
        runs=runs,
        predicted_usd=sum((row.predicted_usd for row in rows), 0.0),
        counted_usd=sum((row.counted_usd for row in rows), 0.0),
        unpredicted=sum(row.unpredicted for row in rows),
        uncounted=sum(row.uncounted for row in rows),
    )


def _row(key: str, runs: int, jobs: Sequence[JobCost], drivers: Sequence[float | None]) -> CostRow:
    counted = [*(job.counted_usd for job in jobs), *drivers]
    return CostRow(
        key=key,
        runs=runs,
        predicted_usd=sum((job.predicted_usd or 0.0 for job in jobs), 0.0),
        counted_usd=sum(filter(None, counted), 0.0),
        unpredicted=sum(job.predicted_usd is None for job in jobs),
        uncounted=counted.count(None),
    )


def _key(run: RunCost, job: JobCost | None, by: CostKey) -> str:
    if by is CostKey.GROUP:
        return f"{run.pipeline}: {'driver' if job is None else job.group}"
    if by is CostKey.USER:
        return run.user or "unknown"
    if by is CostKey.DAY:
        return (run.day if job is None else job.day).isoformat()
    return run.pipeline


@dataclass(frozen=True, slots=True)
class _Cost:
    """A cost; partial if some of its prices are unknown."""

    usd: float
    is_partial: bool


def _job_cost(view: JobView, status: RunStatus, now: float, price: Price) -> _Cost:
    attempts = [status.lost.get(view.job.name, LostAttempts())]
    if view.result is None and (ended := status.ended.get(view.job.name)) is not None:
        attempts.append(ended)
    cost_usd = sum(attempt.cost_usd for attempt in attempts)
    is_partial = any(attempt.unpriced_s for attempt in attempts)
    if seconds := _seconds(view, status.times.get(view.job.name), now):
        usd_hour = price(view)
        is_partial = is_partial or usd_hour is None
        cost_usd += (usd_hour or 0.0) * seconds / 3600
    return _Cost(cost_usd, is_partial)


def _sub_runs(status: RunStatus) -> Iterator[RunStatus]:
    """Yield the sub-runs of a run that have a status."""
    for view in status.expansions:
        if view.status is not None:
            yield view.status


def _counted_usd(view: JobView, status: RunStatus, now: float) -> float | None:
    cost = _job_cost(view, status, now, _price)
    return None if cost.is_partial else cost.usd


def _price(view: JobView) -> float | None:
    """Return the price of the machine that a job runs on; of the planned one before it runs."""
    return view.job.price_usd_hour if view.ran_on is None else view.ran_on.price_usd_hour


def _highest_price(view: JobView) -> float | None:
    price = _price(view)
    return view.job.highest_price_usd_hour if price is None else price


def _seconds(view: JobView, times: JobTimes | None, now: float) -> float:
    """Return the time of the attempt that runs, or that left the result."""
    if view.result is not None:
        return view.result.ended_at - view.result.started_at
    if view.state is not JobState.RUNNING:
        return 0.0
    starts = [report.started_at for report in view.steps if report.started_at is not None]
    if times is not None and times.started_at is not None and times.ended_at is None:
        starts.append(times.started_at)
    return max(0.0, now - min(starts)) if starts else 0.0


def _day(at: float) -> date:
    return datetime.fromtimestamp(at, timezone.utc).date()
