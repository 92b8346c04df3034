"""Jobs that decisions of other jobs can make unnecessary, so that they are submitted later."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from flowyml_aws.core.graph import StepGraph
from flowyml_aws.core.step import Step
from flowyml_aws.core.step_grouping import StepGroup
from flowyml_aws.planning.plan import ExecutionPlan
from flowyml_aws.planning.services import service_traits

__all__ = ["deciding_steps", "held_by", "held_notes"]

Decisions = frozenset[str]
_NONE: Decisions = frozenset()


def deciding_steps(graph: StepGraph) -> dict[str, Decisions]:
    """Return the decisions that can make each step unnecessary, for steps that have any.

    A step is skipped with the branch that it is in, and with the step of an asset that it needs.
    """
    deciding: dict[str, Decisions] = {}
    for step in graph.steps:
        own = frozenset() if step.branch is None else frozenset({step.branch.decision})
        found = own.union(*(deciding.get(name, _NONE) for name in _needed_steps(step, graph)))
        if found:
            deciding[step.name] = found
    return deciding


def held_by(group: StepGroup, deciding: Mapping[str, Decisions]) -> tuple[str, ...]:
    """Return the decisions that can make a whole job unnecessary, in the order of its steps.

    Args:
        group: Steps of the job.
        deciding: Decisions that can make steps unnecessary.
    """
    if not all(step.name in deciding for step in group.steps):
        return ()
    found = (name for step in group.steps for name in sorted(deciding[step.name]))
    return tuple(dict.fromkeys(found))


def held_notes(plan: ExecutionPlan) -> Iterator[str]:
    """Yield a note on the held jobs of a plan, if its other jobs continue without a client."""
    held = [job for job in plan.jobs if job.held]
    if not any(service_traits(job.backend).starts_after_parents for job in held):
        return
    names = ", ".join(dict.fromkeys(name for job in held for name in job.held))
    jobs = "1 job is" if len(held) == 1 else f"{len(held):,} jobs are"
    yield (
        f"{jobs} submitted or skipped after {names}, only while a client or the driver of a "
        "detached run drives the run"
    )


def _needed_steps(step: Step, graph: StepGraph) -> Iterator[str]:
    """Yield the steps without whose assets a step is skipped."""
    for asset in graph.bound[step.name].needed:
        # A list does not exist if none of its items does, and they are all skipped together.
        for name in graph.gathered.get(asset, (asset,))[:1]:
            if (producer := graph.producers.get(name)) is not None:
                yield producer
