"""The cost limit of a run while it goes on: the counted cost, and what a run says that reached it.

The counted cost is that of the attempts: price of the machine for the time that the container ran,
so far or until its end, with lost attempts. Starts of machines are not included.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from flowyml_aws.core.amounts import usd
from flowyml_aws.core.errors import CostLimitReachedError
from flowyml_aws.planning.plan import PlannedJob
from flowyml_aws.submission.backend import JobState
from flowyml_aws.submission.losses import LostAttempts
from flowyml_aws.submission.record import CostLimit
from flowyml_aws.submission.status import JobView, RunStatus
from flowyml_aws.submission.times import JobTimes

__all__ = [
    "counted_cost_usd",
    "end_reason",
    "highest_price_of_view",
    "limit_error",
    "limit_notes",
    "price_of_view",
    "share_reason",
]

_MAX_NAMES = 5


def counted_cost_usd(
    status: RunStatus,
    ended: Mapping[str, LostAttempts],
    now: float,
    price_usd_hour: Callable[[JobView], float | None],
) -> float | None:
    """Return the cost of a run so far; None if a job has run whose price is unknown.

    Args:
        status: Status of the run.
        ended: Last attempts of jobs that ended without a result, by job.
        now: Seconds since the epoch.
        price_usd_hour: Returns the price of the machine of a job.
    """
    cost_usd = status.lost_attempts.cost_usd
    for view in status.jobs:
        if view.result is None and view.job.name in ended:
            cost_usd += ended[view.job.name].cost_usd
        if seconds := _seconds(view, status.times.get(view.job.name), now):
            price = price_usd_hour(view)
            if price is None:
                return None
            cost_usd += price * seconds / 3600
    return cost_usd


def price_of_view(view: JobView) -> float | None:
    """Return the price of the machine that a job runs on; of the planned one if it is unknown."""
    return view.job.price_usd_hour if view.ran_on is None else view.ran_on.price_usd_hour


def highest_price_of_view(view: JobView) -> float | None:
    """Same as `price_of_view`, with the highest possible price instead of an unknown one."""
    price = price_of_view(view)
    return view.job.highest_price_usd_hour if price is None else price


def limit_error(status: RunStatus) -> CostLimitReachedError | None:
    """Return the error of a run that reached its cost limit; None for any other run."""
    limit = status.cost_limit
    if limit is None or limit.reached_at is None:
        return None
    by_state: dict[JobState, list[str]] = {}
    for view in status.jobs:
        by_state.setdefault(view.state, []).append(view.job.name)
    finished = _names(by_state.get(JobState.SUCCEEDED, ()))
    unfinished = [view.job.name for view in status.jobs if view.state is not JobState.SUCCEEDED]
    return CostLimitReachedError(
        what=f"The run reached its cost limit: {usd(limit.counted_usd)} of "
        f"max_cost_usd {usd(limit.limit_usd)}",
        why=f"finished: {finished}; not finished: {_names(unfinished)}",
        fix=f"continue with `flowyml-aws resume {status.run_id} --max-cost-usd USD`, where USD is "
        "the limit of the remaining jobs",
    )


def limit_notes(status: RunStatus) -> list[str]:
    """Return a line on the cost limit of a run that has one, or the error if it was reached."""
    limit = status.cost_limit
    if limit is None:
        return []
    error = limit_error(status)
    if error is not None:
        return [str(error)]
    return [f"cost limit: {usd(limit.counted_usd)} of {usd(limit.limit_usd)} counted"]


def end_reason(limit: CostLimit) -> str:
    """Return the reason of a job that was ended with its run."""
    return f"the run reached its cost limit, max_cost_usd {usd(limit.limit_usd)}"


def share_reason(job: PlannedJob, run_id: str) -> str:
    """Return the reason of a job that used up its share of the cost limit."""
    return (
        f"that is the time that its share of max_cost_usd, {usd(job.share_usd or 0)}, buys on "
        f"{job.highest_instance_type}; continue with "
        f"`flowyml-aws resume {run_id} --max-cost-usd USD`"
    )


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


def _names(names: Sequence[str]) -> str:
    if not names:
        return "nothing"
    more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
    return ", ".join(names[:_MAX_NAMES]) + more
