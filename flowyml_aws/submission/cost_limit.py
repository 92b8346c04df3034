"""Messages on the cost limit of a run: while it runs, and after it was reached."""

from __future__ import annotations

from collections.abc import Sequence

from flowyml_aws.core.amounts import usd
from flowyml_aws.core.errors import CostLimitReachedError
from flowyml_aws.planning.cost_shares import attempt_limit_s, ends_at_share
from flowyml_aws.planning.plan import PlannedJob
from flowyml_aws.submission.backend import JobState
from flowyml_aws.submission.losses import EndedAttempt
from flowyml_aws.submission.record import CostLimit
from flowyml_aws.submission.status import RunStatus

__all__ = ["end_reason", "has_used_share", "limit_error", "limit_notes", "share_reason"]

_MAX_NAMES = 5
_MOST = 0.9  # of a time limit: services stop jobs seconds later, and measure from another moment


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


def has_used_share(job: PlannedJob, last: EndedAttempt | None) -> bool:
    """Return whether an attempt that reached a time limit has used up its share of the limit.

    The maximum runtime of SageMaker may be shorter; a job without a known time is believed.
    """
    if not ends_at_share(job):
        return False
    limit_s = attempt_limit_s(job) or 0
    return last is None or not last.seconds or last.seconds >= _MOST * limit_s


def share_reason(job: PlannedJob, run_id: str) -> str:
    """Return the reason of a job that used up its share of the cost limit."""
    return (
        f"that is the time that its share of max_cost_usd, {usd(job.share_usd or 0)}, buys on "
        f"{job.highest_machines}; continue with "
        f"`flowyml-aws resume {run_id} --max-cost-usd USD`"
    )


def _names(names: Sequence[str]) -> str:
    if not names:
        return "nothing"
    more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
    return ", ".join(names[:_MAX_NAMES]) + more
