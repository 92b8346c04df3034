"""Watches the cost of a run while a client or driver drives it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from flowyml_aws.planning.plan import ExecutionPlan
from flowyml_aws.submission.backend import JobStatus
from flowyml_aws.submission.costs import cost_against_limit_usd, counted_cost_usd
from flowyml_aws.submission.losses import EndedAttempt, price_attempts
from flowyml_aws.submission.record import CostLimit, RunOutcome, RunState
from flowyml_aws.submission.status import RunStatus

__all__ = ["CostWatch"]


@dataclass
class CostWatch:
    """Counts the cost of a run, as one client sees it.

    Attributes:
        reached: Cost limit that the run has reached, or None.
    """

    reached: CostLimit | None = None
    _last: dict[str, EndedAttempt] = field(default_factory=dict)

    def see(self, statuses: Mapping[str, JobStatus]) -> None:
        """Take the statuses of a poll."""
        for job, status in statuses.items():
            if status.last is not None:
                self._last[job] = status.last

    def forget(self, job: str) -> None:
        """Forget the last attempt of a job that moves: it is one of the lost attempts now."""
        self._last.pop(job, None)

    def with_costs(self, plan: ExecutionPlan, status: RunStatus, now: float) -> RunStatus:
        """Return the status with the counted cost, and with the cost limit if there is one.

        Args:
            plan: Plan of the run.
            status: Status with the lost attempts.
            now: Seconds since the epoch.
        """
        if not plan.is_priced:
            return status
        ended = {
            job.name: price_attempts([self._last[job.name]], partial(plan.price_of, job))
            for job in plan.jobs
            if job.name in self._last
        }
        status = replace(status, ended=ended)
        limit, limit_usd = self.reached, plan.max_cost_usd
        if limit is None and limit_usd is not None:
            limit = CostLimit(limit_usd=limit_usd, counted_usd=cost_against_limit_usd(status, now))
        return replace(status, counted_usd=counted_cost_usd(status, now), cost_limit=limit)

    def reach(self, limit: CostLimit, now: float) -> RunOutcome:
        """Note that the run has reached its limit. Return the outcome that it is to have."""
        self.reached = limit.model_copy(update={"reached_at": now})
        return RunOutcome(state=RunState.FAILED, ended_at=now, cost_limit=self.reached)
