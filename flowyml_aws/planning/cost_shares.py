"""Shares of a run's cost limit: how long each job may run for its share.

The limit is divided in proportion to the highest cost of each job: its expected time, or else its
timeout with the assumed start, at the price of the most expensive type that may be started. A job
may run for the time that its share buys at that price, less the assumed start. So one attempt of
each job costs at most the limit, starts included. Of jobs in branches of one decision, only those
that can run together divide the limit. Attempts that repeat a lost one have the same time again.
"""

from __future__ import annotations

from collections.abc import Iterable

from flowyml_aws.core.amounts import usd
from flowyml_aws.planning.cases import highest_sum
from flowyml_aws.planning.plan import ExecutionPlan, PlannedJob
from flowyml_aws.planning.services import service_traits

__all__ = [
    "MIN_ATTEMPT_S",
    "attempt_limit_s",
    "ends_at_share",
    "highest_cost_usd",
    "highest_sum_usd",
    "with_shares",
]

MIN_ATTEMPT_S = 60
"""Shortest time limit of a job: AWS Batch accepts none below (SubmitJob, JobTimeout)."""

_NOTE = "max_cost_usd"
_NOTE_WITHOUT_COST = f"{_NOTE} has no effect: jobs on this machine cost nothing"


def with_shares(plan: ExecutionPlan) -> ExecutionPlan:
    """Return the plan in which each job has its share of the cost limit.

    There are no shares without a limit, on this machine, or if the cost of a job is unknown; such
    a plan is refused before. A note says who enforces the limit.
    """
    costs = [highest_cost_usd(job) for job in plan.jobs]
    total_usd = highest_sum_usd(plan.jobs, costs)
    limit_usd = plan.max_cost_usd
    if limit_usd is None or not plan.is_priced or None in costs or not total_usd:
        shares: list[float | None] = [None] * len(costs)
    else:
        shares = [None if cost is None else limit_usd * cost / total_usd for cost in costs]
    jobs = tuple(
        job if job.share_usd == share else job.model_copy(update={"share_usd": share})
        for job, share in zip(plan.jobs, shares, strict=True)
    )
    notes = [note for note in plan.notes if not note.startswith(_NOTE)]
    if limit_usd is not None:
        notes.append(_note(limit_usd) if plan.is_priced else _NOTE_WITHOUT_COST)
    return plan.model_copy(update={"jobs": jobs, "notes": tuple(notes)})


def highest_sum_usd(jobs: Iterable[PlannedJob], costs: Iterable[float | None]) -> float:
    """Return the highest sum of the costs of jobs that one run can have; an unknown cost is 0."""
    each = zip(jobs, costs, strict=True)
    return highest_sum((frozenset(job.cases), cost or 0.0) for job, cost in each)


def highest_cost_usd(job: PlannedJob) -> float | None:
    """Return the highest cost of one attempt in its expected time, or else in its timeout.

    None if neither is known, or if the price is unknown.
    """
    seconds = job.expected_s
    if seconds is None and job.timeout_s is not None:
        seconds = service_traits(job.backend).startup_s + job.timeout_s
    price = job.highest_price_usd_hour
    return None if seconds is None or price is None else price * seconds / 3600


def attempt_limit_s(job: PlannedJob) -> int | None:
    """Return the seconds after which its service ends an attempt; None for no limit of its own."""
    limits_s = [limit for limit in (job.timeout_s, _share_s(job)) if limit is not None]
    return min(limits_s, default=None)


def ends_at_share(job: PlannedJob) -> bool:
    """Return whether the share of the cost limit ends an attempt before its timeout does."""
    share_s = _share_s(job)
    return share_s is not None and (job.timeout_s is None or share_s < job.timeout_s)


def _share_s(job: PlannedJob) -> int | None:
    """Return the seconds that the share buys on the most expensive type, without the start."""
    price = job.highest_price_usd_hour
    if job.share_usd is None or not price:
        return None
    bought_s = job.share_usd * 3600 / price
    return max(MIN_ATTEMPT_S, int(bought_s - service_traits(job.backend).startup_s))


def _note(limit_usd: float) -> str:
    return (
        f"{_NOTE} {usd(limit_usd)} is enforced by the time limit of each job, also without a "
        "client, and by the client or driver of the run, which ends it when the counted cost "
        "reaches the limit"
    )
