"""Jobs of a run by the names that users know: of jobs, steps, sub-pipelines, maps and items."""

from __future__ import annotations

from collections.abc import Iterable

from flowyml_aws.core.errors import RunNotFoundError
from flowyml_aws.core.maps import declared_name
from flowyml_aws.core.spelling import did_you_mean
from flowyml_aws.planning.plan import ExecutionPlan, PlannedJob, ReusedStep

__all__ = ["approval_hint", "declared_in", "declared_jobs", "declared_steps", "find_jobs"]

_MAX_NAMES = 20


def find_jobs(plan: ExecutionPlan, name: str, run_id: str) -> list[PlannedJob]:
    """Return the job of a name, or the jobs that run the step or the steps of this name.

    An item of a list that the run produces may be in any job of its step.

    Args:
        plan: Plan of the run.
        name: Name of a job, a step, an item (`train[3]`), a mapped step or a sub-pipeline.
        run_id: Id of the run, for the error.

    Raises:
        RunNotFoundError: The plan has no such job.
    """
    named = [job for job in plan.jobs if job.name == name]
    found = named or [job for job in plan.jobs if name in job.mapped or name in job.steps]
    if not found:
        inner = f"{name}/"
        found = [job for job in plan.jobs if any(step.startswith(inner) for step in job.steps)]
    if not found and (declared := declared_in(plan, name)) != name:
        # An item of a list that the run produces: only its job knows it.
        in_parts = plan.maps[declared].parts is not None
        found = [job for job in plan.jobs if in_parts and declared in job.mapped]
    if found:
        return found
    what = f"Run {run_id} has no job {name!r}"
    if name in plan.approvals:
        raise RunNotFoundError(what, *approval_hint(name, run_id))
    if (reused := plan.reused.get(name)) is not None:
        raise RunNotFoundError(what, *_reuse_hint(name, reused))
    jobs = declared_jobs(plan)
    known = list(dict.fromkeys((*jobs, *declared_steps(plan))))
    shown = ", ".join(jobs[:_MAX_NAMES]) or "(none)"
    more = f" and {len(jobs) - _MAX_NAMES} more" if jobs[_MAX_NAMES:] else ""
    raise RunNotFoundError(
        what=what,
        why=f"its jobs are {shown}{more}",
        fix=did_you_mean(name, known, "name one of them"),
    )


def approval_hint(name: str, run_id: str) -> tuple[str, str]:
    """Return why no job runs an approval, and where it is shown.

    Args:
        name: Name of the approval.
        run_id: Id of the run.
    """
    return f"{name!r} is an approval, which no job runs", f"see `flowyml-aws approvals {run_id}`"


def _reuse_hint(name: str, step: ReusedStep) -> tuple[str, str]:
    if (cause := step.cause_of_skip) is not None:
        return f"step {name!r} is skipped: {cause}", "name a step that runs"
    if step.skipped:
        return f"step {name!r} was skipped in run {step.run_id}", "name a step that runs"
    if step.run_id is None:
        return f"nothing needs the outputs of step {name!r}", "name a step that runs"
    return f"step {name!r} was reused from run {step.run_id}", f"name that run: {step.run_id}"


def declared_jobs(plan: ExecutionPlan) -> list[str]:
    """Return the names of the jobs of a plan; of the jobs of maps, those of the mapped steps."""
    return _unique(name for job in plan.jobs for name in (job.mapped or (job.name,)))


def declared_steps(plan: ExecutionPlan) -> list[str]:
    """Return the names of the steps of a plan, without those of items."""
    names = (*plan.reused, *(step for job in plan.jobs for step in job.steps))
    return _unique(declared_in(plan, name) for name in names)


def declared_in(plan: ExecutionPlan, name: str) -> str:
    """Return the name of the mapped step of an item; other names remain."""
    declared = declared_name(name)
    return declared if declared in plan.maps else name


def _unique(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
