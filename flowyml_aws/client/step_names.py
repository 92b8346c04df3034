"""Names of the steps of a run in commands about one step: `train`, `train[3]`, `prepare/clean`."""

from __future__ import annotations

from flowyml_aws.core.errors import StepUnavailableError
from flowyml_aws.core.maps import declared_name, item_name
from flowyml_aws.core.spelling import did_you_mean
from flowyml_aws.planning.plan import ExecutionPlan
from flowyml_aws.submission.job_names import declared_steps

__all__ = ["named_step"]


def named_step(plan: ExecutionPlan, run_id: str, name: str, item: int | None) -> str:
    """Return the name of a step of a plan; of a mapped step, that of an item.

    Args:
        plan: Plan of the run.
        run_id: Id of the run, for errors.
        name: Name of a step, or of an item of a mapped step.
        item: Position of the item; None if the name contains it.

    Raises:
        StepUnavailableError: No job of the run executes such a step.
    """
    declared = declared_name(name)
    planned_map = plan.maps.get(name if name in plan.maps else declared)
    if planned_map is not None and name in plan.maps:
        count = planned_map.items if planned_map.parts is None else None
        if item is None:
            raise StepUnavailableError(
                f"Step {name!r} is mapped: name one of its items",
                f"it ran once for each item of a list{'' if count is None else f' of {count}'}",
                f"add --item with its position, such as --item 0, or write {item_name(name, 0)!r}",
            )
        if count is not None and item >= count:
            raise StepUnavailableError(
                f"Step {name!r} has no item {item}",
                f"it has {count} items, from 0 to {count - 1}",
                "name one of them",
            )
        name = item_name(name, item)
    elif item is not None:
        is_item = planned_map is not None
        raise StepUnavailableError(
            f"--item {item} does not fit step {name!r}",
            "the name is that of an item" if is_item else "the step is not mapped",
            "omit --item",
        )
    if (reused := plan.reused.get(name)) is not None:
        if reused.run_id is None:
            raise StepUnavailableError(
                f"Step {name!r} was not executed in run {run_id}",
                reused.cause_of_skip or "no step that was executed needs it",
                "replay it in a run that has executed it: `flowyml-aws runs` lists them",
            )
        raise StepUnavailableError(
            f"Step {name!r} was not executed in run {run_id}",
            f"its outputs are reused from run {reused.run_id}",
            f"replay it in that run: flowyml-aws replay {reused.run_id} {name}",
        )
    if name in plan.approvals:
        raise StepUnavailableError(
            f"{name!r} is an approval", "no function runs for it", "name a step of a job"
        )
    is_planned = any(name in job.steps for job in plan.jobs)
    if not is_planned and (planned_map is None or planned_map.parts is None):
        known = declared_steps(plan)
        raise StepUnavailableError(
            f"Run {run_id} has no step {name!r}",
            f"its steps are {', '.join(known) or '(none)'}",
            did_you_mean(name, known, "name one of them"),
        )
    return name
