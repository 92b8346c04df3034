"""The longest time that a plan can take, from the time limits of its jobs."""

from __future__ import annotations

from collections.abc import Mapping

from flowyml_aws.planning.plan import ExecutionPlan

__all__ = ["longest_path_s"]


def longest_path_s(plan: ExecutionPlan, limits_s: Mapping[str, int | None]) -> int | None:
    """Return the seconds that the jobs of a plan take if each of them reaches its time limit.

    Args:
        plan: Plan, with jobs in running order.
        limits_s: Time limit of each job; None for none.

    Returns:
        Sum of the limits along the longest path; None if a job has no limit, or if the run has
        dynamic steps, whose pipelines are unknown.
    """
    if plan.dynamic:
        return None
    ends_s: dict[str, int] = {}
    for job in plan.jobs:
        limit_s = limits_s[job.name]
        if limit_s is None:
            return None
        ends_s[job.name] = limit_s + max((ends_s[parent] for parent in job.after), default=0)
    return max(ends_s.values(), default=0)
